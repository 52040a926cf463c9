#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/code.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Without white space at its end, line feeds included: the empty lines at the end go with it. */
static struct span trim_end(struct span s, bool lines)
{
    while (s.n > 0 && (is_blank(s.at[s.n - 1]) || (lines && s.at[s.n - 1] == '\n'))) s.n--;
    return s;
}

static bool same(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

/* Line by line, and as many: what stops at the shorter of two lists lets an empty output pass. */
static bool same_lines(struct span a, struct span b)
{
    while (a.n > 0 && b.n > 0)
        if (!same(trim_end(span_take(&a, '\n'), false), trim_end(span_take(&b, '\n'), false)))
            return false;
    return a.n == 0 && b.n == 0;
}

static struct span next_word(struct span *s)
{
    while (s->n > 0 && (is_blank(*s->at) || *s->at == '\n')) s->at++, s->n--;
    struct span word = {s->at, 0};
    while (s->n > 0 && !is_blank(*s->at) && *s->at != '\n') s->at++, s->n--, word.n++;
    return word;
}

static bool number_of(struct span word, double *x)
{
    char text[64], *end;
    if (word.n == 0 || word.n >= sizeof text) return false;
    memcpy(text, word.at, word.n);
    text[word.n] = '\0';
    if (strcspn(text, "xXnN") < word.n) return false; /* nor is there a 0 in it */
    *x = strtod(text, &end);
    return *end == '\0' && isfinite(*x);
}

static bool close_words(struct span a, struct span b, double tolerance)
{
    while (true) {
        const struct span x = next_word(&a), y = next_word(&b);
        if (x.n == 0 || y.n == 0) return x.n == y.n;
        double p, q;
        if (same(x, y)) continue;
        if (!number_of(x, &p) || !number_of(y, &q)) return false;
        if (fabs(p - q) > tolerance * fmax(1, fabs(q))) return false;
    }
}

bool code_same_output(struct span output, struct span expected, double tolerance)
{
    const struct span a = trim_end(output, true), b = trim_end(expected, true);
    return same_lines(a, b) || (tolerance > 0 && close_words(a, b, tolerance));
}
