/* Six questions, and every way to share the work of answering them that the ranks allow: for tests
 * that expect the same tokens and bits on all of them. */
#ifndef DUET_TESTS_SUPPORT_SMALL_WAYS_H
#define DUET_TESTS_SUPPORT_SMALL_WAYS_H

#include "tests/support/check_mpi.h"
#include "tests/support/small_answers.h"

enum { QUESTIONS = 6, SAMPLES = 4, ANSWERS = QUESTIONS * SAMPLES, MAX_NEW = 40, MESHES = 16 };

static const int prompt_length[QUESTIONS] = {40, 1, 16, 15, 17, 33};
static struct small_questions questions;

static void questions_make(void)
{
    small_questions_make(&questions, prompt_length, QUESTIONS);
}

struct way {
    int dp, pp, tp, ep, schedule, waves;
};

static int ways_make(struct way *out)
{
    int n = 0, size = ck_world.size;
    for (int tp = 1; tp <= 2 && tp <= size; tp++)
        for (int pp = 1; pp * tp <= size; pp *= 2) {
            struct way w = {.dp = size / pp / tp, .pp = pp, .tp = tp, .ep = 1};
            w.schedule = SCHEDULE_1F1B;
            out[n++] = w;
            w.schedule = SCHEDULE_DUALPIPE;
            w.waves = 2;
            if (pp > 1) out[n++] = w;
            w.schedule = SCHEDULE_DUALPIPEV;
            if (tp == 1) out[n++] = w;
            w.ep = w.dp;
            w.waves = 0;
            if (tp == 1 && w.dp > 1) out[n++] = w;
        }
    return n;
}

static const char *way_text(const struct way *w)
{
    static char text[96];
    snprintf(text, sizeof text, "dp %d pp %d tp %d ep %d, schedule %d", w->dp, w->pp, w->tp, w->ep,
             w->schedule);
    return text;
}

static struct small_shape shape_of(const struct way *w)
{
    return (struct small_shape){.model = w->ep > 1 ? "experts: 4, expert_ffn: 24" : "qk_norm: true",
                                .precision = w->pp > 1 ? PRECISION_FP32 : PRECISION_BF16,
                                .dp = w->dp,
                                .pp = w->pp,
                                .tp = w->tp,
                                .ep = w->ep,
                                .schedule = w->schedule,
                                .layers = 8,
                                .max_context = SMALL_CONTEXT,
                                .micro_batch_tokens = SMALL_CONTEXT,
                                .micro_batches = 4,
                                .decode_slots = 16,
                                .decode_waves = w->waves};
}

#endif
