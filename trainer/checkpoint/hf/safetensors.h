/* safetensors: the header of a file of tensors, read from any bytes (P11) and checked by every rule
 * of the format, and written.
 *
 *   8 bytes    N, little-endian
 *   N bytes    {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ...},
 *              padded with spaces; "__metadata__" maps strings to strings
 *   the rest   data: every offset counts from here; row-major, little-endian, without gaps
 *
 * Source: the format's own description and its reference reader's rules. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_SAFETENSORS_H
#define DUET_TRAINER_CHECKPOINT_HF_SAFETENSORS_H

#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/dtype.h"

enum { ST_RANK = 8 };
enum { ST_MOST_HEADER = 100000000, ST_MOST_TENSORS = 1000000, ST_MOST_NAME = 1024 };

struct safetensor {
    const char *name; /* in the file's text */
    enum st_dtype dtype;
    int rank;                /* 0: a single number */
    uint64_t shape[ST_RANK]; /* rows first */
    uint64_t begin, end;     /* bytes of the data */
};

struct safetensors {
    size_t n;
    struct safetensor *t; /* (n), by name */
    char *text;
    uint64_t data; /* where in the file the data begin */
};

/* The header of a file of file_bytes bytes, of which the first n are given: at least the header, or
 * what there is of it. `file` is for messages, which name the tensor and the reason. Memory is
 * bounded by a small multiple of n. false: problems, and an empty list. Local. */
bool safetensors_parse(struct safetensors *s, const void *bytes, size_t n, uint64_t file_bytes,
                       const char *file, struct problems *p);
/* Bytes of a header with its 8 bytes of length; 0 and problems: refused. For who reads a file. */
uint64_t safetensors_header_bytes(const unsigned char first[8], uint64_t file_bytes,
                                  const char *file, struct problems *p);
void safetensors_free(struct safetensors *s);
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name);
/* Elements; no overflow in what was parsed. */
uint64_t safetensor_count(const struct safetensor *t);
/* "[2, 3]" into out. */
const char *safetensor_shape_text(char out[256], const uint64_t *shape, int rank);
/* A name that may be anything, fit for a message. */
const char *safetensor_show(char out[96], const char *name);

/* Orders for qsort and bsearch over struct safetensor: by name; the one in which a file has its
 * tensors, wider data first, then by name. */
int safetensor_name_order(const void *a, const void *b);
int safetensor_file_order(const void *a, const void *b);
/* Header for tensors in this order, begin and end of each filled in: malloc'ed, *n bytes, with its
 * length in front, padded to a multiple of 8. NULL without memory. Local. */
char *safetensors_header(struct safetensor *t, size_t tensors, size_t *n);

#endif
