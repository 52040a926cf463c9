/* Graders for Duet as shared objects: all that one needs to include. It is installed as
 * PREFIX/include/duet_grader.h.
 *
 *   #include "duet_grader.h"
 *   static int grade(const struct duet_answer *a, struct duet_verdict *v) { v->reward = 1; return
 * 0; } const struct duet_grader duet_grader = {DUET_GRADER_VERSION, sizeof(struct duet_grader),
 * NULL, grade, NULL};
 *
 *   cc -shared -fPIC -o grader.so grader.c          and in a recipe:
 *   graders: [{name: mine, library: ./grader.so}]
 *
 * Duet loads it in a process that does nothing else: it may crash, hang or print without harm to a
 * run. Try it by hand with `duet grader grader.so`, which reads and writes JSON Lines.
 *
 * Stable: members are added at the end of the structs, and the version grows only when an old
 * grader could no longer be used. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_DUET_GRADER_H
#define DUET_TRAINER_REWARD_PLUGIN_DUET_GRADER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DUET_GRADER_VERSION 1

/* UTF-8, `bytes` of them and a 0 behind, until grade returns. text NULL: the problem has none. */
struct duet_text {
    const char *text;
    size_t bytes;
};

struct duet_answer {
    size_t size; /* of this struct, as Duet knows it: members beyond are not there */
    struct duet_text answer, expected, prompt;
    struct duet_text tests; /* JSON, as the data have it */
    struct duet_text language;
};

struct duet_verdict {
    size_t size;
    double reward; /* finite */
    char why[160]; /* may say why; or, with an error, what is wrong */
};

struct duet_grader {
    uint32_t version; /* DUET_GRADER_VERSION */
    size_t size;      /* sizeof(struct duet_grader) */
    /* Once, before the first answer; may be NULL. 0: it is ready; else `why` says what is wrong. */
    int (*open)(char *why, size_t why_bytes);
    /* 0: v->reward is the verdict; else the answer could not be graded: its verdict is lost. */
    int (*grade)(const struct duet_answer *a, struct duet_verdict *v);
    /* At the end, if it comes in peace; may be NULL. */
    void (*close)(void);
};

/* What Duet looks for in the shared object. */
extern const struct duet_grader duet_grader;

#ifdef __cplusplus
}
#endif

#endif
