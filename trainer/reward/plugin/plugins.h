/* Plug-in graders as a rank sees them: it hands answers to its grader server, which keeps a pool of
 * workers for each grader of the recipe, and takes verdicts when it needs them. Local. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_PLUGINS_H
#define DUET_TRAINER_REWARD_PLUGIN_PLUGINS_H

#include "trainer/config/graders.h"
#include "trainer/config/settings.h"
#include "trainer/reward/plugin/line.h"
#include "trainer/reward/server/server.h"

/* Tells the server of the graders of all phases, which it starts. Nothing where there are none;
 * once. */
void plugins_open(struct grade_server *s, const struct settings *settings);
/* Waits until each was tried on an empty answer, since plugins_open. One that does not work is a
 * problem that says why: a command that is not there, a shared object without its symbol, a script
 * with a mistake. */
void plugins_agree(struct grade_server *s, struct problems *p);

/* Hands an answer to a grader of plugin_list_of. false: the server is full; take a verdict. */
bool plugins_send(struct grade_server *s, const struct plugin *grader, uint64_t id,
                  const struct line_request *r);
struct plugin_verdict {
    uint64_t id;
    bool lost;
    double reward, seconds; /* 0 where it is lost; that workers had it */
    char why[LINE_WHY];
};
/* The next verdict of any grader; waits for timeout_ms (-1: while one is open). What a grader did
 * for the first time is said in the log. false: none came. */
bool plugins_take(struct grade_server *s, struct plugin_verdict *v, int timeout_ms);

#endif
