/* Answers by their parts: tuples, sets, intervals, unions, matrices, relations, units (C6-C13). */
#ifndef DUET_TRAINER_REWARD_MATH_COMPARE_H
#define DUET_TRAINER_REWARD_MATH_COMPARE_H

#include "trainer/reward/math/same.h"

/* Is the answer what is expected? Not symmetric: the expected answer says what kind of thing it is
 * (a pair or an interval, a number or an equation). Local. */
enum same math_matches(struct math_work *w, int expected, int answer);

/* g: what is expected, a: the answer. compare_sets.c: what intervals a tree says; an inequality
 * says one only where it is expected (C9). SAME_UNKNOWN: they are no sets of intervals. */
enum same math_same_intervals(struct math_work *w, int g, int a);
/* compare_relations.c: of two relations or chains */
enum same math_same_relations(struct math_work *w, int g, int a);
/* What an assignment or a chain of equal values says, C11, N12: x = 1/2 = 0.5 is 1/2; 0: nothing,
 * or what contradicts itself. */
int math_assigned(struct math_work *w, int node);

#endif
