/* Numbers, names, calls, groups. */
#include <string.h>
#include "trainer/reward/math/functions.h"
#include "trainer/reward/math/parse_state.h"

/* A bar closes where one is open. */
bool parse_begins(const struct parse *p)
{
    const struct token *t = parse_token(p, 0);
    switch (t->kind) {
    case TOKEN_NUMBER:
    case TOKEN_LETTER:
    case TOKEN_GREEK:
    case TOKEN_WORD:
    case TOKEN_FUNCTION:
    case TOKEN_CONSTANT:
    case TOKEN_FRACTION:
    case TOKEN_ROOT:
    case TOKEN_BINOMIAL:
    case TOKEN_GROUP:
    case TOKEN_OVERLINE:
    case TOKEN_BEGIN:
    case TOKEN_OPEN:
    case '(':
    case '[':
    case '{': return true;
    case '|': return p->bars == 0;
    default: return false;
    }
}

/* --- numbers --- */

/* ten^n, within the bits of a value. */
static bool times_ten(struct parse *p, fmpq_t x, long n)
{
    fmpz_t ten;
    if (n > 1200 || n < -1200) {
        parse_fail(p, "a number is too large");
        return false;
    }
    fmpz_init(ten);
    fmpz_ui_pow_ui(ten, 10, (ulong)(n < 0 ? -n : n));
    if (n < 0)
        fmpq_div_fmpz(x, x, ten);
    else
        fmpq_mul_fmpz(x, x, ten);
    fmpz_clear(ten);
    return true;
}

/* Digits with separators, a point (or a decimal comma, lex_number.c) and an exponent, exactly. */
int parse_digits(struct parse *p, struct span s, bool *decimal)
{
    char digits[MATH_ANSWER + 1];
    size_t n = 0;
    long places = 0, power = 0;
    bool point = false, comma = s.n > 4 && (s.at[s.n - 2] == ',' || s.at[s.n - 3] == ',');
    size_t i = 0;
    for (; i < s.n && n < MATH_ANSWER && s.at[i] != 'e' && s.at[i] != 'E'; i++) {
        if (s.at[i] == '.' || (comma && s.at[i] == ',')) point = true;
        if (s.at[i] < '0' || s.at[i] > '9') continue;
        digits[n++] = s.at[i];
        places += point;
    }
    digits[n] = '\0';
    bool negative = i + 1 < s.n && s.at[i + 1] == '-';
    for (; i < s.n; i++)
        if (s.at[i] >= '0' && s.at[i] <= '9') power = power * 10 + (s.at[i] - '0');
    *decimal = point;
    int node = math_number(p->w, 0);
    if (!node) return parse_fail(p, "the answer has too many numbers");
    fmpq *x = &p->w->value[p->w->node[node].value];
    fmpz_set_str(fmpq_numref(x), n ? digits : "0", 10);
    if (!times_ten(p, x, (negative ? -power : power) - places)) return 0;
    p->w->node[node].decimal = point;
    return node;
}

/* The digits behind 0.1 in 0.1\overline{6}: x + 6 / 9 / 10. */
static int repeating(struct parse *p, int node, struct span before)
{
    const char *point = memchr(before.at, '.', before.n);
    size_t places = (size_t)(before.at + before.n - point) - 1;
    struct token digits = *parse_token(p, 2);
    bool decimal, well = parse_token(p, 1)->kind == '{' && digits.kind == TOKEN_NUMBER &&
                         parse_token(p, 3)->kind == '}' &&
                         !memchr(digits.text.at, '.', digits.text.n);
    if (!well || digits.text.n > 50) return parse_fail(p, "a repeating decimal that is none");
    p->at += 4;
    int period = parse_digits(p, digits.text, &decimal);
    if (!period) return 0;
    fmpq *x = &p->w->value[p->w->node[period].value];
    fmpz_t nines;
    fmpz_init(nines);
    fmpz_ui_pow_ui(nines, 10, (ulong)digits.text.n);
    fmpz_sub_ui(nines, nines, 1);
    fmpq_div_fmpz(x, x, nines);
    fmpz_clear(nines);
    if (!times_ten(p, x, -(long)places)) return 0;
    fmpq_add(x, x, &p->w->value[p->w->node[node].value]);
    return period;
}

/* "\frac{a}{b}" of whole numbers stands here: that behind a whole number makes a mixed one. */
static bool is_whole_fraction(const struct parse *p)
{
    const struct token *t = parse_token(p, 0);
    if (t->kind != TOKEN_FRACTION) return false;
    if (t[1].kind == TOKEN_NUMBER)
        return t[1].text.n > 1 || t[2].kind == TOKEN_NUMBER ||
               (t[2].kind == '{' && t[3].kind == TOKEN_NUMBER && t[4].kind == '}');
    return t[1].kind == '{' && t[2].kind == TOKEN_NUMBER && t[3].kind == '}' &&
           (t[4].kind == TOKEN_NUMBER ||
            (t[4].kind == '{' && t[5].kind == TOKEN_NUMBER && t[6].kind == '}'));
}

