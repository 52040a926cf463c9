#include "trainer/reward/math/extract.h"
#include <string.h>

static struct span from(struct span s, size_t start)
{
    return (struct span){s.at + start, s.n - start};
}

static bool starts_with(struct span s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && memcmp(s.at, word, n) == 0;
}

/* What follows the last `word`; at = NULL when it is not there. */
static struct span after_last(struct span s, const char *word)
{
    struct span last = {NULL, 0};
    size_t n = strlen(word);
    for (size_t at; (at = span_find(s, word)) < s.n; last = s) s = from(s, at + n);
    return last;
}

/* --- boxes --- */

struct box {
    struct span content;
    size_t start, end; /* in the text searched */
    bool closed;
};

/* Does \boxed or \fbox stand at i? The length of the command, 0: no. */
static size_t box_command(struct span s, size_t i)
{
    struct span rest = from(s, i);
    size_t n = starts_with(rest, "\\boxed") ? 6 : starts_with(rest, "\\fbox") ? 5 : 0;
    if (n == 0 || n == rest.n) return n;
    char next = rest.at[n];
    return (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') ? 0 : n;
}

/* Where the brace that opens at i is closed; s.n: nowhere. Escaped braces do not count. */
static size_t closing_brace(struct span s, size_t i)
{
    int depth = 0;
    for (; i < s.n; i++) {
        if (s.at[i] == '\\')
            i++;
        else if (s.at[i] == '{')
            depth++;
        else if (s.at[i] == '}' && --depth == 0)
            return i;
    }
    return s.n;
}

/* The next box from i on. `\boxed 5` without braces goes to the next $ or the end of the line. */
static bool next_box(struct box *b, struct span s, size_t i)
{
    size_t command = 0;
    while (i < s.n && (s.at[i] != '\\' || (command = box_command(s, i)) == 0)) i++;
    if (i >= s.n) return false;
    size_t open = i + command;
    while (open < s.n && s.at[open] == ' ') open++;
    bool braces = open < s.n && s.at[open] == '{';
    size_t end = open;
    if (braces)
        end = closing_brace(s, open++);
    else
        while (end < s.n && s.at[end] != '$' && s.at[end] != '\n') end++;
    *b = (struct box){.start = i, .closed = !braces || end < s.n};
    b->end = !b->closed ? open : braces ? end + 1 : end;
    b->content = (struct span){s.at + open, b->closed ? end - open : 0};
    return true;
}

/* E3: do two boxes belong to one list? */
static bool side_by_side(struct span s, const struct box *a, const struct box *b)
{
    struct span gap = {s.at + a->end, b->start - a->end};
    bool same =
        a->content.n == b->content.n && memcmp(a->content.at, b->content.at, a->content.n) == 0;
    if (same) return false;
    if (gap.n < 10) return true;
    bool joined = span_find(gap, "and") < gap.n || span_find(gap, "or") < gap.n ||
                  memchr(gap.at, ',', gap.n) || memchr(gap.at, ';', gap.n);
    return gap.n < 70 && joined;
}

static bool percent_follows(struct span s, size_t end)
{
    while (end < s.n && strchr(" \\$)", s.at[end]) && s.at[end]) end++;
    struct span rest = from(s, end);
    return starts_with(rest, "%") || starts_with(rest, "percent") || starts_with(rest, "pct");
}

/* The last box, or the boxes side by side that end with it. NULL: found. `missing`: no box at all.
 */
static const char *take_boxes(struct extracted *out, struct span s, const char *missing)
{
    struct box b, last = {0};
    bool some = false;
    for (size_t i = 0; next_box(&b, s, i); i = b.end) {
        if (some && last.closed && b.closed && side_by_side(s, &last, &b))
            text_add(&out->text, ", ");
        else
            out->text.n = 0, out->text.cut = false;
        text_add_bytes(&out->text, b.content.at, b.content.n);
        last = b;
        some = true;
    }
    if (!some) return missing;
    if (!last.closed) return "the last box is not closed";
    out->percent_follows = percent_follows(s, last.end);
    return NULL;
}

static struct span first_line(struct span s)
{
    const char *end = s.n ? memchr(s.at, '\n', s.n) : NULL;
    return span_trim((struct span){s.at, end ? (size_t)(end - s.at) : s.n});
}

static const char *check(struct extracted *out)
{
    if (out->text.cut) return "the answer is too long";
    struct span s = span_trim((struct span){out->text.at, out->text.n});
    return s.n ? NULL : "the answer is empty";
}

/* A box, "####", or `whole`: all of s. */
static const char *take(struct extracted *out, struct span s, bool whole)
{
    static const char no_box[] = "no box";
    out->text.n = 0;
    out->percent_follows = false;
    const char *missing = take_boxes(out, s, no_box);
    if (missing != no_box) return missing ? missing : check(out);
    struct span marked = after_last(s, "####");
    if (!marked.at && !whole) return "no <answer>, no box, no ####";
    struct span answer = marked.at ? first_line(marked) : span_trim(s);
    text_add_bytes(&out->text, answer.at, answer.n);
    return check(out);
}

const char *math_extract(struct extracted *out, struct span completion)
{
    struct span part = after_last(completion, "</think>");
    if (!part.at) return "no </think>";
    struct span answer = after_last(part, "<answer>");
    if (answer.at) {
        answer.n = span_find(answer, "</answer>");
        if (answer.at + answer.n == part.at + part.n) return "no </answer>";
        part = answer;
    }
    if (part.n > MATH_SEARCHED) part = from(part, part.n - MATH_SEARCHED);
    return take(out, part, answer.at != NULL);
}

const char *math_expected(struct extracted *out, struct span expected)
{
    if (expected.n > MATH_SEARCHED) expected = from(expected, expected.n - MATH_SEARCHED);
    return take(out, expected, true);
}
