/* The parameter table: layout, the split over chunks, sizes of known models, initial values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/params.h"
#include "tests/support/check_unit.h"
#include "tests/support/dims_row.h"

static const struct dims TINY =
    DIMS(50, 5, 24, 40, 4, 2, 6, .max_context = 64, .rope_theta = 1e4f, .norm_eps = 1e-5f,
         .init_std = 0.02f, .qkv_bias = true, .o_bias = true, .mlp_bias = true, .qk_norm = true,
         .tied = true);

START_TEST(layout_is_aligned_and_dense)
{
    struct param_list l;
    param_list_make(&l, &TINY, chunk_span_of(&TINY, 1, 0));
    ck_assert_int_eq(l.n, 5 * 12 + 3);
    ck_assert_str_eq(l.p[0].name, "embed");
    ck_assert_str_eq(l.p[1].name, "layers.0.norm1");
    ck_assert_str_eq(l.p[l.n - 2].name, "norm_f");
    ck_assert_str_eq(l.p[l.n - 1].name, "head");
    size_t end = 0;
    for (int i = 0; i < l.n; i++) {
        ck_assert_uint_eq(l.p[i].offset * 4 % 64, 0);
        ck_assert_uint_ge(l.p[i].offset, end);
        ck_assert_uint_lt(l.p[i].offset - end, 16);
        ck_assert_uint_eq(l.p[i].n, (size_t)l.p[i].rows * (size_t)l.p[i].cols);
        end = l.p[i].offset + l.p[i].n;
    }
    ck_assert_uint_ge(l.total, end);
    const struct param *p = param_find(&l, "layers.3.wqkv");
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p->rows, (4 + 2 * 2) * 6);
    ck_assert_int_eq(p->cols, 24);
    ck_assert_int_eq(p->role, ROLE_MATRIX);
    ck_assert_ptr_null(param_find(&l, "layers.5.wqkv"));
    param_list_free(&l);
}
END_TEST

static void hf_is(const struct param_list *l, const char *tensor, const char *const *names, int n)
{
    char name[96];
    const struct param *p = param_find(l, tensor);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < n; i++) {
        ck_assert_msg(param_hf_name(p, i, name, sizeof name), "%s: %d names", tensor, i);
        ck_assert_str_eq(name, names[i]);
    }
    ck_assert_msg(!param_hf_name(p, n, name, sizeof name), "%s: one more, %s", tensor, name);
}
#define HF_IS(l, tensor, ...)                            \
    hf_is(l, tensor, (const char *const[]){__VA_ARGS__}, \
          (int)(sizeof(const char *[]){__VA_ARGS__} / sizeof(char *)))

/* As in the folders of Llama, Qwen2.5, Qwen3 and Qwen3-MoE. */
START_TEST(names_of_hugging_face)
{
    struct dims d = TINY;
    struct param_list l;
    d.E = 4;
    d.Fe = 8;
    d.first_dense = 1;
    d.ep = 2, d.e = 1; /* names are those of the whole model */
    param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
    HF_IS(&l, "embed", "model.embed_tokens.weight");
    HF_IS(&l, "norm_f", "model.norm.weight");
    HF_IS(&l, "head", "lm_head.weight");
    HF_IS(&l, "layers.3.wqkv", "model.layers.3.self_attn.q_proj.weight",
          "model.layers.3.self_attn.k_proj.weight", "model.layers.3.self_attn.v_proj.weight");
    HF_IS(&l, "layers.3.bqkv", "model.layers.3.self_attn.q_proj.bias",
          "model.layers.3.self_attn.k_proj.bias", "model.layers.3.self_attn.v_proj.bias");
    HF_IS(&l, "layers.3.bo", "model.layers.3.self_attn.o_proj.bias");
    HF_IS(&l, "layers.0.bgu", "model.layers.0.mlp.gate_proj.bias",
          "model.layers.0.mlp.up_proj.bias");
    HF_IS(&l, "layers.0.bdown", "model.layers.0.mlp.down_proj.bias");
    HF_IS(&l, "layers.0.wgu", "model.layers.0.mlp.gate_proj.weight",
          "model.layers.0.mlp.up_proj.weight");
    HF_IS(&l, "layers.0.wdown", "model.layers.0.mlp.down_proj.weight");
    HF_IS(&l, "layers.4.router", "model.layers.4.mlp.gate.weight");
    HF_IS(&l, "layers.4.experts_wdown", "model.layers.4.mlp.experts.0.down_proj.weight",
          "model.layers.4.mlp.experts.1.down_proj.weight",
          "model.layers.4.mlp.experts.2.down_proj.weight",
          "model.layers.4.mlp.experts.3.down_proj.weight");
    const struct param *p = param_find(&l, "layers.4.experts_wgu");
    char name[96];
    ck_assert(param_hf_name(p, 7, name, sizeof name) && !param_hf_name(p, 8, name, sizeof name));
    ck_assert(param_hf_name(p, 7, name, sizeof name));
    ck_assert_str_eq(name, "model.layers.4.mlp.experts.3.up_proj.weight");
    param_list_free(&l);
}
END_TEST

