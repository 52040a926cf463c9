/* Brackets, sets, matrices, relations, lists of items. */
#include <string.h>
#include "trainer/reward/math/parse_state.h"

/* Ends of an item. */
static bool ends(const struct token *t)
{
    switch (t->kind) {
    case TOKEN_END:
    case TOKEN_SEPARATOR:
    case TOKEN_CLOSE:
    case TOKEN_ROW:
    case TOKEN_COLUMN:
    case TOKEN_FINISH:
    case ')':
    case ']':
    case '}': return true;
    default: return false;
    }
}

static int text_node(struct parse *p, const struct text *name)
{
    int node = math_node(p->w, NODE_TEXT, 0, 0);
    p->w->node[node].op = (int16_t)math_name(p->w, (struct span){name->at, name->n});
    return node;
}

static int read_relation(struct parse *p);
static int read_items(struct parse *p, int list, bool either);

/* --- texts --- */

static bool is_wordy(const struct token *t)
{
    return t->kind == TOKEN_WORD || t->kind == TOKEN_TEXT || t->kind == TOKEN_LETTER ||
           t->kind == '-' || t->kind == '\'' || t->kind == '.' || t->kind == '!';
}

/* C14: without case where it is longer than a letter, one space between words. */
static void add_words(struct text *name, const struct token *t)
{
    bool space = t->space || t->kind == TOKEN_TEXT;
    for (size_t i = 0; i < t->text.n; i++) {
        char c = t->text.at[i];
        if (c == ' ' || c == '~') {
            space = true;
            continue;
        }
        if (space && name->n > 0) text_add(name, " ");
        space = false;
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if ((unsigned char)c >= 0x80)
            name->at[name->n] = c, name->n += name->n + 1 < name->size;
        else
            text_add_bytes(name, &c, 1);
    }
}

/* Words and nothing else up to the end of the side; 0: something else. */
static int words(struct parse *p)
{
    char bytes[MATH_NAME] = {0};
    struct text name = {bytes, 0, sizeof bytes, false};
    int n = 0, real = 0;
    for (; is_wordy(parse_token(p, n)); n++)
        real += parse_token(p, n)->kind == TOKEN_WORD || parse_token(p, n)->kind == TOKEN_TEXT;
    const struct token *first = parse_token(p, 0), *after = parse_token(p, n);
    if (first->kind == TOKEN_LETTER && first[1].kind == TOKEN_TEXT) return 0; /* of a unit */
    if (real == 0 || !(ends(after) || after->kind == TOKEN_RELATION)) return 0;
    for (int i = 0; i < n; i++) add_words(&name, parse_token(p, i));
    p->at += n;
    while (name.n > 0 && (bytes[name.n - 1] == '.' || bytes[name.n - 1] == '!')) name.n--;
    return text_node(p, &name);
}

/* C13: ratios and times, 7:32, are compared as they are written; 0: there is no ":". */
static int ratio(struct parse *p)
{
    char bytes[MATH_NAME] = {0};
    struct text name = {bytes, 0, sizeof bytes, false};
    bool colon = false;
    int n = 0, value = 0; /* what stands behind the last "=" */
    for (int depth = 0; depth > 0 || !ends(parse_token(p, n)); n++) {
        int kind = parse_token(p, n)->kind;
        if (kind == TOKEN_END) break;
        depth += kind == '(' || kind == '[' || kind == '{' || kind == TOKEN_OPEN;
        depth -= kind == ')' || kind == ']' || kind == '}' || kind == TOKEN_CLOSE;
        colon |= kind == ':' && depth == 0;
        bool equal = kind == TOKEN_RELATION && parse_token(p, n)->id == RELATION_EQUAL;
        if (equal && depth == 0) value = n + 1;
    }
    if (!colon) return 0;
    for (int i = value; i < n; i++) {
        const struct token *t = parse_token(p, i);
        char c = (char)t->kind;
        bool itself = t->kind < TOKEN_NUMBER;
        text_add_bytes(&name, itself ? &c : t->text.at, itself ? 1 : t->text.n);
    }
    p->at += n;
    return text_node(p, &name);
}

/* --- brackets --- */

