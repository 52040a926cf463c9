#include "trainer/data/reason.h"
#include "comm/base/die.h"

/* Words of samples.jsonl (docs/METRICS.md): programs of users may look for them. */
const char *reason_text(enum reason why)
{
    static const char *const texts[REASONS] = {
        [REASON_RIGHT] = "right",
        [REASON_TRUNCATED] = "truncated",
        [REASON_NO_END_OF_THOUGHT] = "no </think>",
        [REASON_NO_ANSWER] = "no <answer>",
        [REASON_NOT_CLOSED] = "no </answer>",
        [REASON_EMPTY] = "empty answer",
        [REASON_GIVEN_UP] = "given up",
        [REASON_NOT_A_NUMBER] = "not a number",
        [REASON_NOT_AN_EXPRESSION] = "not an expression",
        [REASON_OTHER_NUMBER] = "uses another number",
        [REASON_NUMBER_LEFT] = "leaves out a number",
        [REASON_WRONG_VALUE] = "wrong value",
        [REASON_OTHER_FORM] = "right value in another form",
        [REASON_OTHER_TEXT] = "another text",
        [REASON_BY_TESTS] = "judged by its tests",
        [REASON_UNDECIDED] = "undecided",
    };
    INVARIANT(why >= 0 && why < REASONS && texts[why], "verdict %d", (int)why);
    return texts[why];
}

bool reason_votes(enum reason why)
{
    return why == REASON_RIGHT || why > REASON_GIVEN_UP;
}
