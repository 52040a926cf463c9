/* The setting `graders` of a phase: graders that the user brings, each a reward with a name of its
 * own. In a recipe a list of mappings, as text JSON:
 *
 *   graders:
 *     - {name: judge, command: python3 verifier.py, weight: 0.5, workers: 2}
 *     - {name: fast, library: ./grader.so}
 */
#ifndef DUET_TRAINER_CONFIG_GRADERS_H
#define DUET_TRAINER_CONFIG_GRADERS_H

#include <stdbool.h>
#include "comm/base/problems.h"

enum { PLUGINS_MOST = 8, PLUGIN_NAME = 32, PLUGIN_WORDS = 64 };

struct plugin {
    char name[PLUGIN_NAME];        /* a-z, 0-9 and _ */
    char *words[PLUGIN_WORDS + 1]; /* the command, as execvp takes it; empty: a library */
    const char *library;           /* a shared object; NULL: a command */
    char *text;                    /* what both point into */
    double weight;
    double timeout_s, start_s; /* for a verdict; more for the first of a new worker */
    int workers, retries;      /* workers of each rank */
};
struct plugin_list {
    struct plugin at[PLUGINS_MOST];
    int n;
};

/* What a value of the setting says, mistakes left out. Each text is read once and its list kept to
 * the end of the program, so that asking again allocates nothing. "" and NULL: none. Local. */
const struct plugin_list *plugin_list_of(const char *text);

struct check; /* trainer/config/check.h */
/* Every mistake in the list of phase i: unknown members, a weight that is none, a name given twice
 * or that another reward has. Does not look for commands and files. */
void plugins_check(const struct check *c, int phase);

#endif