/* What must close it, as the bit of a square one: -1 is none. */
static int closes(struct parse *p, int open, int open_id)
{
    int kind = parse_kind(p), square = 0;
    bool well;
    if (open == '{')
        well = kind == '}';
    else if (open == TOKEN_OPEN)
        well = kind == TOKEN_CLOSE && parse_token(p, 0)->id == open_id;
    else {
        well = kind == ')' || kind == ']';
        square = kind == ']' ? 2 : 0;
    }
    if (!well) return -1;
    parse_next(p);
    return square;
}

/* One item: what it is; several: a tuple or an interval, between braces, which LaTeX does not show,
 * a bare list. */
static int read_bracket(struct parse *p)
{
    int open = parse_kind(p), id = parse_token(p, 0)->id, bars = p->bars;
    int list = math_node(p->w, open == '{' ? NODE_LIST : NODE_TUPLE, 0, 0);
    parse_next(p);
    p->bars = 0;
    read_items(p, list, open == '{');
    p->bars = bars;
    if (p->trouble) return 0;
    int square = closes(p, open, id);
    if (square < 0) return parse_fail(p, "a bracket is not closed");
    struct node *n = &p->w->node[list];
    n->closed = (uint8_t)((open == '[') | square);
    if (n->n > 1) return list;
    if (n->n == 0 || n->closed == 1 || n->closed == 2) return parse_fail(p, "an empty bracket");
    return n->a;
}

/* \{x \mid x > 2\} is what x > 2 says. */
static bool set_builder(struct parse *p)
{
    const struct token *t = parse_token(p, 0);
    bool real = t[1].kind == TOKEN_RELATION && t[1].id == RELATION_IN &&
                t[2].kind == TOKEN_CONSTANT && t[2].id == CONSTANT_REALS;
    int bar = t[real ? 3 : 1].kind;
    if (t->kind != TOKEN_LETTER || (bar != '|' && bar != ':' && bar != TOKEN_SUCH_THAT))
        return false;
    p->at += real ? 4 : 2;
    return true;
}

/* \{\} is the empty set. */
static int read_set(struct parse *p)
{
    int node, bars = p->bars;
    parse_next(p);
    p->bars = 0;
    if (parse_is(p, TOKEN_CLOSE, '{')) {
        node = math_node(p->w, NODE_CONSTANT, 0, 0);
        p->w->node[node].op = CONSTANT_EMPTY;
    } else if (set_builder(p))
        node = read_relation(p);
    else {
        node = math_node(p->w, NODE_SET, 0, 0);
        read_items(p, node, true);
    }
    p->bars = bars;
    if (!parse_take(p, TOKEN_CLOSE, '{')) return parse_fail(p, "a set is not closed");
    return node;
}

/* --- matrices --- */

/* A cell may begin with words: cases have "if" there. */
static void cell(struct parse *p, int matrix)
{
    while (parse_kind(p) == TOKEN_TEXT && !ends(parse_token(p, 1))) parse_next(p);
    math_append(p->w, matrix, read_relation(p));
}

/* A last \\ may stand before the end. */
static int read_matrix(struct parse *p)
{
    int matrix = math_node(p->w, NODE_MATRIX, 0, 0), columns = 0, in_row = 0;
    parse_next(p);
    while (!p->trouble) {
        cell(p, matrix);
        in_row++;
        if (parse_take(p, TOKEN_COLUMN, 0)) continue;
        while (parse_kind(p) == TOKEN_SEPARATOR) parse_next(p); /* of cases */
        if (columns && in_row != columns) parse_fail(p, "rows of different length");
        columns = in_row;
        in_row = 0;
        bool row = parse_take(p, TOKEN_ROW, 0);
        if (parse_take(p, TOKEN_FINISH, 0)) break;
        if (!row) parse_fail(p, "a matrix is not closed");
    }
    p->w->node[matrix].op = (int16_t)columns;
    return p->trouble ? 0 : matrix;
}

/* --- relations --- */

static bool is_union(struct parse *p, int left)
{
    const struct token *t = parse_token(p, 0);
    int kind = p->w->node[left].kind;
    bool letter = t->kind == TOKEN_LETTER && *t->text.at == 'U' && kind == NODE_TUPLE;
    return t->kind == TOKEN_UNION || letter;
}

