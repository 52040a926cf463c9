/* Reading a tokenizer.json: where mistakes go, and members of its JSON. */
#ifndef DUET_MODEL_TOKENIZER_PARSE_H
#define DUET_MODEL_TOKENIZER_PARSE_H

#include <jansson.h>
#include <stdbool.h>
#include "comm/base/problems.h"

/* Limits on files that may have been made to harm. */
enum {
    FILE_MOST = 256 << 20, /* bytes */
    DEPTH_MOST = 64,       /* of arrays and objects */
    IDS_MOST = 1 << 22,    /* tokens; ids are below */
    MERGES_MOST = 1 << 22,
    TOKEN_MOST = 1 << 10,    /* bytes of text */
    SPELLING_MOST = 4 << 10, /* bytes as the file spells it */
    STEPS_MOST = 16          /* of a normalizer or a pre_tokenizer */
};

struct parse {
    const char *file;
    struct problems *problems;
    bool ok;
};

/* "FILE: place: why "what"", with what cut to 80 bytes; NULL leaves it out. */
void refuse(struct parse *p, const char *place, const char *why, const char *what);
/* The same for a step of a kind that this program cannot run: says which kinds it can. */
void refuse_kind(struct parse *p, const char *place, const json_t *step, const char *known);

/* NULL when there is none. */
const char *text_member(const json_t *object, const char *name);
/* "type" of a step, "" when it has none. */
const char *type_of(const json_t *step);
/* The member is false or absent; otherwise refuses it. */
void must_be_false(struct parse *p, const char *place, const json_t *object, const char *name);
/* Refuses members of an object that are not among the names (ending with NULL). */
void check_members(struct parse *p, const char *place, const json_t *object,
                   const char *const *names);
/* The steps of a Sequence under `list`, or the one step that stands there itself, at most
 * STEPS_MOST; returns how many. Null or absent: none. */
int steps_of(struct parse *p, const char *place, const json_t *step, const char *list,
             const json_t *out[STEPS_MOST]);

/* {"String": ...} of a Replace or Split; NULL and a problem when it is another pattern. */
const char *string_pattern(struct parse *p, const char *place, const json_t *step);

#endif
