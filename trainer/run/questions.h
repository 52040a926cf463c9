/* The questions of a step. Each rank makes tokens of a share of their prompts, and all are told how
 * long each is, which is all that handing out and dealing ask for. Problems and prompts themselves
 * are made again where they are answered, graded or learned from, one at a time: a rank keeps some
 * bytes of each question, however long they are. */
#ifndef DUET_TRAINER_RUN_QUESTIONS_H
#define DUET_TRAINER_RUN_QUESTIONS_H

#include "trainer/run/run.h"

struct problems;

/* The `n` problems of a split from number `from` on: scratch->question has the lengths of their
 * prompts. What does not fit was left out when the source was opened; of training problems that
 * were not all looked at then (a generator's, a large file's) another one takes its place. Where
 * none of many draws fits the job ends on all ranks with a message. Collective over the world. */
void questions_ask(struct run *r, enum split split, uint32_t from, int n);
/* Without the end: problems, the same on every rank, in p. Collective over the world. */
void questions_look(struct run *r, enum split split, uint32_t from, int n, struct problems *p);
/* These prompts in place of problems, kept until others are asked: the same on every rank. Local.
 */
void questions_given(struct run *r, const char *const *prompt, int n, struct problems *p);

/* Problem number i of those asked last, until the next is asked for. Local. */
const struct problem *questions_problem(struct run *r, int i);
/* Its prompt as tokens, scratch->question[i].n of them, until the next is asked for; of a struct
 * run, as struct rollout_job wants it. Local. */
const int *questions_prompt(void *run, int i);

#endif
