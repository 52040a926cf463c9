/* Any bytes as an expected answer and an answer, divided by the first line's end; the whole as a
 * completion, too. An answer equals itself, unless it is undecided. */
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/math/math.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    char why[64];
    const char *text = (const char *)bytes;
    const char *line = n ? memchr(text, '\n', n) : NULL;
    size_t first = line ? (size_t)(line - text) : n;
    struct span expected = {text, first},
                answer = {line ? line + 1 : text, line ? n - first - 1 : n};
    if (n == 0) return 0;
    enum math_verdict v = math_compare(answer, expected, why, sizeof why);
    if (v >= MATH_VERDICTS || !memchr(why, '\0', sizeof why)) abort();
    if (math_compare(answer, expected, why, sizeof why) != v) abort();
    v = math_compare(answer, answer, why, sizeof why);
    if (v == MATH_WRONG) abort();
    math_grade(answer, expected, why, sizeof why);
    if (math_vote(answer) == 0) abort();
    return 0;
}
