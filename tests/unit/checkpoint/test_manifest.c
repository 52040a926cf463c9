/* The manifest reads back what was written, knows every flipped bit and every cut, and refuses what
 * does not fit. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "comm/base/problems.h"
#include "trainer/checkpoint/manifest.h"
#include "tests/support/check_unit.h"
#include "tests/support/layout_case.h"

/* Two ranks: a tensor cut in two, one that rank 1 holds in two pieces, a copy on both, an empty
 * slice. */
static const struct slice SLICES[] = {
    {"model/a", 10, {0, 4, 0, 0}, NULL, NULL, {2, 5}, false},
    {"adam_m/b", 9, {3, 6, 0, 0}, NULL, NULL, {0}, false},
    {"copy", 2, {0, 2, 0, 0}, NULL, NULL, {0}, false},
    {"model/a", 10, {10, 10, 0, 0}, NULL, NULL, {0}, false},
    {"model/a", 10, {4, 10, 0, 0}, NULL, NULL, {2, 5}, false},
    {"adam_m/b", 9, {6, 9, 0, 0}, NULL, NULL, {0}, false},
    {"adam_m/b", 9, {0, 3, 0, 0}, NULL, NULL, {0}, false},
    {"copy", 2, {0, 2, 0, 0}, NULL, NULL, {0}, false},
};
static const int COUNT[] = {4, 4};

static char *sample_text(size_t *n)
{
    struct manifest m;
    layout_make(&m, SLICES, COUNT, 2);
    m.step = 12;
    m.shard[0] = (struct file_sum){100, 0x0123456789abcdef};
    m.shard[1] = (struct file_sum){200, UINT64_MAX};
    m.has_recipe = true;
    m.recipe = (struct file_sum){5, 7};
    m.state = json_pack("{s:i, s:f, s:s}", "tokens", 77, "third", 1.0 / 3, "phase", "gr\"po");
    char *text = manifest_text(&m, n);
    ck_assert_ptr_nonnull(text);
    manifest_free(&m);
    return text;
}

static bool parses(const char *bytes, size_t n)
{
    struct manifest m;
    struct problems p = {0};
    char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read beyond the end */
    memcpy(exact, bytes, n);
    const bool ok = manifest_parse(&m, exact, n, "m.json", &p);
    ck_assert_int_eq(ok, p.n == 0);
    if (ok) manifest_free(&m);
    problems_free(&p);
    free(exact);
    return ok;
}

START_TEST(reads_back)
{
    size_t n;
    char *text = sample_text(&n);
    struct manifest m;
    struct problems p = {0};
    ck_assert_msg(manifest_parse(&m, text, n, "m.json", &p), "%s", p.n ? p.text[0] : "");
    ck_assert_int_eq(m.step, 12);
    ck_assert_int_eq(m.shards, 2);
    ck_assert_uint_eq(m.shard[0].bytes, 100);
    ck_assert_uint_eq(m.shard[0].xxh64, 0x0123456789abcdef);
    ck_assert_uint_eq(m.shard[1].xxh64, UINT64_MAX);
    ck_assert(m.has_recipe && !m.has_tokenizer && !m.keep_forever);
    ck_assert_uint_eq(m.recipe.xxh64, 7);
    ck_assert_double_eq(json_real_value(json_object_get(m.state, "third")), 1.0 / 3);
    ck_assert_str_eq(json_string_value(json_object_get(m.state, "phase")), "gr\"po");

    ck_assert_uint_eq(m.tensors, 3);
    const struct manifest_tensor *b = manifest_find(&m, "adam_m/b");
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->n, 9);
    ck_assert_uint_eq(b->slices, 3);
    const struct manifest_slice want[] = {
        {0, false, {3, 6, 0, 0}}, {1, false, {0, 3, 0, 0}}, {1, true, {6, 9, 0, 0}}};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(b->slice[i].shard, want[i].shard);
        ck_assert_int_eq(b->slice[i].again, want[i].again);
        ck_assert_uint_eq(b->slice[i].at.lo, want[i].at.lo);
        ck_assert_uint_eq(b->slice[i].at.hi, want[i].at.hi);
    }
    const struct manifest_tensor *a = manifest_find(&m, "model/a");
    ck_assert_uint_eq(a->slices, 2);
    ck_assert(a->shape[0] == 2 && a->shape[1] == 5 && a->shape[2] == 0);
    ck_assert_int_eq(b->shape[0], 0); /* none was recorded */
    ck_assert_uint_eq(manifest_find(&m, "copy")->slices, 2);
    ck_assert_ptr_null(manifest_find(&m, "model/b"));
    manifest_free(&m);
    free(text);
}
END_TEST

