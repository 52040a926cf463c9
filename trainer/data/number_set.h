/* A set of numbers as bits: of a file's lines those that are records of a split. 1.1 bits a number,
 * where a list would take 64. */
#ifndef DUET_TRAINER_DATA_NUMBER_SET_H
#define DUET_TRAINER_DATA_NUMBER_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: empty. */
struct number_set {
    uint64_t *word; /* (words), bits of 64 numbers each */
    size_t words;
    uint32_t *before; /* (words / NUMBER_RUN, and one more) members before each run of words */
    int n;            /* members; what is added counts from number_set_count on */
    bool lent;        /* both lists are another's */
};
enum { NUMBER_RUN = 8 };

void number_set_add(struct number_set *s, uint64_t number);
/* Adds numbers from `first` on, by n bits: bit 0 of word[0] is `first`. */
void number_set_add_bits(struct number_set *s, uint64_t first, const uint64_t *word, size_t n);
/* After the last was added: gives back room that is not needed, and makes the two below work. */
void number_set_count(struct number_set *s);
/* Member i in ascending order, i in 0 .. n-1. Local, some tens of ns. */
uint64_t number_set_at(const struct number_set *s, int i);
/* Members smaller than a number. */
int number_set_below(const struct number_set *s, uint64_t number);
/* Drops member i where keep[i] is false. */
void number_set_keep(struct number_set *s, const bool *keep);
size_t number_set_bytes(const struct number_set *s);
/* Becomes the set of lists that number_set_count has made, which stay another's and must outlive
 * it: they are copied before they would be changed. number_set_counts: elements of `before`. */
void number_set_lend(struct number_set *s, uint64_t *word, size_t words, uint32_t *before);
size_t number_set_counts(size_t words);
void number_set_free(struct number_set *s);

#endif
