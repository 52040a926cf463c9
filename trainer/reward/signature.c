#include "trainer/reward/signature.h"

#include <stdint.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/reward/words.h"

enum { GRAM = 3 };

/* Hash number i of a 3-gram: a multiplication of its hash by an odd constant of i's own, high bits.
 */
static uint32_t hash_of(uint64_t gram, uint64_t odd)
{
    return (uint32_t)((gram * odd) >> 32);
}

/* The constants are of their numbers alone: signatures of different ranks can be compared. */
void signature_make(unsigned char out[SIGNATURE], struct span text)
{
    uint32_t least[SIGNATURE];
    uint64_t last[GRAM] = {0}, odd[SIGNATURE];
    struct word w;
    long words = 0;
    memset(least, 0xFF, sizeof least);
    for (int i = 0; i < SIGNATURE; i++) odd[i] = checksum(&i, sizeof i, 1) | 1;
    for (; word_next(&text, &w); words++) {
        memmove(last, last + 1, sizeof last - sizeof *last);
        last[GRAM - 1] = checksum(w.text.at, w.text.n, 0);
        if (words + 1 < GRAM) continue;
        uint64_t gram = checksum(last, sizeof last, 0);
        for (int i = 0; i < SIGNATURE; i++) {
            uint32_t hash = hash_of(gram, odd[i]);
            if (hash < least[i]) least[i] = hash;
        }
    }
    memset(out, 0, SIGNATURE);
    if (words < GRAM) return;
    for (int i = 0; i < SIGNATURE; i++) out[i] = (unsigned char)least[i];
}

/* Bytes agree by chance in one of 256. */
double signature_likeness(const unsigned char *a, const unsigned char *b)
{
    int same = 0;
    for (int i = 0; i < SIGNATURE; i++) same += a[i] == b[i];
    double share = ((double)same / SIGNATURE - 1.0 / 256) / (1 - 1.0 / 256);
    return share > 0 ? share : 0;
}
