/* One answer before its judge: runs of the sandbox, one after the other, and the verdict. */
#ifndef DUET_TRAINER_REWARD_CODE_JUDGE_H
#define DUET_TRAINER_REWARD_CODE_JUDGE_H

#include <poll.h>
#include "trainer/reward/code/program.h"

struct judging {
    const struct code_rules *rules;
    const struct program *program;
    struct span code;
    json_t *tests, *calls; /* calls: of those, the tests with a function */
    struct program_text compiled;
    bool is_compiled, called; /* behind us: compiling, the run that calls functions */
    size_t next;              /* test against an input that comes next */
    bool running, over;
    struct sandbox_run run;
    struct code_verdict verdict;
    bool failed; /* the sandbox did not run it: no verdict */
};

/* completion and tests must live as long as j. */
void judge_begin(struct judging *j, const struct code_rules *rules, enum code_language language,
                 bool thinks, struct span completion, struct span tests);
/* Goes on, never waits; starts runs in s. true: over, the verdict stands (or j->failed). */
bool judge_step(struct judging *j, struct sandbox *s);
/* What to wait for: up to 2. */
int judge_wait(const struct judging *j, struct pollfd *fd);
void judge_end(struct judging *j);

#endif
