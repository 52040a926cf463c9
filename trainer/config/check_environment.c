/* A phase whose answers have several turns. */
#include <string.h>
#include "trainer/config/check.h"

enum { STOP_BYTES = 16 };

/* A ratio of whole answers would be one of each turn by itself: the tokens between them are not
 * learned from, and the loss gets what is learned in runs (trainer/learn/loss.c). */
static bool takes_whole_answers(const struct phase_settings *ph)
{
    bool whole = ph->policy_loss == POLICY_GSPO || ph->policy_loss == POLICY_GMPO ||
                 ph->policy_loss == POLICY_VESPO;
    return ph->kind == PHASE_GRPO && (whole || ph->off_policy_mask > 0);
}

/* STOP_BYTES as STOP_TOKENS in trainer/run/episodes.c: a stop text may have a token for each byte,
 * and no more are looked through. A wrap without its place would lose the observation. */
void settings_check_environment(const struct check *c, int phase)
{
    const struct phase_settings *ph = &c->s->phases[phase];
    const struct phase_lines *line = &c->s->lines.phases[phase];
    const char *at = strstr(ph->environment_wrap, "{observation}");
    if (phase_has_turns(ph) && strcmp(ph->environment, "calculator") != 0)
        complain(c, line->environment,
                 "%s: environment \"%.40s\" is not known: there is calculator", ph->name,
                 ph->environment);
    if (!at || strstr(at + 1, "{observation}"))
        complain(c, line->environment_wrap, "%s: environment_wrap has {observation} %s", ph->name,
                 at ? "more than once" : "nowhere: it says where the observation stands");
    if (strlen(ph->environment_stop) > STOP_BYTES)
        complain(c, line->environment_stop, "%s: environment_stop has %zu bytes, at most %d are ok",
                 ph->name, strlen(ph->environment_stop), STOP_BYTES);
    if (phase_has_turns(ph) && takes_whole_answers(ph))
        complain(c, line->environment,
                 "%s: environment goes with losses of tokens (clip, cispo, sapo, dppo, window), "
                 "without off_policy_mask: of several turns there is no ratio of a whole answer",
                 ph->name);
}
