/* What control groups leave a process, of version 1 and of version 2, read from trees as Linux
 * shows them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "tests/support/check_unit.h"
#include "trainer/checkpoint/files.h"
#include "trainer/planner/limits.h"

static char root[32];

static void setup(void)
{
    strcpy(root, "/tmp/duet_limits_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
    folder_remove(root, &(struct failure){0});
}

/* A file below root, with the folders on the way. */
static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* What is left with /proc/self/cgroup of that text. */
static size_t left(const char *text)
{
    char own[64];
    put("own", text);
    snprintf(own, sizeof own, "%s/own", root);
    return limits_group(root, own);
}

START_TEST(version_2)
{
    put("jobs/17/memory.max", "1000\n");
    put("jobs/17/memory.current", "300\n");
    put("jobs/17/memory.stat", "anon 200\nfile 100\ninactive_file 60\n");
    ck_assert_uint_eq(left("0::/jobs/17\n"), 1000 - (300 - 60));
    ck_assert_uint_eq(left("0::/jobs/17/step\n"), 760);
    ck_assert_uint_eq(left("0::/jobs/18\n"), SIZE_MAX);
    put("jobs/memory.max", "500\n");
    ck_assert_uint_eq(left("0::/jobs/17\n"), 500);
    put("jobs/17/memory.max", "max\n");
    ck_assert_uint_eq(left("0::/jobs/17\n"), 500);
    put("memory.max", "400\n");
    ck_assert_uint_eq(left("0::/\n"), 400);
}
END_TEST

START_TEST(version_1)
{
    static const char *const own = "12:cpuset:/\n9:cpu,cpuacct:/jobs/18\n"
                                   "7:hugetlb,memory,pids:/slurm/job_17\n0::/system\n";
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/slurm/job_17/memory.limit_in_bytes", "2000\n");
    put("memory/slurm/job_17/memory.usage_in_bytes", "900\n");
    put("memory/slurm/job_17/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n");
    ck_assert_uint_eq(left(own), 2000 - (900 - 400));
    put("memory/slurm/memory.limit_in_bytes", "700\n");
    ck_assert_uint_eq(left(own), 700);
    put("system/memory.max", "600\n");
    ck_assert_uint_eq(left(own), 600);
}
END_TEST

/* In a container the names are those outside, and the root of the tree is its own group. */
START_TEST(container)
{
    put("memory/memory.limit_in_bytes", "800\n");
    ck_assert_uint_eq(left("7:memory:/docker/0123\n"), 800);
    ck_assert_uint_eq(left("7:memory_not:/docker/0123\n"), 800);
    put("memory/memory.usage_in_bytes", "900\n");
    ck_assert_uint_eq(left("7:memory:/docker/0123\n"), 1);
}
END_TEST

START_TEST(none)
{
    ck_assert_uint_eq(left(""), SIZE_MAX);
    ck_assert_uint_eq(left("nothing\n:\n0::\n"), SIZE_MAX);
    ck_assert_uint_eq(limits_group("/nowhere", "/nowhere/own"), SIZE_MAX);
}
END_TEST

#define TESTS(X) \
    X(version_2) \
    X(version_1) \
    X(container) \
    X(none)

UNIT_MAIN("limits", .setup = setup, .teardown = teardown)
