/* The parameter table turned into lists: which tensors a chunk holds, where they lie, how they
 * begin. */
#include "model/part.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/base/rng.h"

enum { ALIGN_ELEMENTS = 16 }; /* 64 bytes of float */

struct chunk_span chunk_span_of(const struct dims *d, int stages, int chunk)
{
    INVARIANT(stages > 0 && chunk >= 0 && chunk < stages, "chunk %d of %d", chunk, stages);
    int even = d->L / stages, larger = d->L % stages;
    return (struct chunk_span){
        .first = chunk * even + (chunk < larger ? chunk : larger),
        .count = even + (chunk < larger),
        .embed = chunk == 0,
        .head = chunk == stages - 1,
    };
}

/* --- what a rank holds of a tensor --- */

/* A share of rows that begin with row `from` of the whole; a row is `unit` elements. */
static void cut_rows(struct param *p, size_t from, struct share s, size_t unit)
{
    size_t lo = (from + (size_t)s.first) * unit;
    p->block[p->blocks++] = (struct range){.lo = lo, .hi = lo + (size_t)s.n * unit};
}

static void cut_columns(struct param *p, size_t tp, size_t t)
{
    size_t run = (size_t)p->cols, stride = run * tp;
    size_t lo = t * run, last = lo + (size_t)(p->rows - 1) * stride;
    p->block[p->blocks++] = (struct range){lo, last + run, run, stride};
}

/* d: the whole model */
static void cut_param(struct param *p, const struct dims *d)
{
    int tp = d->tp > 0 ? d->tp : 1, heads[] = {d->Hq, d->Hkv, d->Hkv};
    size_t row = p->rows == 1 ? 1 : (size_t)p->cols, from = 0;
    if (p->cut == CUT_EXPERTS) {
        cut_rows(p, 0, (struct share){d->e * p->rows, p->rows}, row);
        return;
    }
    if (tp == 1 || p->cut == CUT_NONE || p->cut == CUT_NONE_PART) {
        p->block[p->blocks++] = (struct range){.hi = p->n};
        return;
    }
    if (p->cut == CUT_ROWS) cut_rows(p, 0, dims_vocabulary(d), row);
    if (p->cut == CUT_COLS) cut_columns(p, (size_t)tp, (size_t)d->t);
    for (int i = 0; p->cut == CUT_PAIR && i < 2; i++)
        cut_rows(p, (size_t)(i * d->F), share_of(d->F, tp, d->t), row);
    for (int i = 0; p->cut == CUT_HEADS && i < 3; i++) {
        cut_rows(p, from, share_of(heads[i], tp, d->t), row * (size_t)d->D);
        from += (size_t)heads[i];
    }
}

size_t param_index(const struct param *p, size_t i)
{
    const struct range *b = p->block;
    for (; i >= range_count(b); b++) i -= range_count(b);
    return b->run == 0 ? b->lo + i : b->lo + i / b->run * b->stride + i % b->run;
}

/* Elements [lo, hi) of a block in runs: an end of a row, whole rows, a beginning of one. */
static int ranges_of_runs(const struct range *b, size_t lo, size_t hi, struct range *out)
{
    int n = 0;
    while (lo < hi) {
        size_t in = lo % b->run, from = b->lo + lo / b->run * b->stride + in,
               rows = (hi - lo) / b->run;
        if (in == 0 && rows > 0) {
            out[n++] =
                (struct range){from, from + (rows - 1) * b->stride + b->run, b->run, b->stride};
            lo += rows * b->run;
            continue;
        }
        size_t left = b->run - in < hi - lo ? b->run - in : hi - lo;
        out[n++] = (struct range){.lo = from, .hi = from + left};
        lo += left;
    }
    return n;
}

/* A tensor's elements on this rank may lie in several ranges of the whole tensor: lo to hi is
 * mapped range by range. */
int param_ranges(const struct param *p, size_t lo, size_t hi, struct range out[PARAM_RANGES])
{
    int n = 0;
    size_t at = 0;
    for (int i = 0; i < p->blocks; i++) {
        const struct range *b = &p->block[i];
        size_t count = range_count(b), from = lo > at ? lo - at : 0;
        size_t to = hi < at + count ? hi - at : count;
        at += count;
        if (hi <= at - count || from >= to) continue;
        if (b->run)
            n += ranges_of_runs(b, from, to, out + n);
        else
            out[n++] = (struct range){.lo = b->lo + from, .hi = b->lo + to};
    }
    return n;
}

/* --- lists --- */

static enum param_region region_of(enum param_cut how, int tp)
{
    bool whole = how == CUT_NONE || how == CUT_NONE_PART;
    if (how == CUT_EXPERTS) return REGION_EXPERTS;
    return whole && tp > 1 ? REGION_WHOLE : REGION_SHARES;
}

/* A vector has one dimension, stacked experts have three. */
static void shape_of(int out[PARAM_DIMS], const struct dims *d, enum param_role role,
                     struct tensor_size whole)
{
    int n = 0;
    if (role == ROLE_EXPERT) {
        out[n++] = d->E;
        whole.rows /= d->E;
    }
    if (whole.rows > 1 || n > 0) out[n++] = whole.rows;
    out[n] = whole.cols;
}

/* TIES holds pairs of names with the condition under which the first is a copy of the second. */
static void tie(struct param *p, const struct dims *d)
{
    static const struct {
        const char *copy, *of;
    } of[] = {
#define NAMES(copy, of, when) {copy, of},
        TIES(NAMES)
#undef NAMES
    };
    const bool tied[] = {
#define WHEN(copy, of, when) when,
        TIES(WHEN)
#undef WHEN
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        bool copy = strcmp(p->name, of[i].copy) == 0;
        if (!tied[i] || (!copy && strcmp(p->name, of[i].of) != 0)) continue;
        p->tie = of[i].of;
        p->tied_copy = copy;
    }
}

