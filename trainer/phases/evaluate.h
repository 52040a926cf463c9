/* Held-out evaluation: pass@1, pass@k, maj@k; as a phase of its own, as the end of a step that
 * learned, and for `duet eval`. */
#ifndef DUET_TRAINER_PHASES_EVALUATE_H
#define DUET_TRAINER_PHASES_EVALUATE_H

#include "trainer/run/run.h"

/* Rows of struct phase_kind. */
struct phase_size eval_size(const struct phase_settings *k);
bool eval_step(struct run *r, const struct phase_settings *k);

/* An evaluation of the weights of a step, not begun yet: `samples` answers to each of the first
 * `asked` held-out problems, or of all when there are fewer. Local. */
struct tally evaluate_begin(struct run *r, const struct phase_settings *k, long step, int asked,
                            int samples);
/* Goes on with it until all problems are done, or (false) a stop is asked for. Collective. */
bool evaluate_go_on(struct run *r, const struct phase_settings *k, struct tally *t);
/* "pass@1 26.9 % length 58.1 (128 problems, answers per problem: 1)" */
enum { SCORE_TEXT = 256 };
void score_text(char out[SCORE_TEXT], const struct score *s);

/* The end of a step that learned: when an evaluation is due (eval_every), that, into the open line
 * of metrics; then the line ends. A stop meanwhile leaves both waiting (evaluate_line_waits); the
 * checkpoint keeps them. Collective. */
void evaluate_end_line(struct run *r, const struct phase_settings *k);
/* Does the line of the step before this one wait for its evaluation? Then evaluate_end_waiting_line
 * continues with both. */
bool evaluate_line_waits(const struct run *r);
void evaluate_end_waiting_line(struct run *r, const struct phase_settings *k);

#endif
