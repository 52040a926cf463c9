/* 1 for reasoning and answer between their tags, each once and in order, else 0 (the format
 * reward of DeepSeek-R1, section 2.2.2). */
#include "trainer/data/completion.h"
#include "trainer/reward/grader.h"

static float grade(const struct completion *c, const struct phase_settings *k)
{
    (void)k;
    return completion_in_form((struct span){c->text, c->bytes}) ? 1 : 0;
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
