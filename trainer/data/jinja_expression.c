#include "trainer/data/jinja_expression.h"

#include <string.h>

static struct node *string_node(struct parser *p)
{
    struct node *n = parser_node(p, N_STRING, NULL, NULL);
    char *out = pool_take(p->pool, (size_t)(p->end - p->at) + 1);
    if (!out) {
        parser_fail(p, "the template is too large");
        return n;
    }
    size_t used = 0;
    for (parser_skip(p); p->at < p->end && (*p->at == '"' || *p->at == '\''); parser_skip(p))
        used += parser_string(p, out + used);
    n->s = (struct written){out, NULL, used};
    return n;
}

/* Arguments up to ")", or items up to another closing bracket. */
static struct node *list_until(struct parser *p, const char *close, bool pairs)
{
    struct node *first = NULL, **last = &first;
    while (!p->pool->failed && !parser_take(p, close)) {
        struct node *n;
        const char *before = p->at;
        parser_skip(p);
        size_t length = parser_name_length(p);
        const char *name = length > 0 && length <= NAME ? parser_copy(p, p->at, length) : NULL;
        p->at += name ? length : 0;
        bool named = name && *close == ')' && parser_next_is(p, "=") && !parser_next_is(p, "==");
        if (named) {
            parser_expect(p, "=");
            n = parser_node(p, N_NAMED, jinja_expression(p), NULL);
            n->text = name;
        } else {
            p->at = before;
            n = jinja_expression(p);
        }
        *last = n;
        last = &n->next;
        if (pairs) {
            parser_expect(p, ":");
            *last = jinja_expression(p);
            last = &(*last)->next;
        }
        if (!parser_next_is(p, close)) parser_expect(p, ",");
    }
    return first;
}

static struct node *number(struct parser *p)
{
    struct node *n = parser_leaf(p, N_INT);
    while (p->at < p->end && parser_digit(*p->at)) {
        if (n->number > 100000000) parser_fail(p, "a number that is too large");
        if (p->at < p->end) n->number = 10 * n->number + (*p->at++ - '0');
    }
    if (p->at + 1 < p->end && *p->at == '.' && parser_digit(p->at[1]))
        parser_fail(p, "fractions are not known here");
    return n;
}

static struct node *bracketed(struct parser *p, enum node_op op, const char *close)
{
    struct node *n = parser_leaf(p, op), *list = list_until(p, close, op == N_DICT);
    n->a = list;
    parser_deepen(p, n, list);
    return n;
}

/* Jinja knows true, false and none in both spellings. */
static struct node *name_or_call(struct parser *p)
{
    static const struct {
        const char *word;
        enum node_op op;
    } words[] = {{"true", N_TRUE},   {"True", N_TRUE}, {"false", N_FALSE},
                 {"False", N_FALSE}, {"none", N_NONE}, {"None", N_NONE}};
    const char *name = parser_name(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].word) == 0) return parser_leaf(p, words[i].op);
    bool call = parser_take(p, "(");
    struct node *n = parser_leaf(p, call ? N_CALL : N_NAME);
    n->text = name;
    if (call) n->b = list_until(p, ")", false);
    parser_deepen(p, n, n->b);
    return n;
}

/* A node also after a mistake: nobody above asks for NULL. */
static struct node *primary(struct parser *p)
{
    parser_skip(p);
    char c = p->at < p->end ? *p->at : '\0';
    if (c == '"' || c == '\'') return string_node(p);
    if (parser_digit(c)) return number(p);
    if (parser_take(p, "[")) return bracketed(p, N_LIST, "]");
    if (parser_take(p, "{")) return bracketed(p, N_DICT, "}");
    if (parser_letter(c)) return name_or_call(p);
    if (!parser_take(p, "(")) {
        parser_fail(p, "an expression is missing");
        return parser_leaf(p, N_NONE);
    }
    struct node *n = jinja_expression(p);
    parser_expect(p, ")");
    return n;
}

/* Behind "[": an index, or a slice. */
static struct node *subscript(struct parser *p, struct node *a)
{
    struct node *part[3] = {NULL};
    int k = 0;
    for (bool slice = false; k < 3; k++) {
        if (!parser_next_is(p, ":") && !parser_next_is(p, "]")) part[k] = jinja_expression(p);
        if (parser_take(p, ":")) {
            slice = true;
            continue;
        }
        parser_expect(p, "]");
        if (slice) break;
        if (!part[0]) parser_fail(p, "an index is missing");
        return parser_node(p, N_MEMBER, a, part[0]);
    }
    if (k == 3) parser_fail(p, "a slice of more than three parts");
    struct node *n = parser_node(p, N_SLICE, a, part[0]);
    n->c = part[1];
    n->d = part[2];
    parser_deepen(p, n, n->c);
    parser_deepen(p, n, n->d);
    return n;
}

