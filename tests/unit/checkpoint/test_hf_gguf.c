/* A GGUF file in the place of a Hugging Face folder: its settings, its tensors held against the
 * model, slices read from it (tests/golden/tiny_llama.gguf: every number says where it belongs). */
#include <stdlib.h>
#include <string.h>
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/pieces.h"
#include "trainer/checkpoint/hf/settings.h"
#include "tests/support/check_unit.h"

static const char file[] = "tests/golden/tiny_llama.gguf";

/* In the order of tests/oracle/gguf_files.py. */
static int number_of(const char *name)
{
    static const char *const names[] = {"embed_tokens.weight",
                                        "model.norm.weight",
                                        "input_layernorm.weight",
                                        "post_attention_layernorm.weight",
                                        "q_proj.weight",
                                        "k_proj.weight",
                                        "v_proj.weight",
                                        "q_proj.bias",
                                        "k_proj.bias",
                                        "v_proj.bias",
                                        "o_proj.bias",
                                        "o_proj.weight",
                                        "gate_proj.weight",
                                        "up_proj.weight",
                                        "down_proj.weight"};
    for (int i = 0; i < 15; i++) {
        size_t n = strlen(name), k = strlen(names[i]);
        if (n >= k && strcmp(name + n - k, names[i]) == 0) return i;
    }
    ck_abort_msg("%s", name);
}

static void open_model(struct hf_folder *f, struct settings *s, struct dims *d)
{
    struct problems p = {0};
    settings_defaults(s);
    bool ok = hf_settings_load(s, file, "[{kind: eval}]", NULL, 0, &p);
    ck_assert_msg(ok, "%s", p.n ? p.text[0] : "");
    ck_assert_msg(hf_folder_open(f, file, &p), "%s", p.n ? p.text[0] : "");
    *d = settings_dims(s, 262);
    ck_assert_msg(hf_folder_check(f, d, &p), "%s", p.n ? p.text[0] : "");
}

START_TEST(sizes_are_the_files)
{
    struct hf_folder f;
    struct settings s;
    struct dims d;
    open_model(&f, &s, &d);
    ck_assert(d.V == 262 && d.L == 1 && d.C == 8 && d.F == 32 && d.Hq == 4 && d.Hkv == 2);
    ck_assert(d.D == 4 && d.qkv_bias && d.o_bias && !d.mlp_bias && d.tied);
    ck_assert_str_eq(s.model.tokenizer, file);
    ck_assert_str_eq(s.data.template, "model"); /* the file has one */
    ck_assert_ptr_nonnull(strstr(s.files.tokenizer_config, "{{ messages }}"));
    hf_folder_close(&f);
    settings_free(&s);
}
END_TEST

static float *read_slice(const struct hf_folder *f, const struct dims *d, const struct param *q,
                         struct range at)
{
    struct problems p = {0};
    struct slice slice = {.n = q->whole, .at = at};
    slice.data = calloc(q->whole, sizeof *slice.data);
    snprintf(slice.name, sizeof slice.name, "model/%s", q->name);
    ck_assert_msg(hf_folder_read(f, d, &slice, 1, &p), "%s", p.n ? p.text[0] : "");
    return slice.data;
}

static void check_tensor(const struct hf_folder *f, const struct hf_model *m, const struct param *q)
{
    float *whole = read_slice(f, &m->dims, q, (struct range){.hi = q->whole});
    struct hf_piece piece;
    size_t lo = 0;
    for (int k = 0; hf_piece_of(&piece, q, &m->dims, k, lo); k++, lo += piece.n)
        for (size_t i = 0; i < piece.n; i++)
            ck_assert_msg(whole[lo + i] == (float)(1000 * number_of(piece.name)) + (float)i,
                          "%s[%zu]: %g", piece.name, i, (double)whole[lo + i]);
    ck_assert_uint_eq(lo, q->whole);
    if (q->whole >= 16) { /* columns 2, 3, 4 of every 8: what a rank of tp holds of some */
        struct range at = {.lo = 2, .hi = q->whole - 3, .run = 3, .stride = 8};
        float *part = read_slice(f, &m->dims, q, at);
        for (size_t i = 0; i < q->whole / 8 * 3; i++)
            ck_assert(part[i] == whole[i / 3 * 8 + 2 + i % 3]);
        free(part);
    }
    free(whole);
}

START_TEST(every_slice_is_right)
{
    struct hf_folder f;
    struct settings s;
    struct dims d;
    struct hf_model m;
    open_model(&f, &s, &d);
    hf_model_make(&m, &d);
    for (int i = 0; i < m.list.n; i++)
        if (!m.list.p[i].tied_copy) check_tensor(&f, &m, &m.list.p[i]);
    hf_model_free(&m);
    hf_folder_close(&f);
    settings_free(&s);
}
END_TEST

#define TESTS(X)           \
    X(sizes_are_the_files) \
    X(every_slice_is_right)
UNIT_MAIN("a GGUF file as a folder of weights")
