/* Graders that a phase brings along: a list in YAML, its text, and all that may be wrong with it.
 */
#include <stdlib.h>
#include <string.h>
#include "trainer/config/graders.h"
#include "trainer/config/settings.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

#define PHASE(graders) "phases:\n  - kind: grpo\n    graders: " graders "\n"

START_TEST(list_of_two)
{
    struct settings s;
    struct problems p = {0};
    const char *yaml = PHASE("\n      - {name: judge, command: python3 'my verifier.py' \"a b\" c,"
                             " weight: 0.5, workers: 3, timeout: 2.5, start: 0, retries: 0}"
                             "\n      - name: fast\n        library: ./fast.so");
    ck_assert_msg(recipe_parse(&s, yaml, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_msg(settings_check(&s, 1, &p), "%s", p.n ? p.text[0] : "");
    const struct plugin_list *l = plugin_list_of(s.phases[0].graders);
    ck_assert_int_eq(l->n, 2);
    const struct plugin *judge = &l->at[0], *fast = &l->at[1];
    ck_assert_str_eq(judge->name, "judge");
    ck_assert_str_eq(judge->words[0], "python3");
    ck_assert_str_eq(judge->words[1], "my verifier.py");
    ck_assert_str_eq(judge->words[2], "a b");
    ck_assert_str_eq(judge->words[3], "c");
    ck_assert_ptr_null(judge->words[4]);
    ck_assert_double_eq(judge->weight, 0.5);
    ck_assert_double_eq(judge->timeout_s, 2.5);
    ck_assert_double_eq(judge->start_s, 0);
    ck_assert_int_eq(judge->workers, 3);
    ck_assert_int_eq(judge->retries, 0);
    ck_assert_str_eq(fast->library, "./fast.so");
    ck_assert_double_eq(fast->weight, 1);
    ck_assert_int_eq(fast->workers, 1);
    ck_assert_ptr_eq(plugin_list_of(s.phases[0].graders), l);
    ck_assert_int_eq(plugin_list_of("")->n, 0);
    settings_free(&s);
}
END_TEST

/* The resolved recipe has the list as its text. */
START_TEST(reads_back)
{
    struct settings s, again;
    struct problems p = {0};
    ck_assert(recipe_parse(&s, PHASE("[{name: a, command: \"x \\\"y\\\"\", weight: -0.25}]"), &p));
    ck_assert_str_eq(s.phases[0].graders,
                     "[{\"name\": \"a\", \"command\": \"x \\\"y\\\"\", \"weight\": -0.25}]");
    char *yaml = settings_yaml(&s);
    settings_defaults(&again);
    ck_assert_msg(settings_parse(&again, yaml, strlen(yaml), "again", &p), "%s",
                  p.n ? p.text[0] : "");
    ck_assert_str_eq(again.phases[0].graders, s.phases[0].graders);
    free(yaml);
    settings_free(&s);
    settings_free(&again);
}
END_TEST

static const struct row {
    const char *yaml, *says;
} rows[] = {
    {PHASE("judge.py"), "graders of grpo: a list is needed, as in"},
    {PHASE("{name: a, command: x}"), "graders of grpo: a list is needed, as in"},
    {PHASE("[x]"), "graders of grpo: each needs a name of a-z, 0-9 and _"},
    {PHASE("[{name: A-b, command: x}]"), "graders of grpo: each needs a name of a-z, 0-9 and _"},
    {PHASE("[{name: a}]"), "graders of grpo: a needs a command that speaks JSON Lines, or a"},
    {PHASE("[{name: a, command: x, library: y}]"), "graders of grpo: a needs a command that"},
    {PHASE("[{name: a, command: \"x 'y\"}]"),
     "graders of grpo: a: command \"x 'y\" has a quote that is not closed"},
    {PHASE("[{name: a, command: \" \"}]"), "graders of grpo: a: command \" \" is empty"},
    {PHASE("[{name: a, command: x, weight: heavy}]"),
     "graders of grpo: a: weight is a number from -1e+06 to 1e+06, not \"heavy\""},
    {PHASE("[{name: a, command: x, workers: 0}]"),
     "graders of grpo: a: workers is a number from 1 to 64, not 0"},
    {PHASE("[{name: a, command: x, retries: 1.5}]"),
     "graders of grpo: a: retries is a whole number"},
    {PHASE("[{name: a, command: x, timeuot: 3}]"), "; did you mean timeout?"},
    {PHASE("[{name: a, command: x}, {name: a, command: y}]"),
     "graders of grpo: two graders are called a"},
    {PHASE("[{name: format, command: x}]"),
     "graders of grpo: format is the name of another reward"},
    {PHASE("[{name: prompt, command: x}]"), ", or of a member of samples.jsonl"},
    {PHASE("[{name: a, command: x, timeout: 100}]"),
     "graders of grpo: a may take 330 s for an answer, (retries + 1) x (timeout + start), but "},
};

START_TEST(every_mistake_is_told)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(recipe_parse(&s, rows[_i].yaml, &p));
    ck_assert(!settings_check(&s, 1, &p));
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], rows[_i].says) != NULL, "%s", p.text[0]);
    problems_free(&p);
    settings_free(&s);
}
END_TEST

#define TESTS(X)   \
    X(list_of_two) \
    X(reads_back)  \
    X(every_mistake_is_told, .to = sizeof rows / sizeof *rows)
UNIT_MAIN("graders")
