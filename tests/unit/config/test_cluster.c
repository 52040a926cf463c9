/* Cluster files: the examples are right, mistakes are named by line with the nearest name, damaged
 * ones do no harm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "trainer/config/cluster.h"
#include "tests/support/check_unit.h"

static const char *const good = "name: two racks\n"
                                "nodes: 4\n"
                                "devices: 8\n"
                                "memory_gib: 80\n"
                                "compute: {bf16: 989, fp8: 1979, achieved: 0.5}\n"
                                "inside: {gbs: 160, us: 2}\n"
                                "between:\n"
                                "  gbs: 50\n";

static bool parse(struct cluster *c, const char *yaml, struct problems *p)
{
    cluster_defaults(c);
    return cluster_parse(c, yaml, strlen(yaml), "c.yaml", p);
}

START_TEST(reads)
{
    struct cluster c;
    struct problems p = {0};
    ck_assert_msg(parse(&c, good, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_str_eq(c.top.name, "two racks");
    ck_assert_int_eq(cluster_devices(&c), 32);
    ck_assert_double_eq(cluster_peak(&c, PRECISION_BF16), 989e12);
    ck_assert_double_eq(cluster_rate(&c, PRECISION_BF16), 494.5e12);
    ck_assert_double_eq(cluster_rate(&c, PRECISION_FP32), 0);
    /* 58.7 MB, the message of a DeepSeek-V3 stage, takes 1.17 ms at 50 GB/s */
    ck_assert_double_eq_tol(cluster_send(&c, false, 4096.0 * 7168 * 2), 1.1744e-3 + 5e-6, 1e-7);
    ck_assert_double_eq_tol(cluster_send(&c, true, 160e6), 1e-3 + 2e-6, 1e-12);
    cluster_free(&c);
}
END_TEST

static void refused(const char *yaml, const char *message)
{
    struct cluster c;
    struct problems p = {0};
    ck_assert_msg(!parse(&c, yaml, &p), "taken: %s", yaml);
    bool found = false;
    for (int i = 0; i < p.n; i++) found = found || strstr(p.text[i], message);
    ck_assert_msg(found, "no \"%s\", but: %s", message, p.text[0]);
    problems_free(&p);
    cluster_free(&c);
}

START_TEST(mistakes_by_line)
{
    refused("nodes: 1\ndevces: 8\n", "c.yaml:2: unknown setting devces; did you mean devices?");
    refused("between:\n  gb: 3\n", "c.yaml:2: unknown setting gb; did you mean gbs?");
    refused("nodes: 1\n\nachieved: 0.4\n",
            "c.yaml:3: achieved is a compute setting; put it in compute");
    refused("compute:\n  bf16: 989\n  achieved: 1.2\n",
            "c.yaml:3: achieved: 1.2 is not in the range 0.0001 to 1");
    refused("nodes: 0\n", "c.yaml:1: nodes: 0 is not in the range");
    refused("nodes: many\n", "c.yaml:1: nodes: \"many\" is not a whole number");
    refused("nodes: 1\nnodes: 2\n", "c.yaml:2: nodes is given twice, first in line 1");
    refused("- a\n", "c.yaml:1: a cluster file takes settings");
    refused("nodes: 1\n\tdevices: 2\n", "c.yaml:2: not YAML");
}
END_TEST

START_TEST(what_cannot_be)
{
    refused("nodes: 1\n", "no precision has a rate");
    refused("nodes: 2\ncompute: {bf16: 1}\n",
            "there are 2 nodes: set between: {gbs: ..., us: ...}");
    refused("devices: 2\ncompute: {bf16: 1}\n", "nodes have 2 devices: set inside");
    refused("nodes: 1048576\ndevices: 4096\ncompute: {bf16: 1}\n",
            "c.yaml:1: nodes 1048576 x devices 4096 is more than the limit of");
    refused("compute:\n  bf16: 1\n  fp32: 2\n", "c.yaml:3: fp32 2 TFLOP/s is more than bf16 1");
    refused("nodes: 2\ndevices: 2\ncompute: {bf16: 1}\ninside: {gbs: 5}\nbetween:\n  gbs: 6\n",
            "c.yaml:6: between nodes 6 GB/s is more than inside a node, 5");
    refused("compute: {bf16: 1}\ncosts:\n  layer_f: 3\n",
            "c.yaml:3: costs: only 1 of 5 times are given");
}
END_TEST

/* All at once: five mistakes, five messages. */
START_TEST(all_at_once)
{
    struct cluster c;
    struct problems p = {0};
    ck_assert(!parse(&c, "nods: 1\ndevices: -1\nmemory_gib: x\ncompute: {bf: 1}\ninside: 3\n", &p));
    ck_assert_int_eq(p.n, 5);
    problems_free(&p);
    cluster_free(&c);
}
END_TEST

START_TEST(examples)
{
    static const char *const file[] = {"launch/clusters/h800-2048.yaml",
                                       "launch/clusters/h100.yaml", "launch/clusters/laptop.yaml"};
    for (int i = 0; i < 3; i++) {
        struct cluster c;
        struct problems p = {0};
        cluster_defaults(&c);
        ck_assert_msg(cluster_load(&c, file[i], &p), "%s", p.n ? p.text[0] : "");
        cluster_free(&c);
    }
}
END_TEST

START_TEST(no_file)
{
    struct cluster c;
    struct problems p = {0};
    cluster_defaults(&c);
    ck_assert(!cluster_load(&c, "/nonexistent/c.yaml", &p));
    ck_assert_str_eq(
        p.text[0], "/nonexistent/c.yaml: cannot read the cluster file: No such file or directory");
    problems_free(&p);
    cluster_free(&c);
}
END_TEST

/* Every file cut short, and with every byte replaced. */
START_TEST(damaged)
{
    size_t n = strlen(good);
    char text[512];
    for (size_t i = 0; i < 2 * n; i++) {
        struct cluster c;
        struct problems p = {0};
        memcpy(text, good, n + 1);
        if (i >= n) text[i - n] = (char)(i * 37);
        cluster_defaults(&c);
        bool ok = cluster_parse(&c, text, i < n ? i : n, "c.yaml", &p);
        ck_assert(ok == (p.n == 0));
        problems_free(&p);
        cluster_free(&c);
    }
}
END_TEST

#define TESTS(X)        \
    X(reads)            \
    X(mistakes_by_line) \
    X(what_cannot_be)   \
    X(all_at_once)      \
    X(examples)         \
    X(no_file)          \
    X(damaged)

UNIT_MAIN("cluster")