/* A value, or a union of sets. */
static int side(struct parse *p)
{
    int node = words(p);
    if (node) return node;
    node = parse_sum(p);
    if (!node) return 0;
    node = parse_units(p, node);
    int all = 0;
    while (!p->trouble && is_union(p, node)) {
        if (!all) {
            all = math_node(p->w, NODE_UNION, 0, 0);
            math_append(p->w, all, node);
        }
        parse_next(p);
        node = parse_sum(p);
        math_append(p->w, all, node);
    }
    if (all) node = all;
    if (parse_take(p, TOKEN_WITHOUT, 0)) node = math_node(p->w, NODE_WITHOUT, node, parse_sum(p));
    return p->trouble ? 0 : node;
}

/* N12: what follows \approx is a rounded value of what stands before it, unless that is a name. */
static bool about(struct parse *p, int left)
{
    if (!parse_is(p, TOKEN_RELATION, RELATION_ABOUT) || math_is_name(p->w, left)) return false;
    parse_next(p);
    side(p);
    return true;
}

/* a = b, a < b <= c: NODE_RELATION, or NODE_CHAIN of several. x \in S is S. */
static int read_relation(struct parse *p)
{
    while (parse_take(p, TOKEN_RELATION, RELATION_ABOUT)) {
    }
    int left = side(p), first = 0, chain = 0;
    while (!p->trouble && parse_kind(p) == TOKEN_RELATION && !about(p, left)) {
        int op = parse_token(p, 0)->id;
        parse_next(p);
        int right = side(p);
        if (p->trouble) return 0;
        if (op == RELATION_IN && math_is_name(p->w, left)) {
            left = right;
            continue;
        }
        int relation = math_node(p->w, NODE_RELATION, left, right);
        p->w->node[relation].op = (int16_t)(op == RELATION_ABOUT ? RELATION_EQUAL : op);
        if (first && !chain) {
            chain = math_node(p->w, NODE_CHAIN, 0, 0);
            math_append(p->w, chain, first);
        }
        if (chain) math_append(p->w, chain, relation);
        if (!first) first = relation;
        left = right;
    }
    if (p->trouble) return 0;
    return chain ? chain : first ? first : left;
}

/* --- lists --- */

/* With \pm in it an item is two: N13. */
static void item(struct parse *p, int list, bool either)
{
    int start = p->at, sign = p->sign;
    bool outer = p->saw_either;
    int node = ratio(p);
    if (either) {
        p->sign = 1;
        p->saw_either = false;
    }
    math_append(p->w, list, node ? node : read_relation(p));
    if (!either) return;
    if (p->saw_either && !p->trouble) {
        p->at = start;
        p->taken = 0;
        p->sign = -1;
        math_append(p->w, list, read_relation(p));
    }
    p->sign = sign;
    p->saw_either = outer;
}

/* Items up to what closes the list. ", and" is one separator. */
static int read_items(struct parse *p, int list, bool either)
{
    int op = ',';
    if (parse_enter(p)) do {
            item(p, list, either);
            bool more = false;
            while (parse_kind(p) == TOKEN_SEPARATOR && !p->trouble) {
                int id = parse_token(p, 0)->id;
                if (more && id != '&' && id != '|') parse_fail(p, "an item is missing");
                if (id == '&' || id == '|') op = id;
                parse_next(p);
                more = true;
            }
            if (!more) break;
        } while (!p->trouble);
    p->depth--;
    p->w->node[list].op = (int16_t)op;
    return list;
}

/* "C)", as choices are written. */
static bool is_choice(const struct tokens *t)
{
    return t->n == 2 && t->token[0].kind == TOKEN_LETTER && t->token[1].kind == ')';
}

/* Whatever is left over is no part of an answer. */
int math_parse(struct math_work *w, const struct tokens *t, int expected, const char **trouble,
               bool *ambiguous)
{
    static const struct parse_rules rules = {parse_sum,    parse_power, parse_argument,
                                             read_bracket, read_set,    read_matrix};
    struct parse p = {.rules = &rules, .w = w, .t = t, .sign = 1, .expected = expected};
    p.known = expected ? w->nodes : 0;
    int list = math_node(w, NODE_LIST, 0, 0);
    read_items(&p, list, true);
    if (is_choice(t)) parse_next(&p);
    if (parse_kind(&p) != TOKEN_END) parse_fail(&p, "something stands behind the answer");
    if (w->full) parse_fail(&p, "the answer has too many parts");
    *trouble = p.trouble;
    *ambiguous = p.ambiguous;
    if (p.trouble) return 0;
    return w->node[list].n == 1 ? w->node[list].a : list;
}
