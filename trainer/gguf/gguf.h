/* A GGUF file, as llama.cpp makes them: keys with values, and tensors by name. Version 2 and 3,
 * little-endian (ggml's docs/gguf.md).
 *
 * The reader takes the bytes of a file (mapped, as a rule) and keeps pointers into them: they must
 * stay as long as it does. What it allocates is bounded by a small multiple of the bytes that
 * describe keys and tensors (P11). */
#ifndef DUET_TRAINER_GGUF_GGUF_H
#define DUET_TRAINER_GGUF_GGUF_H

#include <stdbool.h>
#include "comm/base/problems.h"
#include "trainer/gguf/quant.h"

/* Numbers of value types in a file. */
enum gguf_kind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
};

/* Bytes of the file, not NUL-terminated. */
struct gguf_text {
    const char *at;
    size_t n;
};

struct gguf_value {
    struct gguf_text key;
    enum gguf_kind kind; /* of an array: of its elements */
    bool array;
    uint64_t n;              /* elements; 1 when it is no array */
    const unsigned char *at; /* the first */
};

enum { GGUF_DIMS = 4 };
struct gguf_tensor {
    struct gguf_text name;
    int dims;
    uint64_t shape[GGUF_DIMS]; /* outermost first, as everywhere here; files hold it reversed */
    uint64_t numbers;          /* their product */
    uint32_t type;             /* quant.h */
    const struct quant *quant; /* NULL: of a type that is not ours */
    uint64_t offset;           /* as in the file: from the beginning of its data */
    const unsigned char *at;   /* NULL where quant is */
};

struct gguf {
    int values, tensors;
    struct gguf_value *value;     /* in the order of the file */
    struct gguf_tensor *tensor;   /* likewise */
    struct gguf_value *by_key;    /* sorted */
    struct gguf_tensor **by_name; /* sorted */
};

/* NULL, and a problem with file and reason, where the bytes are no GGUF file: a size that leads
 * beyond the end, a name twice, tensors that overlap. Tensors of a type that we cannot read are
 * listed all the same, so that a message can name them. Local. */
struct gguf *gguf_parse(const void *bytes, size_t n, const char *file, struct problems *p);
void gguf_free(struct gguf *g);

/* NULL: there is none. */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/* Element i. false: not a number (a bool is none), not a whole number, not a text. */
bool gguf_whole(const struct gguf_value *v, uint64_t i, int64_t *out);
bool gguf_real(const struct gguf_value *v, uint64_t i, double *out);
bool gguf_bool(const struct gguf_value *v, bool *out);
/* Texts of an array lie behind each other: walk with a cursor that begins at v->at. */
bool gguf_text(const struct gguf_value *v, const unsigned char **cursor, struct gguf_text *out);

#endif
