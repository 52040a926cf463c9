/* safetensors: every rule of the format has a file that breaks it, and a message that names the
 * tensor and the reason; numbers of 16 bits against their definition; what is written is read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "trainer/checkpoint/hf/safetensors.h"

/* A header behind its length, as a file with `data` bytes behind it. */
static bool parse(struct safetensors *s, const char *json, uint64_t data, struct problems *p)
{
    size_t n = strlen(json);
    unsigned char *bytes = malloc(8 + n);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i & 255);
    memcpy(bytes + 8, json, n);
    bool ok = safetensors_parse(s, bytes, 8 + n, 8 + n + data, "m.safetensors", p);
    free(bytes);
    ck_assert_int_eq(ok, p->n == 0);
    return ok;
}

#define ONE(name, dtype, shape, begin, end)                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"
#define GOOD ONE("a", "F32", "[2,3]", "0", "24")

START_TEST(a_good_file_is_read)
{
    struct problems p = {0};
    struct safetensors s;
    const char *json = "{\"__metadata__\":{\"format\":\"pt\"}," ONE(
        "b.weight", "BF16", "[3]", "24",
        "30") "," GOOD "," ONE("none", "U8", "[0,18446744073709551615]", "30",
                               "30") "," ONE("one", "I64", "[]", "30", "38") "}   ";
    ck_assert(parse(&s, json, 38, &p));
    ck_assert_uint_eq(s.n, 4);
    const struct safetensor *a = safetensors_find(&s, "a"), *b = safetensors_find(&s, "b.weight");
    ck_assert(a && b && !safetensors_find(&s, "c"));
    ck_assert_int_eq(a->rank, 2);
    ck_assert_uint_eq(a->shape[1], 3);
    ck_assert_int_eq(b->dtype, ST_BF16);
    ck_assert_uint_eq(b->begin, 24);
    ck_assert_uint_eq(s.data, 8 + strlen(json));
    safetensors_free(&s);
    ck_assert(parse(&s, "{}", 0, &p));
    safetensors_free(&s);
}
END_TEST

static const struct broken {
    const char *json;
    uint64_t data;
    const char *says; /* the message has it */
} BROKEN[] = {
    /* the JSON */
    {"[]", 0, "first byte is not {"},
    {" {}", 0, "first byte is not {"},
    {"{" GOOD, 24, "a , or } is missing"},
    {"{" GOOD ",}", 24, "a string is missing"},
    {"{" GOOD "}\n", 24, "something other than spaces"},
    {"{" GOOD "}{}", 24, "something other than spaces"},
    {"{\"a\":[]}", 0, "tensor \"a\": it is not an object"},
    {"{\"a\":{}}", 0, "tensor \"a\": it lacks one of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, "tensor \"a\": it lacks one of"},
    {"{\"a\":{\"dtype\":4,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "a string is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "shape is not a list"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", 4, "whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets is not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4,
     "data_offsets is not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
     "a member that is none of"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "a member twice"},
    {"{" ONE("a", "F32", "[-1]", "0", "4") "}", 4, "whole number without sign"},
    {"{" ONE("a", "F32", "[1.0]", "0", "4") "}", 4, "whole number without sign"},
    {"{" ONE("a", "F32", "[1e0]", "0", "4") "}", 4, "whole number without sign"},
    {"{" ONE("a", "F32", "[01]", "0", "4") "}", 4, "whole number without sign"},
    {"{" ONE("a", "F32", "[18446744073709551616]", "0", "4") "}", 4, "larger than 2^64 - 1"},
    {"{" ONE("a", "F32", "[1]", "0", "99999999999999999999") "}", 4, "larger than 2^64 - 1"},
    {"{\"__metadata__\":{\"format\":1}}", 0, "__metadata__ maps to something other than text"},
    {"{\"__metadata__\":{\"x\":{\"y\":\"z\"}}}", 0, "__metadata__ maps to something other"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ is there twice"},
    /* names */
    {"{" ONE("", "F32", "[1]", "0", "4") "}", 4, "name is empty"},
    {"{" ONE("a\\u0000b", "F32", "[1]", "0", "4") "}", 4, "NUL"},
    {"{" ONE("\\ud800", "F32", "[1]", "0", "4") "}", 4, "surrogate"},
    {"{" ONE("\\ud800\\u0041", "F32", "[1]", "0", "4") "}", 4, "surrogate"},
    {"{" ONE("\\udc00", "F32", "[1]", "0", "4") "}", 4, "surrogate"},
    {"{" ONE("\xed\xa0\x80", "F32", "[1]", "0", "4") "}", 4, "not UTF-8"},
    {"{" ONE("\xc0\xaf", "F32", "[1]", "0", "4") "}", 4, "not UTF-8"},
    {"{" ONE("\xff", "F32", "[1]", "0", "4") "}", 4, "not UTF-8"},
    {"{" ONE("a\tb", "F32", "[1]", "0", "4") "}", 4, "control character"},
    {"{" ONE("a\\x", "F32", "[1]", "0", "4") "}", 4, "unknown escape"},
    {"{\"a", 0, "a string does not end"},
    {"{" GOOD "," ONE("a", "F32", "[1]", "24", "28") "}", 28,
     "tensor \"a\": the name is there twice"},
    {"{" ONE("a", "F32", "[0]", "0", "0") "," ONE("\\u0061", "F32", "[0]", "0", "0") "}", 0,
     "the name is there twice"},
    /* sizes */
    {"{" ONE("a", "F33", "[1]", "0", "4") "}", 4, "tensor \"a\": its dtype is unknown"},
    {"{" ONE("a", "f32", "[1]", "0", "4") "}", 4, "its dtype is unknown"},
    {"{" ONE("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8 dimensions"},
    {"{" ONE("a", "F32", "[4294967296,4294967296]", "0", "16") "}", 16, "product of its shape"},
    {"{" ONE("a", "F32", "[4611686018427387904]", "0", "16") "}", 16, "more bits than"},
    {"{" ONE("a", "F4", "[3]", "0", "2") "}", 2, "do not fill whole bytes"},
    {"{" ONE("a", "F32", "[2]", "0", "4") "}", 4, "another number of bytes"},
    {"{" ONE("a", "F32", "[0]", "0", "4") "}", 4, "another number of bytes"},
    {"{" ONE("a", "F32", "[1]", "4", "0") "}", 4, "end before they begin"},
    /* the layout */
    {"{" ONE("a", "F32", "[1]", "4", "8") "}", 8, "tensor \"a\": its data begin behind a hole"},
    {"{" GOOD "," ONE("b", "F32", "[1]", "28", "32") "}", 32,
     "tensor \"b\": its data begin behind"},
    {"{" GOOD "," ONE("b", "F32", "[6]", "0", "24") "}", 24, "overlap"},
    {"{" GOOD "," ONE("b", "F32", "[1]", "20", "24") "}", 24, "overlap"},
    {"{" GOOD "}", 23, "the file ends before its last tensor"},
    {"{" GOOD "}", 25, "bytes behind the last tensor"},
    {"{}", 1, "bytes behind the last tensor"},
};

START_TEST(every_rule_has_its_file)
{
    const struct broken *b = &BROKEN[_i];
    struct problems p = {0};
    struct safetensors s;
    ck_assert_msg(!parse(&s, b->json, b->data, &p), "%s is accepted", b->json);
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], b->says) && strstr(p.text[0], "m.safetensors"), "%s: %s",
                  b->json, p.text[0]);
    problems_free(&p);
}
END_TEST

