/* Any bytes as a GGUF file: refused with one reason, or every key and every number of a tensor that
 * it names can be read, and it is a Hugging Face folder or says why not (promise P11). */
#include <stdlib.h>
#include "trainer/gguf/hf.h"

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

static void read_as_folder(const struct gguf *g)
{
    struct problems p = {0};
    struct gguf_names walk = {.g = g};
    struct gguf_place at;
    char name[GGUF_NAME];
    float part[24];
    while (gguf_next(&walk, name, &at))
        for (uint64_t i = 0; at.tensor->quant && i < at.numbers; i += 24)
            gguf_read(&at, part, i, at.numbers - i < 24 ? (size_t)(at.numbers - i) : 24);
    char *config = gguf_config_text(g, "fuzz", &p);
    if (!config && p.n == 0) abort();
    int before = p.n;
    char *tokenizer = gguf_tokenizer_text(g, "fuzz", &p);
    if ((tokenizer == NULL) != (p.n > before)) abort();
    free(config);
    free(tokenizer);
    free(gguf_tokenizer_config_text(g));
    problems_free(&p);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    struct problems p = {0};
    struct gguf *g = gguf_parse(bytes, n, "fuzz", &p);
    if ((g == NULL) != (p.n == 1)) abort();
    for (int i = 0; g && i < g->values; i++) read_value(&g->value[i]);
    for (int i = 0; g && i < g->tensors; i++) read_tensor(&g->tensor[i]);
    if (g) read_as_folder(g);
    gguf_free(g);
    problems_free(&p);
    return 0;
}
