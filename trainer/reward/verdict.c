#include "trainer/reward/verdict.h"
#include "comm/base/checksum.h"
#include "trainer/data/completion.h"
#include "trainer/reward/exact.h"

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
