/* The parameter table turned into lists: which tensors a chunk holds, where they lie, how they begin. */
#include "model/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"
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

static int count_of_layer(const struct dims *d)
{
    int n = 0;
#define COUNT(name, role, rows, cols, there) n += (there) ? 1 : 0;
    LAYER_PARAMS(COUNT)
#undef COUNT
    return n;
}

/* layer -1: a tensor outside of the layers */
static void append(struct param_list *l, int layer, const char *name, enum param_role role,
                   int rows, int cols)
{
    struct param *p = &l->p[l->n++];
    if (layer < 0)
        snprintf(p->name, sizeof p->name, "%s", name);
    else
        snprintf(p->name, sizeof p->name, "layers.%d.%s", layer, name);
    p->role = role;
    p->rows = rows;
    p->cols = cols;
    p->n = (size_t)rows * (size_t)cols;
    p->offset = l->total;
    l->total += (p->n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
}

void param_list_make(struct param_list *l, const struct dims *d, struct chunk_span span)
{
    size_t most = (size_t)count_of_layer(d) * (size_t)span.count + 3;
    *l = (struct param_list){.p = calloc(most, sizeof *l->p)};
    SYS_OK(l->p != NULL, "free memory on this machine", "no memory for %zu tensors", most);
    if (span.embed) append(l, -1, "embed", ROLE_EMBEDDING, d->V, d->C);
    for (int layer = span.first; layer < span.first + span.count; layer++) {
#define APPEND(name, role, rows, cols, there) \
    if (there) append(l, layer, #name, role, rows, cols);
        LAYER_PARAMS(APPEND)
#undef APPEND
    }
    if (span.head) {
        append(l, -1, "norm_f", ROLE_NORM, 1, d->C);
        append(l, -1, "head", ROLE_HEAD, d->V, d->C);
        l->p[l->n - 1].tied_copy = d->tied;
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

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* What is added to the residual stream 2L times starts smaller (GPT-2's rule), so that the stream's variance does
 * not grow with depth. */
static double init_std(const struct dims *d, const struct param *p)
{
    bool residual = ends_with(p->name, ".wo") || ends_with(p->name, ".wdown");
    return residual ? d->init_std / sqrt(2.0 * d->L) : d->init_std;
}

float param_init(const struct dims *d, const struct param *p, size_t i, uint64_t seed)
{
    if (p->role == ROLE_NORM) return 1;
    if (p->role == ROLE_BIAS) return 0;
    uint64_t hash = name_hash(p->tied_copy ? "embed" : p->name);
    struct rng_at at = {.purpose = RNG_INIT,
                        .step = (uint32_t)(hash >> 32),
                        .prompt = (uint32_t)hash,
                        .sample = (uint32_t)((uint64_t)i >> 32),
                        .position = (uint32_t)i};
    return (float)(init_std(d, p) * rng_normal(seed, at));
}

size_t params_count(const struct dims *d)
{
    struct param_list l;
    size_t n = 0;
    param_list_make(&l, d, chunk_span_of(d, 1, 0));
    for (int i = 0; i < l.n; i++) n += l.p[i].tied_copy ? 0 : l.p[i].n;
    param_list_free(&l);
    return n;
}
