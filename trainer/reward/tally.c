#include "trainer/reward/tally.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"

/* What changes answers of several turns. */
static uint64_t turns_sum(const struct phase_settings *k, uint64_t of)
{
    const char *const text[] = {k->environment, k->environment_stop, k->environment_wrap};
    const int number[] = {k->environment_turns, k->environment_bytes};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        of = checksum(text[i], strlen(text[i]) + 1, of);
    return checksum(number, sizeof number, of);
}

struct tally tally_begin(const struct phase_settings *k, long step, int asked, int prompts,
                         int samples)
{
    const double sampling[] = {k->temperature, k->top_k, k->top_p, k->max_new};
    uint64_t of = checksum(sampling, sizeof sampling, 0);
    if (phase_has_turns(k)) of = turns_sum(k, of);
    return (struct tally){
        .step = step, .of = of, .asked = asked, .prompts = prompts, .samples = samples};
}

bool tally_goes_on(const struct tally *t, const struct tally *other)
{
    return t->step == other->step && t->of == other->of && t->asked == other->asked &&
           t->prompts == other->prompts && t->samples == other->samples;
}

/* Over the problems done so far, which may be none: NAN then. */
struct score tally_score(const struct tally *t)
{
    double problems = t->done > 0 ? (double)t->done : (double)NAN, answers = problems * t->samples;
    bool many = t->samples > 1;
    struct score s = {.prompts = t->done, .asked = t->asked, .samples = t->samples};
    s.pass1 = (double)t->right / answers;
    s.pass_k = many ? (double)t->solved / problems : NAN;
    s.maj_k = many ? (double)t->voted / problems : NAN;
    s.length = (double)t->tokens / answers;
    s.truncated = (double)t->truncated / answers;
    s.format = (double)t->form / answers;
    for (int i = 0; i < TASK_PARTS; i++)
        s.part[i] = t->part_total[i] > 0 ? (double)t->part_right[i] / t->part_total[i] : NAN;
    return s;
}

/* --- as JSON --- */

static json_t *numbers(const int *v)
{
    json_t *a = json_array();
    for (int i = 0; i < TASK_PARTS; i++) json_array_append_new(a, json_integer(v[i]));
    return a;
}

/* The checkpoint's record of an evaluation that is not complete. */
json_t *tally_json(const struct tally *t)
{
    char of[24];
    snprintf(of, sizeof of, "%016" PRIx64, t->of);
    return json_pack("{s:I, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
                     "step", (json_int_t)t->step, "of", of, "asked", t->asked, "prompts",
                     t->prompts, "samples", t->samples, "done", t->done, "right",
                     (json_int_t)t->right, "form", (json_int_t)t->form, "truncated",
                     (json_int_t)t->truncated, "tokens", (json_int_t)t->tokens, "solved",
                     (json_int_t)t->solved, "voted", (json_int_t)t->voted, "part_right",
                     numbers(t->part_right), "part_total", numbers(t->part_total));
}

/* From a checkpoint: counts that no evaluation can have are refused. */
static bool read_parts(struct tally *t, const json_t *right, const json_t *total)
{
    for (size_t i = 0; i < TASK_PARTS; i++) {
        const json_t *r = json_array_get(right, i), *n = json_array_get(total, i);
        json_int_t of = json_integer_value(n), some = json_integer_value(r);
        if (!json_is_integer(r) || !json_is_integer(n) || of > INT32_MAX || some > of || some < 0)
            return false;
        t->part_right[i] = (int)some;
        t->part_total[i] = (int)of;
    }
    return true;
}

static bool is_count(json_int_t n, json_int_t most)
{
    return n >= 0 && n <= most;
}

/* Every count is held against what it can be. */
bool tally_read(struct tally *t, const json_t *o)
{
    json_int_t step, right, form, truncated, tokens, solved, voted;
    const char *of;
    json_t *parts, *totals;
    *t = (struct tally){0};
    if (json_unpack((json_t *)(uintptr_t)o,
                    "{s:I, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
                    "step", &step, "of", &of, "asked", &t->asked, "prompts", &t->prompts, "samples",
                    &t->samples, "done", &t->done, "right", &right, "form", &form, "truncated",
                    &truncated, "tokens", &tokens, "solved", &solved, "voted", &voted, "part_right",
                    &parts, "part_total", &totals))
        return false;
    json_int_t answers = (json_int_t)t->done * t->samples;
    t->step = (long)step;
    t->of = strtoull(of, NULL, 16);
    t->right = (long)right;
    t->form = (long)form;
    t->truncated = (long)truncated;
    t->tokens = (long)tokens;
    t->solved = (long)solved;
    t->voted = (long)voted;
    return step >= 0 && t->samples >= 1 && t->samples <= 4096 && is_count(t->done, t->prompts) &&
           is_count(t->prompts, t->asked) && t->asked <= 1 << 20 && is_count(right, answers) &&
           is_count(form, answers) && is_count(truncated, answers) && tokens >= answers &&
           is_count(tokens, answers << 20) && is_count(solved, t->done) &&
           is_count(voted, t->done) && read_parts(t, parts, totals);
}
