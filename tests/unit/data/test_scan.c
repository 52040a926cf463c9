/* JSON looked at in place: what is a value and what is none, strings unescaped, members found.
 * Values are held against jansson's by tests/fuzz/fuzz_jsonl.c. */
#include <stdlib.h>
#include <string.h>
#include "trainer/data/scan.h"
#include "tests/support/check_unit.h"

static bool whole(const char *text, size_t n)
{
    struct scan s = {text, text + n};
    struct span value;
    return scan_value(&s, &value) && scan_done(&s);
}

START_TEST(values)
{
    static const char *const good[] = {
        "0",
        "-0.5e+10",
        "1E9",
        "true",
        "null",
        "\"\"",
        "[]",
        "{}",
        " [1, 2 ,[ ], {\"a\":[{}]}] ",
        "\"\\ud83d\\ude42 \\u00e9\\n\"",
        "{\"a\":1,\"a\":2}",
        "\"\xf0\x9f\x99\x82\"",
    };
    static const char *const bad[] = {
        "",
        "01",
        "1.",
        "+1",
        ".5",
        "tru",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "1 2",
        "{\"a\":}",
        "[",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\u0000\"",
        "\"\\ud800\\u0041\"",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "nan",
        "--1",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(whole(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!whole(bad[i], strlen(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(strings)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"a\\u00e9\\u4e2d\\ud83d\\ude42z\"", "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x99\x82z"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span value = {rows[i].json, strlen(rows[i].json)};
        size_t n = scan_unescape(value, out);
        ck_assert_uint_eq(n, strlen(rows[i].text));
        ck_assert_int_eq(memcmp(out, rows[i].text, n), 0);
    }
    static const char escaped[] = "\"pr\\u006fmpt\"";
    ck_assert(scan_key_is((struct span){escaped + 1, sizeof escaped - 3}, "prompt"));
    ck_assert(!scan_key_is((struct span){escaped + 1, sizeof escaped - 3}, "prompts"));
}
END_TEST

/* Strings are gone through eight bytes at a time: a byte that may not be there is seen at each
 * place of them, and one that may be is not taken for another. */
START_TEST(every_byte_at_every_place)
{
    char text[32];
    for (int n = 1; n <= 20; n++)
        for (int at = 0; at < n; at++)
            for (int byte = 0; byte < 256; byte++) {
                memset(text, 'a', sizeof text);
                text[0] = text[n + 1] = '"';
                text[1 + at] = (char)byte;
                bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                ck_assert_msg(whole(text, (size_t)n + 2) == plain, "byte %d at %d of %d", byte, at,
                              n);
            }
}
END_TEST

/* Held against the plainest loop. */
START_TEST(words_are_found)
{
    static const char *const words[] = {"<", "<<", "<a>", "a<a"};
    char text[12];
    for (unsigned seed = 0; seed < 1u << 20; seed += 7) {
        size_t n = seed % 11;
        for (size_t i = 0; i < n; i++) text[i] = "<a>b"[seed >> 2 * (i % 10) & 3];
        for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
            size_t at = 0, bytes = strlen(words[k]);
            while (at + bytes <= n && memcmp(text + at, words[k], bytes) != 0) at++;
            if (at + bytes > n) at = n;
            ck_assert_uint_eq(span_find((struct span){text, n}, words[k]), at);
        }
    }
}
END_TEST

/* 2048 levels and no more, without recursion. */
START_TEST(depth)
{
    enum { MANY = 1000000 };
    char *text = malloc(MANY);
    memset(text, '[', MANY);
    ck_assert(!whole(text, MANY));
    memset(text + 2048, ']', 2048);
    ck_assert(whole(text, 4096));
    memset(text, '[', 2049);
    memset(text + 2049, ']', 2049);
    ck_assert(!whole(text, 4098));
    free(text);
}
END_TEST

#define TESTS(X)                 \
    X(values)                    \
    X(strings)                   \
    X(every_byte_at_every_place) \
    X(words_are_found)           \
    X(depth)

UNIT_MAIN("scan")
