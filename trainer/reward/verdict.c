#include "trainer/reward/verdict.h"
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/data/completion.h"
#include "trainer/reward/exact.h"
#include "trainer/reward/math/clean.h"
#include "trainer/reward/math/extract.h"
#include "trainer/reward/math/math.h"

static uint64_t vote_of(enum reason why, const struct text *read, struct span answer)
{
    if (!reason_votes(why)) return 0;
    uint64_t same = checksum(read->at, read->n, (uint64_t)why);
    if (read->cut)
        same ^= checksum(answer.at, answer.n, 0); /* too long to be compared: by the whole text */
    return same | 1;
}

/* Truncated comes first only where no answer was found: an answer that is complete counts, whatever
 * follows. */
struct verdict verdict_of(const struct task *task, const struct problem *p, struct span completion,
                          bool truncated)
{
    struct verdict v = {0};
    struct text read = {v.read, 0, sizeof v.read, false};
    struct span answer = completion_find_answer(completion, &v.why);
    v.has_read = answer.at != NULL;
    if (!v.has_read) {
        if (truncated) v.why = REASON_TRUNCATED;
        return v;
    }
    if (!task)
        v.why = exact_verify(p, answer, &read);
    else
        v.why = answer.n ? task->verify(p, answer, &read) : REASON_EMPTY;
    v.vote = vote_of(v.why, &read, answer);
    return v;
}

static enum reason reason_of(enum math_verdict v)
{
    static const enum reason reasons[MATH_VERDICTS] = {[MATH_CORRECT] = REASON_RIGHT,
                                                       [MATH_WRONG] = REASON_WRONG_VALUE,
                                                       [MATH_NO_ANSWER] = REASON_EMPTY,
                                                       [MATH_UNDECIDED] = REASON_UNDECIDED};
    return reasons[v];
}

/* Where nothing says that it is the answer, the reason is that of a completion without <answer>. */
struct verdict verdict_by_value(const struct problem *p, struct span completion, bool truncated)
{
    char bytes[MATH_ANSWER + 1], why[MATH_WHY];
    struct verdict v = {0};
    struct extracted found = {.text = {bytes, 0, sizeof bytes, false}};
    struct text read = {v.read, 0, sizeof v.read, false};
    if (math_extract(&found, completion)) {
        struct span answer = completion_find_answer(completion, &v.why);
        if (answer.at) v.why = REASON_EMPTY;
        if (truncated && !answer.at) v.why = REASON_TRUNCATED;
        return v;
    }
    v.has_read = true;
    text_add_bytes(&read, found.text.at, found.text.n);
    v.why = reason_of(
        math_grade(completion, (struct span){p->answer, strlen(p->answer)}, why, sizeof why));
    v.vote = math_vote((struct span){found.text.at, found.text.n});
    return v;
}
