/* See expression.h: a recursive-descent reader over bytes and a length, and a rewriter for the
 * steps of a worked evaluation. */
#include "trainer/data/tasks/expression.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "trainer/data/task.h"

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* num/den in lowest terms; INT64_MIN is refused, so that every value can be negated. */
static bool fraction_set(struct fraction *out, int64_t num, int64_t den)
{
    if (den == 0 || num == INT64_MIN || den == INT64_MIN) return false;
    int64_t g = greatest_divisor(num, den);
    if (den < 0) g = -g;
    *out = (struct fraction){num / g, den / g};
    return true;
}

/* Overflow is false, not a wrong value: answers come from a model. */
bool fraction_apply(struct fraction *out, struct fraction a, char op, struct fraction b)
{
    int64_t num, den, other;
    if (op == '-') b.num = -b.num;
    if (op == '+' || op == '-')
        return !__builtin_mul_overflow(a.num, b.den, &num) &&
               !__builtin_mul_overflow(b.num, a.den, &other) &&
               !__builtin_add_overflow(num, other, &num) &&
               !__builtin_mul_overflow(a.den, b.den, &den) && fraction_set(out, num, den);
    if (op == '/') b = (struct fraction){b.den, b.num};
    return !__builtin_mul_overflow(a.num, b.num, &num) &&
           !__builtin_mul_overflow(a.den, b.den, &den) && fraction_set(out, num, den);
}

bool fraction_equal(struct fraction a, struct fraction b)
{
    return a.num == b.num && a.den == b.den;
}

void fraction_write(struct text *out, struct fraction v)
{
    text_add(out, v.den == 1 ? "%lld" : "%lld/%lld", (long long)v.num, (long long)v.den);
}

/* False beyond 64 bits; such numbers are compared as digits (answer.c). */
static bool decimal_fraction(struct fraction *out, struct span s)
{
    int64_t num = 0, den = 1;
    bool negative = s.n && s.at[0] == '-', point = false;
    size_t i = s.n && (s.at[0] == '-' || s.at[0] == '+'), digits = 0;
    for (; i < s.n; i++) {
        bool is_point = s.at[i] == '.' && !point;
        point = point || is_point;
        if (is_point) continue;
        if (s.at[i] < '0' || s.at[i] > '9' || __builtin_mul_overflow(num, 10, &num) ||
            __builtin_add_overflow(num, s.at[i] - '0', &num) ||
            (point && __builtin_mul_overflow(den, 10, &den)))
            return false;
        digits++;
    }
    return digits > 0 && fraction_set(out, negative ? -num : num, den);
}

bool number_read(struct fraction *out, struct span text)
{
    struct fraction over;
    struct span rest = span_trim(text), whole = rest, head = span_take(&rest, '/');
    if (head.n == whole.n) return decimal_fraction(out, head);
    return decimal_fraction(out, head) && decimal_fraction(&over, rest) &&
           fraction_apply(out, *out, '/', over);
}

/* Right is only the expected text; the same value in another form is told apart, so that the log
 * can say why. */
enum reason number_verify(struct span answer, const char *expected, struct text *read)
{
    struct fraction given, wanted;
    bool right = span_is(answer, expected), known = number_read(&given, answer);
    if (!known) {
        bool number = answer_canonical(read, answer); /* one of many digits */
        return right ? REASON_RIGHT : number ? REASON_WRONG_VALUE : REASON_NOT_A_NUMBER;
    }
    fraction_write(read, given);
    if (right) return REASON_RIGHT;
    bool equal = number_read(&wanted, (struct span){expected, strlen(expected)}) &&
                 fraction_equal(given, wanted);
    return equal ? REASON_OTHER_FORM : REASON_WRONG_VALUE;
}

struct expression_reader {
    struct span rest;
    int flags, depth;
    struct fraction x;
    struct expression *out;
};

static bool read_sum(struct expression_reader *r, struct fraction *v);

static char peek(const struct expression_reader *r)
{
    return r->rest.n ? r->rest.at[0] : '\0';
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char next(struct expression_reader *r)
{
    r->rest.n--;
    return *r->rest.at++;
}

/* No leading zeros: 07 is no number of the problem. */
static bool read_number(struct expression_reader *r, struct fraction *v)
{
    if (r->out->n == EXPRESSION_NUMBERS) return false;
    int64_t value = 0;
    bool zero_first = peek(r) == '0';
    int digits = 0;
    for (; is_digit(peek(r)); digits++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, next(r) - '0', &value))
            return false;
    if (zero_first && digits > 1) return false;
    r->out->number[r->out->n++] = value;
    *v = (struct fraction){value, 1};
    return true;
}