/* layer: as in struct param */
static void append_param(struct param_list *l, const struct dims *d, int layer,
                         const struct param_row *row, struct tensor_size whole,
                         struct tensor_size share)
{
    struct param *p = &l->p[l->n++];
    p->layer = layer;
    p->within = layer >= 0 && layer < d->L;
    if (p->within)
        snprintf(p->name, sizeof p->name, "layers.%d.%s", layer, row->name);
    else
        snprintf(p->name, sizeof p->name, "%s", row->name);
    p->role = row->role;
    p->cut = row->cut;
    p->adds = row->adds;
    p->hf = row->hf;
    p->rows = share.rows;
    p->cols = share.cols;
    p->stacked = row->cut == CUT_EXPERTS ? d->E / (d->ep > 0 ? d->ep : 1) : 1;
    p->n = (size_t)share.rows * (size_t)share.cols;
    p->whole = (size_t)whole.rows * (size_t)whole.cols;
    shape_of(p->shape, d, row->role, whole);
    p->region = region_of(row->cut, d->tp);
    cut_param(p, d);
    tie(p, d);
}

static void append_part(struct param_list *l, const struct dims *d, const struct dims *share,
                        const struct part_at *at)
{
    const struct param_table *t = &at->part->params;
    struct tensor_size of_whole[PART_PARAMS], of_share[PART_PARAMS];
    t->shapes(of_whole, d);
    t->shapes(of_share, share);
    for (int i = 0; i < t->n; i++)
        if (of_whole[i].rows > 0)
            append_param(l, d, at->layer, &t->row[i], of_whole[i], of_share[i]);
}

static void lay_out(struct param_list *l, enum param_region region)
{
    for (int i = 0; i < l->n; i++) {
        struct param *p = &l->p[i];
        if (p->region != region) continue;
        p->offset = l->total;
        l->total += (p->n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
    }
}

/* Two walks: shapes by part, then offsets by region, so that what is reduced together lies
 * together. */
void param_list_make(struct param_list *l, const struct dims *d, struct chunk_span span)
{
    struct dims share = dims_share(d);
    int parts = span_parts(d, span, NULL);
    struct part_at *part = memory_take((size_t)parts, sizeof *part, "parts");
    size_t most = (size_t)parts * PART_PARAMS;
    *l = (struct param_list){.p = memory_take(most, sizeof *l->p, "a list of tensors")};
    span_parts(d, span, part);
    for (int i = 0; i < parts; i++) append_part(l, d, &share, &part[i]);
    free(part);
    for (int r = 0; r < REGIONS; r++) {
        lay_out(l, (enum param_region)r);
        l->end[r] = l->total;
    }
}

void param_list_free(struct param_list *l)
{
    free(l->p);
    *l = (struct param_list){0};
}

const struct param *param_find(const struct param_list *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->p[i].name, name) == 0) return &l->p[i];
    return NULL;
}

/* FNV-1a, 64 bits */
static uint64_t name_hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* What is added to the residual stream 2L times starts smaller (GPT-2's rule), so that the stream's
 * variance does not grow with depth. */
static double init_std(const struct dims *d, const struct param *p)
{
    return p->adds ? d->init_std / sqrt(2.0 * d->L) : d->init_std;
}

/* Drawn by the tensor's saved name and the element's index in the whole tensor: any mesh gives the
 * same weights (P3). */
static struct rng_at init_at(uint64_t hash, uint64_t index)
{
    return (struct rng_at){.purpose = RNG_INIT,
                           .step = (uint32_t)(hash >> 32),
                           .prompt = (uint32_t)hash,
                           .sample = (uint32_t)(index >> 32),
                           .position = (uint32_t)index};
}

float param_init(const struct dims *d, const struct param *p, size_t i, uint64_t seed)
{
    if (p->role == ROLE_NORM) return 1;
    if (p->role == ROLE_BIAS) return 0;
    struct rng_at at = init_at(name_hash(param_saved_name(p)), param_index(p, i));
    return (float)(init_std(d, p) * rng_normal(seed, at));
}

/* Range by range, and where a range has gaps run by run. */
void param_init_run(float *out, const struct dims *d, const struct param *p, size_t lo, size_t n,
                    uint64_t seed)
{
    struct range range[PARAM_RANGES];
    if (p->role == ROLE_NORM || p->role == ROLE_BIAS) {
        for (size_t i = 0; i < n; i++) out[i] = p->role == ROLE_NORM;
        return;
    }
    const double std = init_std(d, p);
    const uint64_t hash = name_hash(param_saved_name(p));
    const int ranges = param_ranges(p, lo, lo + n, range);
    for (int r = 0; r < ranges; r++) {
        const struct range *s = &range[r];
        size_t run = s->run ? s->run : s->hi - s->lo, stride = s->run ? s->stride : run;
        for (size_t at = s->lo; at < s->hi; at += stride, out += run)
            rng_normals(out, run, std, seed, init_at(hash, at));
    }
}

size_t params_count(const struct dims *d)
{
    struct param_list l;
    size_t n = 0;
    param_list_make(&l, d, chunk_span_of(d, 1, 0));
    for (int i = 0; i < l.n; i++) n += l.p[i].tied_copy ? 0 : l.p[i].whole;
    param_list_free(&l);
    return n;
}
