/* The variables DUET_* of the environment: one table, in which every one that this program or its
 * scripts read stands. An empty variable counts as none. */
#ifndef DUET_COMM_BASE_ENVIRONMENT_H
#define DUET_COMM_BASE_ENVIRONMENT_H

#include <stdio.h>
#include "comm/base/problems.h"

/* The value, or NULL. The name must stand in the table. Local, as all of these. */
const char *environment_text(const char *name);
/* The value of a variable that is a number; `otherwise` where there is none. */
double environment_number(const char *name, double otherwise);

/* Every value of ours that is not right is a problem that says which are. world_up asks, and a
 * command without ranks must. */
void environment_check(struct problems *p);
/* Warns of variables that nothing reads, each with the nearest name. For one rank. */
void environment_warn(FILE *out);
void environment_help(FILE *out);

#endif