/* JSON as a whole: other programs read it. */
START_TEST(is_json)
{
    size_t n;
    char *text = sample_text(&n);
    json_t *root = json_loadb(text, n, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(root, "format")), "duet-checkpoint");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "shards")), 2);
    char hex[17];
    const char *body = strchr(text, '\n') + 1;
    snprintf(hex, sizeof hex, "%016" PRIx64, (uint64_t)XXH64(body, n - (size_t)(body - text), 0));
    ck_assert_str_eq(json_string_value(json_object_get(root, "xxh64")), hex);
    json_decref(root);
    free(text);
}
END_TEST

START_TEST(every_bit_every_cut)
{
    size_t n;
    char *text = sample_text(&n);
    ck_assert(parses(text, n));
    for (size_t bit = 0; bit < 8 * n; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        ck_assert_msg(!parses(text, n), "bit %zu flipped: not seen", bit);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < n; cut++)
        ck_assert_msg(!parses(text, cut), "cut at %zu: not seen", cut);
    char *longer = malloc(n + 1);
    memcpy(longer, text, n);
    longer[n] = ' ';
    ck_assert(!parses(longer, n + 1));
    free(longer);
    free(text);
}
END_TEST

/* Bodies with the right checksum that still must not pass, and what the message has to say. */
#define BODY(shards, tensors)                                                                 \
    "\"format\": \"duet-checkpoint\", \"version\": 1, \"step\": 1, \"keep_forever\": false, " \
    "\"shards\": " shards ", \"files\": {}, \"tensors\": " tensors ", \"state\": {}}"
#define SHARD \
    "[{\"file\": \"shard-0000-of-0001.h5\", \"bytes\": 1, \"xxh64\": \"0000000000000000\"}]"
static const struct {
    const char *body, *says; /* says NULL: must pass */
} BODIES[] = {
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2]]}}"), NULL},
    {BODY(SHARD, "{}"), NULL},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [1, 3, 2], \"slices\": [[0, 0, 6]]}}"), NULL},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [6], \"slices\": [[0, 0, 6]]}}"), NULL},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [5], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [3, 3], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": 6, \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [-2, -3], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [6, 0], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [1, 1, 2, 3], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"shape\": [4294967297, 6], \"slices\": [[0, 0, 6]]}}"),
     "its shape does not have"},
    {"", "not JSON"},
    {"}", "not JSON"},
    {"\"format\": \"duet-checkpoint\"}", "version"},
    {"\"format\": \"duet-checkpoint\", \"version\": 2, \"step\": 1, \"keep_forever\": false, "
     "\"shards\": [], \"files\": {}, "
     "\"tensors\": {}, \"state\": {}}",
     "version 2"},
    {BODY("[]", "{}"), "shards"},
    {BODY("{}", "{}"), "shards"},
    {BODY("[1]", "{}"), "shard-0000-of-0001.h5"},
    {BODY("[{\"file\": \"../../etc/passwd\", \"bytes\": 1, \"xxh64\": \"0000000000000000\"}]",
          "{}"),
     "shard-0000-of-0001.h5"},
    {BODY("[{\"file\": \"shard-0000-of-0001.h5\", \"bytes\": -1, \"xxh64\": \"0000000000000000\"}]",
          "{}"),
     "bytes"},
    {BODY("[{\"file\": \"shard-0000-of-0001.h5\", \"bytes\": 1, \"xxh64\": \"00000000000000G0\"}]",
          "{}"),
     "xxh64"},
    {BODY(SHARD, "[]"), "tensors"},
    {BODY(SHARD, "{\"t\": 1}"), "t: "},
    {BODY(SHARD, "{} {}"), "behind"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2]]}} 7"), "behind"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2]]},}"), "string is missing"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2], ]}}"), "[shard, lo, hi]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2.0, \"slices\": [[0, 0, 2]]}}"), "whole number"},
    {BODY(SHARD, "{\"t\": {\"n\": 2}}"), "lacks"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"n\": 2, \"slices\": [[0, 0, 2]]}}"), "duplicate"},
    {BODY(SHARD, "{\"t\": {\"slices\": [[0, 0, 2]], \"more\": [{\"n\": 7}], \"n\": 2}}"), NULL},
    {BODY(SHARD, "{}, \"tensors\": {}"), "not JSON"},
    {BODY(SHARD, "{}, \"more\": {\"tensors\": 1}"), NULL},
    {"\"more\": [\"tensors\", {\"tensors\": 1}, \":\"], " BODY(SHARD, "{}"), NULL},
    {BODY(SHARD, "{\"\": {\"n\": 2, \"slices\": [[0, 0, 2]]}}"), "characters"},
    {BODY(SHARD, "{\"t\": {\"n\": 0, \"slices\": []}}"), "number of elements 0"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": []}}"), "element 0"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": 7}}"), "element 0"},
    {BODY(SHARD, "{\"t\": {\"n\": 3, \"slices\": [[0, 0, 1], [0, 2, 3]]}}"), "element 1"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 3]]}}"), "[0, 0, 3]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[1, 0, 2]]}}"), "[1, 0, 2]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[-1, 0, 2]]}}"), "[-1, 0, 2]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[4294967296, 0, 2]]}}"), "[4294967296, 0, 2]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 1, 1]]}}"), "[0, 1, 1]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0]]}}"), "[shard, lo, hi]"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, 3], [0, 1, 6, 2, 3]]}}"), NULL},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, 3], [0, 1, 3], [0, 4, 6]]}}"), NULL},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, 3]]}}"),
     "each of the 6 elements exactly once"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 5, 2, 3], [0, 1, 5, 1, 3]]}}"),
     "each of the 6 elements exactly once"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, 3, 7]]}}"), "[shard, lo, hi]"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 0, 3]]}}"), "[0, 0, 4, ...]"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, -3]]}}"), "[0, 0, 4, ...]"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 0, 4, 1, 4]]}}"), "[0, 0, 4, ...]"},
    {BODY(SHARD, "{\"t\": {\"n\": 6, \"slices\": [[0, 2, 4, 2, 3]]}}"), "[0, 2, 4, ...]"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 1, 2], [0, 0, 1]]}}"), "order"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2], [0, 0, 2]]}}"), "order"},
    {BODY(SHARD, "{\"t\": {\"n\": 9223372036854775807, \"slices\": [[0, 0, 2]]}}"),
     "9223372036854775807"},
    {BODY(SHARD, "{\"t\": {\"n\": 2, \"slices\": [[0, 0, 2]]}, \"t\": {\"n\": 2, \"slices\": [[0, "
                 "0, 2]]}}"),
     "duplicate"},
};

