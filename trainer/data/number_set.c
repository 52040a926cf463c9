#include "trainer/data/number_set.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

/* What was lent is copied, as words: counts follow from them. */
static void own(struct number_set *s)
{
    if (!s->lent) return;
    uint64_t *word = memory_take(s->words + 1, sizeof *word, "lines of a file");
    memcpy(word, s->word, s->words * sizeof *word);
    s->word = word;
    s->before = NULL;
    s->lent = false;
}

static void set_room(struct number_set *s, size_t words)
{
    own(s);
    s->word = realloc(s->word, (words ? words : 1) * sizeof *s->word);
    SYS_OK(s->word, "give the job more memory, or a smaller file", "no memory for %zu lines",
           64 * words);
    if (words > s->words) memset(s->word + s->words, 0, (words - s->words) * sizeof *s->word);
    s->words = words;
}

static void make_room(struct number_set *s, uint64_t numbers)
{
    size_t words = (size_t)((numbers + 63) / 64);
    if (words > s->words) set_room(s, words > 2 * s->words ? words : 2 * s->words);
}

void number_set_add(struct number_set *s, uint64_t number)
{
    make_room(s, number + 1);
    s->word[number / 64] |= (uint64_t)1 << number % 64;
}

/* A word of theirs falls on two of ours; bits behind the n-th are none. */
void number_set_add_bits(struct number_set *s, uint64_t first, const uint64_t *word, size_t n)
{
    unsigned shift = (unsigned)(first % 64);
    make_room(s, first + n + 64);
    for (size_t i = 0, left = n; left > 0; i++) {
        uint64_t bits = left < 64 ? word[i] & (((uint64_t)1 << left) - 1) : word[i];
        uint64_t *at = &s->word[first / 64 + i];
        at[0] |= bits << shift;
        if (shift > 0) at[1] |= bits >> (64 - shift);
        left -= left < 64 ? left : 64;
    }
}

/* Counts of runs make a member's place a search in them and a look at one run. */
void number_set_count(struct number_set *s)
{
    size_t used = s->words;
    uint64_t n = 0;
    while (used > 0 && s->word[used - 1] == 0) used--;
    set_room(s, (used + NUMBER_RUN - 1) / NUMBER_RUN * NUMBER_RUN);
    free(s->before);
    s->before = memory_take(number_set_counts(s->words), sizeof *s->before, "lines of a file");
    for (size_t i = 0; i < s->words; i++) {
        if (i % NUMBER_RUN == 0) s->before[i / NUMBER_RUN] = (uint32_t)n;
        n += (uint64_t)__builtin_popcountll(s->word[i]);
    }
    INVARIANT(n <= INT_MAX, "%llu records", (unsigned long long)n);
    s->before[s->words / NUMBER_RUN] = (uint32_t)n;
    s->n = (int)n;
}

/* The place of the bit that has `skip` set ones below it. */
static unsigned bit_behind(uint64_t word, unsigned skip)
{
    for (; skip > 0; skip--) word &= word - 1;
    return (unsigned)__builtin_ctzll(word);
}

/* The run by bisection, in it word by word: no table of members. */
uint64_t number_set_at(const struct number_set *s, int i)
{
    size_t low = 0, high = s->words / NUMBER_RUN;
    INVARIANT(i >= 0 && i < s->n, "member %d of %d", i, s->n);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(s->before[middle] <= (uint32_t)i ? &low : &high) = middle;
    }
    unsigned left = (unsigned)i - s->before[low];
    for (size_t w = low * NUMBER_RUN;; w++) {
        unsigned here = (unsigned)__builtin_popcountll(s->word[w]);
        if (left < here) return 64 * (uint64_t)w + bit_behind(s->word[w], left);
        left -= here;
    }
}

int number_set_below(const struct number_set *s, uint64_t number)
{
    if (number >= 64 * (uint64_t)s->words) return s->n;
    size_t last = (size_t)(number / 64), run = last / NUMBER_RUN;
    int n = (int)s->before[run];
    for (size_t w = run * NUMBER_RUN; w < last; w++) n += __builtin_popcountll(s->word[w]);
    return n + __builtin_popcountll(s->word[last] & (((uint64_t)1 << number % 64) - 1));
}

void number_set_keep(struct number_set *s, const bool *keep)
{
    own(s);
    for (size_t w = 0, i = 0; w < s->words; w++)
        for (uint64_t left = s->word[w]; left; left &= left - 1)
            if (!keep[i++]) s->word[w] &= ~(left & -left);
    number_set_count(s);
}

size_t number_set_bytes(const struct number_set *s)
{
    return s->words * sizeof *s->word + number_set_counts(s->words) * sizeof *s->before;
}

size_t number_set_counts(size_t words)
{
    return words / NUMBER_RUN + 1;
}

void number_set_lend(struct number_set *s, uint64_t *word, size_t words, uint32_t *before)
{
    number_set_free(s);
    *s = (struct number_set){word, words, before, (int)before[words / NUMBER_RUN], true};
}

void number_set_free(struct number_set *s)
{
    if (!s->lent) free(s->word);
    if (!s->lent) free(s->before);
    *s = (struct number_set){.n = 0};
}
