/* Majority vote over the answers to one question (self-consistency; Wang et al., arXiv
 * 2203.11171). */
#ifndef DUET_TRAINER_REWARD_MAJORITY_H
#define DUET_TRAINER_REWARD_MAJORITY_H

#include <stdbool.h>
#include <stdint.h>

/* Is the most frequent answer right? vote[i] tells answers apart as the grader does (verdict.h),
 * 0: no answer, which does not vote. Among equally frequent answers the one whose first vote came
 * first wins, by the number of the sample: the draws are keyed, so it is the same on every mesh.
 * right[i] > 0: answer i is right. Local. */
bool majority_right(const uint64_t *vote, const float *right, int n);

#endif