/* Every tensor says where it belongs; of those of a layer one of each half is added to the stream.
 */
START_TEST(tensors_know_their_layer)
{
    struct param_list l;
    struct chunk_span span = chunk_span_of(&TINY, 2, 1);
    int adds[5] = {0};
    param_list_make(&l, &TINY, span);
    for (int i = 0; i < l.n; i++) {
        const struct param *p = &l.p[i];
        int layer = i / 12 < span.count ? span.first + i / 12 : TINY.L;
        ck_assert_int_eq(p->layer, layer);
        ck_assert_int_eq(p->within, layer < TINY.L);
        if (p->adds) adds[layer]++;
    }
    for (int layer = span.first; layer < TINY.L; layer++) ck_assert_int_eq(adds[layer], 2);
    param_list_free(&l);
    param_list_make(&l, &TINY, chunk_span_of(&TINY, 2, 0));
    ck_assert_int_eq(l.p[0].layer, -1);
    ck_assert(!l.p[0].within);
    param_list_free(&l);
}
END_TEST

START_TEST(absent_tensors_are_absent)
{
    struct dims d = TINY;
    struct param_list l;
    d.qkv_bias = d.o_bias = d.mlp_bias = d.qk_norm = false;
    param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
    ck_assert_int_eq(l.n, 5 * 6 + 3);
    ck_assert_ptr_null(param_find(&l, "layers.0.bqkv"));
    ck_assert_ptr_null(param_find(&l, "layers.0.q_norm"));
    ck_assert_ptr_null(param_find(&l, "layers.0.bo"));
    ck_assert_ptr_null(param_find(&l, "layers.0.bgu"));
    param_list_free(&l);
}
END_TEST

static double std_of(const struct dims *d, const struct param *p, uint64_t seed)
{
    double sum = 0, squares = 0, n = (double)p->n;
    for (size_t i = 0; i < p->n; i++) {
        double x = param_init(d, p, i, seed);
        sum += x;
        squares += x * x;
    }
    ck_assert_double_lt(fabs(sum / n), 4 * d->init_std / sqrt(n));
    return sqrt(squares / n);
}

START_TEST(layers_with_experts)
{
    struct dims d = TINY;
    struct param_list l;
    d.E = 7;
    d.Fe = 12;
    d.first_dense = 2;
    param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
    ck_assert_int_eq(l.n, 5 * 8 + 2 * 4 + 3 * 3 + 3);
    ck_assert_ptr_nonnull(param_find(&l, "layers.1.wgu"));
    ck_assert_ptr_null(param_find(&l, "layers.2.wgu"));
    ck_assert_ptr_null(param_find(&l, "layers.1.router"));
    const struct param *gu = param_find(&l, "layers.2.experts_wgu");
    const struct param *down = param_find(&l, "layers.2.experts_wdown");
    ck_assert_int_eq(gu->role, ROLE_EXPERT);
    ck_assert_uint_eq(gu->n, 7 * 2 * 12 * 24);
    ck_assert_uint_eq(down->n, 7 * 24 * 12);
    ck_assert_double_eq_tol(std_of(&d, gu, 1) / 0.02, 1, 0.04);
    ck_assert_double_eq_tol(std_of(&d, down, 1) / (0.02 / sqrt(10)), 1, 0.06);
    param_list_free(&l);
}
END_TEST

