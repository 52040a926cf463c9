/* Losses of the policy against the papers' formulas in double precision, by automatic
 * differentiation (tests/oracle/policy_losses.py, which holds them to TRL's own); advantages by
 * hand; presets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/config/presets.h"
#include "trainer/learn/advantage.h"
#include "trainer/learn/policy.h"
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"

/* --- losses --- */

enum { LONGEST = 64 };

struct golden {
    FILE *f;
    char loss[16], estimator[16];
    struct objective objective;
    int answers;
};

static int choice_value(const char *setting, const char *name)
{
    const struct choice *c = choice_named(setting_find(&sections[SECTION_PHASE], setting), name);
    ck_assert_msg(c, "%s has no %s", setting, name);
    return c->value;
}

static double number(FILE *f)
{
    double x;
    ck_assert(fscanf(f, "%lf", &x) == 1);
    return x;
}

static void floats(FILE *f, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = (float)number(f);
}

/* The next case; false: there is none. */
static bool next_case(struct golden *g)
{
    double low, high, dual, kl, penalty, mask;
    int got = fscanf(g->f, " case %15s %lf %lf %lf %lf %15s %lf %lf %d", g->loss, &low, &high,
                     &dual, &kl, g->estimator, &penalty, &mask, &g->answers);
    if (got == EOF) return false;
    ck_assert_int_eq(got, 9);
    g->objective = (struct objective){.clip_low = (float)low,
                                      .clip_high = (float)high,
                                      .dual_clip = (float)dual,
                                      .kl = (float)kl,
                                      .kl_estimator = choice_value("kl_estimator", g->estimator),
                                      .ratio_penalty = (float)penalty,
                                      .mask_above = (float)mask,
                                      .gate_pos = 1.0f,
                                      .gate_neg = 1.05f,
                                      .vespo_pos = {2, 3},
                                      .vespo_neg = {3, 2}};
    return true;
}

/* Within float rounding of terms that may cancel: relative to the largest gradient around. */
static void near(const struct golden *g, int t, double got, double due, double scale)
{
    bool same = isinf(due) ? isinf(got) : fabs(got - due) <= 4e-5 * (scale + fabs(due));
    ck_assert_msg(same, "%s kl %g %s mask %g, token %d: %.9g, expected %.9g", g->loss,
                  (double)g->objective.kl, g->estimator, (double)g->objective.mask_above, t, got,
                  due);
}

static void check_answer(const struct golden *g, const struct loss_shape *shape)
{
    float logp[LONGEST], old[LONGEST], ref[LONGEST], adv[LONGEST], weight[LONGEST], dlogp[LONGEST];
    double advantage, share, total, due[LONGEST];
    int n;
    ck_assert(fscanf(g->f, " answer %d %lf %lf %lf", &n, &advantage, &share, &total) == 4);
    ck_assert(n <= LONGEST);
    floats(g->f, logp, n);
    floats(g->f, old, n);
    floats(g->f, ref, n);
    for (int i = 0; i < n; i++) due[i] = number(g->f);
    for (int i = 0; i < n; i++) adv[i] = (float)advantage, weight[i] = (float)share;
    struct loss l;
    loss_begin(&l, shape, g->objective);
    const struct answer_rows rows = {n, logp, old, adv, weight, ref, dlogp};
    shape->answer(&l, &rows);
    for (int i = 0; i < n; i++) near(g, i, (double)dlogp[i], due[i], share);
    if (!isinf(total)) near(g, -1, exact_value(&l.sum[SUM_LOSS]), total, share * n);
}

START_TEST(as_in_the_papers)
{
    struct golden g = {.f = fopen("tests/golden/policy_losses.txt", "r")};
    char line[256];
    int cases = 0;
    ck_assert_msg(g.f, "tests/golden/policy_losses.txt is not there: start in the root");
    for (int i = 0; i < 2; i++) ck_assert(fgets(line, sizeof line, g.f) && *line == '#');
    for (; next_case(&g); cases++) {
        const struct loss_shape *shape =
            &policy_shapes[choice_value("policy_loss", g.loss)][g.objective.mask_above > 0];
        for (int i = 0; i < g.answers; i++) check_answer(&g, shape);
    }
    fclose(g.f);
    ck_assert_int_eq(cases, 8 * 5 + 8);
}
END_TEST

/* What sampler and trainer agree on: on-policy every loss has GRPO's gradient, exactly. */
START_TEST(one_gradient_on_policy)
{
    float logp[] = {-0.3f, -1.7f, -4}, weight[] = {0.11f, 0.11f, 0.11f}, dlogp[3], ref[3];
    for (int row = 0; row < POLICIES * 2; row++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float a = 0.7f * (float)sign, adv[] = {a, a, a};
            const struct loss_shape *shape = &policy_shapes[row / 2][row % 2];
            const struct answer_rows rows = {3, logp, logp, adv, weight, ref, dlogp};
            struct objective g = {.clip_low = 0.2f,
                                  .clip_high = 0.28f,
                                  .mask_above = 0.1f,
                                  .gate_pos = 1,
                                  .gate_neg = 1.05f,
                                  .ratio_penalty = 1,
                                  .vespo_pos = {2, 3},
                                  .vespo_neg = {3, 2}};
            struct loss l;
            loss_begin(&l, shape, g);
            shape->answer(&l, &rows);
            for (int i = 0; i < 3; i++)
                ck_assert_msg(dlogp[i] == -weight[i] * a, "%s: %g", shape->name, (double)dlogp[i]);
            ck_assert(l.max_deviation == 0);
        }
}
END_TEST