START_TEST(hostile_bodies)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"xxh64\": \"%016" PRIx64 "\",\n%s",
             (uint64_t)XXH64(BODIES[_i].body, strlen(BODIES[_i].body), 0), BODIES[_i].body);
    struct manifest m;
    struct problems p = {0};
    const bool ok = manifest_parse(&m, text, strlen(text), "m.json", &p);
    if (!BODIES[_i].says) {
        ck_assert_msg(ok, "%s", p.n ? p.text[0] : "");
        manifest_free(&m);
        return;
    }
    ck_assert(!ok);
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], BODIES[_i].says), "%s", p.text[0]);
    ck_assert_msg(strncmp(p.text[0], "m.json:", 7) == 0, "%s", p.text[0]);
    ck_assert_msg(strstr(p.text[0], "use another checkpoint"), "%s", p.text[0]);
    problems_free(&p);
}
END_TEST

/* Deep nesting must not end the stack. */
START_TEST(deep)
{
    enum { DEEP = 200000, HEAD = 30 };
    char *text = malloc(HEAD + DEEP);
    struct manifest m;
    struct problems p = {0};
    memset(text + HEAD, '[', DEEP);
    snprintf(text, HEAD + 1, "{\"xxh64\": \"%016" PRIx64 "\",\n",
             (uint64_t)XXH64(text + HEAD, DEEP, 0));
    text[HEAD] = '[';
    ck_assert(!manifest_parse(&m, text, HEAD + DEEP, "m.json", &p));
    ck_assert_msg(strstr(p.text[0], "not JSON"), "%s", p.text[0]);
    problems_free(&p);
    free(text);
}
END_TEST

static void layout(const struct slice *s, int n)
{
    struct manifest m;
    layout_make(&m, s, &n, 1);
}

START_TEST(layout_gap)
{
    layout((struct slice[]){{"a", 3, {0, 1, 0, 0}, NULL, NULL, {0}, false},
                            {"a", 3, {2, 3, 0, 0}, NULL, NULL, {0}, false}},
           2);
}
END_TEST
START_TEST(layout_twice)
{
    layout((struct slice[]){{"a", 3, {0, 3, 0, 0}, NULL, NULL, {0}, false},
                            {"a", 3, {0, 3, 0, 0}, NULL, NULL, {0}, false}},
           2);
}
END_TEST
START_TEST(layout_lengths)
{
    layout((struct slice[]){{"a", 3, {0, 3, 0, 0}, NULL, NULL, {0}, false},
                            {"a", 4, {1, 4, 0, 0}, NULL, NULL, {0}, false}},
           2);
}
END_TEST
START_TEST(layout_name)
{
    layout((struct slice[]){{"/a", 3, {0, 3, 0, 0}, NULL, NULL, {0}, false}}, 1);
}
END_TEST

#define TESTS(X)                                            \
    X(reads_back)                                           \
    X(is_json)                                              \
    X(every_bit_every_cut)                                  \
    X(hostile_bodies, .to = sizeof BODIES / sizeof *BODIES) \
    X(deep)                                                 \
    X(layout_gap, .exit = EXIT_BUG)                         \
    X(layout_twice, .exit = EXIT_BUG)                       \
    X(layout_lengths, .exit = EXIT_BUG)                     \
    X(layout_name, .exit = EXIT_BUG)

UNIT_MAIN("manifest", .timeout_s = 30)
