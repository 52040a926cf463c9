/* The number formats of GGUF tensors that we read and write: blocks of numbers that share a scale.
 * Layouts: llama.cpp's ggml-common.h; rounding: its reference quantisers. */
#ifndef DUET_TRAINER_GGUF_QUANT_H
#define DUET_TRAINER_GGUF_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum { QUANT_BLOCK_MAX = 32 }; /* numbers of the largest block */

struct quant {
    const char *name; /* as users write it: "q8_0" */
    uint32_t type;    /* its number in a file */
    uint32_t file;    /* a file whose matrices have it: general.file_type */
    int numbers;      /* of a block */
    int bytes;        /* of a block */
    /* One block. Little-endian whatever the machine; block needs no alignment. */
    void (*read)(float *out, const unsigned char *block);
    void (*write)(unsigned char *block, const float *in);
};

/* By number; NULL: not one of ours. quant_type_name: what the number means to llama.cpp, for
 * messages, also where it is not ours ("q4_K"). */
const struct quant *quant_find(uint32_t type);
const char *quant_type_name(uint32_t type);
const struct quant *quant_named(const char *name);

/* n numbers from number `first` on, of a tensor whose rows are whole blocks. bytes: the tensor's
 * beginning. Local. */
void quant_read(const struct quant *q, float *out, const unsigned char *bytes, uint64_t first,
                size_t n);
/* n numbers, whole blocks. */
void quant_write(const struct quant *q, unsigned char *bytes, const float *in, size_t n);

#endif
