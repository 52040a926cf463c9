/* The command line of a subcommand as a table: rows in, values out, --help for nothing.
 *
 *   int port = 80;
 *   struct option_list sets = {0};
 *   const struct option_row rows[] = {
 *       {"port", OPT_INT, &port, 1, 65535, "port to listen on"},
 *       {"set", OPT_LIST, &sets, 0, 0, "KEY=VALUE; overrides a setting of the recipe"},
 *   };
 *   const char *args[1];
 *   struct options o = {.command = "train", .summary = "Runs a recipe.", .usage = "RECIPE",
 *                       .rows = rows, .n_rows = 2, .args = args, .min_args = 1, .max_args = 1};
 *   int code = options_parse(&o, argc, argv);
 *   if (code >= 0) return code;
 *
 * `--name value`, `--name=value`; flags take no value; `--` ends the options; -h and --help print
 * help. */
#ifndef DUET_TRAINER_CONFIG_OPTIONS_H
#define DUET_TRAINER_CONFIG_OPTIONS_H

#include "comm/base/die.h"
#include "comm/base/problems.h"

enum option_type {
    OPT_FLAG,   /* bool */
    OPT_INT,    /* int */
    OPT_REAL,   /* double */
    OPT_STRING, /* const char *, points into argv */
    OPT_LIST    /* struct option_list: may be given more than once */
};

enum { OPTION_LIST_MAX = 256 };

struct option_list {
    const char *at[OPTION_LIST_MAX]; /* point into argv */
    int n;
};

struct option_row {
    const char *name;
    enum option_type type;
    void *target;     /* holds the default before, the value after */
    double low, high; /* OPT_INT, OPT_REAL: range of what is given. A default outside it means "not
                         given" */
    const char *help;
};

struct options {
    const char *command; /* "train": for messages and help */
    const char *summary; /* what the command does, for help */
    const char *usage;   /* its positional arguments, "RECIPE" or "MODEL [PROMPT]" */
    const struct option_row *rows;
    int n_rows;
    const char **args; /* out: positional arguments, room for max_args */
    int min_args, max_args;
    int n_args;              /* out */
    void (*more_help)(void); /* printed below the help (settings_help), or NULL */
    /* What the table cannot say: adds mistakes between options, of `checked`. Or NULL. */
    void (*check)(const void *checked, struct problems *p);
    const void *checked;
};

/* argv[0] is the command itself. -1: go on; otherwise end with that code: EXIT_DONE after --help,
 * EXIT_USER after mistakes (all of them printed, on the first rank only when mpirun or srun
 * started several). Local; needs no MPI. */
int options_parse(struct options *o, int argc, char **argv);

/* argv[1] may be this, for the shell's completion: "--set --resume ..." is printed, EXIT_DONE
 * returned. */
#define OPTIONS_LIST "--list-options"

/* The same without printing: mistakes go to p, *help is set when help was asked for. */
void options_read(struct options *o, int argc, char **argv, bool *help, struct problems *p);
void options_help(const struct options *o);

/* true unless a launcher says that this is not its first process: a message that every rank would
 * print before MPI is up is printed once. */
bool options_first_rank(void);

#endif
