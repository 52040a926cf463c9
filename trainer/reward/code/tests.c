#include "trainer/reward/code/tests.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/value.h"

enum { TESTS_MAX = 1000, DEPTH_MAX = 100 };

/* A name of both languages, so that nothing but a name goes into a program. */
static bool is_name(const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || !*s || strlen(s) > 200 || isdigit((unsigned char)*s)) return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}

static int deepest(int most, const json_t *member);

static int depth_of(const json_t *v)
{
    json_t *object = (json_t *)(uintptr_t)v; /* to walk it, which changes nothing */
    int most = 0;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        most = deepest(most, json_object_iter_value(at));
    for (size_t i = 0; i < json_array_size(v); i++) most = deepest(most, json_array_get(v, i));
    return most + 1;
}

static int deepest(int most, const json_t *member)
{
    const int depth = depth_of(member);
    return depth > most ? depth : most;
}

/* What is wrong with a test; NULL: nothing. */
static const char *wrong_with(const json_t *test, const struct program *p)
{
    if (!json_is_object(test)) return "is no object";
    if (depth_of(test) > DEPTH_MAX) return "is nested too deeply";
    if (!json_object_get(test, "function")) {
        if (!json_is_string(json_object_get(test, "stdin"))) return "has no text \"stdin\"";
        if (!json_is_string(json_object_get(test, "stdout"))) return "has no text \"stdout\"";
        const json_t *tolerance = json_object_get(test, "tolerance");
        return tolerance && !json_is_number(tolerance) ? "has a \"tolerance\" that is no number"
                                                       : NULL;
    }
    if (!is_name(json_object_get(test, "function"))) return "has a \"function\" that is no name";
    if (!json_is_array(json_object_get(test, "args"))) return "has no list \"args\"";
    if (!json_object_get(test, "returns")) return "has no \"returns\"";
    return p->refuses(test);
}

/* All tests are checked before one is run: names go into programs as they are, and value_write
 * descends without counting. */
json_t *tests_read(const char *json, size_t n, const struct program *p, char *why, size_t size)
{
    json_error_t error;
    json_t *tests = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
    const size_t count = json_array_size(tests);
    const char *wrong = NULL;
    size_t i = 0;
    if (!tests)
        snprintf(why, size, "tests: %s", error.text);
    else if (count == 0 || count > TESTS_MAX)
        snprintf(why, size, "tests: not a list of 1 to %d tests", TESTS_MAX);
    else {
        while (i < count && !(wrong = wrong_with(json_array_get(tests, i), p))) i++;
        if (!wrong) return tests;
        snprintf(why, size, "test %zu %s", i + 1, wrong);
    }
    json_decref(tests);
    return NULL;
}

json_t *tests_calls(const json_t *tests)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < json_array_size(tests); i++) {
        json_t *test = json_array_get(tests, i);
        if (json_object_get(test, "function")) json_array_append(calls, test);
    }
    return calls;
}

bool tests_returned(const json_t *call, struct span line)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return false;
    value_write(f, json_object_get(call, "returns"));
    const bool whole = fclose(f) == 0;
    const bool same = whole && n == line.n && memcmp(text, line.at, n) == 0;
    free(text);
    return same;
}
