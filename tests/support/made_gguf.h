/* GGUF files for tests: llama.cpp's (tests/golden/tiny_llama.gguf), and such as are put together in
 * memory, key by key. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_MADE_GGUF_H
#define DUET_TESTS_SUPPORT_MADE_GGUF_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "trainer/gguf/hf.h"
#include "trainer/gguf/write.h"
#include "tests/support/check_unit.h"

struct opened {
    void *bytes;
    struct gguf *g;
};

static inline struct opened parse(void *bytes, size_t n)
{
    struct problems p = {0};
    struct opened o = {bytes, gguf_parse(bytes, n, "f.gguf", &p)};
    ck_assert_msg(o.g != NULL, "%s", p.n ? p.text[0] : "");
    return o;
}

static inline struct opened tiny_llama(void)
{
    char why[FILE_WHY];
    size_t n;
    char *bytes = file_read("tests/golden/tiny_llama.gguf", FILE_REGULAR, 1 << 20, &n, why);
    ck_assert_msg(bytes != NULL, "%s", why);
    return parse(bytes, n);
}

static inline void opened_close(struct opened *o)
{
    gguf_free(o->g);
    free(o->bytes);
}

static inline struct gguf_text text(const char *s)
{
    return (struct gguf_text){s, strlen(s)};
}

struct made {
    struct gguf_head *head;
    size_t data; /* bytes of its tensors */
};

static inline struct made make(const char *architecture)
{
    struct made m = {.head = gguf_head_new()};
    gguf_put_text(m.head, "general.architecture", text(architecture));
    return m;
}

static inline void put(struct made *m, const char *architecture, const char *key, uint32_t value)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s.%s", architecture, key);
    gguf_put_u32(m->head, whole, value);
}

static inline void put_sizes(struct made *m, const char *architecture)
{
    put(m, architecture, "block_count", 1);
    put(m, architecture, "context_length", 64);
    put(m, architecture, "embedding_length", 8);
    put(m, architecture, "feed_forward_length", 16);
    put(m, architecture, "attention.head_count", 2);
}

static inline void tensor(struct made *m, const char *name, int dims, const uint64_t *shape)
{
    const struct quant *f32 = quant_named("f32");
    size_t at = (size_t)gguf_put_tensor(m->head, name, dims, shape, f32);
    m->data = at + (size_t)gguf_padded(gguf_tensor_bytes(f32, dims, shape));
}

/* values: of all tensors, padding included; NULL: they count up. */
static inline struct opened done(struct made *m, const float *values)
{
    size_t n;
    const void *head = gguf_head_bytes(m->head, &n);
    unsigned char *bytes = calloc(n + m->data, 1);
    memcpy(bytes, head, n);
    for (size_t i = 0; i < m->data / 4; i++) {
        float value = values ? values[i] : (float)i;
        memcpy(bytes + n + 4 * i, &value, 4);
    }
    gguf_head_free(m->head);
    return parse(bytes, n + m->data);
}

static inline json_t *config(const struct gguf *g)
{
    struct problems p = {0};
    char *text = gguf_config_text(g, "f.gguf", &p);
    ck_assert_msg(text != NULL, "%s", p.n ? p.text[0] : "");
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    ck_assert_ptr_nonnull(root);
    return root;
}

#endif
