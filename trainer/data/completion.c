/* See answer.h. Decimal numbers are compared by their digits, not as doubles: 0.1 + a digit at
 * place 40 differs. */
#include "trainer/data/completion.h"
#include <string.h>
#include "trainer/data/text.h"

size_t span_find(struct span s, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++) {
        const char *at = memchr(s.at + i, word[0], s.n - n - i + 1);
        if (!at) break;
        i = (size_t)(at - s.at);
        if (memcmp(at, word, n) == 0) return i;
    }
    return s.n;
}

bool span_is(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

static struct span span_from(struct span s, size_t start)
{
    return start < s.n ? (struct span){s.at + start, s.n - start} : (struct span){s.at + s.n, 0};
}

struct span span_take(struct span *rest, char separator)
{
    const char *end = rest->n ? memchr(rest->at, separator, rest->n) : NULL;
    struct span head = {rest->at, end ? (size_t)(end - rest->at) : rest->n};
    *rest = span_from(*rest, end ? head.n + 1 : head.n);
    return head;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span span_trim(struct span s)
{
    while (s.n && is_space(s.at[s.n - 1])) s.n--;
    while (s.n && is_space(s.at[0])) s = span_from(s, 1);
    return s;
}

struct span completion_reasoning(struct span completion, bool *closed)
{
    size_t end = span_find(completion, "</think>");
    *closed = end < completion.n;
    return (struct span){completion.at, end};
}

struct span completion_answer(struct span completion)
{
    enum reason ignored;
    return completion_find_answer(completion, &ignored);
}

/* The last <answer> after </think> counts: a model may correct itself, and text in its thoughts is
 * no answer. */
struct span completion_find_answer(struct span completion, enum reason *why)
{
    const struct span none = {NULL, 0};
    size_t open = strlen("<answer>"), think = span_find(completion, "</think>");
    *why = REASON_NO_END_OF_THOUGHT;
    if (think == completion.n) return none;
    struct span rest = span_from(completion, think), last = none;
    for (size_t at; (at = span_find(rest, "<answer>")) < rest.n; last = rest)
        rest = span_from(rest, at + open);
    *why = last.at ? REASON_NOT_CLOSED : REASON_NO_ANSWER;
    if (!last.at) return none;
    size_t end = span_find(last, "</answer>");
    return end < last.n ? (struct span){last.at, end} : none;
}

/* Exactly think, answer, end, each tag once and nothing but blanks around: what the format reward
 * pays for. */
bool completion_in_form(struct span c)
{
    static const char *const tags[] = {"</think>", "<answer>", "</answer>"};
    c = span_trim(c);
    size_t eos = strlen("<eos>");
    if (c.n >= eos && memcmp(c.at + c.n - eos, "<eos>", eos) == 0) c.n -= eos;
    if (span_find(c, "<think>") < c.n) return false;
    for (int i = 0; i < 3; i++) {
        struct span before = {c.at, span_find(c, tags[i])};
        if (before.n == c.n) return false;
        for (int j = 0; j < 3; j++) /* a later tag too early */
            if (span_find(before, tags[j]) < before.n) return false;
        if (i == 1 && span_trim(before).n) return false;
        c = span_from(c, before.n + strlen(tags[i]));
    }
    return span_trim(c).n == 0;
}

/* A decimal number as its sign and its digits without useless zeros. */
struct decimal {
    bool negative;
    struct span whole, fraction;
};

static struct span digits_take(struct span *rest)
{
    size_t n = 0;
    while (n < rest->n && rest->at[n] >= '0' && rest->at[n] <= '9') n++;
    struct span digits = {rest->at, n};
    *rest = span_from(*rest, n);
    return digits;
}

/* Numbers of any length, as digits: 10 and 10.0 are one answer, whatever a double could hold. */
static bool decimal_read(struct decimal *d, struct span s)
{
    *d = (struct decimal){.negative = s.n && s.at[0] == '-'};
    if (s.n && (s.at[0] == '-' || s.at[0] == '+')) s = span_from(s, 1);
    d->whole = digits_take(&s);
    size_t digits = d->whole.n;
    d->fraction = s;
    d->fraction.n = 0;
    if (s.n && s.at[0] == '.') {
        s = span_from(s, 1);
        d->fraction = digits_take(&s);
        digits += d->fraction.n;
    }
    if (digits == 0 || s.n) return false;
    while (d->whole.n && d->whole.at[0] == '0') d->whole = span_from(d->whole, 1);
    while (d->fraction.n && d->fraction.at[d->fraction.n - 1] == '0') d->fraction.n--;
    if (d->whole.n + d->fraction.n == 0) d->negative = false;
    return true;
}

static bool span_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

bool answer_equal(struct span a, struct span b)
{
    struct decimal x, y;
    a = span_trim(a);
    b = span_trim(b);
    if (decimal_read(&x, a) && decimal_read(&y, b))
        return x.negative == y.negative && span_equal(x.whole, y.whole) &&
               span_equal(x.fraction, y.fraction);
    return span_equal(a, b);
}

/* For majority votes: equal values must be equal texts. */
bool answer_canonical(struct text *out, struct span answer)
{
    struct decimal d;
    answer = span_trim(answer);
    if (!decimal_read(&d, answer)) {
        text_add_bytes(out, answer.at, answer.n);
        return false;
    }
    if (d.negative) text_add(out, "-");
    if (d.whole.n == 0) text_add(out, "0");
    text_add_bytes(out, d.whole.at, d.whole.n);
    if (d.fraction.n) text_add(out, ".");
    text_add_bytes(out, d.fraction.at, d.fraction.n);
    return true;
}

/* The last counts, as the one that the writer settled on. */
struct span completion_boxed(struct span text)
{
    static const char *const words[] = {"\\boxed", "\\fbox"};
    struct span found = {NULL, 0};
    for (size_t i = 0; i < text.n; i++) {
        struct span rest = {text.at + i, text.n - i};
        size_t n = 0;
        const char *next = memchr(rest.at, '\\', rest.n);
        if (!next) break;
        i += (size_t)(next - rest.at);
        rest = (struct span){text.at + i, text.n - i};
        for (int k = 0; k < 2; k++)
            if (rest.n > strlen(words[k]) && memcmp(rest.at, words[k], strlen(words[k])) == 0)
                n = strlen(words[k]);
        if (n == 0) continue;
        struct span inside = {rest.at + n + 1, 0};
        size_t left = rest.n - n - 1;
        if (rest.at[n] == '{') {
            for (int depth = 1; inside.n < left; inside.n++) {
                depth += inside.at[inside.n] == '{' ? 1 : inside.at[inside.n] == '}' ? -1 : 0;
                if (depth == 0) break;
            }
            if (inside.n < left) found = inside;
        } else if (rest.at[n] == ' ') {
            while (inside.n < left && !strchr(" $.\n", inside.at[inside.n])) inside.n++;
            if (inside.n) found = inside;
        }
    }
    return found;
}
