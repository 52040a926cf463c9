/* The pre_tokenizer of a tokenizer.json: how a text is cut into pieces, which are encoded by
 * themselves. Split (a pattern or a text), Digits, and ByteLevel's own splitting, in a Sequence or
 * alone. */
#ifndef DUET_MODEL_TOKENIZER_SPLIT_H
#define DUET_MODEL_TOKENIZER_SPLIT_H

#include "model/tokenizer/pattern.h"
#include "model/tokenizer/room.h"

/* What becomes of matches and of what lies between them. */
enum split_behavior {
    SPLIT_ISOLATED, /* each is a piece */
    SPLIT_REMOVED,  /* matches are left out */
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS /* matches that follow each other are one piece */
};

struct split_step {
    struct pattern *pattern; /* NULL: a space before a text that begins with none */
    enum split_behavior behavior;
    bool invert; /* what lies between matches is a match */
};
struct splitter {
    struct split_step step[2 * STEPS_MOST];
    int n;
    bool byte_level; /* its last step was ByteLevel */
};

void splitter_read(struct parse *p, struct splitter *s, const json_t *step);
/* A step that makes each match the beginning of a piece. */
void splitter_add_seams(struct parse *p, struct splitter *s, const char *regex);
void splitter_free(struct splitter *s);

/* Takes a piece, which is not empty and is kept only during the call. */
typedef void split_take(void *ctx, const char *piece, size_t n);
/* Cuts n bytes of valid UTF-8. `room` is to work in. */
void splitter_run(const struct splitter *s, struct room *room, const char *text, size_t n,
                  split_take *take, void *ctx);

#endif