/* Every element of stacked experts is in one rank's share, everything else in all. */
START_TEST(shares_partition_the_experts)
{
    struct dims d = TINY;
    struct param_list whole, share;
    d.E = 6;
    d.Fe = 4;
    param_list_make(&whole, &d, chunk_span_of(&d, 1, 0));
    int *seen = calloc(whole.total, sizeof *seen), wrong = 0;
    for (d.ep = 3, d.e = 0; d.e < d.ep; d.e++) {
        param_list_make(&share, &d, chunk_span_of(&d, 1, 0));
        ck_assert_int_eq(share.n, whole.n);
        for (int i = 0; i < share.n; i++)
            for (size_t k = 0; k < share.p[i].n; k++) {
                size_t at = param_index(&share.p[i], k);
                wrong += at >= whole.p[i].n;
                if (at < whole.p[i].n) seen[whole.p[i].offset + at]++;
                if (k % 25 == 0)
                    wrong +=
                        param_init(&d, &share.p[i], k, 3) != param_init(&d, &whole.p[i], at, 3);
            }
        param_list_free(&share);
    }
    d.e = 0;
    ck_assert_uint_eq(params_count(&d), params_count(&(struct dims)DIMS(
                                            d.V, d.L, d.C, 0, d.Hq, d.Hkv, d.D, .E = d.E,
                                            .Fe = d.Fe, .qkv_bias = d.qkv_bias, .o_bias = d.o_bias,
                                            .qk_norm = d.qk_norm, .tied = d.tied)));
    for (int i = 0; i < whole.n; i++)
        for (size_t k = 0; k < whole.p[i].n; k++)
            wrong += seen[whole.p[i].offset + k] != (whole.p[i].role == ROLE_EXPERT ? 1 : 3);
    ck_assert_int_eq(wrong, 0); /* one assertion: Check writes a message for each */
    free(seen);
    param_list_free(&whole);
}
END_TEST

/* (n), (rows, cols), (experts, rows of one, cols): the shape has as many elements as the tensor,
 * whatever the share. */
START_TEST(shapes_are_of_the_whole)
{
    struct dims d = TINY;
    d.E = 6, d.Fe = 4, d.first_dense = 1, d.qk_norm = true, d.tp = 2, d.t = 1, d.ep = 3, d.e = 2;
    struct param_list l;
    param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
    for (int i = 0; i < l.n; i++) {
        const struct param *p = &l.p[i];
        const int *s = p->shape;
        size_t n = (size_t)s[0] * (size_t)(s[1] ? s[1] : 1) * (size_t)(s[2] ? s[2] : 1);
        ck_assert_msg(n == p->whole, "%s: %d %d %d of %zu", p->name, s[0], s[1], s[2], p->whole);
    }
    const int *experts = param_find(&l, "layers.1.experts_wdown")->shape,
              *wo = param_find(&l, "layers.0.wo")->shape,
              *norm = param_find(&l, "layers.0.norm1")->shape;
    ck_assert(experts[0] == 6 && experts[1] == d.C && experts[2] == 4);
    ck_assert(wo[0] == d.C && wo[1] == d.Hq * d.D && wo[2] == 0);
    ck_assert(norm[0] == d.C && norm[1] == 0);
    param_list_free(&l);
}
END_TEST

static size_t elements_in(const struct param_list *l, enum param_region r)
{
    size_t n = 0;
    for (int i = 0; i < l->n; i++)
        if (l->p[i].region == r) n += (l->p[i].n + 15) / 16 * 16;
    return n;
}

