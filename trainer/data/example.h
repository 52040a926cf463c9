/* One line of a JSON Lines file as a record: a problem, a conversation, or a text. */
#ifndef DUET_TRAINER_DATA_EXAMPLE_H
#define DUET_TRAINER_DATA_EXAMPLE_H

#include <stdint.h>
#include "trainer/data/fields.h"

enum turn_role { TURN_SYSTEM, TURN_USER, TURN_ASSISTANT };
struct turn {
    enum turn_role role;
    const char *text;      /* (n), with a NUL behind it */
    const char *reasoning; /* of the assistant, where the record has it apart; NULL: none */
    size_t n;
};

/* Zeroed: empty. What its pointers point into is its own, and stays until the next example_read. */
struct example {
    /* What is asked: of a conversation everything before its last answer, a line break between
     * turns; of a text nothing, "". */
    const char *prompt;
    const char *answer;        /* what is right; NULL: the record does not say */
    const char *demonstration; /* NULL: none, or a conversation */
    const char *tests;         /* any JSON, unread; NULL: none */
    const char *language;      /* NULL: none, or no string */
    /* A preference: two completions of the prompt; or one, and what it is worth. NULL: none. */
    const char *chosen, *rejected;
    double score; /* of `chosen` where nothing is rejected, 0 to 1 */
    /* A conversation, or a prompt with its completion: all of it; a text: one turn of the
     * assistant. Else none. */
    struct turn *turn;
    int turns;

    int room_turns;
    char *bytes;
    size_t room, used;
};

/* The line (n bytes, without its line break) by the members that f names. false: *why (EXAMPLE_WHY)
 * says what is wrong with it: that it is no JSON, misses a member, or holds text that may not be in
 * it. Allocates only when the line is longer than any before it. Local. */
enum { EXAMPLE_WHY = 256 };
bool example_read(struct example *r, const char *line, size_t n, const struct fields *f,
                  char why[EXAMPLE_WHY]);
void example_free(struct example *r);

#endif
