/* A model's own chat template: the part of Jinja that such templates use, so that a template is
 * known by what it renders, not by its name.
 *
 * Statements: if, for (with a condition, loop, else, break, continue), set (also of a namespace and
 * of a block), generation. Expressions: strings, whole numbers, true, false, none, lists, dicts,
 * arithmetic, comparisons, in, and, or, not, if-else, slices, the methods of strings and dicts, the
 * filters and tests of jinja_filter.h. Not: macros, imports, fractions, the clock (strftime_now is
 * not defined, so a template that asks falls back on its fixed date and runs are reproducible).
 * White space as transformers has it: trim_blocks, lstrip_blocks.
 *
 * A template is a stranger's program: it can read nothing but its arguments, its steps and its
 * memory are bounded, and it has no recursion. Every byte it prints stays marked as the template's
 * or a turn's (rendered.h), through strip, split, replace and the rest. Fuzzed. */
#ifndef DUET_TRAINER_DATA_JINJA_H
#define DUET_TRAINER_DATA_JINJA_H

#include "trainer/data/example.h"
#include "trainer/data/rendered.h"

struct jinja;
enum { JINJA_WHY = 200 };

/* NULL: *why says what in it is not known here, with its line. n bytes. Local. */
struct jinja *jinja_parse(const char *text, size_t n, char why[JINJA_WHY]);
void jinja_free(struct jinja *j);

struct jinja_job {
    const struct turn *turn; /* (turns) messages */
    int turns;
    const char *bos, *eos; /* NULL: "" */
    bool ask;              /* add_generation_prompt */
    bool no_thinking;      /* enable_thinking is false; else it is not defined */
};
/* Appends what the template makes of a conversation. false: *why says why not, as when the template
 * raises an exception. Local; allocates and frees. */
bool jinja_render(const struct jinja *j, const struct jinja_job *job, struct rendered *out,
                  char why[JINJA_WHY]);

#endif
