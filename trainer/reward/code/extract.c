#include <string.h>
#include <strings.h>
#include "trainer/reward/code/code.h"

/* Names that fences go by. */
static const char *const tags[CODE_LANGUAGES][4] = {{"python", "py", "python3"}, {"c"}};

enum code_language code_language_of(const char *words)
{
    while (words && *words) {
        const size_t n = strcspn(words, " ,");
        if (n == 1 && (*words == 'c' || *words == 'C')) return CODE_C;
        words += n + strspn(words + n, " ,");
    }
    return CODE_PYTHON;
}

static bool is_tag(struct span word, enum code_language language)
{
    for (const char *const *tag = tags[language]; *tag; tag++)
        if (word.n == strlen(*tag) && strncasecmp(word.at, *tag, word.n) == 0) return true;
    return false;
}

/* ``` behind at most three blanks: what follows it in the line. */
static bool is_fence(struct span line, struct span *behind)
{
    size_t i = 0;
    while (i < line.n && i < 3 && line.at[i] == ' ') i++;
    if (line.n - i < 3 || memcmp(line.at + i, "```", 3) != 0) return false;
    *behind = span_trim((struct span){line.at + i + 3, line.n - i - 3});
    return true;
}

/* Behind the last </think>. */
static struct span behind_thought(struct span s, bool thinks)
{
    static const char word[] = "</think>";
    const size_t n = sizeof word - 1;
    for (size_t i = s.n; i >= n; i--)
        if (memcmp(s.at + i - n, word, n) == 0) return (struct span){s.at + i, s.n - i};
    return thinks ? (struct span){NULL, 0} : s;
}

/* A block that the end of the text cuts off is none; a fence with a word behind it opens nothing
 * within a block. */
struct span code_extract(struct span completion, enum code_language language, bool thinks)
{
    struct span rest = behind_thought(completion, thinks), found = {NULL, 0}, behind;
    const char *begun = NULL; /* of a block that is open */
    bool ours = false;
    while (rest.n > 0) {
        const struct span line = span_take(&rest, '\n');
        if (!is_fence(line, &behind)) continue;
        if (begun && behind.n == 0) {
            if (ours) found = (struct span){begun, (size_t)(line.at - begun)};
            begun = NULL;
        } else if (!begun) {
            ours = is_tag(behind, language);
            begun = line.at + line.n + (rest.n > 0);
        }
    }
    return found;
}
