/* The built-in tokenizer equals what Hugging Face's `tokenizers` makes and does
 * (tests/oracle/tokenizer.py); files that this program cannot run are refused by name; no bytes
 * crash the reader (P11). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "comm/base/rng.h"
#include "model/tokenizer.h"
#include "tests/support/check_unit.h"

static struct tokenizer *builtin(void)
{
    struct problems p = {0};
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    struct tokenizer *t = tokenizer_parse(json, n, "builtin", &p);
    ck_assert_int_eq(p.n, 0);
    ck_assert_ptr_nonnull(t);
    free(json);
    return t;
}

/* Room for one id and one byte less than needed must cut, not overflow. */
static void check_bounds(const struct tokenizer *t, const char *text, size_t n, bool special)
{
    int ids[512], fewer[512];
    char all[512], cut[512];
    size_t count = tokenizer_encode(t, text, n, special, ids, 512);
    if (count == 0) return;
    fewer[count - 1] = -7;
    ck_assert_uint_eq(tokenizer_encode(t, text, n, special, fewer, count - 1), count);
    ck_assert_int_eq(fewer[count - 1], -7);
    size_t length = tokenizer_decode(t, ids, count, all, sizeof all);
    cut[length] = 'X';
    ck_assert_uint_eq(tokenizer_decode(t, ids, count, cut, length), length);
    ck_assert_int_eq(cut[length], 'X');
    ck_assert_int_eq(cut[length - 1], '\0');
    ck_assert_mem_eq(cut, all, length - 1);
}

static void check_case(const struct tokenizer *t, const json_t *row)
{
    const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
    const json_t *decoded = json_object_get(row, "decoded");
    bool special = json_is_true(json_object_get(row, "special"));
    int got[512];
    char back[512];
    size_t n =
        tokenizer_encode(t, json_string_value(text), json_string_length(text), special, got, 512);
    ck_assert_uint_eq(n, json_array_size(ids));
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(got[i], json_integer_value(json_array_get(ids, i)));
    ck_assert_uint_eq(tokenizer_decode(t, got, n, back, sizeof back), json_string_length(decoded));
    ck_assert_str_eq(back, json_string_value(decoded));
    check_bounds(t, json_string_value(text), json_string_length(text), special);
}

START_TEST(equals_hugging_face)
{
    json_error_t error;
    struct problems p = {0};
    size_t n;
    char *mine = tokenizer_builtin_json(&n);
    json_t *a = json_loadb(mine, n, 0, &error),
           *b = json_load_file("tests/golden/tokenizer.json", 0, &error);
    ck_assert_ptr_nonnull(b);
    ck_assert(json_equal(a, b));
    char *theirs = json_dumps(b, 0);
    struct tokenizer *t[2] = {builtin(), tokenizer_parse(theirs, strlen(theirs), "hf", &p)};
    ck_assert_ptr_nonnull(t[1]);
    FILE *f = fopen("tests/golden/tokenizer.jsonl", "r");
    ck_assert_ptr_nonnull(f);
    char line[8192];
    int rows = 0;
    for (; fgets(line, sizeof line, f); rows++) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, &error);
        ck_assert_ptr_nonnull(row);
        for (int i = 0; i < 2; i++) check_case(t[i], row);
        json_decref(row);
    }
    ck_assert_int_gt(rows, 100);
    fclose(f);
    for (int i = 0; i < 2; i++) tokenizer_free(t[i]);
    json_decref(a);
    json_decref(b);
    free(mine);
    free(theirs);
}
END_TEST

START_TEST(ids_of_the_contract)
{
    struct tokenizer *t = builtin();
    static const char *const first[] = {"<pad>",     "<eos>", "<think>", "</think>", "<answer>",
                                        "</answer>", "<unk>", "\n",      " ",        "!"};
    ck_assert_int_eq(tokenizer_size(t), 7 + 1 + 95);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(tokenizer_find(t, first[i]), i);
    ck_assert_int_eq(tokenizer_find(t, "~"), 102);
    ck_assert_int_eq(tokenizer_find(t, "<eos"), -1);
    ck_assert_int_eq(tokenizer_find(t, ""), -1);
    ck_assert_int_eq(tokenizer_find(t, "\t"), -1);
    tokenizer_free(t);
}
END_TEST

/* A byte that is no part of a valid character is one <unk> (6); "A" is 41. RFC 3629's cases. */
START_TEST(invalid_utf8)
{
    static const struct {
        const char *text;
        size_t n;
        int ids[6];
        size_t count;
    } rows[] = {
        {"\xff"
         "A",
         2,
         {6, 41},
         2},
        {"\x80\x80", 2, {6, 6}, 2},
        {"\xc3"
         "A",
         2,
         {6, 41},
         2},                                      /* a start without its continuation */
        {"\xc3\xa9", 2, {6}, 1},                  /* U+00E9 */
        {"\xc0\x80", 2, {6, 6}, 2},               /* overlong NUL */
        {"\xe0\x80\xaf", 3, {6, 6, 6}, 3},        /* overlong slash */
        {"\xed\xa0\x80", 3, {6, 6, 6}, 3},        /* a surrogate */
        {"\xf4\x90\x80\x80", 4, {6, 6, 6, 6}, 4}, /* U+110000 */
        {"\xf4\x8f\xbf\xbf", 4, {6}, 1},          /* U+10FFFF */
        {"\xf0\x9f\x99", 3, {6, 6, 6}, 3},        /* cut */
        {"A\0A", 3, {41, 6, 41}, 3},
    };
    struct tokenizer *t = builtin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int ids[16];
        ck_assert_uint_eq(tokenizer_encode(t, rows[i].text, rows[i].n, true, ids, 16),
                          rows[i].count);
        for (size_t j = 0; j < rows[i].count; j++) ck_assert_int_eq(ids[j], rows[i].ids[j]);
    }
    tokenizer_free(t);
}
END_TEST

