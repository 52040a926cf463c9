/* What the kernels on tile registers (AMX) share. For files compiled with AVX-512. */
#ifndef DUET_MODEL_CPU_TILE_REGISTERS_H
#define DUET_MODEL_CPU_TILE_REGISTERS_H

#include <immintrin.h>
#include <stdint.h>

/* Tiles have rows of 64 bytes: 0 to 5 `rows` of them, up to 16, 6 and 7 all 16. */
__attribute__((target("amx-tile"))) static inline void tile_configure(int rows)
{
    struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = (uint8_t)(i < 6 ? rows : 16);
    }
    __asm__ volatile("" ::"m"(c)); /* the compiler takes the load for one of 8 bytes */
    _tile_loadconfig(&c);
}

/* A square of 16 by 16 words: rows become columns. Neighbours by ones, twos, fours and eights. */
static inline void square_turn(__m512i row[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm512_unpacklo_epi64(a[i + j], a[i + 2 + j]);
            b[i + 2 * j + 1] = _mm512_unpackhi_epi64(a[i + j], a[i + 2 + j]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            a[i + j] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0x88);
            a[i + j + 4] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        row[j] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0x88);
        row[j + 8] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0xdd);
    }
}

#endif
