/* The resolved recipe reads back to the same settings, and no damaged recipe does harm (P11). */
#include "comm/base/problems.h"
#include "trainer/config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/rng.h"
#include "trainer/config/table.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

static const char *const texts[] = {"",
                                    "a",
                                    "~",
                                    "null",
                                    "it's \"quoted\" \\ # : x",
                                    "[1",
                                    " lead",
                                    "caf\xc3\xa9 \xe6\x96\x87 \xf0\x9f\x98\x80",
                                    "\xe2\x80\xa8\xc2\x85\xef\xbb\xbf\xef\xbf\xbf",
                                    "true",
                                    "1e3"};

static double random_real(struct rng_stream *r, double low, double high)
{
    uint32_t how = rng_next_below(r, 4);
    double u = rng_next_uniform(r);
    if (how == 0) return low;
    if (how == 1) return high;
    return how == 2 ? low + (high - low) * u : low + (high - low) * u * u * u * u * u * u * u * u;
}

static void random_value(const struct place *at, const struct setting *k, struct rng_stream *r)
{
    void *value = setting_value(at, k);
    int names = 0;
    switch (k->type) {
    case SETTING_INT: *(int *)value = (int)random_real(r, k->low, k->high); break;
    case SETTING_REAL: *(double *)value = random_real(r, k->low, k->high); break;
    case SETTING_BOOL: *(bool *)value = rng_next_below(r, 2); break;
    case SETTING_STR:
        free(*(char **)value);
        *(char **)value = strdup(texts[rng_next_below(r, sizeof texts / sizeof *texts)]);
        break;
    case SETTING_ENUM:
        while (k->choices[names].name) names++;
        *(int *)value = k->choices[rng_next_below(r, (uint32_t)names)].value;
        break;
    }
}

static void random_settings(struct settings *s, struct rng_stream *r)
{
    settings_defaults(s);
    phases_replace(s, (int)rng_next_below(r, 4));
    for (int id = 0; id < SECTION_PHASE + s->n_phases; id++) {
        struct place at = settings_place(
            s, id < SECTION_PHASE ? (enum section_id)id : SECTION_PHASE, id - SECTION_PHASE);
        for (int i = 0; i < at.section->n_settings; i++) {
            const struct setting *k = &at.section->settings[i];
            bool used = id < SECTION_PHASE || k->kinds >> s->phases[id - SECTION_PHASE].kind & 1u;
            if (used) random_value(&at, k, r); /* kind is the first of its section */
        }
    }
}

static void assert_same(const struct settings *a, const struct settings *b, const char *yaml)
{
    ck_assert_int_eq(a->n_phases, b->n_phases);
    for (int id = 0; id < SECTION_PHASE + a->n_phases; id++) {
        enum section_id section = id < SECTION_PHASE ? (enum section_id)id : SECTION_PHASE;
        struct place x = settings_place(a, section, id - SECTION_PHASE);
        struct place y = settings_place(b, section, id - SECTION_PHASE);
        for (int i = 0; i < x.section->n_settings; i++) {
            const struct setting *k = &x.section->settings[i];
            const void *u = setting_value(&x, k), *v = setting_value(&y, k);
            bool same = k->type == SETTING_STR ? strcmp(*(char *const *)u, *(char *const *)v) == 0
                        : k->type == SETTING_REAL ? *(const double *)u == *(const double *)v
                        : k->type == SETTING_BOOL ? *(const bool *)u == *(const bool *)v
                                                  : *(const int *)u == *(const int *)v;
            ck_assert_msg(same, "%s of\n%s", k->name, yaml);
        }
    }
}

START_TEST(yaml_reads_back)
{
    for (uint32_t round = 0; round < 500; round++) {
        struct rng_stream r = {.seed = 5, .at = {.purpose = RNG_TEST, .step = round}};
        struct settings a, b;
        struct problems p = {0};
        random_settings(&a, &r);
        char *yaml = settings_yaml(&a);
        ck_assert_msg(recipe_parse(&b, yaml, &p), "%s\n%s", p.n ? p.text[0] : "", yaml);
        assert_same(&a, &b, yaml);
        free(yaml);
        settings_free(&a);
        settings_free(&b);
    }
}
END_TEST

/* Thousands of damaged recipes: refused or read, but never a crash, a leak (ASan) or a silent
 * refusal. */
