#include "trainer/checkpoint/hf/gguf.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

static size_t count_tensors(const struct gguf *g)
{
    struct gguf_names walk = {.g = g};
    struct gguf_place at;
    char name[GGUF_NAME];
    size_t n = 0;
    while (gguf_next(&walk, name, &at)) n++;
    return n;
}

/* begin, end: not bytes, but which place it has. */
static void list_tensor(struct safetensor *t, const char *name, const struct gguf_place *at,
                        size_t i)
{
    *t = (struct safetensor){
        .name = name, .dtype = ST_F32, .rank = at->dims, .begin = i, .end = i + 1};
    for (int k = 0; k < at->dims && k < 2; k++) t->shape[k] = at->shape[k];
    for (int k = 2; k < at->dims && k < GGUF_DIMS; k++) t->shape[k] = at->tensor->shape[k];
}

/* The list looks like that of a safetensors file, so that checks and searches need not know which
 * it is; `begin` is an index into `place` instead of a byte. */
bool hf_gguf_open(struct hf_gguf *g, struct safetensors *list, const char *path, struct problems *p)
{
    *g = (struct hf_gguf){0};
    if (!gguf_file_open(&g->file, path, p)) return false;
    struct gguf_names walk = {.g = g->file.g};
    int before = p->n;
    size_t n = count_tensors(g->file.g);
    list->text = memory_take(n + 1, GGUF_NAME, "names of tensors");
    list->t = memory_take(n + 1, sizeof *list->t, "tensors");
    g->place = memory_take(n + 1, sizeof *g->place, "tensors");
    for (size_t i = 0; i < n; i++) {
        char *name = list->text + i * GGUF_NAME;
        gguf_next(&walk, name, &g->place[i]);
        list_tensor(&list->t[i], name, &g->place[i], i);
        const struct gguf_tensor *t = g->place[i].tensor;
        if (!t->quant)
            problems_add(p, path, 0,
                         "tensor \"%.*s\": its numbers are %s; f32, f16, bf16, q8_0, q4_0 and q4_1 "
                         "are read: make such a file with llama-quantize, from one of higher "
                         "precision",
                         t->name.n < 80 ? (int)t->name.n : 80, t->name.at,
                         quant_type_name(t->type));
    }
    list->n = n;
    qsort(list->t, n, sizeof *list->t, safetensor_name_order);
    return p->n == before;
}

void hf_gguf_close(struct hf_gguf *g)
{
    gguf_file_close(&g->file);
    free(g->place);
    *g = (struct hf_gguf){0};
}

void hf_gguf_read(const struct hf_gguf *g, const struct safetensor *t, float *out, uint64_t from,
                  size_t n)
{
    gguf_read(&g->place[t->begin], out, from, n);
}
