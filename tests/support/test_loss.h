/* The loss of a token as a row of the test device (tests/support/test_device.h): a kernel that sees
 * its memory, doing what the host's row does. test_device lacks it, test_device_whole has it. */
#ifndef DUET_TESTS_SUPPORT_TEST_LOSS_H
#define DUET_TESTS_SUPPORT_TEST_LOSS_H

#include "tests/support/test_device.h"
#include "trainer/learn/loss.h"

static inline void test_loss_run(void *loss, const struct micro_batch *mb, int from, int to)
{
    struct micro_batch m = *mb;
    size_t bytes = (size_t)to * sizeof(float);
    m.start = test_at(m.start, (size_t)(m.rows.seg.n + 1) * sizeof(int));
    m.target = test_at(m.target, (size_t)to * sizeof(int));
    float **const f[] = {&m.weight, &m.advantage, &m.old_logp, &m.ref_logp,
                         &m.logp,   &m.entropy,   &m.dlogp};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) *f[i] = test_at(*f[i], bytes);
    loss_run(loss, &m, from, to);
}

static const struct loss_row test_loss_rows[] = {{&test_device_whole, test_loss_run}, {NULL, NULL}};

#endif
