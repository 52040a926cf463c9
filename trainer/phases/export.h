/* The model written for other programs, as a phase of a recipe: a Hugging Face folder, or a GGUF
 * file. It is read from the checkpoint that the phase before it ended with, so the mesh does not
 * matter, and one rank writes. */
#ifndef DUET_TRAINER_PHASES_EXPORT_H
#define DUET_TRAINER_PHASES_EXPORT_H

#include "trainer/checkpoint/hf/export.h"
#include "trainer/run/run.h"

/* Rows of struct phase_kind. */
struct phase_size export_size(const struct phase_settings *k);
bool export_step(struct run *r, const struct phase_settings *k);

/* The phases that are left: is anything in the way of what they write, and does the other side have
 * such a model? An empty folder is not in the way, nor is what this run wrote there itself and
 * nobody has changed since (of a resumed run also what lies in exports/ of its folder): a phase
 * that runs again writes it again. All mistakes together, before anything is trained; exits 2.
 * Collective over the world. */
void export_check(const struct run *r, bool resumed);

/* What the recipe and the tokenizer say of the model, into x; dtype, where it is written as it was
 * imported and was not. ends: the tokens that the run's answers end with, the template's first. */
void export_describe(struct hf_export *x, const struct settings *s, const struct tokenizer *t,
                     struct ends ends);

#endif
