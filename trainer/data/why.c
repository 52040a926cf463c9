#include "trainer/data/why.h"
#include "comm/base/die.h"

/* These texts are in samples.jsonl and in docs/METRICS.md: changing one changes the format. */
const char *why_text(enum why why)
{
    static const char *const texts[WHYS] = {
        [WHY_RIGHT] = "right",
        [WHY_TRUNCATED] = "truncated",
        [WHY_NO_END_OF_THOUGHT] = "no </think>",
        [WHY_NO_ANSWER] = "no <answer>",
        [WHY_NOT_CLOSED] = "no </answer>",
        [WHY_EMPTY] = "empty answer",
        [WHY_GIVEN_UP] = "given up",
        [WHY_NOT_A_NUMBER] = "not a number",
        [WHY_NOT_AN_EXPRESSION] = "not an expression",
        [WHY_OTHER_NUMBER] = "uses another number",
        [WHY_NUMBER_LEFT] = "leaves out a number",
        [WHY_WRONG_VALUE] = "wrong value",
        [WHY_OTHER_FORM] = "right value in another form",
        [WHY_OTHER_TEXT] = "another text",
    };
    INVARIANT(why >= 0 && why < WHYS && texts[why], "verdict %d", (int)why);
    return texts[why];
}

bool why_votes(enum why why)
{
    return why == WHY_RIGHT || why > WHY_GIVEN_UP;
}
