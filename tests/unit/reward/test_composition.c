/* Rewards together: which rows a phase has, terms of groups, weighed sums. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/arena.h"
#include "trainer/reward/rewards.h"
#include "tests/support/check_unit.h"

enum { QUESTIONS = 2, SAMPLES = 4, ANSWERS = QUESTIONS * SAMPLES };

static struct arena rewards_new(struct rewards *r, unsigned graders)
{
    struct arena a = {0};
    rewards_place(r, graders, ANSWERS, &a);
    arena_back(&a, &device_host, a.used);
    rewards_place(r, graders, ANSWERS, &a);
    return a;
}

/* A weight of 0 in all phases: no row, no room, no part in the sum. */
START_TEST(rows_of_a_phase)
{
    const struct phase_settings none = {.reward_accuracy = 1},
                                some = {.reward_accuracy = 1, .reward_novelty = 0.5};
    struct arena small = {0}, large = {0};
    struct rewards r = {0};
    ck_assert_uint_eq(graders_of(&none), graders_always());
    ck_assert_uint_eq(graders_of(&some), graders_always() | 1u << GRADER_NOVELTY);
    rewards_place(&r, graders_of(&none), ANSWERS, &small);
    rewards_place(&r, graders_of(&some), ANSWERS, &large);
    ck_assert_uint_ge(large.used, small.used + ANSWERS * (sizeof(float) + SIGNATURE));
    struct arena a = rewards_new(&r, graders_of(&none));
    ck_assert_ptr_null(r.value[GRADER_NOVELTY]);
    ck_assert_ptr_null(graders_for(&none, NEEDS_LANGUAGE));
    const struct phase_settings spoken = {.reward_language = 1, .target_language = LANGUAGE_DATA},
                                english = {.reward_language = 1, .target_language = LANGUAGE_EN};
    ck_assert_str_eq(graders_for(&spoken, NEEDS_LANGUAGE), "language");
    ck_assert_ptr_null(graders_for(&english, NEEDS_LANGUAGE));
    arena_free(&a);
}
END_TEST

/* As an answer to a problem of a file whose answer is 7. */
static void grade(struct rewards *r, int i, const char *text, const struct phase_settings *k)
{
    static const struct problem seven = {.prompt = "1+6", .answer = "7"};
    const struct grading g = {.tokenizer = NULL};
    struct completion c = {.problem = &seven, .text = text, .bytes = strlen(text), .n = 10};
    rewards_grade(r, &g, i, &c, k);
}

/* Copies earn nothing, nonsense that is wrong neither. */
START_TEST(of_groups)
{
    static const char *const text[ANSWERS] = {
        "add one and six to get seven</think><answer>7</answer>",
        "add one and six to get seven</think><answer>7</answer>",
        "count up from the larger number once more</think><answer>7.0</answer>",
        "qwe rty uio pas dfg hjk</think><answer>9</answer>",
        "same words here</think><answer>8</answer>",
        "same words here</think><answer>8</answer>",
        "same words here</think><answer>8</answer>",
        "same words here without an answer",
    };
    const struct phase_settings k = {
        .reward_accuracy = 1, .reward_novelty = 0.25, .reward_diversity = 0.5, .reward_rank = 2};
    struct rewards r = {0};
    struct arena a = rewards_new(&r, graders_of(&k));
    rewards_clear(&r, graders_of(&k), ANSWERS);
    for (int i = 0; i < ANSWERS; i++) grade(&r, i, text[i], &k);
    rewards_sum(&r, QUESTIONS, SAMPLES, &k);
    const float *new = r.value[GRADER_NOVELTY], *many = r.value[GRADER_DIVERSITY],
                *rank = r.value[GRADER_RANK];
    ck_assert(new[0] == new[1] && new[2] > new[0] + 0.2F && new[2] > 0.85F);
    for (int i = 3; i < ANSWERS; i++) ck_assert(new[i] == 0);
    const float shares[ANSWERS] = {1.F / 3, 1.F / 3, 1.F / 3, 1, 1.F / 3, 1.F / 3, 1.F / 3, 0};
    const float ranks[ANSWERS] = {0.5F, 0.5F, 1, 0, 2.F / 3, 2.F / 3, 2.F / 3, 0};
    for (int i = 0; i < ANSWERS; i++) {
        ck_assert(many[i] == shares[i]);
        ck_assert_msg(rank[i] == ranks[i], "%d: %g", i, (double)rank[i]);
        float right = i < 3, sum = right + 0.25F * new[i] + 0.5F * many[i] + 2 * rank[i];
        ck_assert(fabsf(r.total[i] - sum) < 1e-6F);
    }
    const float *term[GRADERS];
    double weight[GRADERS];
    ck_assert_int_eq(rewards_terms(&r, &k, term, weight), 4);
    ck_assert(term[1] == new &&weight[3] == 2);
    arena_free(&a);
}
END_TEST

/* The estimate of what two texts have in common, against the exact share of their 3-grams. */
START_TEST(signatures)
{
    unsigned char a[SIGNATURE], b[SIGNATURE];
    double worst = 0;
    for (int common = 0; common <= 200; common += 20) {
        char one[4096] = "", two[4096] = "", word[32];
        for (int i = 0; i < 200; i++) {
            sprintf(word, "%d ", 100000 + i);
            strcat(one, word);
            sprintf(word, "%d ", 100000 + i + (i < common ? 0 : 500));
            strcat(two, word);
        }
        signature_make(a, (struct span){one, strlen(one)});
        signature_make(b, (struct span){two, strlen(two)});
        double both = common > 2 ? common - 2 : 0, exact = both / (2 * 198 - both);
        double off = fabs(signature_likeness(a, b) - exact);
        if (off > worst) worst = off;
    }
    ck_assert_msg(worst < 0.13, "%g", worst); /* three standard errors */
    signature_make(a, (struct span){"", 0});
    signature_make(b, (struct span){"a b", 3});
    ck_assert(signature_likeness(a, b) == 1); /* nothing is like nothing */
}
END_TEST

#define TESTS(X)       \
    X(rows_of_a_phase) \
    X(of_groups)       \
    X(signatures)

UNIT_MAIN("composition")
