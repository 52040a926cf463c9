/* What is said where there is no GPU to use: one message each, which names what helps. Pretended
 * machines. */
#include "tests/support/check_unit.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/cuda/device.h"
#include "tests/cuda/emulation/emulation.h"

static const struct {
    struct emulated_gpu gpu; /* devices, driver, compute capability, memory, code for it */
    int ordinal;
    const char *texts[3];
} cases[] = {
    {{0, 0, 9, 0, 1 << 24, true, 0}, 0, {"no NVIDIA driver on this host", "CUDA 13.0 or newer"}},
    {{1, 12040, 9, 0, 1 << 24, true, 0}, 0, {"driver is of CUDA 12.4, this program of 13.0"}},
    {{0, 13000, 9, 0, 1 << 24, true, 0}, 0, {"GPU 0 is wanted, and 0 can be seen", "is not set"}},
    {{4, 13000, 9, 0, 1 << 24, true, 0}, 4, {"GPU 4 is wanted, and 4 can be seen", "fewer ranks"}},
    {{1, 13000, 7, 5, 1 << 24, true, 0}, 0, {"compute capability 7.5", "8.0 is the least"}},
    {{1, 13000, 9, 0, 1 << 24, false, 0}, 0, {"no kernel image", "has no code for this GPU"}}};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(one_message)
{
    struct problems p = {0};
    unsetenv("CUDA_VISIBLE_DEVICES");
    emulated_gpu = cases[_i].gpu;
    ck_assert_ptr_null(device_cuda(cases[_i].ordinal, &p));
    ck_assert_int_eq(p.n, 1);
    for (int k = 0; k < 3 && cases[_i].texts[k]; k++)
        ck_assert_msg(strstr(p.text[0], cases[_i].texts[k]), "%s: not %s", p.text[0],
                      cases[_i].texts[k]);
    problems_free(&p);
}
END_TEST

/* A newer driver of the same release, or of a later one, will do. */
START_TEST(newer_drivers_will_do)
{
    static const int drivers[] = {13000, 13020, 14010};
    for (int i = 0; i < 3; i++) {
        struct problems p = {0};
        emulated_gpu.driver = drivers[i];
        ck_assert_ptr_nonnull(device_cuda(0, &p));
        ck_assert_int_eq(p.n, 0);
    }
}
END_TEST

/* A GPU that fails at work ends the rank, which says what helps. */
static const struct {
    int error;
    const char *texts[2];
} breakdowns[] = {{214, {"cudaErrorECCUncorrectable", "the GPU's memory is damaged"}},
                  {700, {"cudaErrorIllegalAddress", "CUDA_LAUNCH_BLOCKING=1"}},
                  {719, {"cudaErrorLaunchFailure", "compute-sanitizer"}},
                  {999, {"unrecognized error code", "dmesg and nvidia-smi"}}};
enum { BREAKDOWNS = sizeof breakdowns / sizeof *breakdowns };

START_TEST(broken_at_work)
{
    char text[2000] = "";
    int end[2], status;
    ck_assert_int_eq(pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        struct problems p = {0};
        const struct device *d = device_cuda(0, &p);
        void *at = d->alloc(64);
        dup2(end[1], STDERR_FILENO);
        emulated_gpu.breaks = breakdowns[_i].error;
        d->copy_out(text, at, 64);
        _exit(0);
    }
    close(end[1]);
    for (ssize_t n, got = 0; (n = read(end[0], text + got, sizeof text - 1 - (size_t)got)) > 0;)
        got += n;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    for (int k = 0; k < 2; k++)
        ck_assert_msg(strstr(text, breakdowns[_i].texts[k]), "%s: not %s", text,
                      breakdowns[_i].texts[k]);
}
END_TEST

#define TESTS(X)                        \
    X(one_message, .to = CASES)         \
    X(broken_at_work, .to = BREAKDOWNS) \
    X(newer_drivers_will_do)

UNIT_MAIN("which_gpu")
