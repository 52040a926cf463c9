/* A rank's side of the judge. */
#ifndef DUET_TRAINER_REWARD_CODE_ASK_H
#define DUET_TRAINER_REWARD_CODE_ASK_H

#include "trainer/config/settings.h"
#include "trainer/reward/code/kind.h"

struct code_rules code_rules_of(const struct phase_settings *k);
/* The rules of what is sent from here on, where they are others than before. */
void code_tell(struct grade_server *s, const struct code_rules *rules);
/* Opens the sandbox, whose level is what the caller goes by. Waits for it. Local, as all below. */
struct code_level code_open(struct grade_server *s, const struct code_rules *rules);
/* As grade_server_send; the reply's bytes are a struct code_verdict (code_reply). */
bool code_send(struct grade_server *s, uint64_t id, enum code_language language, bool thinks,
               struct span completion, struct span tests);
struct code_verdict code_reply(const struct grade_reply *reply);

#endif
