/* What a rank and the judge in its grader server say to each other. */
#ifndef DUET_TRAINER_REWARD_CODE_KIND_H
#define DUET_TRAINER_REWARD_CODE_KIND_H

#include "trainer/reward/code/code.h"
#include "trainer/reward/sandbox/sandbox.h"
#include "trainer/reward/server/kind.h"

extern const struct grade_kind grade_kind_code;

/* A request: this head, the tests (n_tests), the completion. */
struct code_request {
    uint32_t what, language, thinks, n_tests;
};
enum { CODE_ASK_LEVEL, CODE_ASK_VERDICT };

/* The reply to CODE_ASK_LEVEL; that to CODE_ASK_VERDICT is a struct code_verdict. */
struct code_level {
    enum sandbox_level level;
    char says[240];
};

#endif
