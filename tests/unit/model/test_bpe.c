/* BPE tokenizers equal Hugging Face's `tokenizers` (tests/oracle/bpe.py, unicode.py): ids, texts,
 * what a character is; text that comes token by token equals text at once; long runs take no
 * quadratic time. */
#include "comm/base/rng.h"
#include "model/tokenizer/merge.h"
#include "model/tokenizer/nfc.h"
#include "model/tokenizer/pattern.h"
#include "comm/base/utf8.h"
#include "tests/support/golden_bpe.h"

enum { IDS = 4096, TEXT = 16384, LINE = 1 << 16 };

static struct tokenizer *family(const char *name)
{
    json_t *json = golden_json(name);
    struct tokenizer *t = parse_json(json);
    json_decref(json);
    return t;
}

static void check_ids(const json_t *want, const int *got, size_t n, const char *text)
{
    ck_assert_msg(n == json_array_size(want), "%s: %zu ids", text, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(got[i] == json_integer_value(json_array_get(want, i)), "%s: id %zu is %d",
                      text, i, got[i]);
}

/* Token by token: equal to the whole, each part valid by itself. */
static void check_stream(const struct tokenizer *t, const int *ids, size_t n, const char *whole)
{
    struct tokenizer_stream *s = tokenizer_stream_new(t);
    char text[TEXT] = "";
    size_t at = 0, more;
    for (size_t i = 0; i <= n; i++) {
        const char *part =
            i < n ? tokenizer_stream_put(s, ids[i], &more) : tokenizer_stream_end(s, &more);
        ck_assert_uint_eq(utf8_invalid(part, more), more);
        memcpy(text + at, part, more);
        at += more;
    }
    text[at] = '\0';
    ck_assert_str_eq(text, whole);
    ck_assert_str_eq(tokenizer_stream_end(s, &more), "");
    tokenizer_stream_free(s);
}

static void check_decode(const struct tokenizer *t, const int *ids, size_t n, const json_t *want)
{
    char text[TEXT];
    size_t length = tokenizer_decode(t, ids, n, text, sizeof text);
    ck_assert_uint_eq(length, json_string_length(want));
    ck_assert_mem_eq(text, json_string_value(want), length);
    ck_assert_uint_lt(length, tokenizer_text_bytes(t, n));
    if (strlen(text) == length) check_stream(t, ids, n, text);
}

static void check_row(const struct tokenizer *t, const json_t *row)
{
    const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids"),
                 *data = json_object_get(row, "data"), *around = json_object_get(row, "around"),
                 *decoded = json_object_get(row, "decoded");
    const char *s = json_string_value(text);
    size_t length = json_string_length(text), n, k;
    const int *more;
    int got[IDS], all[IDS];
    for (int again = 0; again < 2; again++) { /* the second time from the cache */
        n = tokenizer_encode(t, s, length, false, got, IDS);
        check_ids(data ? data : ids, got, n, s);
        n = tokenizer_encode(t, s, length, true, got, IDS);
        check_ids(ids, got, n, s);
    }
    check_decode(t, got, n, decoded ? decoded : text);
    if (n > 0) {
        all[n - 1] = -7;
        ck_assert_uint_eq(tokenizer_encode(t, s, length, true, all, n - 1), n);
        ck_assert_int_eq(all[n - 1], -7);
    }
    k = tokenizer_before(t, &more);
    if (k) memcpy(all, more, k * sizeof *all);
    memcpy(all + k, got, n * sizeof *all);
    ck_assert_uint_eq(tokenizer_behind(t, &more), 0);
    if (around) check_ids(around, all, k + n, s);
}

/* Calls check for each line of a golden file; returns how many. */
static int each_line(const char *path, void (*check)(void *ctx, const json_t *row), void *ctx)
{
    FILE *f = fopen(path, "r");
    json_error_t error;
    static char line[LINE];
    int rows = 0;
    ck_assert_msg(f != NULL, "%s", path);
    for (; fgets(line, sizeof line, f); rows++) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, &error);
        ck_assert_msg(row != NULL, "%s:%d: %s", path, rows + 1, error.text);
        check(ctx, row);
        json_decref(row);
    }
    fclose(f);
    return rows;
}

static void family_row(void *t, const json_t *row)
{
    check_row(t, row);
}

START_TEST(equals_tokenizers)
{
    char path[96];
    struct tokenizer *t = family(families[_i]);
    snprintf(path, sizeof path, "tests/golden/bpe_%s.jsonl", families[_i]);
    ck_assert_int_gt(each_line(path, family_row, t), 200);
    size_t bytes;
    ck_assert_uint_eq(tokenizer_unknown(t, "\x01 a\xff", 4, false, 0, &bytes), 4);
    tokenizer_free(t);
}
END_TEST