/* The built-in file with one thing changed: what the message must name. */
START_TEST(refusals_name_the_place)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"WordLevel\"", "\"Unigram\"",
         "t.json: model: type must be \"BPE\" or \"WordLevel\" (one token per character), found "
         "\"Unigram\""},
        {"\"Fuse\"", "\"ByteLevel\"",
         "decoder: type must be \"Fuse\" (one token per character), found \"ByteLevel\""},
        {"\"Split\"", "\"Whitespace\"", "pre_tokenizer: type must be \"Split\""},
        {"[\\\\s\\\\S]", "\\\\s", "pre_tokenizer.pattern: must be the Regex"},
        {"\"Isolated\"", "\"Removed\"", "pre_tokenizer.behavior"},
        {"\"invert\": false", "\"invert\": true", "pre_tokenizer.invert: must be false"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}",
         "normalizer: must be null, found \"NFC\""},
        {"\"post_processor\": null", "\"post_processor\": {}",
         "post_processor: must be null, found \"something else\""},
        {"\"lstrip\": false", "\"lstrip\": true",
         "added_tokens: lstrip must be false for \"<pad>\""},
        {"\"special\": true", "\"special\": false",
         "added_tokens: special must be true for \"<pad>\""},
        {"\"content\": \"<pad>\"", "\"content\": 3", "added_tokens: an entry has no content"},
        {"\"content\": \"<pad>\"", "\"content\": \"\"", "added_tokens: a token is empty"},
        {"\"content\": \"<pad>\"", "\"content\": \"<eos>\"",
         "its id is not that of model.vocab: \"<eos>\""},
        {"\"<eos>\": 1", "\"<eos>\": 2", "duplicate id"},
        {"\"~\": 102", "\"~\": 103", "ids must be 0, 1, 2, ... without gaps; bad id of \"~\""},
        {"\"~\": 102", "\"~\": -1", "ids must be 0, 1, 2"},
        {"\"~\": 102", "\"~\": 99999999999", "ids must be 0, 1, 2"},
        {"\"~\": 102", "\"~\": \"a\"", "ids must be 0, 1, 2"},
        {"\"unk_token\": \"<unk>\"", "\"unk_token\": \"?!\"",
         "model.unk_token: must be a token of model.vocab, found \"?!\""},
        {"\"unk_token\": \"<unk>\"", "\"unk_token\": null", "model.unk_token"},
        {"\"vocab\"", "\"vocabulary\"", "model.vocab: is missing or empty"},
        {"\"~\": 102", "\"}\": 102", "t.json:"}, /* a duplicate key: line and jansson's words */
        {"\"version\"", "version", "t.json:2: not JSON"},
    };
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char changed[8192];
        struct problems p = {0};
        const char *at = strstr(json, rows[i].from);
        ck_assert_msg(at != NULL, "%s is not in the file", rows[i].from);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - json), json, rows[i].to,
                 at + strlen(rows[i].from));
        ck_assert_ptr_null(tokenizer_parse(changed, strlen(changed), "t.json", &p));
        ck_assert_msg(p.n >= 1 && strstr(p.text[0], rows[i].says), "%s: %s", rows[i].to,
                      p.n ? p.text[0] : "no problem");
        problems_free(&p);
    }
    free(json);
}
END_TEST

START_TEST(empty_and_foreign_files)
{
    static const char *const texts[] = {"",
                                        "{}",
                                        "[]",
                                        "null",
                                        "3",
                                        "\"a\"",
                                        "{\"model\":[]}",
                                        "{\"model\":{\"type\":\"WordLevel\"}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct problems p = {0};
        ck_assert_ptr_null(tokenizer_parse(texts[i], strlen(texts[i]), "t.json", &p));
        ck_assert_int_gt(p.n, 0);
        problems_free(&p);
    }
    tokenizer_free(NULL);
}
END_TEST

START_TEST(mutated_files_never_crash)
{
    struct rng_stream rng = {1, {.purpose = RNG_TEST}};
    size_t n;
    int accepted = 0;
    char *json = tokenizer_builtin_json(&n), *copy = malloc(n);
    for (int i = 0; i < 1000; i++) {
        struct problems p = {0};
        size_t length = rng_next_below(&rng, 8) ? n : rng_next_below(&rng, (uint32_t)n);
        memcpy(copy, json, n);
        for (uint32_t k = 1 + rng_next_below(&rng, 3); k > 0; k--)
            copy[rng_next_below(&rng, (uint32_t)n)] = json[rng_next_below(&rng, (uint32_t)n)];
        struct tokenizer *t = tokenizer_parse(copy, length, "t.json", &p);
        ck_assert((t == NULL) == (p.n > 0));
        int ids[64];
        char text[2048];
        if (t)
            tokenizer_decode(t, ids, tokenizer_encode(t, copy, 60, true, ids, 64), text,
                             sizeof text);
        accepted += t != NULL;
        tokenizer_free(t);
        problems_free(&p);
    }
    ck_assert_int_gt(accepted, 0);
    ck_assert_int_lt(accepted, 1000);
    free(copy);
    free(json);
}
END_TEST

#define TESTS(X)               \
    X(equals_hugging_face)     \
    X(ids_of_the_contract)     \
    X(invalid_utf8)            \
    X(refusals_name_the_place) \
    X(empty_and_foreign_files) \
    X(mutated_files_never_crash)

UNIT_MAIN("tokenizer")
