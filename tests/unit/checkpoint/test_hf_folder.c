/* Slices of a Hugging Face folder: any range of any tensor is that part of the whole, and the whole
 * is what the file's bytes say. Runs from the root of the tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/pieces.h"
#include "trainer/checkpoint/hf/settings.h"

static const char *const FOLDERS[] = {"llama", "mistral", "qwen2", "qwen3", "qwen3moe", "yarn"};
enum { N_FOLDERS = sizeof FOLDERS / sizeof *FOLDERS, MOST = 1 << 14 };

static struct hf_folder folder;
static struct dims dims;

static void open_folder(int i)
{
    char path[64];
    struct settings s;
    struct problems p = {0};
    snprintf(path, sizeof path, "tests/golden/hf/%s", FOLDERS[i]);
    settings_defaults(&s);
    ck_assert(hf_settings_load(&s, path, "[{kind: eval}]", NULL, 0, &p));
    dims = settings_dims(&s, 0);
    ck_assert(hf_folder_open(&folder, path, &p) && hf_folder_check(&folder, &dims, &p));
    settings_free(&s);
}

static void read_range(float *out, const struct param *q, struct range at)
{
    struct problems p = {0};
    struct slice s = {.n = q->whole, .at = at, .data = out};
    snprintf(s.name, sizeof s.name, "model/%s", q->name);
    ck_assert(hf_folder_read(&folder, &dims, &s, 1, &p));
}

/* Element x of the slice is element of the whole. */
static void check_range(const float *whole, const struct param *q, struct range at)
{
    static float part[MOST];
    size_t n = range_count(&at), run = at.run ? at.run : n, stride = at.run ? at.stride : 0;
    for (size_t i = 0; i < n; i++) part[i] = -77;
    read_range(part, q, at);
    for (size_t i = 0; i < n; i++) {
        float must = whole[at.lo + i / run * stride + i % run];
        ck_assert_msg(memcmp(&part[i], &must, sizeof must) == 0, "%s: element %zu of [%zu, %zu)",
                      q->name, i, at.lo, at.hi);
    }
}

START_TEST(any_range_is_part_of_the_whole)
{
    static float whole[MOST];
    struct hf_model m;
    open_folder(_i);
    hf_model_make(&m, &dims);
    for (int i = 0; i < m.list.n; i++) {
        const struct param *q = &m.list.p[i];
        if (q->tied_copy) continue;
        ck_assert_uint_le(q->whole, MOST);
        read_range(whole, q, (struct range){.hi = q->whole});
        size_t n = q->whole, cols = (size_t)q->cols;
        check_range(whole, q, (struct range){.lo = n / 3, .hi = n / 3 + 1});
        check_range(whole, q, (struct range){.lo = 1, .hi = n - 1});
        check_range(whole, q, (struct range){.lo = n / 2 - 1, .hi = n});
        if (q->rows < 2) continue;
        size_t from = cols / 2, last = (size_t)(q->rows - 1) * cols;
        check_range(whole, q, (struct range){from, last + cols, cols - from, cols});
        check_range(whole, q, (struct range){cols + 1, last + 3, 2, cols});
    }
    hf_model_free(&m);
    hf_folder_close(&folder);
}
END_TEST

/* The key's rows lie behind those of all query heads. */
START_TEST(the_whole_is_what_the_files_say)
{
    static float whole[MOST];
    struct hf_model m;
    open_folder(_i);
    hf_model_make(&m, &dims);
    const struct param *q = hf_model_find(&m, "layers.1.wqkv");
    const struct hf_file *in = NULL;
    const struct safetensor *t =
        hf_folder_find(&folder, "model.layers.1.self_attn.k_proj.weight", &in);
    ck_assert(q && t);
    read_range(whole, q, (struct range){.hi = q->whole});
    size_t n = (size_t)safetensor_count(t), from = (size_t)(dims.Hq * dims.D * dims.C);
    float must[MOST];
    char bytes[MOST * 4];
    FILE *f = fopen(in->path, "rb");
    ck_assert(f && fseek(f, (long)(in->st.data + t->begin), SEEK_SET) == 0);
    ck_assert_uint_eq(fread(bytes, 1, t->end - t->begin, f), t->end - t->begin);
    fclose(f);
    st_to_float(must, bytes, t->dtype, n);
    ck_assert(memcmp(must, whole + from, n * sizeof *must) == 0);
    hf_model_free(&m);
    hf_folder_close(&folder);
}
END_TEST

#define TESTS(X)                                       \
    X(any_range_is_part_of_the_whole, .to = N_FOLDERS) \
    X(the_whole_is_what_the_files_say, .to = N_FOLDERS)

UNIT_MAIN("hf_folder", .timeout_s = 30)