/* The tokenizer of GPT-2 with members changed: behaviors of Split, Digits, prefix spaces. */
static void changed_row(void *ctx, const json_t *row)
{
    (void)ctx;
    json_t *json = golden_json("gpt2");
    json_object_update(json, json_object_get(row, "change"));
    struct tokenizer *t = parse_json(json);
    const json_t *text = json_object_get(row, "text");
    int ids[IDS];
    size_t n =
        tokenizer_encode(t, json_string_value(text), json_string_length(text), true, ids, IDS);
    check_ids(json_object_get(row, "ids"), ids, n, json_string_value(text));
    check_decode(t, ids, n, json_object_get(row, "decoded"));
    tokenizer_free(t);
    json_decref(json);
}

START_TEST(equals_tokenizers_with_other_steps)
{
    ck_assert_int_eq(each_line("tests/golden/bpe_changes.jsonl", changed_row, NULL), 100);
}
END_TEST

/* Reads "a-b c d-e ..." and marks the code points. */
static void read_ranges(char *s, bool *in)
{
    memset(in, 0, 0x110000);
    while (*s == ' ') {
        unsigned long first = strtoul(s, &s, 16), last = *s == '-' ? strtoul(s + 1, &s, 16) : first;
        for (unsigned long c = first; c <= last; c++) in[c] = true;
    }
}

/* Does the form of this text differ from it? */
static bool changes(const char *text, size_t n)
{
    static struct room out, points;
    out.n = 0;
    nfc_put(&out, &points, text, n);
    return out.n != n || memcmp(out.at, text, n) != 0;
}

/* U+0345 is of the highest class: marks go before it. What is another character in any case tells
 * nothing. */
static bool is_mark(unsigned c, bool expected)
{
    char text[8] = "a\xcd\x85";
    size_t n = 3 + utf8_put(c, text + 3);
    return changes(text + 3, n - 3) ? expected : changes(text, n);
}

static void check_set(const char *name, const struct pattern *q, const bool *in)
{
    for (unsigned c = 0; c < 0x110000; c++) {
        char s[4];
        size_t start, stop;
        if (c >= 0xd800 && c < 0xe000) continue;
        if (c == 0x1171e) continue; /* Unicode 16 made it another kind of mark */
        size_t n = utf8_put(c, s);
        bool is = q ? pattern_next(q, s, n, 0, &start, &stop) : is_mark(c, in[c]);
        if (strcmp(name, "space") == 0 && pattern_is_space(c) != in[c]) is = !in[c];
        if (is != in[c]) ck_abort_msg("U+%04X is%s in %s", c, is ? "" : " not", name);
    }
}

START_TEST(characters_are_those_of_tokenizers)
{
    FILE *f = fopen("tests/golden/unicode.txt", "r");
    static char line[LINE];
    static bool in[0x110000];
    int sets = 0;
    ck_assert_ptr_nonnull(f);
    for (; fgets(line, sizeof line, f); sets++) {
        struct problems p = {0};
        struct parse parse = {"t.json", &p, true};
        char name[8], regex[16];
        int used;
        ck_assert_int_eq(sscanf(line, "%7s%n", name, &used), 1);
        read_ranges(line + used, in);
        snprintf(regex, sizeof regex, strcmp(name, "space") ? "\\p{%s}" : "\\s", name);
        struct pattern *q = strcmp(name, "mark") ? pattern_new(&parse, "x", regex) : NULL;
        ck_assert_int_eq(p.n, 0);
        check_set(name, q, in);
        pattern_free(q);
    }
    fclose(f);
    ck_assert_int_eq(sets, 13);
}
END_TEST

