/* Repetition: minus the share of the completion's n-grams of words that stand in it before (arXiv
 * 2502.03373, appendix; open-r1's repetition penalty). -1 to 0. */
#include <stdint.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/reward/grader.h"
#include "trainer/reward/words.h"

/* Different n-grams, by their hashes. Beyond half of the slots those with a hash of the next level
 * are kept and stand for twice as many (Wegman's adaptive sampling), so that a text of any length
 * takes this room: exact up to MOST of them, within about a hundredth beyond. */
enum { SLOTS = 16384, MOST = SLOTS / 2, GRAM_MOST = 16 };
struct grams {
    uint64_t slot[SLOTS]; /* 0: free */
    int used, level;
};

static bool of_level(uint64_t hash, int level)
{
    return (hash & (((uint64_t)1 << level) - 1)) == 0;
}

static void put(struct grams *g, uint64_t hash)
{
    size_t at = (size_t)(hash >> 40) % SLOTS;
    while (g->slot[at] && g->slot[at] != hash) at = (at + 1) % SLOTS;
    g->used += g->slot[at] == 0;
    g->slot[at] = hash;
}

/* The half of them whose hashes are of the next level stay. */
static void thin(struct grams *g)
{
    uint64_t kept[MOST + 1];
    int n = 0;
    g->level++;
    for (int i = 0; i < SLOTS; i++)
        if (g->slot[i] && of_level(g->slot[i], g->level)) kept[n++] = g->slot[i];
    memset(g->slot, 0, sizeof g->slot);
    g->used = 0;
    for (int i = 0; i < n; i++) put(g, kept[i]);
}

static void count(struct grams *g, uint64_t hash)
{
    hash += hash == 0;
    if (!of_level(hash, g->level)) return;
    put(g, hash);
    while (g->used > MOST) thin(g);
}

/* The last n words as a ring of their hashes, each n-gram a hash of those in order. */
static float grade(const struct completion *c, const struct phase_settings *k)
{
    struct grams g;
    uint64_t last[GRAM_MOST], gram[GRAM_MOST];
    const int n = k->repetition_ngram;
    struct span rest = {c->text, c->bytes};
    struct word w;
    long words = 0;
    memset(&g, 0, sizeof g);
    for (; word_next(&rest, &w); words++) {
        last[words % n] = checksum(w.text.at, w.text.n, 0);
        if (words + 1 < n) continue;
        for (int i = 0; i < n; i++) gram[i] = last[(words + 1 + i) % n];
        count(&g, checksum(gram, (size_t)n * sizeof *gram, 0));
    }
    double all = (double)(words - n + 1), different = (double)((uint64_t)g.used << g.level);
    return all > 0 && different < all ? (float)(different / all - 1) : 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_repetition;
}

const struct grader grader_repetition = {
    .name = "repetition",
    .help = "minus the share of n-grams of words that were there before",
    .needs = NEEDS_TEXT,
    .weight = weight,
    .grade = grade};
