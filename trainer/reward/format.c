/* 1 for reasoning and answer between their tags, each once and in order, else 0 (the format
 * reward of DeepSeek-R1, section 2.2.2). Neither may be empty: tags alone are no answer. */
#include "trainer/data/completion.h"
#include "trainer/reward/grader.h"

static float grade(const struct completion *c, const struct phase_settings *k)
{
    const struct span whole = {c->text, c->bytes};
    bool closed;
    (void)k;
    return completion_in_form(whole) && span_trim(completion_reasoning(whole, &closed)).n > 0 &&
           span_trim(completion_answer(whole)).n > 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_format;
}

const struct grader grader_format = {.name = "format",
                                     .help = "1 for reasoning and answer between their tags",
                                     .needs = NEEDS_TEXT,
                                     .always = true,
                                     .weight = weight,
                                     .grade = grade};