/* Bytes that are no UTF-8 come back as U+FFFD, and nothing else is touched. */
START_TEST(invalid_bytes_have_ids)
{
    static const struct {
        const char *text, *back;
    } rows[] = {
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xe6\x97", "\xef\xbf\xbd"}, /* the beginning of one character is one U+FFFD */
        {"\xe6\x97 \xf0\x9f\x99", "\xef\xbf\xbd \xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct tokenizer *t = family("qwen");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int ids[32];
        char back[64];
        size_t n = tokenizer_encode(t, rows[i].text, strlen(rows[i].text), true, ids, 32);
        tokenizer_decode(t, ids, n, back, sizeof back);
        ck_assert_str_eq(back, rows[i].back);
        check_stream(t, ids, n, back);
    }
    tokenizer_free(t);
}
END_TEST

/* An answer may stop inside a character: what is there of it is held back until the end. */
START_TEST(a_cut_character_is_held_back)
{
    struct tokenizer *t[2] = {family("qwen"), family("llama2")};
    static const char *const end[] = {"\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"};
    for (int k = 0; k < 2; k++) {
        int ids[16];
        size_t more, n = tokenizer_encode(t[k], "\xf0\x9f\x99\x82", 4, false, ids, 16);
        struct tokenizer_stream *s = tokenizer_stream_new(t[k]);
        ck_assert_uint_ge(n, 4);
        size_t first = n - 4; /* what llama2 puts before a text */
        for (size_t i = 0; i < first; i++) tokenizer_stream_put(s, ids[i], &more);
        for (size_t i = first; i < n - 1; i++)
            ck_assert_str_eq(tokenizer_stream_put(s, ids[i], &more), "");
        ck_assert_str_eq(tokenizer_stream_end(s, &more), end[k]);
        tokenizer_stream_free(s);
        tokenizer_free(t[k]);
    }
}
END_TEST

/* The lowest rank of all pairs, the leftmost of equals, again and again. */
static size_t merge_plainly(const struct pair_table *pairs, uint32_t *ids, size_t n)
{
    for (;;) {
        const struct pair_entry *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct pair_entry *e = pair_table_find(pairs, ids[i], ids[i + 1]);
            if (e && (!best || e->first < best->first)) {
                best = e;
                at = i;
            }
        }
        if (!best) return n;
        ids[at] = best->second;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

/* Pairs (a, b) -> c of a few ids at random, so that most places have one and ranks repeat. */
START_TEST(merging_is_that_of_the_plain_loop)
{
    struct rng_stream rng = {1, {.purpose = RNG_TEST}};
    enum { KNOWN = 24, LONG = 300 };
    for (int k = 0; k < 400; k++) {
        struct pair_table pairs;
        struct merge_room room = {0};
        uint32_t ids[LONG], plain[LONG];
        size_t n = 1 + rng_next_below(&rng, k % 2 ? 32 : LONG);
        bool is_new;
        pair_table_new(&pairs, 200);
        for (uint32_t i = 0; i < 200; i++) {
            uint32_t a = rng_next_below(&rng, KNOWN), b = rng_next_below(&rng, KNOWN);
            struct pair_entry *e = pair_table_put(&pairs, a, b, &is_new);
            e->first = i;
            e->second = rng_next_below(&rng, KNOWN);
        }
        for (size_t i = 0; i < n; i++) plain[i] = ids[i] = rng_next_below(&rng, KNOWN);
        size_t want = merge_plainly(&pairs, plain, n), got = merge_ids(&pairs, &room, ids, n);
        ck_assert_uint_eq(got, want);
        ck_assert_mem_eq(ids, plain, got * sizeof *ids);
        merge_room_free(&room);
        pair_table_free(&pairs);
    }
}
END_TEST

/* Quadratic merging of these would take minutes, quadratic ordering of marks, too. */
START_TEST(long_runs)
{
    static const char *const units[] = {
        "a", " ", "\n", "!", "7", "ab", "\xcc\x81\xcc\x96", "\xe6\x97\xa5", " \n", "<|im", "'"};
    enum { BYTES = 400000 };
    struct tokenizer *t = family(families[_i]);
    char *text = malloc(BYTES + 8), *back = malloc(4 * BYTES);
    int *ids = malloc(sizeof *ids * (BYTES + 8));
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t n = 0, length = strlen(units[u]);
        for (; n + length <= BYTES; n += length) memcpy(text + n, units[u], length);
        size_t count = tokenizer_encode(t, text, n, true, ids, BYTES + 8);
        ck_assert_uint_le(count, BYTES + 8);
        size_t out = tokenizer_decode(t, ids, count, back, 4 * BYTES);
        if ((unsigned char)units[u][0] != 0xcc) {
            ck_assert_uint_eq(out, n);
            ck_assert_mem_eq(back, text, n);
        }
    }
    free(text);
    free(back);
    free(ids);
    tokenizer_free(t);
}
END_TEST

/* Ids may have gaps, which are no tokens. */
START_TEST(gaps_have_no_token)
{
    json_t *json = golden_json("qwen"), *added = json_object_get(json, "added_tokens");
    json_t *last = json_array_get(added, json_array_size(added) - 1);
    int size = (int)json_integer_value(json_object_get(last, "id")) + 1;
    json_object_set_new(last, "id", json_integer(size + 1));
    struct tokenizer *t = parse_json(json);
    ck_assert_int_eq(tokenizer_size(t), size + 2);
    for (int id = -1; id <= size + 2; id++)
        ck_assert(tokenizer_has(t, id) == ((id >= 0 && id < size - 1) || id == size + 1));
    tokenizer_free(t);
    json_decref(json);
}
END_TEST

#define TESTS(X)                          \
    X(gaps_have_no_token)                 \
    X(equals_tokenizers, .to = FAMILIES)  \
    X(equals_tokenizers_with_other_steps) \
    X(characters_are_those_of_tokenizers) \
    X(invalid_bytes_have_ids)             \
    X(a_cut_character_is_held_back)       \
    X(merging_is_that_of_the_plain_loop)  \
    X(long_runs, .to = FAMILIES)

UNIT_MAIN("bpe", .timeout_s = 60)
