/* The reader of the user's problems: what it forgives, what it names with file:line, and that no
 * bytes crash it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "comm/base/rng.h"
#include "trainer/data/jsonl.h"
#include "tests/support/check_unit.h"

static const struct jsonl a_jsonl = {"a.jsonl", NULL}, a_csv = {"a.csv", NULL};

START_TEST(good_file)
{
    static const char text[] = "\xef\xbb\xbf{\"prompt\":\"2+2\",\"answer\":\"4\"}\r\n"
                               "\n  \t\r\n"
                               "{\"extra\":[1,{\"prompt\":2}],\"answer\":\"\\u00e9\\n\","
                               "\"demonstration\":\"because\",\"prompt\":\"\"}\n"
                               "{\"prompt\":\"last\",\"answer\":\"x\",\"demonstration\":null}";
    struct records r;
    struct problems p = {0};
    records_parse(&r, text, sizeof text - 1, &a_jsonl, &p);
    ck_assert_int_eq(p.n, 0);
    ck_assert_int_eq(r.n, 3);
    ck_assert_str_eq(r.r[0].prompt, "2+2");
    ck_assert_str_eq(r.r[0].answer, "4");
    ck_assert_str_eq(r.r[1].answer, "\xc3\xa9\n");
    ck_assert_int_eq(r.r[1].line, 4);
    ck_assert_int_eq(r.r[2].line, 5);
    records_free(&r);
    ck_assert_int_eq(r.n, 0);
}
END_TEST

/* Each bad line stands between two good ones, which are read. */
START_TEST(bad_lines_are_named)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"{\"answer\":\"4\"}", "a.jsonl:2: no \"prompt\""},
        {"{\"prompt\":\"p\"}", "a.jsonl:2: no \"answer\""},
        {"{\"prompt\":3,\"answer\":\"4\"}", "a.jsonl:2: \"prompt\" is not a string"},
        {"{\"prompt\":\"p\",\"answer\":4}", "a.jsonl:2: \"answer\" is not a string"},
        {"{\"prompt\":\"p\",\"answer\":null}", "a.jsonl:2: \"answer\" is not a string"},
        {"{\"prompt\":\"p\",\"answer\":\"a\",\"demonstration\":[]}",
         "\"demonstration\" is not a string"},
        {"[\"p\",\"a\"]", "a.jsonl:2: not a JSON object"},
        {"3", "a.jsonl:2: not JSON"},
        {"{\"prompt\":\"p\",\"answer\":\"4\"", "a.jsonl:2: not JSON"},
        {"{\"prompt\":\"p\",\"answer\":\"4\"} x", "a.jsonl:2: not JSON"},
        {"{'prompt':'p'}", "a.jsonl:2: not JSON"},
        {"{\"prompt\":\"p\",\"prompt\":\"q\",\"answer\":\"4\"}", "a.jsonl:2: not JSON: duplicate"},
        {"{\"prompt\":\"p\\u0000\",\"answer\":\"4\"}", "a.jsonl:2: not JSON"},
        {"{\"prompt\":\"\xff\",\"answer\":\"4\"}", "a.jsonl:2: not JSON"},
    };
    static const char good[] = "{\"prompt\":\"p\",\"answer\":\"a\"}";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        struct records r;
        struct problems p = {0};
        int n = snprintf(text, sizeof text, "%s\n%s\n%s\n", good, rows[i].line, good);
        records_parse(&r, text, (size_t)n, &a_jsonl, &p);
        ck_assert_int_eq(r.n, 2);
        ck_assert_msg(p.n == 1 && strstr(p.text[0], rows[i].says), "%s: %s", rows[i].line,
                      p.n ? p.text[0] : "no problem");
        records_free(&r);
        problems_free(&p);
    }
}
END_TEST

START_TEST(another_format_does_not_fill_the_screen)
{
    char text[4000];
    struct records r;
    struct problems p = {0};
    memset(text, '\n', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 2) text[i] = 'x';
    records_parse(&r, text, sizeof text, &a_csv, &p);
    ck_assert_int_eq(p.n, 21);
    ck_assert_ptr_nonnull(strstr(p.text[19], "a.csv:20:"));
    ck_assert_ptr_nonnull(strstr(p.text[20], "the rest was not read"));
    records_free(&r);
    problems_free(&p);
}
END_TEST

START_TEST(empty_files)
{
    static const char *const texts[] = {"", "\n\n", "\xef\xbb\xbf", "\xef\xbb", " \r\n\t"};
    static const int bad[] = {0, 0, 0, 1, 0};
    for (int i = 0; i < 5; i++) {
        struct records r;
        struct problems p = {0};
        records_parse(&r, texts[i], strlen(texts[i]), &a_jsonl, &p);
        ck_assert_int_eq(r.n, 0);
        ck_assert_int_eq(p.n, bad[i]);
        records_free(&r);
        problems_free(&p);
    }
    struct records none;
    struct problems p = {0};
    records_parse(&none, NULL, 0, &a_jsonl, &p);
    ck_assert_int_eq(none.n + p.n, 0);
}
END_TEST

START_TEST(mutants_never_crash)
{
    static const char seed[] =
        "{\"prompt\":\"3,6:18\",\"answer\":\"3*6\",\"demonstration\":\"3*6=18:18y\"}\n"
        "{\"a\":[1.5e3,true,null,{}],\"prompt\":\"\\ud83d\\ude42\",\"answer\":\"\\\"\"}\n";
    static const char letters[] = "{}[]\",:\\u0\n\r\xff 1e";
    struct rng_stream rng = {1, {.purpose = RNG_TEST}};
    int read = 0;
    for (int i = 0; i < 20000; i++) {
        size_t n =
            sizeof seed - 1 - rng_next_below(&rng, 2) * rng_next_below(&rng, sizeof seed - 1);
        char *copy = malloc(n + 1);
        struct records r;
        struct problems p = {0};
        memcpy(copy, seed, n);
        for (uint32_t k = 1 + rng_next_below(&rng, 3); n && k > 0; k--)
            copy[rng_next_below(&rng, (uint32_t)n)] = letters[rng_next_below(&rng, sizeof letters)];
        records_parse(&r, copy, n, &a_jsonl, &p);
        for (int k = 0; k < r.n; k++) ck_assert(r.r[k].prompt && r.r[k].answer && r.r[k].line > 0);
        read += r.n;
        records_free(&r);
        problems_free(&p);
        free(copy);
    }
    ck_assert_int_gt(read, 1000);
}
END_TEST

#define TESTS(X)                               \
    X(good_file)                               \
    X(bad_lines_are_named)                     \
    X(another_format_does_not_fill_the_screen) \
    X(empty_files)                             \
    X(mutants_never_crash)

UNIT_MAIN("jsonl")
