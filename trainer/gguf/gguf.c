/* The reader of GGUF files. A cursor walks over the bytes once; whatever would lead beyond their
 * end makes it fail for good, and the first reason is told. */
#include "trainer/gguf/gguf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

enum {
    MAGIC = 0x46554747, /* "GGUF" */
    NAME_MAX_BYTES = 1024,
    ALIGNMENT = 32, /* where general.alignment does not say otherwise */
    ALIGNMENT_MAX = 1 << 16,
    MANY = 1 << 20 /* keys, and tensors, of a file */
};

struct cursor {
    const unsigned char *start, *at;
    size_t left;
    const char *file;
    struct problems *problems;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct cursor *c, const char *fmt, ...)
{
    if (c->failed) return false;
    char why[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    problems_add(c->problems, c->file, 0, "%s", why);
    c->failed = true;
    return false;
}

static const unsigned char *take_bytes(struct cursor *c, uint64_t n)
{
    if (c->failed || n > c->left) {
        refuse(c,
               "ends in the middle of a key or a tensor's description: it was cut, copy it again");
        return NULL;
    }
    const unsigned char *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static uint64_t take_number(struct cursor *c, int bytes)
{
    const unsigned char *at = take_bytes(c, (uint64_t)bytes);
    return at ? little(at, bytes) : 0;
}

static struct gguf_text take_text(struct cursor *c)
{
    uint64_t n = take_number(c, 8);
    const unsigned char *at = take_bytes(c, n);
    return (struct gguf_text){(const char *)at, at ? (size_t)n : 0};
}

static struct gguf_text take_name(struct cursor *c, const char *what)
{
    struct gguf_text name = take_text(c);
    if (!c->failed && (name.n == 0 || name.n > NAME_MAX_BYTES || memchr(name.at, 0, name.n)))
        refuse(c, "the name of a %s is empty, longer than %d bytes or holds a zero byte", what,
               NAME_MAX_BYTES);
    return name;
}

/* Room for what a file says that it holds, but not for more than its bytes can: each takes at least
 * `least` of them. */
static void *take_room(const struct cursor *c, uint64_t n, size_t least, size_t size)
{
    size_t most = c->left / least;
    return memory_take(n < most ? (size_t)n : most, size, "the description of a GGUF file");
}

/* --- keys --- */

static const unsigned char kind_bytes[GGUF_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static void take_elements(struct cursor *c, struct gguf_value *v)
{
    v->at = c->at;
    if (v->kind == GGUF_STRING) {
        for (uint64_t i = 0; i < v->n && !c->failed; i++) take_text(c);
    } else if (v->n > c->left) { /* before it is multiplied */
        take_bytes(c, v->n);
    } else {
        take_bytes(c, v->n * kind_bytes[v->kind]);
    }
}

/* Values stay where they lie in the bytes and are read when asked for: a vocabulary is not copied.
 * */
static bool take_value(struct cursor *c, struct gguf_value *v)
{
    v->key = take_name(c, "key");
    uint64_t kind = take_number(c, 4);
    v->n = 1;
    v->array = kind == GGUF_ARRAY;
    if (v->array) {
        kind = take_number(c, 4);
        v->n = take_number(c, 8);
    }
    if (kind >= GGUF_KINDS || kind == GGUF_ARRAY)
        return refuse(c, "%.*s: a value of type %llu%s", (int)v->key.n, v->key.at,
                      (unsigned long long)kind, v->array ? " in an array" : "");
    v->kind = (enum gguf_kind)kind;
    take_elements(c, v);
    return !c->failed;
}

static int text_order(struct gguf_text a, struct gguf_text b)
{
    int order = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int key_order(const void *a, const void *b)
{
    return text_order(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static bool sort_keys(struct cursor *c, struct gguf *g)
{
    g->by_key = memory_take((size_t)g->values, sizeof *g->by_key, "the keys of a GGUF file");
    if (g->values == 0) return true;
    memcpy(g->by_key, g->value, (size_t)g->values * sizeof *g->by_key);
    qsort(g->by_key, (size_t)g->values, sizeof *g->by_key, key_order);
    for (int i = 1; i < g->values; i++)
        if (key_order(&g->by_key[i - 1], &g->by_key[i]) == 0)
            return refuse(c, "holds the key %.*s twice", (int)g->by_key[i].key.n,
                          g->by_key[i].key.at);
    return true;
}

static bool read_keys(struct cursor *c, struct gguf *g, uint64_t n)
{
    g->value = take_room(c, n, 14, sizeof *g->value);
    for (uint64_t i = 0; i < n; i++) {
        struct gguf_value v;
        if (!take_value(c, &v)) return false;
        g->value[g->values++] = v;
    }
    return sort_keys(c, g);
}

/* --- tensors --- */

/* The file has the dimension that varies fastest first; here rows come first, hence from behind. */
static bool take_shape(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t dims = take_number(c, 4);
    if (c->failed) return false;
    if (dims > GGUF_DIMS)
        return refuse(c, "%.*s: %llu dimensions", (int)t->name.n, t->name.at,
                      (unsigned long long)dims);
    t->dims = (int)dims;
    t->numbers = 1;
    for (int i = t->dims - 1; i >= 0; i--) {
        t->shape[i] = take_number(c, 8);
        if (__builtin_mul_overflow(t->numbers, t->shape[i], &t->numbers))
            return refuse(c, "%.*s: more numbers than can be counted", (int)t->name.n, t->name.at);
    }
    return !c->failed;
}

static bool take_tensor(struct cursor *c, struct gguf_tensor *t)
{
    *t = (struct gguf_tensor){.name = take_name(c, "tensor")};
    if (c->failed || !take_shape(c, t)) return false;
    t->type = (uint32_t)take_number(c, 4);
    t->offset = take_number(c, 8);
    t->quant = quant_find(t->type);
    uint64_t row = t->dims > 0 ? t->shape[t->dims - 1] : 1;
    if (t->quant && row % (unsigned)t->quant->numbers)
        return refuse(c, "%.*s: rows of %llu numbers are no whole blocks of %s", (int)t->name.n,
                      t->name.at, (unsigned long long)row, t->quant->name);
    return !c->failed;
}

static int name_order(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return text_order((*x)->name, (*y)->name);
}

static int offset_order(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(struct gguf_tensor *const *)a,
                             *y = *(struct gguf_tensor *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->numbers > y->numbers) - (x->numbers < y->numbers);
}

static struct gguf_tensor **sorted(const struct gguf *g, int (*order)(const void *, const void *))
{
    struct gguf_tensor **tensor =
        memory_take((size_t)g->tensors, sizeof(struct gguf_tensor *), "the tensors of a GGUF file");
    for (int i = 0; i < g->tensors; i++) tensor[i] = &g->tensor[i];
    if (g->tensors) qsort(tensor, (size_t)g->tensors, sizeof *tensor, order);
    return tensor;
}

/* 25 bytes is the shortest entry: length and one byte of the name, 4 of dimensions and type each,
 * 8 of the offset. */
static bool read_tensors(struct cursor *c, struct gguf *g, uint64_t n)
{
    g->tensor = take_room(c, n, 25, sizeof *g->tensor);
    for (uint64_t i = 0; i < n; i++) {
        struct gguf_tensor t;
        if (!take_tensor(c, &t)) return false;
        g->tensor[g->tensors++] = t;
    }
    g->by_name = sorted(g, name_order);
    for (int i = 1; i < g->tensors; i++)
        if (name_order(&g->by_name[i - 1], &g->by_name[i]) == 0)
            return refuse(c, "holds the tensor %.*s twice", (int)g->by_name[i]->name.n,
                          g->by_name[i]->name.at);
    return true;
}

/* --- where tensors lie --- */

static uint64_t tensor_bytes(const struct gguf_tensor *t)
{
    return t->numbers / (unsigned)t->quant->numbers * (unsigned)t->quant->bytes;
}

static bool alignment_of(struct cursor *c, const struct gguf *g, uint64_t *alignment)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    int64_t given = ALIGNMENT;
    bool right = !v || gguf_whole(v, 0, &given);
    if (!right || given < 1 || given > ALIGNMENT_MAX || (given & (given - 1)))
        return refuse(c, "general.alignment is not a power of two up to %d", ALIGNMENT_MAX);
    *alignment = (uint64_t)given;
    return true;
}

static bool place_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t alignment,
                         const unsigned char *data, uint64_t data_bytes)
{
    if (t->offset % alignment)
        return refuse(c, "%.*s: does not begin at a multiple of %llu", (int)t->name.n, t->name.at,
                      (unsigned long long)alignment);
    /* a block has at most 4 bytes a number, and numbers were counted in 64 bits */
    if (t->offset > data_bytes || t->numbers > data_bytes * 2 ||
        tensor_bytes(t) > data_bytes - t->offset)
        return refuse(c, "%.*s: reaches beyond the end of the file: it was cut, copy it again",
                      (int)t->name.n, t->name.at);
    t->at = data + t->offset;
    return true;
}

/* Tensors of types that are not ours have a size that we cannot tell: they are not placed. */
static bool place_tensors(struct cursor *c, struct gguf *g)
{
    uint64_t alignment = ALIGNMENT;
    if (!alignment_of(c, g, &alignment)) return false;
    uint64_t past = (uint64_t)(c->at - c->start) % alignment;
    if (g->tensors > 0 && past) take_bytes(c, alignment - past);
    struct gguf_tensor **by_offset = sorted(g, offset_order);
    const struct gguf_tensor *before = NULL;
    for (int i = 0; i < g->tensors && !c->failed; i++) {
        struct gguf_tensor *t = by_offset[i];
        if (!t->quant || !place_tensor(c, t, alignment, c->at, c->left)) continue;
        if (before && before->at + tensor_bytes(before) > t->at)
            refuse(c, "%.*s and %.*s overlap", (int)before->name.n, before->name.at, (int)t->name.n,
                   t->name.at);
        before = t;
    }
    free(by_offset);
    return !c->failed;
}

/* --- the file --- */

/* Counts are bounded before room is taken for them. A big-endian file shows as a version whose
 * upper half is set. */
static bool read_file(struct cursor *c, struct gguf *g)
{
    if (c->left < 4 || little(c->at, 4) != MAGIC)
        return refuse(c, "is no GGUF file: it does not begin with GGUF");
    take_bytes(c, 4);
    uint64_t version = take_number(c, 4);
    if (!c->failed && version != 2 && version != 3)
        return refuse(c, "is a GGUF file of version %llu; versions 2 and 3 can be read%s",
                      (unsigned long long)version,
                      version >> 16 ? " (its numbers are big-endian)" : "");
    uint64_t tensors = take_number(c, 8), keys = take_number(c, 8);
    if (tensors > MANY || keys > MANY)
        return refuse(c, "says that it holds %llu tensors and %llu keys; at most %d can be read",
                      (unsigned long long)tensors, (unsigned long long)keys, MANY);
    return !c->failed && read_keys(c, g, keys) && read_tensors(c, g, tensors) &&
           place_tensors(c, g);
}

struct gguf *gguf_parse(const void *bytes, size_t n, const char *file, struct problems *p)
{
    struct cursor c = {bytes, bytes, n, file, p, false};
    struct gguf *g = memory_take(1, sizeof *g, "a GGUF file");
    if (read_file(&c, g)) return g;
    gguf_free(g);
    return NULL;
}

void gguf_free(struct gguf *g)
{
    if (!g) return;
    free(g->value);
    free(g->tensor);
    free(g->by_key);
    free(g->by_name);
    free(g);
}

/* --- looking things up --- */

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    struct gguf_value wanted = {.key = {key, strlen(key)}};
    if (g->values == 0) return NULL;
    return bsearch(&wanted, g->by_key, (size_t)g->values, sizeof *g->by_key, key_order);
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    const struct gguf_tensor wanted = {.name = {name, strlen(name)}}, *key = &wanted;
    if (g->tensors == 0) return NULL;
    struct gguf_tensor *const *found =
        bsearch(&key, g->by_name, (size_t)g->tensors, sizeof *g->by_name, name_order);
    return found ? *found : NULL;
}

bool gguf_whole(const struct gguf_value *v, uint64_t i, int64_t *out)
{
    if (i >= v->n) return false;
    int bytes = kind_bytes[v->kind];
    bool is_signed =
        v->kind == GGUF_I8 || v->kind == GGUF_I16 || v->kind == GGUF_I32 || v->kind == GGUF_I64;
    if (bytes == 0 || v->kind == GGUF_F32 || v->kind == GGUF_F64 || v->kind == GGUF_BOOL)
        return false;
    uint64_t raw = little(v->at + i * (uint64_t)bytes, bytes);
    if (!is_signed && raw > INT64_MAX) return false;
    int unused = 64 - 8 * bytes;
    *out = is_signed ? (int64_t)(raw << unused) >> unused : (int64_t)raw;
    return true;
}

/* Not finite is no number: it would go into config.json, which has no word for it. */
bool gguf_real(const struct gguf_value *v, uint64_t i, double *out)
{
    int64_t whole;
    if (i >= v->n) return false;
    if (v->kind == GGUF_F32) {
        float value;
        uint32_t bits = (uint32_t)little(v->at + 4 * i, 4);
        memcpy(&value, &bits, sizeof value);
        *out = (double)value;
    } else if (v->kind == GGUF_F64) {
        uint64_t bits = little(v->at + 8 * i, 8);
        memcpy(out, &bits, sizeof *out);
    } else if (gguf_whole(v, i, &whole)) {
        *out = (double)whole;
    } else {
        return false;
    }
    return isfinite(*out);
}

bool gguf_bool(const struct gguf_value *v, bool *out)
{
    if (v->kind != GGUF_BOOL || v->n < 1) return false;
    *out = v->at[0] != 0;
    return true;
}

bool gguf_text(const struct gguf_value *v, const unsigned char **cursor, struct gguf_text *out)
{
    if (v->kind != GGUF_STRING || v->n < 1) return false;
    *out = (struct gguf_text){(const char *)*cursor + 8, (size_t)little(*cursor, 8)};
    *cursor += 8 + out->n;
    return true;
}