static int fraction(struct parse *p)
{
    parse_next(p);
    int above = p->rules->argument(p, false), below = p->rules->argument(p, false);
    return math_node(p->w, NODE_DIVIDE, above, below);
}

/* C15: 1\frac12 and "3 1/2" are sums; with a factor behind it could be a product as well. */
static int mixed(struct parse *p, int whole)
{
    const struct token *t = parse_token(p, 0);
    int part = 0;
    if (is_whole_fraction(p))
        part = fraction(p);
    else if (t->kind == TOKEN_NUMBER && t->space && t[1].kind == '/' && t[2].kind == TOKEN_NUMBER) {
        bool ignored;
        int above = parse_digits(p, t->text, &ignored),
            below = parse_digits(p, t[2].text, &ignored);
        p->at += 3;
        part = math_node(p->w, NODE_DIVIDE, above, below);
    }
    if (!part) return whole;
    if (parse_begins(p) && parse_kind(p) != TOKEN_WORD) p->ambiguous = true;
    return math_node(p->w, NODE_ADD, whole, part);
}

/* 204_5, N18: digits and base are one text. */
static int with_base(struct parse *p, struct span digits)
{
    char text[64];
    struct text name = {text, 0, sizeof text, false};
    const struct token *t = parse_token(p, 1);
    bool braces = t->kind == '{';
    if (braces) t++;
    if (t->kind != TOKEN_NUMBER || digits.n > 40 || t->text.n > 4) return parse_fail(p, "no base");
    text_add(&name, "%.*s_%.*s", (int)digits.n, digits.at, (int)t->text.n, t->text.at);
    p->at += braces ? 4 : 2;
    if (braces && parse_token(p, -1)->kind != '}') return parse_fail(p, "no base");
    int node = math_node(p->w, NODE_TEXT, 0, 0);
    p->w->node[node].op = (int16_t)math_name(p->w, (struct span){text, name.n});
    return node;
}

static int number(struct parse *p)
{
    struct span s = parse_token(p, 0)->text;
    bool decimal, cut = p->taken > 0;
    s.at += p->taken;
    s.n -= p->taken;
    int node = parse_digits(p, s, &decimal);
    parse_next(p);
    if (!node || cut) return node;
    if (parse_kind(p) == TOKEN_OVERLINE && decimal) return repeating(p, node, s);
    if (s.at[s.n - 1] == '.') return parse_fail(p, "a number ends with its point");
    if (parse_kind(p) == '_') return with_base(p, s);
    return decimal ? node : mixed(p, node);
}

/* --- names --- */

/* Kept as text without its braces: x_{12} and x_12 are one name. Inner braces are not read. */
static void add_subscript(struct parse *p, struct text *name)
{
    parse_next(p);
    text_add(name, "_");
    if (!parse_take(p, '{', 0)) {
        text_add_bytes(name, parse_token(p, 0)->text.at, parse_token(p, 0)->text.n);
        parse_next(p);
        return;
    }
    while (parse_kind(p) != '}' && parse_kind(p) != TOKEN_END) {
        text_add_bytes(name, parse_token(p, 0)->text.at, parse_token(p, 0)->text.n);
        parse_next(p);
    }
    if (!parse_take(p, '}', 0)) parse_fail(p, "a brace is not closed");
}

/* i is a name with a subscript or a prime, else the imaginary unit where the expected answer has
 * it (C16). */
static int name(struct parse *p)
{
    char text[64];
    struct text name = {text, 0, sizeof text, false};
    const struct token *t = parse_token(p, 0);
    text_add_bytes(&name, t->text.at, t->text.n);
    parse_next(p);
    bool imaginary = p->w->imaginary && span_is(t->text, "i");
    if (parse_kind(p) == '_') add_subscript(p, &name), imaginary = false;
    for (; parse_take(p, '\'', 0); imaginary = false) text_add(&name, "'");
    int node = math_node(p->w, imaginary ? NODE_CONSTANT : NODE_NAME, 0, 0);
    p->w->node[node].op =
        imaginary ? CONSTANT_I : (int16_t)math_name(p->w, (struct span){text, name.n});
    return node;
}

/* Letters that are no known word are a product of variables, if they are few. */
static int word(struct parse *p)
{
    struct span s = parse_token(p, 0)->text;
    int node = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.n > 4 || (unsigned char)s.at[i] >= 0x80) return parse_fail(p, "words");
    parse_next(p);
    for (size_t i = 0; i < s.n; i++) {
        int one = math_node(p->w, NODE_NAME, 0, 0);
        p->w->node[one].op = (int16_t)math_name(p->w, (struct span){s.at + i, 1});
        node = node ? math_node(p->w, NODE_MULTIPLY, node, one) : one;
    }
    return node;
}

/* --- calls --- */

/* What stands behind a function without brackets: a product that ends before the next function,
 * \sin 2x \cos x. */
static int bare_argument(struct parse *p)
{
    int node = p->rules->power(p);
    if (!node) return parse_fail(p, "a function has no argument");
    while (!p->trouble && parse_begins(p) && parse_kind(p) != TOKEN_FUNCTION &&
           parse_kind(p) != TOKEN_WORD && parse_kind(p) != '(')
        node = math_node(p->w, NODE_MULTIPLY, node, p->rules->power(p));
    return node;
}

