/* What a GRPO update is divided by: loss and gradient of every token against the papers' sums,
 * written out here as loops in double precision, for every aggregate, with the answers of groups
 * without spread kept and dropped, truncated ones masked or not, with a KL and without. */
#include <math.h>

#include "trainer/config/settings.h"
#include "trainer/learn/grpo.h"
#include "tests/support/check_unit.h"

enum { Q = 4, G = 4, LONGEST = 7 };

static const int length[Q][G] = {{3, 7, 2, 5}, {7, 4, 4, 1}, {6, 7, 7, 2}, {1, 2, 3, 7}};
static const float reward[Q][G] = {{0, 1, 0, 0.5f}, {1, 1, 1, 1}, {0, 0, 1, 1}, {0, 0, 0, 0}};
static const struct objective rule_of_token = {.clip_low = 0.2f, .clip_high = 0.28f, .kl = 0.3f};

/* Numbers of a token that differ from token to token; ratios on both sides of the clip. */
static float logp_of(int q, int i, int t)
{
    return -0.2f - 0.37f * (float)((q * 7 + i * 3 + t) % 5);
}
static float old_of(int q, int i, int t)
{
    return logp_of(q, i, t) + 0.11f * (float)((q + i * 2 + t) % 7 - 3);
}
static float ref_of(int q, int i, int t)
{
    return logp_of(q, i, t) + 0.13f * (float)((q * 3 + i + t * 2) % 5 - 2);
}
static bool truncated(int q, int i)
{
    return length[q][i] == LONGEST;
}
static bool spread(int q)
{
    for (int i = 1; i < G; i++)
        if (reward[q][i] != reward[q][0]) return true;
    return false;
}

static double advantage(int q, int i)
{
    double mean = 0, var = 0;
    for (int j = 0; j < G; j++) mean += (double)reward[q][j] / G;
    for (int j = 0; j < G; j++)
        var += ((double)reward[q][j] - mean) * ((double)reward[q][j] - mean) / G;
    return var == 0 ? 0 : ((double)reward[q][i] - mean) / sqrt(var);
}

/* What stands inside the papers' sums: min(ratio A, clip(ratio) A) - beta k3; and its slope along
 * logp. */
struct term {
    double value, slope;
};
static struct term term(double beta, int q, int i, int t)
{
    double lp = (double)logp_of(q, i, t), A = advantage(q, i), d = (double)ref_of(q, i, t) - lp;
    double ratio = exp(lp - (double)old_of(q, i, t)), low = 0.8, high = 1.28;
    double clipped = ratio < low ? low : ratio > high ? high : ratio;
    bool binds = clipped * A < ratio * A;
    return (struct term){(binds ? clipped : ratio) * A - beta * (exp(d) - d - 1),
                         (binds ? 0 : ratio * A) - beta * (1 - exp(d))};
}

struct variant {
    int aggregate;
    bool keep, masks, kl;
};

/* Is the answer one of those that the sums run over? */
static bool stays(const struct variant *v, int q, int i)
{
    return (v->keep || spread(q)) && !(v->masks && truncated(q, i));
}

static double group_tokens(const struct variant *v, int q)
{
    double tokens = 0;
    for (int i = 0; i < G; i++) tokens += stays(v, q, i) ? length[q][i] : 0;
    return tokens;
}
static double questions(const struct variant *v)
{
    double n = 0;
    for (int q = 0; q < Q; q++) n += group_tokens(v, q) > 0 ? 1 : 0;
    return n;
}

/* 1 over the papers' denominators, of a token of answer (q, i). */
static double share(const struct variant *v, int q, int i)
{
    double answers = 0, tokens = 0;
    for (int a = 0; a < Q; a++)
        for (int b = 0; b < G; b++) {
            answers += stays(v, a, b) ? 1 : 0;
            for (int t = 0; t < length[a][b]; t++) tokens += stays(v, a, b) ? 1 : 0;
        }
    if (v->aggregate == AGGREGATE_TOKEN) return 1 / tokens;
    if (v->aggregate == AGGREGATE_SUM) return 1 / answers;
    if (v->aggregate == AGGREGATE_PROMPT)
        return stays(v, q, i) ? 1 / questions(v) / group_tokens(v, q) : 0;
    return 1 / answers / (v->aggregate == AGGREGATE_SEQUENCE ? length[q][i] : LONGEST);
}

static struct counted_answer seen(const struct variant *v, int q, int i)
{
    return (struct counted_answer){length[q][i], spread(q), v->masks && truncated(q, i),
                                   (long)group_tokens(v, q)};
}

