/* What screen.c counts in a pass over a split, shared by ranks (screen_share.c), and what is then
 * said of it: a message for each kind, a problem where it is refused, else a warning. Private to
 * the three. */
#ifndef DUET_TRAINER_DATA_SCREEN_SAY_H
#define DUET_TRAINER_DATA_SCREEN_SAY_H

#include "comm/base/problems.h"
#include "trainer/data/jinja.h"
#include "trainer/data/screen.h"
#include "trainer/data/unknown.h"

enum { NAMED = 8 };

/* Records of which the same is to be said. */
struct found {
    int n, last, place[NAMED]; /* numbers of the first (source_look) */
};

/* What is found in a run of problems; of two runs, seen_join. */
struct seen {
    struct found long_prompts, little_room, long_answers, no_demonstration, long_demonstrations;
    struct found unread, unwritten, no_answer, no_rendering, ungradable, unlearnable, no_tests,
        no_language;
    int never;           /* of the first that is unlearnable: the token */
    char why[JINJA_WHY]; /* of the first without a rendering */
    int longest_prompt, longest_demonstration, least_room;
    int usable; /* demonstrations */
    struct unknown read, written;
};
static inline int larger(int a, int b)
{
    return a > b ? a : b;
}
/* a becomes what is found in its problems and in those of b, which come behind them. */
void seen_join(struct seen *a, const struct seen *b);

struct look {
    const struct source *source;
    const struct screen *how;
    const struct world *world; /* that of how, where there is something to share; or NULL */
    struct problems *problems;
    enum split split;
    const char *file;
    bool lines;  /* a file's: places are lines */
    bool sample; /* looked at are some of many, which are not left out */
    int n;       /* problems looked at */
    bool *keep;  /* (n) */
    char *text;  /* of a demonstration; what is longer than text_size does not fit */
    size_t text_size;
    int tags;             /* tokens around an answer */
    int *token;           /* (max_context) of a demonstration */
    unsigned char *learn; /* (max_context) */
    struct seen seen;
};

/* The first problem that a rank looks at; rank + 1: behind its last one. */
int screen_first(const struct look *l, int rank);
/* keep and seen of all ranks, where there was this rank's. Collective over its world. */
void screen_share(struct look *l);

/* Prompts without room for an answer; conversations that the template refuses; answers that
 * the verifier cannot read. true: there are too
 * many of them, which is a problem. */
bool screen_say_long_prompts(const struct look *l);
bool screen_say_no_rendering(const struct look *l);
bool screen_say_ungradable(const struct look *l);
/* All else; for a split with problems in it. */
void screen_say_little_room(const struct look *l);
void screen_say_long_answers(const struct look *l);
void screen_say_no_answers(const struct look *l);
void screen_say_no_fields(const struct look *l);
void screen_say_demonstrations(const struct look *l);
void screen_say_unknown(const struct look *l);

#endif