static int argument(struct parse *p)
{
    int kind = parse_kind(p);
    bool bracketed = kind == '(' || kind == '[' || kind == '{' || kind == '|' || kind == TOKEN_OPEN;
    if (kind == '-') {
        parse_next(p);
        return math_node(p->w, NODE_NEGATE, bare_argument(p), 0);
    }
    return bracketed ? parse_atom(p) : bare_argument(p);
}

/* \log_28 is of 8 to the base 2, \log_10 100 of 100 to the base 10. */
static bool is_last_argument(const struct parse *p)
{
    struct parse after = *p;
    parse_next(&after);
    return parse_begins(&after);
}

/* \sin^2 x is (\sin x)^2, \sin^{-1} x is \arcsin x. */
static int call(struct parse *p)
{
    int function = parse_token(p, 0)->id, power = 0, base = 0;
    parse_next(p);
    for (;;) {
        if (parse_take(p, '^', 0))
            power = p->rules->argument(p, true);
        else if (parse_kind(p) == '_' && function == FUNCTION_LOG) {
            parse_next(p);
            base = p->rules->argument(p, is_last_argument(p));
        } else
            break;
    }
    bool angle = math_function_of_angle(function);
    int x = 0;
    p->angles += angle;
    if (parse_enter(p)) x = argument(p);
    p->depth--;
    p->angles -= angle;
    const struct node *k = &p->w->node[power];
    if (k->kind == NODE_NEGATE && p->w->node[k->a].kind == NODE_NUMBER &&
        fmpq_is_one(&p->w->value[p->w->node[k->a].value]) && math_functions[function].inverse >= 0)
        function = math_functions[function].inverse, power = 0;
    int node = math_node(p->w, NODE_CALL, x, base);
    p->w->node[node].op = (int16_t)function;
    return power ? math_node(p->w, NODE_POWER, node, power) : node;
}

static int root(struct parse *p)
{
    int index = 0;
    parse_next(p);
    if (parse_take(p, '[', 0)) {
        index = p->rules->sum(p);
        if (!parse_take(p, ']', 0)) return parse_fail(p, "a root's index is not closed");
    } else
        index = math_number(p->w, 2);
    return math_node(p->w, NODE_ROOT, p->rules->argument(p, true), index);
}

static int choose(struct parse *p)
{
    parse_next(p);
    int above = p->rules->argument(p, false), below = p->rules->argument(p, false);
    return math_node(p->w, NODE_CHOOSE, above, below);
}

static int within(struct parse *p, int function, int close, int id)
{
    parse_next(p);
    int bars = p->bars;
    p->bars = close == '|' ? 1 : 0;
    int inside = p->rules->sum(p);
    p->bars = bars;
    if (!parse_take(p, close, id)) return parse_fail(p, "a bracket is not closed");
    int node = math_node(p->w, NODE_CALL, inside, 0);
    p->w->node[node].op = (int16_t)function;
    return node;
}

static int constant(struct parse *p)
{
    int node = math_node(p->w, NODE_CONSTANT, 0, 0);
    p->w->node[node].op = parse_token(p, 0)->id;
    parse_next(p);
    return node;
}

static int opened(struct parse *p)
{
    switch (parse_token(p, 0)->id) {
    case 'f': return within(p, FUNCTION_FLOOR, TOKEN_CLOSE, 'f');
    case 'c': return within(p, FUNCTION_CEILING, TOKEN_CLOSE, 'c');
    case '|': return within(p, FUNCTION_ABS, TOKEN_CLOSE, '|');
    case '{': return p->rules->set(p);
    default: return p->rules->bracket(p);
    }
}

/* One row a kind of token; 0: no atom begins with it. */
static int atom(struct parse *p)
{
    switch (parse_kind(p)) {
    case TOKEN_NUMBER: return number(p);
    case TOKEN_LETTER:
    case TOKEN_GREEK: return name(p);
    case TOKEN_WORD: return word(p);
    case TOKEN_FUNCTION: return call(p);
    case TOKEN_CONSTANT: return constant(p);
    case TOKEN_FRACTION: return fraction(p);
    case TOKEN_ROOT: return root(p);
    case TOKEN_BINOMIAL: return choose(p);
    case TOKEN_GROUP:
    case TOKEN_OVERLINE:
        parse_next(p);
        return parse_kind(p) == '{' ? p->rules->bracket(p) : p->rules->argument(p, true);
    case TOKEN_BEGIN: return p->rules->matrix(p);
    case TOKEN_OPEN: return opened(p);
    case '(':
    case '[':
    case '{': return p->rules->bracket(p);
    case '|': return within(p, FUNCTION_ABS, '|', 0);
    default: return 0;
    }
}

int parse_atom(struct parse *p)
{
    int node = 0;
    if (parse_enter(p)) node = atom(p);
    p->depth--;
    return p->trouble ? 0 : node;
}