START_TEST(mutations_do_no_harm)
{
    static const char *const pieces[] = {"\n",   ": ",     "- ",   "  ",   "{",  "}",   "[",
                                         "]",    "*a",     "&a ",  "\"",   "'",  "|\n", "---\n",
                                         "kind", "phases", "\xff", "\xc2", "\t", "#",   "!!int ",
                                         "<<: ", "? ",     "%",    "1e9",  "-"};
    size_t length = strlen(RECIPE_OF_ALL);
    char *text = malloc(length + 64);
    for (uint32_t round = 0; round < 6000; round++) {
        struct rng_stream r = {.seed = 6, .at = {.purpose = RNG_TEST, .step = round}};
        size_t n = length;
        memcpy(text, RECIPE_OF_ALL, n);
        for (uint32_t edits = 1 + rng_next_below(&r, 4); edits > 0; edits--) {
            const char *piece = pieces[rng_next_below(&r, sizeof pieces / sizeof *pieces)];
            size_t at = rng_next_below(&r, (uint32_t)n), m = strlen(piece);
            switch (rng_next_below(&r, 4)) {
            case 0: text[at] = (char)rng_next_below(&r, 256); break;
            case 1: memmove(text + at, text + at + 1, --n - at); break;
            case 2: n = at + 1; break;
            default:
                memmove(text + at + m, text + at, n - at);
                memcpy(text + at, piece, m);
                n += m;
            }
        }
        struct settings s;
        struct problems p = {0};
        settings_defaults(&s);
        bool ok = settings_parse(&s, text, n, "r.yaml", &p);
        ck_assert_int_eq(ok, p.n == 0);
        if (ok) settings_check(&s, 4, &p);
        problems_free(&p);
        settings_free(&s);
    }
    free(text);
}
END_TEST

static enum setting_change change_of(enum section_id id, const char *name)
{
    return setting_change(id, setting_find(&sections[id], name));
}

/* What a row says, else what its section does; no setting is without. */
START_TEST(changes_have_a_meaning)
{
    for (int id = 0; id < SECTIONS; id++)
        for (int k = 0; k < sections[id].n_settings; k++)
            ck_assert_int_ne(setting_change((enum section_id)id, &sections[id].settings[k]),
                             CHANGE_BY_SECTION);
    ck_assert_int_eq(change_of(SECTION_RUN, "seed"), CHANGE_POSITION);
    ck_assert_int_eq(change_of(SECTION_RUN, "log"), CHANGE_NOTHING);
    ck_assert_int_eq(change_of(SECTION_MODEL, "heads"), CHANGE_WEIGHTS);
    ck_assert_int_eq(change_of(SECTION_MODEL, "max_context"), CHANGE_CHOICE);
    ck_assert_int_eq(change_of(SECTION_MODEL, "tokenizer"), CHANGE_FILE);
    ck_assert_int_eq(change_of(SECTION_DATA, "difficulty"), CHANGE_POSITION);
    ck_assert_int_eq(change_of(SECTION_MESH, "pp"), CHANGE_BITS);
    ck_assert_int_eq(change_of(SECTION_PHASE, "lr"), CHANGE_CHOICE);
    ck_assert_int_eq(change_of(SECTION_PHASE, "prompts"), CHANGE_POSITION);
}
END_TEST

/* tests/golden/recipe-0.1.0.yaml is what the first version stored of a run: it wrote settings for
 * phases that do not use them. Such runs are still read; a recipe of the user's is held to what is
 * used. */
START_TEST(stored_recipes_of_earlier_versions)
{
    static char text[1 << 16];
    FILE *f = fopen("tests/golden/recipe-0.1.0.yaml", "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    ck_assert_msg(settings_parse_stored(&s, text, &p), "%s", p.n ? p.text[0] : "?");
    ck_assert_int_eq(s.n_phases, 4);
    ck_assert_int_eq(s.phases[2].samples, 8);
    ck_assert_msg(settings_check(&s, 1, &p), "%s", p.n ? p.text[0] : "?");
    settings_free(&s);
    ck_assert(!recipe_parse(&s, text, &p));
    ck_assert_ptr_nonnull(strstr(p.text[0], "is not used by the phase kind"));
    settings_free(&s);
    problems_free(&p);
}
END_TEST

#define TESTS(X)              \
    X(yaml_reads_back)        \
    X(mutations_do_no_harm)   \
    X(changes_have_a_meaning) \
    X(stored_recipes_of_earlier_versions)

UNIT_MAIN("settings_text", .timeout_s = 30)
