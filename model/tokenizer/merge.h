/* Byte pair encoding of one piece: of the adjacent pairs that the table knows, the one of lowest
 * rank becomes one token, the leftmost of equals first, until none is left. */
#ifndef DUET_MODEL_TOKENIZER_MERGE_H
#define DUET_MODEL_TOKENIZER_MERGE_H

#include "model/tokenizer/hash.h"
#include "model/tokenizer/parse.h"
#include "model/tokenizer/words.h"

/* What a long piece is merged with; grows, zero at first, freed with merge_room_free. */
struct merge_room {
    uint64_t *heap;
    uint32_t *next, *last;
    size_t room;
};
void merge_room_free(struct merge_room *r);

/* Fills `pairs`, (left, right) -> (rank, result), from model.merges, in both spellings: "a b" and
 * ["a", "b"]. */
void merges_read(struct parse *p, struct pair_table *pairs, const json_t *merges,
                 const struct words *words);
/* Merges ids in place and returns how many are left. n log n. */
size_t merge_ids(const struct pair_table *pairs, struct merge_room *room, uint32_t *ids, size_t n);

#endif