START_TEST(nan_shows)
{
    float logp[] = {NAN}, old[] = {-1}, weight[] = {1}, adv[] = {1}, dlogp[1], ref[] = {-1};
    for (int row = 0; row < POLICIES; row++) {
        const struct answer_rows rows = {1, logp, old, adv, weight, ref, dlogp};
        struct loss l;
        loss_begin(&l, &policy_shapes[row][0], (struct objective){.gate_pos = 1, .gate_neg = 1});
        policy_shapes[row][0].answer(&l, &rows);
        ck_assert_msg(isinf(l.max_deviation), "%s", policy_shapes[row][0].name);
    }
}
END_TEST

/* --- advantages --- */

static void advantages_are(int how, const float *reward, int n, int G, const double *due)
{
    float adv[16];
    bool equal[8];
    const struct groups g = {
        .n = n, .samples = G, .reward = reward, .equal = equal, .advantage = adv};
    groups_compare(&g);
    advantage_take(&g, &(struct phase_settings){.advantage = how});
    for (int i = 0; i < n * G; i++)
        ck_assert_msg(fabs((double)adv[i] - due[i]) < 1e-6, "advantage %d, answer %d: %g, not %g",
                      how, i, (double)adv[i], due[i]);
}

/* Rewards of two questions; mean of all 3/8, std of all sqrt(15)/8. */
START_TEST(advantages_by_hand)
{
    const float reward[] = {1, 0, 0, 0, 1, 1, 0, 0};
    double s = sqrt(15) / 8;
    advantages_are(ADVANTAGE_STD, reward, 2, 4,
                   (double[]){sqrt(3), -1 / sqrt(3), -1 / sqrt(3), -1 / sqrt(3), 1, 1, -1, -1});
    advantages_are(ADVANTAGE_MEAN, reward, 2, 4,
                   (double[]){0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5});
    advantages_are(ADVANTAGE_BATCH_STD, reward, 2, 4,
                   (double[]){0.75 / s, -0.25 / s, -0.25 / s, -0.25 / s, 0.5 / s, 0.5 / s, -0.5 / s,
                              -0.5 / s});
    advantages_are(ADVANTAGE_BATCH, reward, 2, 4,
                   (double[]){0.625 / s, -0.375 / s, -0.375 / s, -0.375 / s, 0.625 / s, 0.625 / s,
                              -0.375 / s, -0.375 / s});
    advantages_are(
        ADVANTAGE_LEAVE_ONE, reward, 2, 4,
        (double[]){1, -1.0 / 3, -1.0 / 3, -1.0 / 3, 2.0 / 3, 2.0 / 3, -2.0 / 3, -2.0 / 3});
    advantages_are(ADVANTAGE_MAX_RL, reward, 2, 4, (double[]){3, -1, -1, -1, 1, 1, -1, -1});
}
END_TEST

/* All equal, and equal within one group alone. */
START_TEST(without_spread)
{
    const float same[] = {0.1f, 0.1f, 0.1f, 0.1f}, apart[] = {1, 1, 0, 0}, none[] = {0, 0, 0, 0};
    for (int how = 0; how < ADVANTAGES; how++) {
        advantages_are(how, same, 2, 2, (double[]){0, 0, 0, 0});
        advantages_are(how, none, 2, 2, (double[]){0, 0, 0, 0});
        double due = how == ADVANTAGE_BATCH ? 1 : 0;
        advantages_are(how, apart, 2, 2, (double[]){due, due, -due, -due});
    }
}
END_TEST

/* --- presets --- */

static void parse(struct settings *s, const char *yaml)
{
    struct problems p = {0};
    settings_defaults(s);
    settings_parse(s, yaml, strlen(yaml), "x.yaml", &p);
    ck_assert_msg(p.n == 0, "%s", yaml);
    problems_free(&p);
}

/* Every one is there, and a recipe that names it parses; what a line says stays. */
START_TEST(presets_give_way)
{
    const struct setting *k = setting_find(&sections[SECTION_PHASE], "algorithm");
    char yaml[256];
    struct settings s;
    for (const struct choice *c = k->choices; c->name; c++) {
        ck_assert(preset_of(c->value)->source);
        snprintf(yaml, sizeof yaml, "phases: [{kind: grpo, algorithm: %s}]", c->name);
        parse(&s, yaml);
        ck_assert_int_eq(s.phases[0].algorithm, c->value);
        settings_free(&s);
    }
    parse(&s, "phases: [{kind: grpo, clip_high: 0.5, algorithm: gspo}, {kind: grpo}]");
    ck_assert(s.phases[0].policy_loss == POLICY_GSPO && s.phases[0].mini_batches == 4);
    ck_assert(s.phases[0].clip_low == 3e-4 && s.phases[0].clip_high == 0.5);
    ck_assert(s.phases[1].policy_loss == POLICY_CLIP && s.phases[1].mini_batches == 1);
    struct problems p = {0};
    ck_assert(settings_set(&s, "phases.grpo2.clip_low=0.1", &p) &&
              settings_set(&s, "phases.grpo2.algorithm=cispo", &p));
    ck_assert(s.phases[1].policy_loss == POLICY_CISPO && s.phases[1].clip_low == 0.1 &&
              s.phases[1].clip_high == 4);
    settings_free(&s);
}
END_TEST

#define TESTS(X)              \
    X(as_in_the_papers)       \
    X(one_gradient_on_policy) \
    X(nan_shows)              \
    X(advantages_by_hand)     \
    X(without_spread)         \
    X(presets_give_way)

UNIT_MAIN("policy")