START_TEST(names_with_paths_are_names)
{
    struct problems p = {0};
    struct safetensors s;
    ck_assert(parse(&s, "{" ONE("../../etc/passwd", "F32", "[1]", "0", "4") "}", 4, &p));
    ck_assert(safetensors_find(&s, "../../etc/passwd"));
    safetensors_free(&s);
}
END_TEST

/* A file of these bytes; the message has `says`. */
static void refused(const void *bytes, size_t n, uint64_t file, const char *says)
{
    struct problems p = {0};
    struct safetensors s;
    ck_assert(!safetensors_parse(&s, bytes, n, file, "m.safetensors", &p));
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], says), "%s", p.text[0]);
    problems_free(&p);
}

START_TEST(lengths_that_lie)
{
    static const uint64_t length[] = {0,
                                      1,
                                      7,
                                      (uint64_t)1 << 32,
                                      100000001,
                                      99999999,
                                      (uint64_t)1 << 63,
                                      UINT64_MAX,
                                      UINT64_MAX - 7};
    unsigned char bytes[10] = {0};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        for (int k = 0; k < 8; k++) bytes[k] = (unsigned char)(length[i] >> 8 * k & 255);
        refused(bytes, sizeof bytes, sizeof bytes, "header");
    }
    for (size_t n = 0; n < 8; n++) refused(bytes, n, n, "fewer than the 8");
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n";
    refused(lfs, strlen(lfs), strlen(lfs), "git lfs pull");
    refused("PK\3\4\0\0\0\0\0\0", 10, 10, "header");
}
END_TEST

/* Each point at which a small file may be cut. */
START_TEST(every_truncation_is_refused)
{
    static const char json[] = "{\"__metadata__\":{\"format\":\"pt\"}," GOOD "}";
    unsigned char bytes[8 + sizeof json - 1 + 24] = {sizeof json - 1};
    memcpy(bytes + 8, json, sizeof json - 1);
    struct safetensors s;
    struct problems p = {0};
    for (size_t n = 0; n < sizeof bytes; n++) {
        ck_assert(!safetensors_parse(&s, bytes, n, n, "m", &p));
        problems_free(&p);
    }
    ck_assert(safetensors_parse(&s, bytes, sizeof bytes, sizeof bytes, "m", &p));
    safetensors_free(&s);
}
END_TEST

