/* GGUF: number formats and a file against llama.cpp's own package (tests/oracle/gguf_files.py);
 * what is written is read back; hostile files are refused by name, and no bytes crash the reader
 * (P11). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "trainer/gguf/write.h"
#include "tests/support/check_unit.h"

/* --- number formats --- */

static void read_floats(FILE *f, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        ck_assert_int_eq(fscanf(f, "%" SCNx32, &bits), 1);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static size_t read_bytes(FILE *f, unsigned char *out)
{
    char text[512];
    ck_assert_int_eq(fscanf(f, "%511s", text), 1);
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        ck_assert_int_eq(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (unsigned char)byte;
    }
    return n;
}

START_TEST(formats_equal_llama_cpp)
{
    FILE *f = fopen("tests/golden/gguf_quants.txt", "r");
    ck_assert_ptr_nonnull(f);
    char name[32];
    int cases = 0;
    ck_assert_int_eq(fscanf(f, "%*[^\n]"), 0);
    while (fscanf(f, "%31s", name) == 1) {
        float in[32], want[32], got[32];
        unsigned char block[128], made[128];
        const struct quant *q = quant_named(name);
        ck_assert_ptr_nonnull(q);
        read_floats(f, in, 32);
        size_t bytes = read_bytes(f, block);
        read_floats(f, want, 32);
        ck_assert_uint_eq(bytes, (size_t)(32 / q->numbers * q->bytes));
        quant_write(q, made, in, 32);
        ck_assert_msg(memcmp(made, block, bytes) == 0, "%s, row %d: other bytes", name, cases % 12);
        quant_read(q, got, block, 0, 32);
        ck_assert_mem_eq(got, want, sizeof got);
        quant_read(q, got, block, 5, 21); /* from within a block */
        ck_assert_mem_eq(got, want + 5, 21 * sizeof *got);
        cases++;
    }
    fclose(f);
    ck_assert_int_eq(cases, 72);
}
END_TEST

/* --- a file --- */

struct bytes {
    unsigned char *at;
    size_t n;
};

static struct bytes tiny(void)
{
    char why[FILE_WHY];
    struct bytes b;
    b.at = (unsigned char *)file_read("tests/golden/tiny.gguf", FILE_REGULAR, 1 << 20, &b.n, why);
    ck_assert_ptr_nonnull(b.at);
    return b;
}

static struct gguf *parsed(struct bytes b)
{
    struct problems p = {0};
    struct gguf *g = gguf_parse(b.at, b.n, "tiny.gguf", &p);
    if (p.n) printf("%s\n", p.text[0]);
    ck_assert_ptr_nonnull(g);
    return g;
}

static int64_t whole(const struct gguf *g, const char *key, uint64_t i)
{
    int64_t value;
    const struct gguf_value *v = gguf_find(g, key);
    ck_assert_msg(v && gguf_whole(v, i, &value), "%s", key);
    return value;
}

static double real(const struct gguf *g, const char *key)
{
    double value;
    const struct gguf_value *v = gguf_find(g, key);
    ck_assert_msg(v && gguf_real(v, 0, &value), "%s", key);
    return value;
}

static void check_texts(const struct gguf *g, const char *key, int n, const char *const *want)
{
    const struct gguf_value *v = gguf_find(g, key);
    ck_assert_ptr_nonnull(v);
    ck_assert_uint_eq(v->n, (uint64_t)n);
    const unsigned char *cursor = v->at;
    for (int i = 0; i < n; i++) {
        struct gguf_text t;
        ck_assert(gguf_text(v, &cursor, &t));
        ck_assert_uint_eq(t.n, strlen(want[i]));
        ck_assert_mem_eq(t.at, want[i], t.n);
    }
}

START_TEST(keys_of_every_kind)
{
    struct bytes b = tiny();
    struct gguf *g = parsed(b);
    ck_assert_int_eq(whole(g, "k.u8", 0), 200);
    ck_assert_int_eq(whole(g, "k.i8", 0), -100);
    ck_assert_int_eq(whole(g, "k.u16", 0), 60000);
    ck_assert_int_eq(whole(g, "k.i16", 0), -30000);
    ck_assert_int_eq(whole(g, "k.u32", 0), 4000000000);
    ck_assert_int_eq(whole(g, "k.i32", 0), -2000000000);
    ck_assert_int_eq(whole(g, "k.u64", 0), INT64_C(1) << 40);
    ck_assert_int_eq(whole(g, "k.i64", 0), -(INT64_C(1) << 40));
    ck_assert(real(g, "k.f32") == 0.5);
    ck_assert(real(g, "k.f64") == 1e-300);
    ck_assert(real(g, "k.i8") == -100);
    ck_assert_int_eq(whole(g, "k.numbers", 1), -1);
    check_texts(g, "k.text", 1, (const char *const[]){"größe"});
    check_texts(g, "k.texts", 3, (const char *const[]){"", "a", "long enough"});
    bool yes = false, no = true;
    ck_assert(gguf_bool(gguf_find(g, "k.yes"), &yes) && yes);
    ck_assert(gguf_bool(gguf_find(g, "k.no"), &no) && !no);
    int64_t unused;
    ck_assert(!gguf_whole(gguf_find(g, "k.yes"), 0, &unused));
    ck_assert(!gguf_whole(gguf_find(g, "k.numbers"), 3, &unused));
    ck_assert_ptr_null(gguf_find(g, "k.u"));
    gguf_free(g);
    free(b.at);
}
END_TEST

START_TEST(tensors_of_every_format)
{
    static const char *const names[] = {"t.f32", "t.f16", "t.q4_0", "t.q4_1", "t.q8_0", "t.bf16"};
    struct bytes b = tiny();
    struct gguf *g = parsed(b);
    ck_assert_int_eq(g->tensors, 6);
    for (int k = 0; k < 6; k++) {
        const struct gguf_tensor *t = gguf_tensor(g, names[k]);
        ck_assert_ptr_nonnull(t);
        ck_assert_int_eq(t->dims, 2);
        ck_assert_uint_eq(t->shape[0], 2);
        ck_assert_uint_eq(t->shape[1], 32);
        ck_assert_str_eq(t->quant->name, names[k] + 2);
        float got[64];
        quant_read(t->quant, got, t->at, 0, 64);
        for (int i = 0; i < 64; i++) {
            float want = (float)(i - 31) / 4, off = got[i] - want;
            float step = t->quant->numbers > 1 ? 0.6f : 0; /* half a step of 4 bits over 8 */
            ck_assert_msg(off <= step && off >= -step, "%s[%d]: %g", names[k], i, (double)got[i]);
        }
    }
    ck_assert_ptr_null(gguf_tensor(g, "t.f"));
    gguf_free(g);
    free(b.at);
}
END_TEST

/* --- hostile bytes --- */

/* The first problem, malloc'ed; NULL: it was read. The bytes lie in memory of their size, so that a
 * sanitizer sees a read beyond the end. */
static char *refused(const void *bytes, size_t n)
{
    struct problems p = {0};
    unsigned char *exact = malloc(n ? n : 1);
    memcpy(exact, bytes, n);
    struct gguf *g = gguf_parse(exact, n, "f", &p);
    ck_assert_int_eq(g == NULL, p.n > 0);
    ck_assert_int_le(p.n, 1);
    char *text = p.n ? strdup(p.text[0]) : NULL;
    gguf_free(g);
    problems_free(&p);
    free(exact);
    return text;
}

START_TEST(every_cut_is_refused)
{
    struct bytes b = tiny();
    size_t last = b.n;
    while (b.at[last - 1] == 0) last--; /* padding behind the last tensor may be missing */
    for (size_t n = 0; n < last; n++) {
        char *why = refused(b.at, n);
        ck_assert_msg(why != NULL, "%zu bytes of %zu", n, b.n);
        free(why);
    }
    free(b.at);
}
END_TEST

START_TEST(no_flipped_byte_crashes)
{
    struct bytes b = tiny();
    for (size_t i = 0; i < b.n; i++)
        for (int flip = 1; flip < 256; flip = flip * 2 + (flip == 128)) {
            b.at[i] ^= (unsigned char)flip;
            free(refused(b.at, b.n));
            b.at[i] ^= (unsigned char)flip;
        }
    free(b.at);
}
END_TEST

static unsigned char *found(unsigned char *at, size_t n, const char *what, size_t what_n)
{
    for (; n >= what_n; at++, n--)
        if (memcmp(at, what, what_n) == 0) return at;
    return NULL;
}

struct forged {
    const char *why;  /* in the message */
    const char *find; /* bytes of tiny.gguf to be replaced ... */
    size_t find_n;
    int skip; /* ... this many behind them */
    const char *by;
    size_t by_n;
};
#define TEXT(s) s, sizeof s - 1

START_TEST(forged_files_are_named)
{
    static const struct forged forged[] = {
        {"is no GGUF file", TEXT("GGUF"), -4, TEXT("GGML")},
        {"of version 1", TEXT("GGUF"), 0, TEXT("\1")},
        {"big-endian", TEXT("GGUF"), 0, TEXT("\0\0\0\3")},
        {"tensors and", TEXT("GGUF"), 4, TEXT("\xff\xff\xff\xff\xff")},
        {"ends in the middle", TEXT("GGUF"), 12, TEXT("\xff\xff\x0f")}, /* a million keys */
        {"a value of type 77", TEXT("k.u8"), 0, TEXT("\x4d")},
        {"a value of type 9 in an array", TEXT("k.numbers"), 4, TEXT("\x09")},
        {"ends in the middle", TEXT("k.numbers"), 8, TEXT("\xff\xff\xff\xff\xff\xff\xff\x7f")},
        {"ends in the middle", TEXT("k.text"), 4, TEXT("\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"holds the key k.i8 twice", TEXT("k.u8"), -4, TEXT("k.i8")},
        {"holds the tensor t.q4_1 twice", TEXT("t.q4_0"), -6, TEXT("t.q4_1")},
        {"t.f32: 5 dimensions", TEXT("t.f32"), 0, TEXT("\5")},
        {"t.f32: more numbers than can be counted", TEXT("t.f32"), 4,
         TEXT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"t.q8_0: rows of 33 numbers", TEXT("t.q8_0"), 4, TEXT("\x21")},
        {"t.q8_0: rows of 1 numbers", TEXT("t.q8_0"), 0, TEXT("\0\0\0\0\x08\0\0\0\0")},
        {"t.f32: reaches beyond the end", TEXT("t.f32"), 12, TEXT("\xff\xff\xff")},
        {"t.f16: does not begin at a multiple of 32", TEXT("t.f16"), 24, TEXT("\x01")},
        {"t.f16: reaches beyond the end", TEXT("t.f16"), 24, TEXT("\0\0\0\0\0\0\0\x80")},
        {"t.f32 and t.f16 overlap", TEXT("t.f16"), 24, TEXT("\xc0\0")},
    };
    struct bytes b = tiny();
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        const struct forged *f = &forged[i];
        unsigned char *copy = malloc(b.n), *at = NULL;
        memcpy(copy, b.at, b.n);
        at = found(copy, b.n, f->find, f->find_n);
        ck_assert_ptr_nonnull(at);
        memcpy(at + f->find_n + f->skip, f->by, f->by_n);
        char *why = refused(copy, b.n);
        ck_assert_msg(why && strstr(why, f->why), "%s: %s", f->why, why ? why : "was read");
        free(why);
        free(copy);
    }
    free(b.at);
}
END_TEST

/* A type that is not ours is listed, so that a message can name it. */
START_TEST(foreign_types_are_listed)
{
    struct bytes b = tiny();
    unsigned char *at = found(b.at, b.n, "t.q8_0", 6);
    at[6 + 4 + 16] = 12;
    struct gguf *g = parsed(b);
    const struct gguf_tensor *t = gguf_tensor(g, "t.q8_0");
    ck_assert_ptr_null(t->quant);
    ck_assert_ptr_null(t->at);
    ck_assert_str_eq(quant_type_name(t->type), "q4_K");
    ck_assert_ptr_nonnull(gguf_tensor(g, "t.bf16")->at);
    gguf_free(g);
    free(b.at);
}
END_TEST

/* --- writing --- */

static struct gguf_head *sample_head(void)
{
    struct gguf_head *h = gguf_head_new();
    gguf_put_text(h, "a", (struct gguf_text){"x\0y", 3});
    gguf_put_u32(h, "b", 4000000000);
    gguf_put_f32(h, "c", 0.25f);
    gguf_put_bool(h, "d", true);
    gguf_put_i32s(h, "e", (const int32_t[]){-5, 6}, 2);
    gguf_put_texts(h, "f", (const struct gguf_text[]){{"", 0}, {"ab", 2}}, 2);
    return h;
}

START_TEST(what_is_written_is_read)
{
    const struct quant *q8 = quant_named("q8_0"), *f32 = quant_named("f32");
    struct gguf_head *h = sample_head();
    ck_assert_uint_eq(gguf_put_tensor(h, "m", 2, (const uint64_t[]){3, 32}, q8), 0);
    ck_assert_uint_eq(gguf_put_tensor(h, "v", 1, (const uint64_t[]){5}, f32), 128); /* 102 padded */
    size_t n, data = 128 + gguf_padded(20);
    const void *head = gguf_head_bytes(h, &n);
    ck_assert_uint_eq(n % 32, 0);
    struct bytes b = {calloc(n + data, 1), n + data};
    memcpy(b.at, head, n);
    const float numbers[5] = {1, -2, 3, -4, 5};
    quant_write(f32, b.at + n + 128, numbers, 5);
    struct gguf *g = parsed(b);
    ck_assert_int_eq(g->values, 6);
    ck_assert_int_eq(whole(g, "b", 0), 4000000000);
    ck_assert(real(g, "c") == 0.25);
    ck_assert_int_eq(whole(g, "e", 0), -5);
    ck_assert_uint_eq(gguf_find(g, "e")->n, 2);
    check_texts(g, "f", 2, (const char *const[]){"", "ab"});
    const unsigned char *cursor = gguf_find(g, "a")->at;
    struct gguf_text t;
    ck_assert(gguf_text(gguf_find(g, "a"), &cursor, &t) && t.n == 3);
    ck_assert_uint_eq(gguf_tensor(g, "m")->shape[0], 3);
    ck_assert_uint_eq(gguf_tensor(g, "m")->shape[1], 32);
    float back[5];
    quant_read(f32, back, gguf_tensor(g, "v")->at, 0, 5);
    ck_assert_mem_eq(back, numbers, sizeof back);
    gguf_free(g);
    gguf_head_free(h);
    free(b.at);
}
END_TEST

#define TESTS(X)                \
    X(formats_equal_llama_cpp)  \
    X(keys_of_every_kind)       \
    X(tensors_of_every_format)  \
    X(every_cut_is_refused)     \
    X(no_flipped_byte_crashes)  \
    X(forged_files_are_named)   \
    X(foreign_types_are_listed) \
    X(what_is_written_is_read)
UNIT_MAIN("gguf")