struct node *jinja_expression_member(struct parser *p, struct node *a)
{
    struct node *name = parser_leaf(p, N_STRING);
    name->text = parser_name(p);
    name->s = value_text(name->text).s;
    if (!parser_take(p, "(")) return parser_node(p, N_MEMBER, a, name);
    struct node *n = parser_node(p, N_METHOD, a, NULL);
    n->text = name->text;
    n->b = list_until(p, ")", false);
    parser_deepen(p, n, n->b);
    return n;
}

/* "is not defined", "is in list", "| trim" */
static struct node *test_or_filter(struct parser *p, struct node *a, bool test)
{
    bool not = test && parser_take(p, "not");
    struct node *n = parser_node(p, test ? N_TEST : N_FILTER, a, NULL);
    n->text = parser_name(p);
    if (parser_take(p, "("))
        n->b = list_until(p, ")", false);
    else if (test && (strcmp(n->text, "in") == 0 || strcmp(n->text, "eq") == 0))
        n->b = primary(p);
    parser_deepen(p, n, n->b);
    return not ? parser_node(p, N_NOT, n, NULL) : n;
}

/* Filters and tests bind closer than any operator, as in Jinja. */
static struct node *postfix(struct parser *p)
{
    struct node *n = primary(p);
    while (!p->pool->failed) {
        if (parser_take(p, "["))
            n = subscript(p, n);
        else if (parser_take(p, "."))
            n = jinja_expression_member(p, n);
        else if (parser_operator(p, '|'))
            n = test_or_filter(p, n, false);
        else if (parser_take(p, "is"))
            n = test_or_filter(p, n, true);
        else
            break;
    }
    return n;
}

static struct node *unary(struct parser *p)
{
    if (++p->level > DEEPEST) parser_fail(p, "too deeply nested");
    struct node *n = parser_operator(p, '-') ? parser_node(p, N_MINUS, unary(p), NULL) : postfix(p);
    p->level--;
    return n;
}

/* parser_operator tells a remainder from the % of a closing tag. */
static struct node *product(struct parser *p)
{
    struct node *n = unary(p);
    while (!p->pool->failed) {
        if (parser_take(p, "//"))
            n = parser_node(p, N_DIVIDE, n, unary(p));
        else if (parser_operator(p, '*'))
            n = parser_node(p, N_MULTIPLY, n, unary(p));
        else if (parser_operator(p, '%'))
            n = parser_node(p, N_REMAINDER, n, unary(p));
        else
            break;
    }
    return n;
}

static struct node *concat(struct parser *p)
{
    struct node *n = product(p);
    while (!p->pool->failed && parser_operator(p, '~')) n = parser_node(p, N_CONCAT, n, product(p));
    return n;
}

static struct node *sum(struct parser *p)
{
    struct node *n = concat(p);
    while (!p->pool->failed) {
        if (parser_operator(p, '+'))
            n = parser_node(p, N_ADD, n, concat(p));
        else if (parser_operator(p, '-'))
            n = parser_node(p, N_SUBTRACT, n, concat(p));
        else
            break;
    }
    return n;
}

/* <= stands before <, which it begins with. `not` may belong to a test further up: it is given back
 * unless `in` follows. */
static struct node *comparison(struct parser *p)
{
    static const struct {
        const char *word;
        enum node_op op;
    } rows[] = {{"==", N_EQUAL}, {"!=", N_UNEQUAL}, {"<=", N_LESS_EQUAL}, {">=", N_MORE_EQUAL},
                {"<", N_LESS},   {">", N_MORE},     {"in", N_IN}};
    struct node *n = sum(p);
    const char *before = p->at;
    if (parser_take(p, "not")) {
        if (parser_take(p, "in"))
            return parser_node(p, N_NOT, parser_node(p, N_IN, n, sum(p)), NULL);
        p->at = before;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (parser_take(p, rows[i].word)) return parser_node(p, rows[i].op, n, sum(p));
    return n;
}

static struct node *negation(struct parser *p)
{
    if (++p->level > DEEPEST) parser_fail(p, "too deeply nested");
    struct node *n =
        parser_take(p, "not") ? parser_node(p, N_NOT, negation(p), NULL) : comparison(p);
    p->level--;
    return n;
}

static struct node *conjunction(struct parser *p)
{
    struct node *n = negation(p);
    while (!p->pool->failed && parser_take(p, "and")) n = parser_node(p, N_AND, n, negation(p));
    return n;
}

struct node *jinja_expression_plain(struct parser *p)
{
    struct node *n = conjunction(p);
    while (!p->pool->failed && parser_take(p, "or")) n = parser_node(p, N_OR, n, conjunction(p));
    return n;
}

struct node *jinja_expression(struct parser *p)
{
    if (++p->level > DEEPEST) parser_fail(p, "too deeply nested");
    struct node *n = jinja_expression_plain(p);
    if (parser_take(p, "if")) {
        struct node *yes = n;
        n = parser_node(p, N_COND, jinja_expression_plain(p), yes);
        if (parser_take(p, "else")) n->c = jinja_expression(p);
        parser_deepen(p, n, n->c);
    }
    p->level--;
    return n;
}
