/* A recipe's tokenizer: given as text, from a file, built in; and what duet's prompts need of it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/check_unit.h"
#include "trainer/data/vocabulary.h"

/* The built-in tokenizer as text with one token called otherwise; the caller's. */
static char *renamed(const char *token, const char *other)
{
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    ck_assert_uint_eq(strlen(token), strlen(other));
    ck_assert_ptr_nonnull(strstr(json, token));
    for (char *at = json; (at = strstr(at, token)); at += strlen(other))
        memcpy(at, other, strlen(other));
    return json;
}

static bool think = true; /* data.think */

/* Opens it; said: the only problem, or NULL when there is none. */
static void opens(const char *path, const char *given, const char *said)
{
    struct settings s;
    struct problems p = {0};
    char *json = NULL;
    settings_defaults(&s);
    free(s.model.tokenizer);
    s.model.tokenizer = strdup(path);
    s.data.think = think;
    struct tokenizer *t = vocabulary_open(&s, given, &json, &p);
    ck_assert_int_eq(p.n, said ? 1 : 0);
    if (said) ck_assert_msg(strstr(p.text[0], said) != NULL, "%s", p.text[0]);
    if (!said) ck_assert(!think || tokenizer_find(t, TOKEN_THINK) >= 0);
    if (given) ck_assert_str_eq(json, given);
    tokenizer_free(t);
    free(json);
    problems_free(&p);
    settings_free(&s);
}

START_TEST(given_or_built_in)
{
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    opens("", NULL, NULL);
    opens("", json, NULL);
    opens("/nowhere/t.json", json, NULL); /* a checkpoint has its own: the file is not looked for */
    opens("/nowhere/t.json", NULL, "/nowhere/t.json");
    free(json);
}
END_TEST

START_TEST(tokens_that_prompts_need)
{
    char *no_think = renamed("\"<think>\"", "\"<thinc>\""), *no_eos = renamed("<eos>", "<oes>");
    opens("", no_think, "has no token <think>");
    opens("", no_eos, "has no token <eos>");
    think = false;
    opens("", no_think, NULL);
    opens("", no_eos, "has no token <eos>; duet's prompts need <eos>");
    free(no_think);
    free(no_eos);
}
END_TEST

#define TESTS(X)         \
    X(given_or_built_in) \
    X(tokens_that_prompts_need)

UNIT_MAIN("vocabulary")