/* Regions follow each other without a gap. What tp cuts, even unevenly, stands in the first alone:
 * the others are as long, and lie alike, on every rank of tp. */
START_TEST(regions_hold_what_ranks_hold_alike)
{
    struct dims d = TINY;
    size_t whole_first = 0, length[REGIONS] = {0};
    d.E = 6, d.Fe = 4, d.first_dense = 1, d.qk_norm = true;
    for (d.tp = 1; d.tp <= 2; d.tp++)
        for (d.t = 0; d.t < d.tp; d.t++) {
            struct param_list l;
            size_t at = 0;
            param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
            for (int r = 0; r < REGIONS; at = l.end[r++]) {
                size_t n = l.end[r] - at;
                ck_assert_uint_eq(n, elements_in(&l, (enum param_region)r));
                ck_assert((n > 0) == (r != REGION_WHOLE || d.tp > 1));
                if (r != REGION_SHARES && d.t > 0) ck_assert_uint_eq(n, length[r]);
                length[r] = n;
            }
            ck_assert_uint_eq(at, l.total);
            const struct param *gain = param_find(&l, "layers.1.norm2");
            const struct param *router = param_find(&l, "layers.1.router");
            const struct param *cut = param_find(&l, "layers.1.wo");
            ck_assert_int_eq(gain->region, d.tp > 1 ? REGION_WHOLE : REGION_SHARES);
            ck_assert_int_eq(router->region, d.tp > 1 ? REGION_WHOLE : REGION_SHARES);
            ck_assert_int_eq(cut->region, REGION_SHARES);
            size_t within = gain->offset - l.end[REGION_SHARES];
            if (d.t > 0) ck_assert_uint_eq(within, whole_first);
            whole_first = within;
            param_list_free(&l);
        }
}
END_TEST

START_TEST(chunks_partition_the_layers)
{
    struct dims d = TINY;
    for (d.L = 1; d.L <= 13; d.L++) {
        for (int stages = 1; stages <= 16; stages++) {
            int next = 0, before = d.L;
            for (int c = 0; c < stages; c++) {
                struct chunk_span s = chunk_span_of(&d, stages, c);
                ck_assert_int_eq(s.first, next);
                ck_assert_int_le(s.count, before);
                ck_assert(s.count == d.L / stages || s.count == d.L / stages + 1);
                ck_assert_int_eq(s.embed, c == 0);
                ck_assert_int_eq(s.head, c == stages - 1);
                next += s.count;
                before = s.count;
            }
            ck_assert_int_eq(next, d.L);
        }
    }
}
END_TEST

/* Every tensor of the whole is in just one chunk, with the same initial values there. */
START_TEST(initial_values_do_not_depend_on_the_split)
{
    struct param_list whole, part;
    param_list_make(&whole, &TINY, chunk_span_of(&TINY, 1, 0));
    for (int stages = 2; stages <= 4; stages++) {
        int seen = 0;
        for (int c = 0; c < stages; c++) {
            param_list_make(&part, &TINY, chunk_span_of(&TINY, stages, c));
            seen += part.n;
            for (int i = 0; i < part.n; i++) {
                const struct param *p = param_find(&whole, part.p[i].name);
                ck_assert_ptr_nonnull(p);
                ck_assert_uint_eq(p->n, part.p[i].n);
                for (size_t e = 0; e < p->n; e += 7)
                    ck_assert(param_init(&TINY, p, e, 3) == param_init(&TINY, &part.p[i], e, 3));
            }
            param_list_free(&part);
        }
        ck_assert_int_eq(seen, whole.n);
    }
    param_list_free(&whole);
}
END_TEST

/* --- shares of tensor parallelism --- */

/* Element by element: each of the whole is in one rank's share (or in all, where nothing is cut),
 * with its value. */
