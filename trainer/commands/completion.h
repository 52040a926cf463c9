/* duet completion: it is handed the table of subcommands, of which it is a row itself. */
#ifndef DUET_TRAINER_COMMANDS_COMPLETION_H
#define DUET_TRAINER_COMMANDS_COMPLETION_H

struct command;

/* The subcommand. table: ends with a NULL name. Returns the exit code. */
int completion_run(const struct command *table, int argc, char **argv);

#endif
