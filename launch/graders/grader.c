/* A grader for Duet in C (docs/REWARDS.md): half the reward for an answer in its tags, the other
 * half for the right one.
 *
 *   cc -shared -fPIC -I PREFIX/include -o grader.so grader.c
 *   echo '{"id": "1", "answer": "<answer>7</answer>", "expected": "7"}' | duet grader grader.so
 */
#include <stdio.h>
#include <string.h>
#include "duet_grader.h"

static int grade(const struct duet_answer *a, struct duet_verdict *v)
{
    const char *open = "<answer>", *from = strstr(a->answer.text, open);
    const char *to = from ? strstr(from, "</answer>") : NULL;
    if (!a->expected.text) {
        snprintf(v->why, sizeof v->why, "the problem has no expected answer");
        return 1; /* its verdict is lost, and counted */
    }
    if (!to) return 0; /* no answer: reward 0 */
    from += strlen(open);
    size_t n = (size_t)(to - from);
    v->reward = 0.5;
    if (n == a->expected.bytes && memcmp(from, a->expected.text, n) == 0) v->reward += 0.5;
    return 0;
}

const struct duet_grader duet_grader = {DUET_GRADER_VERSION, sizeof(struct duet_grader), NULL,
                                        grade, NULL};