static void check_shares(const struct param_list *whole, const struct param_list *share, int tp,
                         int at)
{
    const struct param *w = &whole->p[at];
    bool all = w->cut == CUT_NONE || w->cut == CUT_NONE_PART;
    int *seen = calloc(w->n, sizeof *seen);
    for (int t = 0; t < tp; t++) {
        const struct param *p = &share[t].p[at];
        ck_assert_str_eq(p->name, w->name);
        ck_assert_uint_eq(p->whole, w->n);
        for (size_t i = 0; i < p->n; i++) {
            size_t index = param_index(p, i);
            ck_assert_uint_lt(index, w->n);
            seen[index]++;
            ck_assert(param_init(&TINY, p, i, 3) == param_init(&TINY, w, index, 3));
        }
    }
    for (size_t i = 0; i < w->n; i++) ck_assert_int_eq(seen[i], all ? tp : 1);
    free(seen);
}

/* What the ranges of a part name, in order, is what param_index says. */
static void check_ranges(const struct param *p, size_t lo, size_t hi)
{
    struct range s[PARAM_RANGES];
    int n = param_ranges(p, lo, hi, s);
    size_t i = lo;
    ck_assert_int_le(n, PARAM_RANGES);
    for (int k = 0; k < n; k++) {
        size_t run = s[k].run ? s[k].run : s[k].hi - s[k].lo, last = 0;
        ck_assert_uint_gt(range_count(&s[k]), 0);
        for (size_t j = 0; j < range_count(&s[k]); j++, i++) {
            last = s[k].lo + j / run * s[k].stride + j % run;
            ck_assert_uint_eq(last, param_index(p, i));
        }
        ck_assert_uint_eq(last + 1, s[k].hi);
    }
    ck_assert_uint_eq(i, hi);
}

/* A run's initial values are those of its elements one by one. */
static void check_run(const struct param *p, size_t lo, size_t hi)
{
    float *x = calloc(hi - lo + 1, sizeof *x);
    x[hi - lo] = 7;
    param_init_run(x, &TINY, p, lo, hi - lo, 3);
    for (size_t i = lo; i < hi; i++) ck_assert(x[i - lo] == param_init(&TINY, p, i, 3));
    ck_assert(x[hi - lo] == 7);
    free(x);
}

START_TEST(shares_partition_every_tensor)
{
    struct dims d = TINY;
    struct param_list whole, share[4];
    d.Hkv = 4;
    d.Hq = 8;
    param_list_make(&whole, &d, chunk_span_of(&d, 1, 0));
    for (d.tp = 2; d.tp <= 4; d.tp += 2) {
        for (d.t = 0; d.t < d.tp; d.t++) param_list_make(&share[d.t], &d, chunk_span_of(&d, 1, 0));
        for (int i = 0; i < whole.n; i++) {
            check_shares(&whole, share, d.tp, i);
            const struct param *p = &share[1].p[i];
            size_t n = p->n;
            check_ranges(p, 0, n);
            check_ranges(p, n / 3, n - n / 5);
            check_ranges(p, n / 2, n / 2 + 1);
            check_ranges(p, n / 2, n / 2);
            check_run(p, 0, n);
            check_run(p, n / 3, n - n / 5);
            check_run(p, n / 2, n / 2 + 1);
        }
        for (int t = 0; t < d.tp; t++) param_list_free(&share[t]);
    }
    d.t = 0;
    ck_assert_uint_eq(params_count(&d), params_count(&TINY) + 5 * (48 * 24 + 48 + 24 * 24));
    param_list_free(&whole);
}
END_TEST