/* The depth is bounded: answers are text of any length (P11). */
static bool read_bare(struct expression_reader *r, struct fraction *v)
{
    char c = peek(r);
    if (is_digit(c)) return read_number(r, v);
    if (c == 'x' && (r->flags & EXPRESSION_X)) {
        next(r);
        r->out->has_x = true;
        *v = r->x;
        return true;
    }
    if (c != '(' || r->depth == EXPRESSION_DEPTH) return false;
    next(r);
    r->depth++;
    if (!read_sum(r, v) || peek(r) != ')') return false;
    next(r);
    r->depth--;
    return true;
}

static bool read_factor(struct expression_reader *r, struct fraction *v)
{
    bool negative = (r->flags & EXPRESSION_SIGN) && peek(r) == '-';
    if (negative) next(r);
    if (!read_bare(r, v)) return false;
    if (negative) v->num = -v->num;
    return true;
}

/* 3(x+2) and 3x are products where x is allowed. */
static bool read_product(struct expression_reader *r, struct fraction *v)
{
    if (!read_factor(r, v)) return false;
    for (;;) {
        char op = peek(r);
        bool unwritten = (r->flags & EXPRESSION_X) && (op == 'x' || op == '(');
        struct fraction b;
        if (!unwritten && op != '*' && op != '/') return true;
        if (!unwritten) next(r);
        if (!(unwritten ? read_bare(r, &b) : read_factor(r, &b))) return false;
        if (!fraction_apply(v, *v, unwritten ? '*' : op, b)) return false;
    }
}

static bool read_sum(struct expression_reader *r, struct fraction *v)
{
    if (!read_product(r, v)) return false;
    while (peek(r) == '+' || peek(r) == '-') {
        char op = next(r);
        struct fraction b;
        if (!read_product(r, &b) || !fraction_apply(v, *v, op, b)) return false;
    }
    return true;
}

bool expression_read(struct expression *out, struct span text, int flags, struct fraction x)
{
    *out = (struct expression){.value = {0, 1}};
    if (text.n == 0 || text.n > EXPRESSION_BYTES) return false;
    struct expression_reader r = {.rest = text, .flags = flags, .x = x, .out = out};
    return read_sum(&r, &out->value) && r.rest.n == 0;
}

/* One token of a worked expression: an operator or bracket, or (op 0) a number. */
struct token {
    char op;
    long value;
};

/* Reads our own expressions only, hence an INVARIANT. */
static int tokens_read(struct token *t, int max, const char *s)
{
    int n = 0;
    while (*s) {
        INVARIANT(n < max, "expression of more than %d tokens", max);
        char *end = NULL;
        if (is_digit(*s))
            t[n++] = (struct token){0, strtol(s, &end, 10)};
        else
            t[n++] = (struct token){*s, 0};
        s = end ? end : s + 1;
    }
    return n;
}

static void tokens_write(char *out, size_t size, const struct token *t, int n)
{
    size_t used = 0;
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)(t[i].op ? snprintf(out + used, size - used, "%c", t[i].op)
                                 : snprintf(out + used, size - used, "%ld", t[i].value));
    INVARIANT(used < size, "an expression needs %zu bytes, has %zu", used, size);
}

/* The operation to do first in t[from..to): the first * or /, else the first + or -. */
static int tokens_first(const struct token *t, int from, int to)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = from; i < to; i++)
            if (t[i].op && strchr(pass == 0 ? "*/" : "+-", t[i].op)) return i;
    return -1;
}

static long whole_apply(long a, char op, long b)
{
    if (op == '+') return a + b;
    if (op == '-') return a - b;
    if (op == '*') return a * b;
    INVARIANT(b != 0 && a % b == 0, "%ld/%ld in a worked expression", a, b);
    return a / b;
}

/* One step of a worked calculation: the innermost brackets first, then * and / before + and -. */
bool expression_step(char *out, size_t size, const char *text)
{
    struct token t[EXPRESSION_BYTES] = {0};
    int n = tokens_read(t, EXPRESSION_BYTES, text), from = 0, to = n;
    for (int i = 0; i < n && to == n; i++) { /* the innermost brackets that close first */
        if (t[i].op == '(') from = i + 1;
        if (t[i].op == ')') to = i;
    }
    int at = tokens_first(t, from, to);
    if (at < 0) return false;
    INVARIANT(at > from && at + 1 < to, "an operation without its two numbers in %s", text);
    bool bare = from > 0 && to - from == 3; /* the brackets go with their last operation */
    int first = at - 1 - bare, last = at + 1 + bare;
    t[first] = (struct token){0, whole_apply(t[at - 1].value, t[at].op, t[at + 1].value)};
    memmove(t + first + 1, t + last + 1, (size_t)(n - last - 1) * sizeof *t);
    tokens_write(out, size, t, n - (last - first));
    return true;
}
