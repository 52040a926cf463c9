#include "trainer/reward/exact.h"
#include <string.h>
#include "trainer/data/completion.h"

/* The reason tells a wrong number from an answer of another form; both earn nothing. */
enum reason exact_verify(const struct problem *p, struct span answer, struct text *read)
{
    char expected[256]; /* only whether it is a number counts: it may be cut */
    struct text wanted = {expected, 0, sizeof expected, false};
    struct span right = {p->answer, strlen(p->answer)};
    bool is_number = answer_canonical(read, answer),
         wants_number = answer_canonical(&wanted, right);
    if (answer_equal(answer, right)) return REASON_RIGHT;
    if (span_trim(answer).n == 0) return REASON_EMPTY;
    if (wants_number) return is_number ? REASON_WRONG_VALUE : REASON_NOT_A_NUMBER;
    return REASON_OTHER_TEXT;
}
