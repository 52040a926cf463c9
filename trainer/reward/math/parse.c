/* Sums, products, powers; what \frac, \sqrt and ^ take. */
#include "trainer/reward/math/parse_state.h"
#include <string.h>
#include "trainer/reward/math/functions.h"

static int group(struct parse *p)
{
    int inside = 0;
    parse_next(p);
    if (parse_enter(p)) inside = parse_sum(p);
    p->depth--;
    if (!parse_take(p, '}', 0)) return parse_fail(p, "a brace is not closed");
    return inside;
}

/* N11: \frac12 is a half, \frac1{72} one 72nd; x^12 means x^{12} however LaTeX would set it. */
int parse_argument(struct parse *p, bool whole)
{
    const struct token *t = parse_token(p, 0);
    bool decimal;
    if (t->kind == '{') return group(p);
    if (t->kind == TOKEN_NUMBER && !whole) {
        struct span digit = {t->text.at + p->taken, 1};
        int node = parse_digits(p, digit, &decimal);
        if (++p->taken == t->text.n) parse_next(p);
        return node;
    }
    int node = parse_atom(p);
    return node || p->trouble ? node : parse_fail(p, "something is missing");
}

/* 2^3^2 is 2^(3^2); x^-1 needs no braces. */
static int exponent(struct parse *p)
{
    int kind = parse_kind(p), node = 0;
    if (!parse_enter(p)) {
        p->depth--;
        return 0;
    }
    if (kind == '{')
        node = group(p);
    else if (kind == '-' || kind == '+') {
        parse_next(p);
        node = parse_power(p);
        if (kind == '-') node = math_node(p->w, NODE_NEGATE, node, 0);
    } else
        node = parse_power(p);
    p->depth--;
    return node || p->trouble ? node : parse_fail(p, "an exponent is missing");
}

/* Degrees are an angle in the argument of sin and the like, else a unit that is left out (N6). */
static int degrees(struct parse *p, int node)
{
    if (p->angles == 0) return node;
    int pi = math_node(p->w, NODE_CONSTANT, 0, 0);
    p->w->node[pi].op = CONSTANT_PI;
    int turned = math_node(p->w, NODE_MULTIPLY, node, pi);
    return math_node(p->w, NODE_DIVIDE, turned, math_number(p->w, 180));
}

static int percent(struct parse *p, int node)
{
    int hundredth = math_node(p->w, NODE_DIVIDE, node, math_number(p->w, 100));
    p->w->node[hundredth].percent = true;
    return hundredth;
}

/* An atom and what stands behind it: x^2, 5!, 28\%. */
int parse_power(struct parse *p)
{
    int node = parse_atom(p);
    while (node && !p->trouble) {
        if (parse_take(p, '^', 0)) {
            int power = exponent(p);
            node = math_node(p->w, NODE_POWER, node, power);
        } else if (parse_take(p, '!', 0)) {
            node = math_node(p->w, NODE_CALL, node, 0);
            p->w->node[node].op = FUNCTION_FACTORIAL;
        } else if (parse_take(p, TOKEN_DEGREE, 0))
            node = degrees(p, node);
        else if (parse_take(p, TOKEN_PERCENT, 0))
            node = percent(p, node);
        else
            break;
    }
    return node;
}

static int factor(struct parse *p)
{
    bool minus = parse_is(p, '-', 0);
    if (minus || parse_is(p, '+', 0)) parse_next(p);
    int node = parse_power(p);
    if (!node) return parse_fail(p, "something is missing");
    return minus ? math_node(p->w, NODE_NEGATE, node, 0) : node;
}

/* Does the next token go on a product without a sign: 2x, (a)(b)? Two numbers side by side and an
 * interval before a "U" do not. */
static bool goes_on(const struct parse *p, int last)
{
    const struct token *t = parse_token(p, 0);
    if (!parse_begins(p) || t->kind == TOKEN_WORD) return false;
    int kind = p->w->node[last].kind;
    if (t->kind == TOKEN_NUMBER && kind == NODE_NUMBER) return false;
    bool interval = kind == NODE_TUPLE || kind == NODE_SET;
    return !(interval && t->kind == TOKEN_LETTER && *t->text.at == 'U');
}

/* "5 m": a letter that is a unit ends the product (parse_units.c). */
static bool is_unit_letter(const struct parse *p, int last)
{
    const struct token *t = parse_token(p, 0);
    int after = parse_token(p, 1)->kind;
    static const char units[] = "mglshL";
    if (t->kind != TOKEN_LETTER || !strchr(units, *t->text.at)) return false;
    if (p->w->node[last].kind != NODE_NUMBER) return false;
    bool ends = after == TOKEN_END || after == TOKEN_SEPARATOR || after == '^' || after == '/';
    bool length = p->expected && math_has(p->w, p->expected, NODE_UNIT, -1);
    if (!ends || (!t->space && !length)) return false;
    struct span name = t->text;
    for (int i = 1; i < p->known; i++) /* a variable of the expected answer? */
        if (p->w->node[i].kind == NODE_NAME &&
            strncmp(p->w->name[p->w->node[i].op], name.at, 1) == 0 &&
            p->w->name[p->w->node[i].op][1] == '\0')
            return false;
    return true;
}

/* From left to right: a/bc is (a/b)c. */
static int product(struct parse *p, int first)
{
    int node = first, last = first;
    while (node && !p->trouble) {
        int kind = parse_kind(p) == '*' || parse_kind(p) == '/' ? parse_kind(p) : 0;
        if (kind)
            parse_next(p);
        else if (!goes_on(p, last) || is_unit_letter(p, last))
            break;
        last = kind ? factor(p) : parse_power(p);
        node = math_node(p->w, kind == '/' ? NODE_DIVIDE : NODE_MULTIPLY, node, last);
        if (!math_step(p->w, 1)) parse_fail(p, "the answer takes too many steps");
    }
    return node;
}

static int term(struct parse *p)
{
    return product(p, factor(p));
}

/* -x^2 is -(x^2), -2x is -(2x): the sign belongs to the whole term. */
static int signed_term(struct parse *p)
{
    int kind = parse_kind(p);
    if (kind == TOKEN_EITHER) {
        bool minus = parse_token(p, 0)->id * p->sign < 0;
        parse_next(p);
        p->saw_either = true;
        int node = product(p, parse_power(p));
        return minus ? math_node(p->w, NODE_NEGATE, node, 0) : node;
    }
    if (kind != '-') return term(p);
    parse_next(p);
    int node = product(p, parse_power(p));
    if (!node) return parse_fail(p, "something is missing");
    return math_node(p->w, NODE_NEGATE, node, 0);
}

/* A \pm between terms is the sign of this reading (parse_items.c). */
int parse_sum(struct parse *p)
{
    int node = signed_term(p);
    if (!node) return parse_fail(p, "something is missing");
    while (!p->trouble) {
        int kind = parse_kind(p);
        if (kind == TOKEN_EITHER) {
            int next = signed_term(p);
            node = math_node(p->w, NODE_ADD, node, next);
            continue;
        }
        if (kind != '+' && kind != '-') break;
        parse_next(p);
        int next = term(p);
        node = math_node(p->w, kind == '+' ? NODE_ADD : NODE_SUBTRACT, node, next);
    }
    return p->trouble ? 0 : node;
}
