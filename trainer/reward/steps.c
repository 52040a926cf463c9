#include "trainer/reward/steps.h"

#include <stdint.h>
#include <string.h>

/* A value of the reader is exact: a rational of two 128-bit integers in lowest terms. */
__extension__ typedef __int128 int128;
struct rational {
    int128 over, under; /* under > 0 */
};

enum { DEPTH = 32, POWER_MOST = 64 };

struct reader {
    struct span rest;
    int depth, operations;
    int places; /* of the number read last: digits behind its point; 0: it has none */
    bool lost;  /* no expression, or beyond what the integers hold */
};

/* --- exact rationals --- */

static int128 divisor_of(int128 a, int128 b)
{
    a = a < 0 ? -a : a;
    while (b != 0) {
        int128 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Equal values have equal integers in lowest terms, which same() counts on. A division by 0 ends
 * here. */
static struct rational lowest(struct reader *r, int128 over, int128 under)
{
    const int128 most = (int128)1 << 120; /* so that a sum of two products is seen to overflow */
    if (under < 0) {
        over = -over;
        under = -under;
    }
    int128 by = under == 0 ? 0 : divisor_of(under, over < 0 ? -over : over);
    if (by == 0) {
        r->lost = true;
        return (struct rational){0, 1};
    }
    struct rational q = {over / by, under / by};
    r->lost = r->lost || q.over > most || q.over < -most || q.under > most;
    return q;
}

static int128 times(struct reader *r, int128 a, int128 b)
{
    int128 product = 0;
    if (__builtin_mul_overflow(a, b, &product)) r->lost = true;
    const int128 most = (int128)1 << 124;
    if (product > most || product < -most) r->lost = true;
    return r->lost ? 0 : product;
}

static struct rational combine(struct reader *r, char sign, struct rational a, struct rational b)
{
    switch (sign) {
    case '+':
        return lowest(r, times(r, a.over, b.under) + times(r, b.over, a.under),
                      times(r, a.under, b.under));
    case '-':
        return lowest(r, times(r, a.over, b.under) - times(r, b.over, a.under),
                      times(r, a.under, b.under));
    case '*': return lowest(r, times(r, a.over, b.over), times(r, a.under, b.under));
    default: return lowest(r, times(r, a.over, b.under), times(r, a.under, b.over));
    }
}

/* --- signs --- */

/* What an expression is made of beside digits, points, commas and the signs of ASCII that mean
 * themselves. */
static const struct sign {
    const char *text;
    char means;
} signs[] = {
    {"\\times", '*'},      {"\\cdot", '*'},       {"\\div", '/'},
    {"\xC2\xB7", '*'},     {"\xC3\x97", '*'},     {"\xC3\xB7", '/'},
    {"\xE2\x88\x92", '-'}, {"\xE2\x88\x95", '/'}, {"\xE2\x8B\x85", '*'},
};

static char sign_at(struct span s, size_t *n)
{
    *n = s.n > 0;
    if (s.n > 0 && memchr("+-*/^()=%", s.at[0], 9)) return s.at[0];
    bool other = s.n > 0 && (s.at[0] == '\\' || (unsigned char)s.at[0] >= 0xC2);
    for (size_t i = 0; other && i < sizeof signs / sizeof *signs; i++) {
        *n = strlen(signs[i].text);
        if (s.n >= *n && memcmp(s.at, signs[i].text, *n) == 0) return signs[i].means;
    }
    *n = 0;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct span behind(struct span s, size_t n)
{
    return (struct span){s.at + n, s.n - n};
}

static void skip_blanks(struct reader *r)
{
    while (r->rest.n > 0 && (r->rest.at[0] == ' ' || r->rest.at[0] == '\t'))
        r->rest = behind(r->rest, 1);
}

/* Takes a sign of `of` off the text; 0: another thing stands there. */
static char take(struct reader *r, const char *of)
{
    size_t n;
    skip_blanks(r);
    char sign = sign_at(r->rest, &n);
    if (sign == 0 || !strchr(of, sign)) return 0;
    r->rest = behind(r->rest, n);
    return sign;
}

/* --- expressions, by descent --- */

static bool comma_groups(struct span s)
{
    return s.n >= 4 && s.at[0] == ',' && is_digit(s.at[1]) && is_digit(s.at[2]) &&
           is_digit(s.at[3]) && (s.n == 4 || !is_digit(s.at[4]));
}

/* 12, 1,234, 0.5, .5 */
static struct rational number(struct reader *r)
{
    int128 over = 0, under = 1;
    int digits = 0;
    bool point = false;
    r->places = 0;
    while (r->rest.n > 0 && !r->lost) {
        char c = r->rest.at[0];
        if (!point && digits > 0 && comma_groups(r->rest)) {
            r->rest = behind(r->rest, 1);
            continue;
        }
        if (c == '.' && !point && r->rest.n > 1 && is_digit(r->rest.at[1])) {
            point = true;
        } else if (is_digit(c)) {
            digits++;
            over = times(r, over, 10) + (c - '0');
            if (point) under = times(r, under, 10);
            r->places += point;
        } else {
            break;
        }
        r->rest = behind(r->rest, 1);
    }
    if (digits == 0) r->lost = true;
    return r->lost ? (struct rational){0, 1} : lowest(r, over, under);
}

static struct rational sum(struct reader *r);

/* A minus stands here only in an exponent: power() has taken all others, so that -2^2 is -4. */
static struct rational atom(struct reader *r)
{
    struct rational value = {0, 1};
    if (++r->depth > DEPTH) r->lost = true;
    if (r->lost) return value;
    if (take(r, "-")) {
        value = atom(r);
        value.over = -value.over;
    } else if (take(r, "(")) {
        value = sum(r);
        if (!take(r, ")")) r->lost = true;
    } else {
        skip_blanks(r);
        value = number(r);
    }
    if (!r->lost && take(r, "%")) value = combine(r, '/', value, (struct rational){100, 1});
    r->depth--;
    return value;
}

/* Only whole powers: others are no rationals. */
static struct rational raised(struct reader *r, struct rational base)
{
    struct rational value = {1, 1};
    r->operations++;
    struct rational by = atom(r);
    int128 n = by.over < 0 ? -by.over : by.over;
    if (r->lost || by.under != 1 || n > POWER_MOST || (by.over < 0 && base.over == 0)) {
        r->lost = true;
        return value;
    }
    for (; n > 0 && !r->lost; n--) value = combine(r, by.over < 0 ? '/' : '*', value, base);
    return value;
}

/* -2^2 is -(2^2). A run of signs is a loop: a model may write thousands. */
static struct rational power(struct reader *r)
{
    bool minus = false;
    while (take(r, "-")) minus = !minus;
    struct rational base = atom(r);
    if (!r->lost && take(r, "^")) base = raised(r, base);
    if (minus) base.over = -base.over;
    return base;
}

static struct rational product(struct reader *r)
{
    struct rational value = power(r);
    for (char sign; !r->lost && (sign = take(r, "*/")) != 0; r->operations++)
        value = combine(r, sign, value, power(r));
    return value;
}

static struct rational sum(struct reader *r)
{
    struct rational value = product(r);
    for (char sign; !r->lost && (sign = take(r, "+-")) != 0; r->operations++)
        value = combine(r, sign, value, product(r));
    return value;
}

/* A side of the sign, the whole of it. */
static bool side(struct span s, struct rational *value, struct reader *r)
{
    *r = (struct reader){.rest = s};
    *value = sum(r);
    skip_blanks(r);
    return !r->lost && r->rest.n == 0;
}

/* Is b a rounded to as many places as it shows? 2 |a - b| 10^places <= 1 */
static bool rounds_to(struct rational a, struct rational b, int places)
{
    struct reader r = {.lost = false};
    struct rational d = combine(&r, '-', a, b);
    if (d.over < 0) d.over = -d.over;
    d.over = times(&r, d.over, 2);
    for (int i = 0; i < places; i++) d.over = times(&r, d.over, 10);
    return !r.lost && d.over <= d.under;
}

static bool same(struct rational a, struct rational b)
{
    return a.over == b.over && a.under == b.under;
}

/* --- finding them --- */

/* Bytes of one thing that may stand in an expression at the beginning of s; 0: none may. */
static size_t piece(struct span s)
{
    size_t n;
    char c = s.at[0];
    if (is_digit(c) || c == ' ' || c == '\t') return 1;
    if ((c == '.' || c == ',') && s.n > 1 && is_digit(s.at[1])) return 1;
    return sign_at(s, &n) ? n : 0;
}

static bool is_letter(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '\\' ||
           (unsigned char)c >= 0x80;
}

/* Does what stands before a run belong to its first side? A variable ("x - 3", "x2"), an operation
 * in words ("times 4 + 2"). */
static bool goes_on(struct span before, struct span run)
{
    static const char *const words[] = {"of", "times", "plus", "minus", "by", "over"};
    size_t n = 0;
    while (n < before.n && is_letter(before.at[before.n - 1 - n])) n++;
    if (n == 0) return before.n > 0 && strchr(")]}!", before.at[before.n - 1]);
    const struct span word = {before.at + before.n - n, n}, text = span_trim(run);
    if (run.n == 0 || run.at[0] != ' ') return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_is(word, words[i])) return true;
    return text.n > 1 && text.at[0] == '-' && (n == 1 || text.at[1] == ' ');
}

/* The next run of pieces with a sign of equality in it becomes the chain. */
static bool run_next(struct steps *s)
{
    while (s->rest.n > 0) {
        const struct span from = s->rest;
        size_t n = 0, more;
        bool equal = false;
        for (; n < from.n && (more = piece(behind(from, n))) > 0; n += more)
            equal = equal || from.at[n] == '=';
        const struct span before = {s->line, (size_t)(from.at - s->line)};
        struct span run = {from.at, n};
        n += n < from.n;
        s->rest = behind(from, n);
        if (from.at[n - 1] == '\n') s->line = s->rest.at;
        if (!equal) continue;
        s->cut = run.n < from.n && is_letter(from.at[run.n]) && run.at[run.n - 1] != ' ';
        bool bullet = before.n == 0 && run.n > 1 && run.at[0] == '-' && run.at[1] == ' ';
        bool bad = goes_on(before, run);
        s->chain = bullet ? behind(run, 1) : run;
        s->left = span_take(&s->chain, '=');
        if (bad) s->left.n = 0;
        return true;
    }
    return false;
}

/* A side may end before the sign: in "2+3=5 2*3=6" the next statement begins within it, at a number
 * behind a blank. In "7/2 = 3 1/2 = 3.5" none does. */
static void cut_next(struct steps *s, struct span *right)
{
    struct rational value;
    struct reader r;
    s->left = *right;
    if (s->chain.n == 0 || side(*right, &value, &r) || r.lost) return;
    const struct span rest = r.rest;
    size_t n = 0;
    while (n < rest.n && (is_digit(rest.at[n]) || rest.at[n] == '/' || rest.at[n] == ' ')) n++;
    if (n == rest.n || (!is_digit(rest.at[0]) && rest.at[0] != '(')) return;
    right->n = (size_t)(rest.at - right->at);
    s->left = rest;
}

/* A side is read once for the sign before it and once for the one behind: one that cannot be read
 * spoils only these two. */
bool step_next(struct steps *s, struct step *out)
{
    for (;;) {
        while (s->chain.n > 0) {
            struct rational a, b;
            struct reader left, right;
            *out = (struct step){.left = s->left, .right = span_take(&s->chain, '=')};
            cut_next(s, &out->right);
            if (s->chain.n == 0 && s->cut) break;
            if (!side(out->left, &a, &left) || !side(out->right, &b, &right)) continue;
            if (left.operations + right.operations == 0) continue;
            out->holds = same(a, b) || (right.operations == 0 && right.places > 0 &&
                                        rounds_to(a, b, right.places));
            return true;
        }
        s->chain.n = 0;
        if (!s->line) s->line = s->rest.at;
        if (!run_next(s)) return false;
    }
}