/* Many names of one range: no memory for what cannot be. */
START_TEST(many_entries_of_one_range)
{
    enum { N = 200000 };
    char *json = malloc(N * 80), *at = json;
    *at++ = '{';
    for (int i = 0; i < N; i++)
        at += sprintf(at, "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}",
                      i ? "," : "", i);
    strcpy(at, "}");
    struct problems p = {0};
    struct safetensors s;
    ck_assert(!parse(&s, json, 16, &p));
    ck_assert(strstr(p.text[0], "overlap"));
    problems_free(&p);
    free(json);
}
END_TEST

/* --- numbers --- */

/* From the definition: sign, exponent, fraction. */
static double half_value(unsigned h, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1,
        e = (int)(h >> fraction_bits) & ((1 << exponent_bits) - 1);
    double f = (double)(h & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
    double size = e ? ldexp(1 + f, e - bias) : ldexp(f, 1 - bias);
    if (e == (1 << exponent_bits) - 1) size = f > 0 ? NAN : INFINITY;
    return h >> 15 ? -size : size;
}

START_TEST(every_number_of_16_bits_and_back)
{
    enum st_dtype d = _i ? ST_BF16 : ST_F16;
    for (unsigned h = 0; h < 65536; h++) {
        uint16_t in = (uint16_t)h, back;
        float x;
        double must = half_value(h, _i ? 8 : 5, _i ? 7 : 10);
        st_to_float(&x, &in, d, 1);
        ck_assert(isnan(must) ? isnan(x) : !((double)x < must || (double)x > must));
        st_from_float(&back, &x, d, 1);
        ck_assert_msg(isnan(must) ? isnan(half_value(back, _i ? 8 : 5, _i ? 7 : 10)) : back == in,
                      "%s %04x comes back as %04x", st_name(d), in, back);
    }
}
END_TEST

static unsigned rounded(enum st_dtype d, float x)
{
    uint16_t out;
    st_from_float(&out, &x, d, 1);
    return out;
}

static float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Between two neighbours the nearer; in the middle the even one. */
START_TEST(rounding_is_to_the_nearest_even)
{
    enum st_dtype d = _i ? ST_BF16 : ST_F16;
    unsigned infinite = _i ? 0x7f80 : 0x7c00;
    for (unsigned h = 0; h + 1 < infinite; h++) {
        uint16_t two[2] = {(uint16_t)h, (uint16_t)(h + 1)};
        float x[2];
        st_to_float(x, two, d, 2);
        double middle = ((double)x[0] + (double)x[1]) / 2;
        float m = (float)middle;
        if ((double)m < middle || (double)m > middle) continue; /* below what a float has */
        ck_assert_uint_eq(rounded(d, m), h + (h & 1));
        ck_assert_uint_eq(rounded(d, nextafterf(m, 0)), h);
        ck_assert_uint_eq(rounded(d, nextafterf(m, INFINITY)), h + 1);
        ck_assert_uint_eq(rounded(d, -m), 0x8000 + h + (h & 1));
    }
    ck_assert_uint_eq(rounded(d, INFINITY), infinite);
    ck_assert_uint_eq(rounded(d, _i ? bits_float(0x7f7fffff) : 65520.0f), infinite);
    ck_assert_uint_eq(rounded(d, _i ? 0.0f : 65519.9f), _i ? 0u : 0x7bffu);
    ck_assert((rounded(d, bits_float(0x7fffffff)) & 0x7fff) > infinite);
    ck_assert((rounded(d, bits_float(0x7f800001)) & 0x7fff) > infinite);
}
END_TEST

/* --- writing --- */

START_TEST(what_is_written_is_read)
{
    struct safetensor t[] = {
        {"z", ST_F16, 1, {3}, 0, 0}, {"a", ST_F32, 2, {2, 2}, 0, 0}, {"b", ST_F16, 0, {0}, 0, 0}};
    size_t n;
    qsort(t, 3, sizeof *t, safetensor_file_order);
    ck_assert_str_eq(t[0].name, "a");
    ck_assert_str_eq(t[1].name, "b");
    char *header = safetensors_header(t, 3, &n);
    ck_assert_uint_eq(n % 8, 0);
    static const char must[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],"
        "\"data_offsets\":[0,16]},";
    ck_assert(memcmp(header + 8, must, sizeof must - 1) == 0);
    struct problems p = {0};
    struct safetensors s;
    ck_assert(safetensors_parse(&s, header, n, n + 24, "m", &p));
    ck_assert_uint_eq(safetensors_find(&s, "z")->begin, 18);
    ck_assert_uint_eq(s.data, n);
    safetensors_free(&s);
    free(header);
}
END_TEST

#define TESTS(X)                                                     \
    X(a_good_file_is_read)                                           \
    X(every_rule_has_its_file, .to = sizeof BROKEN / sizeof *BROKEN) \
    X(names_with_paths_are_names)                                    \
    X(lengths_that_lie)                                              \
    X(every_truncation_is_refused)                                   \
    X(many_entries_of_one_range)                                     \
    X(every_number_of_16_bits_and_back, .to = 2)                     \
    X(rounding_is_to_the_nearest_even, .to = 2)                      \
    X(what_is_written_is_read)

UNIT_MAIN("safetensors", .timeout_s = 30)
