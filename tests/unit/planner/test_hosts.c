/* Hostfiles as mpirun reads them, and maps of ranks. */
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "trainer/planner/hosts.h"
#include "tests/support/check_unit.h"

static struct problems read_hosts(struct hosts *h, const char *text)
{
    struct problems p = {0};
    bool ok = hosts_parse(h, text, strlen(text), "hosts", &p);
    ck_assert_int_eq(ok, p.n == 0);
    return p;
}

static void refused(const char *text, const char *why)
{
    struct hosts h;
    struct problems p = read_hosts(&h, text);
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], why) != NULL, "no \"%s\" in: %s", why, p.text[0]);
    problems_free(&p);
    hosts_free(&h);
}

START_TEST(hostfile)
{
    struct hosts h;
    struct problems p = read_hosts(&h, "# nodes\n\n node-a slots=2 max_slots=4 # first\r\n"
                                       "root@10.0.0.2\tslots = 1\nnode-c max-slots=3 slots=3");
    ck_assert_int_eq(p.n, 0);
    ck_assert_int_eq(h.n, 3);
    ck_assert_int_eq(h.slots, 6);
    ck_assert_str_eq(h.at[0].name, "node-a");
    ck_assert_str_eq(h.at[1].name, "root@10.0.0.2");
    int *host = hosts_place(&h, 5);
    const int want[] = {0, 0, 1, 2, 2};
    for (int i = 0; i < 5; i++) ck_assert_int_eq(host[i], want[i]);
    free(host);
    hosts_free(&h);
}
END_TEST

/* What editors and other systems make of a hostfile. */
START_TEST(hostfile_odd)
{
    struct hosts h;
    struct problems p = read_hosts(&h, "\xef\xbb\xbfGPU1.East.Example\tslots=08 \t\r\n\r\n"
                                       "gpu1.west.example SLOTS\t=\t2 # two\r\n"
                                       "gpu1.east.example slots=1 max-slots=9");
    ck_assert_int_eq(p.n, 0);
    ck_assert_int_eq(h.n, 2);
    ck_assert_int_eq(h.slots, 11);
    ck_assert_int_eq(h.at[0].slots, 9);
    ck_assert_str_eq(h.at[1].name, "gpu1.west.example");
    hosts_free(&h);
    static const char utf16[] = "\xff\xfeh\0001\0 \0s\0\n\0h\0";
    ck_assert(!hosts_parse(&h, utf16, sizeof utf16 - 1, "hosts", &p));
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], "UTF-16") != NULL, "%s", p.text[0]);
    problems_free(&p);
    hosts_free(&h);
}
END_TEST

START_TEST(hostfile_refused)
{
    refused("a slots=1\nb slotz=2\n",
            "hosts:2: \"slotz\" is not an option of a host: use slots=N or");
    refused("a slotz=2\n", "did you mean slots?");
    refused("a slots=two\n", "hosts:1: slots must be a number from 1 to 65536");
    refused("a slots=0\n", "slots must be a number");
    refused("a slots=\nb slots=1", "hosts:1: slots must be a number");
    refused("a slots=1\nb\n", "hosts:2: host b has no slots=N");
    refused("a slots=1\nb slots=1\nA slots=65536\n",
            "hosts:3: host A is listed more than once, with");
    refused("a slots=4 max_slots=2\n", "max_slots=2 is less than slots=4");
    refused("a/b slots=1\n", "\"a/b\" is not a host name");
    refused("a =\n", "\"=\" without a name");
    refused("fe80::1 slots=1\n", "fe80::1 is an IPv6 address");
    refused("a slots=1\nb:4\n", "hosts:2: \"b:4\" is not a host name; write: b slots=4");
    refused("slots=4\n", "the line has no host name");
    refused("= 4\n", "the line has no host name");
    refused("knoten-\xc3\xa4 slots=1\n", "ASCII letters");
    refused("a@ slots=1\n", "not a host name");
    refused("# nothing\n", "lists no hosts");
    refused("", "lists no hosts");
}
END_TEST

static void placed_as(const struct hosts *h, const int *want, int n)
{
    int *host = hosts_place(h, n);
    for (int i = 0; i < n; i++) ck_assert_msg(host[i] == want[i], "rank %d on %d", i, host[i]);
    free(host);
}

/* The maps of hostfiles/README.md; the files of hostfiles/maps are the same ones, made by
 * launch/run.sh. */
START_TEST(maps)
{
    static const int experts[] = {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1};
    static const int mirrored[] = {0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0};
    struct hosts h;
    struct problems p = read_hosts(&h, "node-1 slots=8\nnode-2 slots=8\n");
    ck_assert(hosts_map(&h, "experts:4x4x1", 4, 4, 1, &p));
    placed_as(&h, experts, 16);
    ck_assert(hosts_map(&h, "hostfiles/maps/2-hosts.mirrored-4x4x1", 4, 4, 1, &p));
    placed_as(&h, mirrored, 16);
    ck_assert(hosts_map(&h, "hostfiles/maps/2-hosts.experts-4x4x1", 4, 4, 1, &p));
    placed_as(&h, experts, 16);
    ck_assert(hosts_map(&h, "mirrored", 4, 4, 1, &p));
    placed_as(&h, mirrored, 16);
    ck_assert(!hosts_map(&h, "mirrored:2x8x1", 4, 4, 1, &p));
    ck_assert(strstr(p.text[0], "differs from the recipe's, 4x4x1") != NULL);
    problems_free(&p);
    hosts_free(&h);
}
END_TEST

START_TEST(maps_refused)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"node-1\nnode-3\n", "map:2: \"node-3\" is not in the hostfile or cluster file"},
        {"# two\nnode-1\nnode-1\n", "map:3: host node-1 has 1 slots, but this is its rank 2"},
        {"node-1\n", "places only 1 of 2 ranks"},
        {"node-1 slots=2\n", "map:1: a map takes one host per line"},
        {"node-1\nnode-2\nnode-2\n", "more lines than ranks"}};
    for (int i = 0; i < 5; i++) {
        struct hosts h;
        struct problems p = read_hosts(&h, "node-1 slots=1\nnode-2 slots=2\n");
        ck_assert(!hosts_map_parse(&h, bad[i].text, strlen(bad[i].text), "map", 2, &p));
        ck_assert_msg(strstr(p.text[0], bad[i].why) != NULL, "%s", p.text[0]);
        problems_free(&p);
        hosts_free(&h);
    }
}
END_TEST

#define TESTS(X)        \
    X(hostfile)         \
    X(hostfile_odd)     \
    X(hostfile_refused) \
    X(maps)             \
    X(maps_refused)

UNIT_MAIN("hosts")
