#include "trainer/gguf/write.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

enum { ALIGNMENT = 32, VERSION = 3 };

/* Bytes that grow. */
struct heap {
    unsigned char *at;
    size_t n, room;
};

struct gguf_head {
    struct heap keys, tensors, whole;
    uint64_t n_keys, n_tensors, data_bytes;
};

static void heap_add(struct heap *h, const void *bytes, size_t n)
{
    if (n > h->room - h->n) {
        size_t room = (h->n + n) * 2;
        unsigned char *at = memory_take(room, 1, "the description of a GGUF file");
        if (h->n) memcpy(at, h->at, h->n);
        free(h->at);
        h->at = at;
        h->room = room;
    }
    if (n) memcpy(h->at + h->n, bytes, n);
    h->n += n;
}

static void put_number(struct heap *h, uint64_t value, int bytes)
{
    unsigned char b[8];
    for (int i = 0; i < bytes; i++) b[i] = (unsigned char)(value >> 8 * i);
    heap_add(h, b, (size_t)bytes);
}

static void put_text(struct heap *h, struct gguf_text t)
{
    put_number(h, t.n, 8);
    heap_add(h, t.at, t.n);
}

static struct heap *put_key(struct gguf_head *h, const char *key, enum gguf_kind kind)
{
    h->n_keys++;
    put_text(&h->keys, (struct gguf_text){key, strlen(key)});
    put_number(&h->keys, kind, 4);
    return &h->keys;
}

static struct heap *put_array(struct gguf_head *h, const char *key, enum gguf_kind kind, uint64_t n)
{
    struct heap *keys = put_key(h, key, GGUF_ARRAY);
    put_number(keys, kind, 4);
    put_number(keys, n, 8);
    return keys;
}

struct gguf_head *gguf_head_new(void)
{
    return memory_take(1, sizeof(struct gguf_head), "the description of a GGUF file");
}

void gguf_head_free(struct gguf_head *h)
{
    if (!h) return;
    free(h->keys.at);
    free(h->tensors.at);
    free(h->whole.at);
    free(h);
}

void gguf_put_u32(struct gguf_head *h, const char *key, uint32_t value)
{
    put_number(put_key(h, key, GGUF_U32), value, 4);
}

void gguf_put_f32(struct gguf_head *h, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(put_key(h, key, GGUF_F32), bits, 4);
}

void gguf_put_bool(struct gguf_head *h, const char *key, bool value)
{
    put_number(put_key(h, key, GGUF_BOOL), value, 1);
}

void gguf_put_text(struct gguf_head *h, const char *key, struct gguf_text value)
{
    put_text(put_key(h, key, GGUF_STRING), value);
}

void gguf_put_i32s(struct gguf_head *h, const char *key, const int32_t *value, uint64_t n)
{
    struct heap *keys = put_array(h, key, GGUF_I32, n);
    for (uint64_t i = 0; i < n; i++) put_number(keys, (uint32_t)value[i], 4);
}

void gguf_put_texts(struct gguf_head *h, const char *key, const struct gguf_text *value, uint64_t n)
{
    struct heap *keys = put_array(h, key, GGUF_STRING, n);
    for (uint64_t i = 0; i < n; i++) put_text(keys, value[i]);
}

uint64_t gguf_tensor_bytes(const struct quant *q, int dims, const uint64_t *shape)
{
    uint64_t numbers = 1;
    for (int i = 0; i < dims; i++) numbers *= shape[i];
    return numbers / (unsigned)q->numbers * (unsigned)q->bytes;
}

uint64_t gguf_padded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

uint64_t gguf_put_tensor(struct gguf_head *h, const char *name, int dims, const uint64_t *shape,
                         const struct quant *q)
{
    uint64_t at = h->data_bytes;
    h->n_tensors++;
    put_text(&h->tensors, (struct gguf_text){name, strlen(name)});
    put_number(&h->tensors, (uint64_t)dims, 4);
    for (int i = dims - 1; i >= 0; i--) put_number(&h->tensors, shape[i], 8);
    put_number(&h->tensors, q->type, 4);
    put_number(&h->tensors, at, 8);
    h->data_bytes += gguf_padded(gguf_tensor_bytes(q, dims, shape));
    return at;
}

const void *gguf_head_bytes(struct gguf_head *h, size_t *n)
{
    struct heap *w = &h->whole;
    w->n = 0;
    heap_add(w, "GGUF", 4);
    put_number(w, VERSION, 4);
    put_number(w, h->n_tensors, 8);
    put_number(w, h->n_keys, 8);
    heap_add(w, h->keys.at, h->keys.n);
    heap_add(w, h->tensors.at, h->tensors.n);
    while (w->n % ALIGNMENT) put_number(w, 0, 1);
    *n = w->n;
    return w->at;
}
