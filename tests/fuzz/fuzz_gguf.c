/* Any bytes as a GGUF file: refused with one reason, or every key and every number of a tensor that
 * it names can be read (promise P11). */
#include <stdlib.h>
#include "trainer/checkpoint/gguf/gguf.h"

static void read_value(const struct gguf_value *v)
{
    int64_t whole;
    double real;
    bool yes;
    const unsigned char *cursor = v->at;
    struct gguf_text text = {0};
    for (uint64_t i = 0; i < v->n; i++) {
        bool is_whole = gguf_whole(v, i, &whole), is_real = gguf_real(v, i, &real);
        if (is_whole && !is_real) abort();
        if (v->kind == GGUF_STRING && !gguf_text(v, &cursor, &text)) abort();
    }
    if (v->n > 0 && (v->kind == GGUF_BOOL) != gguf_bool(v, &yes)) abort();
}

static void read_tensor(const struct gguf_tensor *t)
{
    if (!t->quant) return;
    float part[48];
    for (uint64_t i = 0; i < t->numbers; i += 48)
        quant_read(t->quant, part, t->at, i, t->numbers - i < 48 ? (size_t)(t->numbers - i) : 48);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    struct problems p = {0};
    struct gguf *g = gguf_parse(bytes, n, "fuzz", &p);
    if ((g == NULL) != (p.n == 1)) abort();
    for (int i = 0; g && i < g->values; i++) read_value(&g->value[i]);
    for (int i = 0; g && i < g->tensors; i++) read_tensor(&g->tensor[i]);
    gguf_free(g);
    problems_free(&p);
    return 0;
}
