/* Language consistency: the share of the reasoning's words that are of the wanted language, after
 * code and formulas are taken out (DeepSeek-R1, section 2.3.2). Languages are told by their script:
 * English is what has no other letters than those of ASCII, so that other languages with Latin
 * letters are told from it only where they have marks. */
#include "trainer/reward/grader.h"
#include "trainer/reward/words.h"

#include <string.h>

#define OF(script) (1u << SCRIPT_##script)
static const struct language {
    const char *name;
    unsigned scripts;
} languages[] = {
    [LANGUAGE_EN] = {"en", OF(BASIC)},          [LANGUAGE_ZH] = {"zh", OF(HAN)},
    [LANGUAGE_JA] = {"ja", OF(HAN) | OF(KANA)}, [LANGUAGE_KO] = {"ko", OF(HANGUL)},
    [LANGUAGE_RU] = {"ru", OF(CYRILLIC)},       [LANGUAGE_EL] = {"el", OF(GREEK)},
    [LANGUAGE_AR] = {"ar", OF(ARABIC)},         [LANGUAGE_HE] = {"he", OF(HEBREW)},
    [LANGUAGE_HI] = {"hi", OF(DEVANAGARI)},     [LANGUAGE_TH] = {"th", OF(THAI)},
};
enum { LANGUAGES_KNOWN = sizeof languages / sizeof *languages };

/* The first word of the record's field that is a language of people: it may also name one of
 * programs. Of none of them, no scripts. */
static unsigned scripts_of(const struct completion *c, const struct phase_settings *k)
{
    if (k->target_language != LANGUAGE_DATA) return languages[k->target_language].scripts;
    const char *field = c->problem->language ? c->problem->language : "";
    struct span rest = {field, strlen(field)};
    while (rest.n > 0) {
        struct span word = span_take(&rest, ' ');
        for (int i = LANGUAGE_DATA + 1; i < LANGUAGES_KNOWN; i++)
            if (span_is(word, languages[i].name)) return languages[i].scripts;
    }
    return 0;
}

/* A letter alone is a variable. Without words there is nothing to be paid for. */
static float grade(const struct completion *c, const struct phase_settings *k)
{
    const unsigned wanted = scripts_of(c, k);
    bool closed;
    long words = 0, right = 0;
    struct span run;
    struct prose prose = {completion_reasoning((struct span){c->text, c->bytes}, &closed), 0};
    while (prose_next(&prose, &run)) {
        struct word w;
        while (word_next(&run, &w)) {
            bool latin =
                w.script == SCRIPT_BASIC || w.script == SCRIPT_LATIN || w.script == SCRIPT_GREEK;
            if (w.script == SCRIPT_NUMBER || (latin && w.letters == 1)) continue;
            words++;
            right += wanted >> w.script & 1;
        }
    }
    return words > 0 ? (float)((double)right / (double)words) : 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_language;
}

static unsigned also_needs(const struct phase_settings *k)
{
    return k->target_language == LANGUAGE_DATA ? NEEDS_LANGUAGE : 0;
}

const struct grader grader_language = {
    .name = "language",
    .help = "share of the reasoning's words that are of the wanted language",
    .needs = NEEDS_TEXT,
    .weight = weight,
    .also_needs = also_needs,
    .grade = grade};