START_TEST(initial_values_have_the_wanted_spread)
{
    struct dims d = TINY;
    struct param_list l;
    d.C = 120;
    d.F = 200;
    param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
    const struct param *wgu = param_find(&l, "layers.1.wgu"), *wo = param_find(&l, "layers.1.wo");
    const struct param *wdown = param_find(&l, "layers.1.wdown");
    /* the standard error of a deviation is 1/sqrt(2n): below 1.4% for the smallest, wo with 2880 */
    ck_assert_double_eq_tol(std_of(&d, wgu, 1) / 0.02, 1, 0.04);
    ck_assert_double_eq_tol(std_of(&d, wo, 1) / (0.02 / sqrt(10)), 1, 0.06);
    ck_assert_double_eq_tol(std_of(&d, wdown, 1) / (0.02 / sqrt(10)), 1, 0.04);
    ck_assert(param_init(&d, param_find(&l, "norm_f"), 5, 1) == 1);
    ck_assert(param_init(&d, param_find(&l, "layers.0.k_norm"), 5, 1) == 1);
    ck_assert(param_init(&d, param_find(&l, "layers.0.bqkv"), 5, 1) == 0);
    ck_assert(param_init(&d, wgu, 5, 1) != param_init(&d, wgu, 5, 2));
    ck_assert(param_init(&d, wgu, 5, 1) != param_init(&d, wgu, 6, 1));
    ck_assert(param_init(&d, wgu, 5, 1) != param_init(&d, param_find(&l, "layers.2.wgu"), 5, 1));
    param_list_free(&l);
}
END_TEST

START_TEST(a_tied_head_begins_as_the_embedding)
{
    struct dims d = TINY;
    for (int tied = 0; tied < 2; tied++) {
        struct param_list l;
        int equal = 0;
        d.tied = tied;
        param_list_make(&l, &d, chunk_span_of(&d, 1, 0));
        const struct param *embed = param_find(&l, "embed"), *head = param_find(&l, "head");
        ck_assert_int_eq(head->tied_copy, tied);
        ck_assert(!embed->tied_copy);
        for (size_t i = 0; i < embed->n; i++)
            equal += param_init(&d, embed, i, 9) == param_init(&d, head, i, 9);
        ck_assert_int_eq(equal, tied ? (int)embed->n : 0);
        param_list_free(&l);
    }
}
END_TEST

/* Sizes as Hugging Face counts the parameters of the released models. */
START_TEST(known_models_have_their_known_size)
{
    static const struct {
        struct dims d;
        size_t count;
    } known[] = {
        {DIMS(151936, 24, 896, 4864, 14, 2, 64, .qkv_bias = true, .tied = true),
         494032768}, /* Qwen2.5-0.5B */
        {DIMS(151936, 28, 1024, 3072, 16, 8, 128, .qk_norm = true, .tied = true),
         596049920},                                                         /* Qwen3-0.6B */
        {DIMS(128256, 16, 2048, 8192, 32, 8, 64, .tied = true), 1235814400}, /* Llama-3.2-1B */
        {DIMS(128256, 32, 4096, 14336, 32, 8, 128), 8030261248},             /* Llama-3.1-8B */
        {DIMS(151936, 48, 2048, 0, 32, 4, 128, .E = 128, .K = 8, .Fe = 768, .qk_norm = true),
         30532122624}, /* Qwen3-30B-A3B */
        {DIMS(32000, 32, 4096, 0, 32, 8, 128, .E = 8, .K = 2, .Fe = 14336),
         46702792704}, /* Mixtral-8x7B */
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ck_assert_uint_eq(params_count(&known[i].d), known[i].count);
}
END_TEST

#define TESTS(X)                                 \
    X(layout_is_aligned_and_dense)               \
    X(names_of_hugging_face)                     \
    X(tensors_know_their_layer)                  \
    X(absent_tensors_are_absent)                 \
    X(layers_with_experts)                       \
    X(shares_partition_the_experts)              \
    X(regions_hold_what_ranks_hold_alike)        \
    X(shapes_are_of_the_whole)                   \
    X(chunks_partition_the_layers)               \
    X(initial_values_do_not_depend_on_the_split) \
    X(shares_partition_every_tensor)             \
    X(initial_values_have_the_wanted_spread)     \
    X(a_tied_head_begins_as_the_embedding)       \
    X(known_models_have_their_known_size)

UNIT_MAIN("params", .timeout_s = 60)
