/* The lines between us and a plug-in grader: what is written reads back as JSON, and which reply is
 * a verdict. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/plugin/line.h"
#include "tests/support/check_unit.h"

enum { ID = 0x1f2e };
#define OWN "0000000000001f2e"

static struct span text(const char *s)
{
    return (struct span){s, s ? strlen(s) : 0};
}

static json_t *written(const struct line_request *r)
{
    char line[4096];
    size_t n = line_write(line, sizeof line, r);
    ck_assert_uint_lt(n, sizeof line);
    ck_assert_int_eq(line[n - 1], '\n');
    ck_assert_ptr_null(memchr(line, '\n', n - 1));
    line_name(line, ID);
    json_t *json = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_str_eq(json_string_value(json_object_get(json, "id")), OWN);
    return json;
}

START_TEST(reads_back_as_json)
{
    struct line_request r = {.answer = {"a\"\\\n\t\0b", 7},
                             .expected = text("7/8"),
                             .prompt = text("\xe4\xbd\xa0?"),
                             .tests = text("[{\"stdin\":\"1\",\n \"stdout\":\"2\"}]"),
                             .language = text("python")};
    json_t *json = written(&r);
    const json_t *answer = json_object_get(json, "answer");
    ck_assert_uint_eq(json_string_length(answer), 7);
    ck_assert_mem_eq(json_string_value(answer), r.answer.at, 7);
    ck_assert_str_eq(json_string_value(json_object_get(json, "expected")), "7/8");
    ck_assert_str_eq(json_string_value(json_object_get(json, "prompt")), "\xe4\xbd\xa0?");
    ck_assert_str_eq(json_string_value(json_object_get(json, "language")), "python");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "tests")), 1);
    json_decref(json);
}
END_TEST

/* Neither nothing nor what is no text stops a line. */
START_TEST(bytes_that_are_no_text)
{
    json_t *json = written(&(struct line_request){.answer = {"\xff"
                                                             "a\xe4\xbd",
                                                             4}});
    ck_assert_str_eq(json_string_value(json_object_get(json, "answer")), "\xef\xbf\xbd"
                                                                         "a\xef\xbf\xbd");
    ck_assert_uint_eq(json_object_size(json), 2);
    json_decref(json);
    json = written(&(struct line_request){.answer = {NULL, 0}});
    ck_assert_uint_eq(json_string_length(json_object_get(json, "answer")), 0);
    json_decref(json);
}
END_TEST

START_TEST(says_how_long_it_is)
{
    char line[64], whole[64];
    struct line_request r = {.answer = text("seven")};
    size_t n = line_write(NULL, 0, &r);
    ck_assert_uint_eq(line_write(whole, sizeof whole, &r), n);
    memset(line, '#', sizeof line);
    ck_assert_uint_eq(line_write(line, n - 1, &r), n);
    ck_assert_int_eq(line[n - 1], '#');
}
END_TEST

static const struct row {
    const char *line;
    enum line_kind kind;
    double reward;
    const char *why;
} rows[] = {
    {"{\"id\":\"" OWN "\",\"reward\":0.25}", LINE_REWARD, 0.25, ""},
    {" { \"why\" : \"half\", \"reward\": -1e-1, \"id\" :\"" OWN "\", \"x\":[{}]} ", LINE_REWARD,
     -0.1, "half"},
    {"{\"id\":\"" OWN "\",\"reward\":true}", LINE_REWARD, 1, ""},
    {"{\"id\":\"" OWN "\",\"error\":\"no unit\"}", LINE_ERROR, 0, "no unit"},
    {"{\"id\":\"" OWN "\",\"reward\":1,\"error\":null}", LINE_ERROR, 0, "null"},
    {"{\"id\":\"" OWN "\",\"reward\":NaN}", LINE_BAD, 0, "{\"id\":\"" OWN "\",\"reward\":NaN}"},
    {"{\"id\":\"" OWN "\",\"reward\":1e39}", LINE_BAD, 0, NULL},
    {"{\"id\":\"" OWN "\",\"reward\":\"1\"}", LINE_BAD, 0, NULL},
    {"{\"id\":\"" OWN "\",\"reward\":null}", LINE_BAD, 0, NULL},
    {"{\"id\":\"" OWN "\",\"answer\":\"{\\\"reward\\\":1}\"}", LINE_GARBAGE, 0, NULL},
    {"{\"id\":\"" OWN "\",\"reward\":1", LINE_BAD, 0, NULL},
    {"{\"id\":\"0000000000001f2d\",\"reward\":1}", LINE_OTHER, 0, NULL},
    {"{\"id\":7,\"reward\":1}", LINE_OTHER, 0, NULL},
    {"{\"reward\":1}", LINE_GARBAGE, 0, "{\"reward\":1}"},
    {"[1]", LINE_GARBAGE, 0, "[1]"},
    {"loading \xff ...", LINE_GARBAGE, 0, "loading ? ..."},
    {"", LINE_GARBAGE, 0, ""},
};

START_TEST(which_reply_is_a_verdict)
{
    struct line_reply reply;
    const struct row *r = &rows[_i];
    line_read(&reply, ID, text(r->line));
    ck_assert_int_eq(reply.kind, r->kind);
    if (r->kind == LINE_REWARD) ck_assert_double_eq(reply.reward, r->reward);
    if (r->why) ck_assert_str_eq(reply.why, r->why);
}
END_TEST

#define TESTS(X)              \
    X(reads_back_as_json)     \
    X(bytes_that_are_no_text) \
    X(says_how_long_it_is)    \
    X(which_reply_is_a_verdict, .to = sizeof rows / sizeof *rows)
UNIT_MAIN("grader_line")
