/* The subcommands of duet: one function each in trainer/commands/<name>.c, one row each in
 * commands.c. argv[0] is the subcommand's name; every one of them answers --help. They return the
 * exit code (enum exit_code). */
#ifndef DUET_TRAINER_COMMANDS_COMMANDS_H
#define DUET_TRAINER_COMMANDS_COMMANDS_H

#include <stdbool.h>

#define DUET_VERSION "0.1.0"
extern const char
    duet_commit[]; /* the Makefile writes it: git's name of the sources, or "unknown" */

struct command {
    const char *name, *help;
    int (*run)(int argc, char **argv);
    bool alone; /* of one process, without world_up */
};
enum { COMMANDS_MAX = 32 };
extern const struct command commands[COMMANDS_MAX + 1]; /* ends with a NULL name */
const struct command *command_find(const char *name);   /* NULL: none is called so */

int cmd_train(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_perplexity(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_settings(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_grade(int argc, char **argv);
int cmd_grader(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