static void check_tokens(const struct variant *v, int q, int i, double weight, double *sums)
{
    double beta = v->kl ? (double)rule_of_token.kl : 0, part = share(v, q, i);
    struct objective g = rule_of_token;
    g.kl = (float)beta;
    for (int t = 0; t < length[q][i]; t++) {
        struct policy_token at = {.logp = logp_of(q, i, t),
                                  .ratio = expf(logp_of(q, i, t) - old_of(q, i, t)),
                                  .old_logp = old_of(q, i, t),
                                  .advantage = (float)advantage(q, i)};
        struct policy_term j = grpo_clip(&g, at.ratio, at.advantage);
        struct policy_loss got = policy_loss(&g, &j, &at, ref_of(q, i, t), (float)weight);
        struct term due = stays(v, q, i) ? term(beta, q, i, t) : (struct term){0, 0};
        if (weight == 0) got.loss = got.dlogp = 0; /* it is not run */
        sums[0] += (double)got.loss;
        sums[1] -= part * due.value;
        ck_assert_msg(
            fabs((double)got.dlogp + part * due.slope) < 1e-6,
            "aggregate %d keep %d masks %d kl %d, answer %d of %d, token %d: slope %g, expected %g",
            v->aggregate, v->keep, v->masks, v->kl, i, q, t, (double)got.dlogp, -part * due.slope);
    }
}

static void check_variant(const struct variant *v)
{
    struct counting rule = {v->aggregate, v->keep, v->kl, LONGEST};
    struct denominator all = {0};
    double sums[2] = {0};
    int run = 0;
    for (int n = 0; n < Q * G; n++) denominator_add(&all, &rule, seen(v, n / G, n % G));
    all.questions = (long)questions(v);
    for (int n = 0; n < Q * G; n++) {
        double weight = grpo_weight(&all, &rule, seen(v, n / G, n % G));
        run += weight > 0;
        check_tokens(v, n / G, n % G, weight, sums);
    }
    ck_assert_msg(fabs(sums[0] - sums[1]) < 1e-6, "aggregate %d keep %d: loss %g, expected %g",
                  v->aggregate, v->keep, sums[0], sums[1]);
    int stay = 0, differ = 0;
    for (int n = 0; n < Q * G; n++) {
        stay += stays(v, n / G, n % G);
        differ += stays(v, n / G, n % G) && spread(n / G);
    }
    ck_assert_int_eq(all.answers, stay);
    ck_assert_int_eq(run, v->kl ? stay : differ); /* without a gradient nothing is run */
}

START_TEST(as_in_the_papers)
{
    for (int n = 0; n < 5 * 8; n++) {
        struct variant v = {n / 8, n & 1, n & 2, n & 4};
        check_variant(&v);
    }
}
END_TEST

/* R1 eq. 1 and Dr. GRPO as they are printed: means of means, over all groups and all of each. */
START_TEST(nested_means)
{
    for (int constant = 0; constant < 2; constant++) {
        struct variant v = {constant ? AGGREGATE_CONSTANT : AGGREGATE_SEQUENCE, true, false, true};
        double nested = 0, flat = 0;
        for (int q = 0; q < Q; q++) {
            double group = 0;
            for (int i = 0; i < G; i++) {
                double sum = 0;
                for (int t = 0; t < length[q][i]; t++) sum += term(0.3, q, i, t).value;
                group += sum / (constant ? LONGEST : length[q][i]);
                flat += sum * share(&v, q, i);
            }
            nested += group / G / Q;
        }
        ck_assert_msg(fabs(nested - flat) < 1e-12, "%g, expected %g", flat, nested);
    }
}
END_TEST

/* The choice shows: half of the groups have no spread, so what is kept makes the step smaller by
 * what they hold. */
START_TEST(keep_is_smaller)
{
    struct counted_answer with = {5, true, false, 0}, without = {15, false, false, 0};
    for (int aggregate = 0; aggregate < 3; aggregate++) {
        double weight[2];
        for (int keep = 0; keep < 2; keep++) {
            struct counting rule = {aggregate, keep, false, 20};
            struct denominator all = {0};
            denominator_add(&all, &rule, with);
            denominator_add(&all, &rule, without);
            weight[keep] = grpo_weight(&all, &rule, with);
            ck_assert(grpo_weight(&all, &rule, without) == 0);
        }
        ck_assert(weight[0] == (aggregate == AGGREGATE_TOKEN ? 4 : 2) * weight[1]);
    }
}
END_TEST

/* An answer without a token counts as an answer and divides nothing. */
START_TEST(empty_answer)
{
    struct counting rule = {AGGREGATE_SEQUENCE, true, true, 20};
    struct counted_answer empty = {0, true, false, 0}, other = {4, true, false, 0};
    struct denominator all = {0};
    denominator_add(&all, &rule, empty);
    denominator_add(&all, &rule, other);
    ck_assert(grpo_weight(&all, &rule, empty) == 0);
    ck_assert(grpo_weight(&all, &rule, other) == 1.0 / 8);
}
END_TEST

#define TESTS(X)        \
    X(as_in_the_papers) \
    X(nested_means)     \
    X(keep_is_smaller)  \
    X(empty_answer)

UNIT_MAIN("denominators")
