/* Parsing chat templates, by recursive descent whose depth is bounded. White space between tags
 * goes as in Jinja with trim_blocks and lstrip_blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/data/jinja_node.h"

enum { DEEPEST = 100, NAME = 64 };

struct parser {
    struct pool *pool;
    const char *start, *at, *end;
    int level;
    bool line_starts, trim; /* what stands before `at` was a line's end; white space is eaten */
    bool newline;           /* one line break is eaten */
};

static int line_of(const struct parser *p)
{
    int line = 1;
    for (const char *c = p->start; c < p->at && c < p->end; c++) line += *c == '\n';
    return line;
}

static void fail(struct parser *p, const char *what)
{
    pool_fail(p->pool, "line %d: %s", line_of(p), what);
    p->at = p->end;
}

static struct node *new_node(struct parser *p, enum node_op op, struct node *a, struct node *b)
{
    static struct node nothing = {.op = N_NONE};
    struct node *n = pool_take(p->pool, sizeof *n);
    if (!n) {
        fail(p, "the template is too large");
        nothing = (struct node){.op = N_NONE};
        return &nothing;
    }
    int below = a ? a->depth : 0;
    if (b && b->depth > below) below = b->depth;
    *n = (struct node){.op = op, .line = line_of(p), .depth = below + 1, .a = a, .b = b};
    if (n->depth > DEEPEST) fail(p, "too deeply nested");
    return n;
}

static const char *copy(struct parser *p, const char *at, size_t n)
{
    char *text = pool_take(p->pool, n + 1);
    if (!text) return "";
    if (n) memcpy(text, at, n);
    text[n] = '\0';
    return text;
}

/* --- tokens of an expression ------------------------------------------------------------------ */

static void skip(struct parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) && *p->at) p->at++;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t name_length(const struct parser *p)
{
    size_t n = 0, left = (size_t)(p->end - p->at);
    while (n < left && (is_letter(p->at[n]) || (n > 0 && is_digit(p->at[n])))) n++;
    return n;
}

static bool next_is(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    skip(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
    return !is_letter(*word) || name_length(p) == n;
}

static bool take(struct parser *p, const char *word)
{
    if (!next_is(p, word)) return false;
    p->at += strlen(word);
    return true;
}

/* An operator, not the "-" of "-%}". */
static bool take_operator(struct parser *p, char c)
{
    skip(p);
    size_t left = (size_t)(p->end - p->at);
    if (left == 0 || *p->at != c) return false;
    if (left > 2 && c != '*' &&
        (memcmp(p->at + 1, "%}", 2) == 0 || memcmp(p->at + 1, "}}", 2) == 0))
        return false;
    if (c == '%' && left > 1 && p->at[1] == '}') return false;
    p->at++;
    return true;
}

static void expect(struct parser *p, const char *word)
{
    char what[32];
    if (take(p, word)) return;
    snprintf(what, sizeof what, "%s is missing", word);
    fail(p, what);
}

static const char *take_name(struct parser *p)
{
    skip(p);
    size_t n = name_length(p);
    if (n == 0 || n > NAME) {
        fail(p, "a name is missing, or is too long");
        return "";
    }
    const char *name = copy(p, p->at, n);
    p->at += n;
    return name;
}

/* One string literal, unescaped, at `out`; returns its length. */
static size_t take_string(struct parser *p, char *out)
{
    static const char letters[] = "ntr\\'\"", means[] = "\n\t\r\\'\"";
    char quote = *p->at++;
    size_t n = 0;
    while (p->at < p->end && *p->at != quote) {
        if (*p->at != '\\') {
            out[n++] = *p->at++;
            continue;
        }
        const char *letter = p->at + 1 < p->end && p->at[1] ? strchr(letters, p->at[1]) : NULL;
        if (!letter) {
            fail(p, "an escape in a text that is not known here");
            return 0;
        }
        out[n++] = means[letter - letters];
        p->at += 2;
    }
    if (p->at >= p->end)
        fail(p, "a text without its closing quote");
    else
        p->at++;
    return n;
}

/* --- expressions ------------------------------------------------------------------------------ */

static struct node *expression(struct parser *p);

static struct node *string_node(struct parser *p)
{
    struct node *n = new_node(p, N_STRING, NULL, NULL);
    char *out = pool_take(p->pool, (size_t)(p->end - p->at) + 1);
    if (!out) {
        fail(p, "the template is too large");
        return n;
    }
    size_t used = 0;
    for (skip(p); p->at < p->end && (*p->at == '"' || *p->at == '\''); skip(p))
        used += take_string(p, out + used);
    n->s = (struct words){out, NULL, used};
    return n;
}

/* Arguments up to ")", or items up to another closing bracket. */
static struct node *list_until(struct parser *p, const char *close, bool pairs)
{
    struct node *first = NULL, **last = &first;
    while (!p->pool->failed && !take(p, close)) {
        struct node *n;
        const char *before = p->at;
        skip(p);
        size_t length = name_length(p);
        const char *name = length > 0 && length <= NAME ? copy(p, p->at, length) : NULL;
        p->at += name ? length : 0;
        bool named = name && *close == ')' && next_is(p, "=") && !next_is(p, "==");
        if (named) {
            expect(p, "=");
            n = new_node(p, N_NAMED, expression(p), NULL);
            n->text = name;
        } else {
            p->at = before;
            n = expression(p);
        }
        *last = n;
        last = &n->next;
        if (pairs) {
            expect(p, ":");
            *last = expression(p);
            last = &(*last)->next;
        }
        if (!next_is(p, close)) expect(p, ",");
    }
    return first;
}

static void deepen(struct parser *p, struct node *n, const struct node *list)
{
    for (; list && !p->pool->failed; list = list->next)
        if (list->depth + 1 > n->depth) n->depth = list->depth + 1;
    if (n->depth > DEEPEST) fail(p, "too deeply nested");
}

static struct node *literal(struct parser *p, enum node_op op)
{
    return new_node(p, op, NULL, NULL);
}

static struct node *number(struct parser *p)
{
    struct node *n = literal(p, N_INT);
    while (p->at < p->end && is_digit(*p->at)) {
        if (n->number > 100000000) fail(p, "a number that is too large");
        if (p->at < p->end) n->number = 10 * n->number + (*p->at++ - '0');
    }
    if (p->at + 1 < p->end && *p->at == '.' && is_digit(p->at[1]))
        fail(p, "fractions are not known here");
    return n;
}

static struct node *bracketed(struct parser *p, enum node_op op, const char *close)
{
    struct node *n = literal(p, op), *list = list_until(p, close, op == N_DICT);
    n->a = list;
    deepen(p, n, list);
    return n;
}

static struct node *name_or_call(struct parser *p)
{
    static const struct {
        const char *word;
        enum node_op op;
    } words[] = {{"true", N_TRUE},   {"True", N_TRUE}, {"false", N_FALSE},
                 {"False", N_FALSE}, {"none", N_NONE}, {"None", N_NONE}};
    const char *name = take_name(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].word) == 0) return literal(p, words[i].op);
    bool call = take(p, "(");
    struct node *n = literal(p, call ? N_CALL : N_NAME);
    n->text = name;
    if (call) n->b = list_until(p, ")", false);
    deepen(p, n, n->b);
    return n;
}

static struct node *primary(struct parser *p)
{
    skip(p);
    char c = p->at < p->end ? *p->at : '\0';
    if (c == '"' || c == '\'') return string_node(p);
    if (is_digit(c)) return number(p);
    if (take(p, "[")) return bracketed(p, N_LIST, "]");
    if (take(p, "{")) return bracketed(p, N_DICT, "}");
    if (is_letter(c)) return name_or_call(p);
    if (!take(p, "(")) {
        fail(p, "an expression is missing");
        return literal(p, N_NONE);
    }
    struct node *n = expression(p);
    expect(p, ")");
    return n;
}

/* Behind "[": an index, or a slice. */
static struct node *subscript(struct parser *p, struct node *a)
{
    struct node *part[3] = {NULL};
    int k = 0;
    for (bool slice = false; k < 3; k++) {
        if (!next_is(p, ":") && !next_is(p, "]")) part[k] = expression(p);
        if (take(p, ":")) {
            slice = true;
            continue;
        }
        expect(p, "]");
        if (slice) break;
        if (!part[0]) fail(p, "an index is missing");
        return new_node(p, N_MEMBER, a, part[0]);
    }
    if (k == 3) fail(p, "a slice of more than three parts");
    struct node *n = new_node(p, N_SLICE, a, part[0]);
    n->c = part[1];
    n->d = part[2];
    deepen(p, n, n->c);
    deepen(p, n, n->d);
    return n;
}

static struct node *member(struct parser *p, struct node *a)
{
    struct node *name = literal(p, N_STRING);
    name->text = take_name(p);
    name->s = value_text(name->text).s;
    if (!take(p, "(")) return new_node(p, N_MEMBER, a, name);
    struct node *n = new_node(p, N_METHOD, a, NULL);
    n->text = name->text;
    n->b = list_until(p, ")", false);
    deepen(p, n, n->b);
    return n;
}

/* "is not defined", "is in list", "| trim" */
static struct node *test_or_filter(struct parser *p, struct node *a, bool test)
{
    bool not = test && take(p, "not");
    struct node *n = new_node(p, test ? N_TEST : N_FILTER, a, NULL);
    n->text = take_name(p);
    if (take(p, "("))
        n->b = list_until(p, ")", false);
    else if (test && (strcmp(n->text, "in") == 0 || strcmp(n->text, "eq") == 0))
        n->b = primary(p);
    deepen(p, n, n->b);
    return not ? new_node(p, N_NOT, n, NULL) : n;
}

static struct node *postfix(struct parser *p)
{
    struct node *n = primary(p);
    while (!p->pool->failed) {
        if (take(p, "["))
            n = subscript(p, n);
        else if (take(p, "."))
            n = member(p, n);
        else if (take_operator(p, '|'))
            n = test_or_filter(p, n, false);
        else if (take(p, "is"))
            n = test_or_filter(p, n, true);
        else
            break;
    }
    return n;
}

static struct node *unary(struct parser *p)
{
    if (++p->level > DEEPEST) fail(p, "too deeply nested");
    struct node *n = take_operator(p, '-') ? new_node(p, N_MINUS, unary(p), NULL) : postfix(p);
    p->level--;
    return n;
}

static struct node *product(struct parser *p)
{
    struct node *n = unary(p);
    while (!p->pool->failed) {
        if (take(p, "//"))
            n = new_node(p, N_DIVIDE, n, unary(p));
        else if (take_operator(p, '*'))
            n = new_node(p, N_MULTIPLY, n, unary(p));
        else if (take_operator(p, '%'))
            n = new_node(p, N_REMAINDER, n, unary(p));
        else
            break;
    }
    return n;
}

static struct node *concat(struct parser *p)
{
    struct node *n = product(p);
    while (!p->pool->failed && take_operator(p, '~')) n = new_node(p, N_CONCAT, n, product(p));
    return n;
}

static struct node *sum(struct parser *p)
{
    struct node *n = concat(p);
    while (!p->pool->failed) {
        if (take_operator(p, '+'))
            n = new_node(p, N_ADD, n, concat(p));
        else if (take_operator(p, '-'))
            n = new_node(p, N_SUBTRACT, n, concat(p));
        else
            break;
    }
    return n;
}

static struct node *comparison(struct parser *p)
{
    static const struct {
        const char *word;
        enum node_op op;
    } rows[] = {{"==", N_EQUAL}, {"!=", N_UNEQUAL}, {"<=", N_LESS_EQUAL}, {">=", N_MORE_EQUAL},
                {"<", N_LESS},   {">", N_MORE},     {"in", N_IN}};
    struct node *n = sum(p);
    const char *before = p->at;
    if (take(p, "not")) {
        if (take(p, "in")) return new_node(p, N_NOT, new_node(p, N_IN, n, sum(p)), NULL);
        p->at = before;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (take(p, rows[i].word)) return new_node(p, rows[i].op, n, sum(p));
    return n;
}

static struct node *negation(struct parser *p)
{
    if (++p->level > DEEPEST) fail(p, "too deeply nested");
    struct node *n = take(p, "not") ? new_node(p, N_NOT, negation(p), NULL) : comparison(p);
    p->level--;
    return n;
}

static struct node *conjunction(struct parser *p)
{
    struct node *n = negation(p);
    while (!p->pool->failed && take(p, "and")) n = new_node(p, N_AND, n, negation(p));
    return n;
}

static struct node *disjunction(struct parser *p)
{
    struct node *n = conjunction(p);
    while (!p->pool->failed && take(p, "or")) n = new_node(p, N_OR, n, conjunction(p));
    return n;
}

static struct node *expression(struct parser *p)
{
    if (++p->level > DEEPEST) fail(p, "too deeply nested");
    struct node *n = disjunction(p);
    if (take(p, "if")) {
        struct node *yes = n;
        n = new_node(p, N_COND, disjunction(p), yes);
        if (take(p, "else")) n->c = expression(p);
        deepen(p, n, n->c);
    }
    p->level--;
    return n;
}

/* --- texts and tags --------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Up to the next tag, whose opening is left; what the tags before and behind it eat is cut off. */
static struct node *text_node(struct parser *p)
{
    const char *from = p->at, *to = from;
    while (to + 1 < p->end && !(to[0] == '{' && (to[1] == '{' || to[1] == '%' || to[1] == '#')))
        to++;
    bool tag = to + 1 < p->end;
    if (!tag) to = p->end;
    p->at = to;
    char kind = tag ? to[1] : '\0', sign = tag && to + 2 < p->end ? to[2] : '\0';
    while (p->trim && from < to && is_blank(*from)) p->line_starts = *from++ == '\n';
    if (p->newline && from < to && *from == '\n') {
        from++;
        p->line_starts = true;
    }
    if (sign == '-')
        while (to > from && is_blank(to[-1])) to--;
    else if (kind != '{' && kind && sign != '+') {
        const char *line = to;
        while (line > from && line[-1] != '\n' && is_blank(line[-1])) line--;
        if (line > from ? line[-1] == '\n' : p->line_starts) to = line;
    }
    struct node *n = literal(p, N_TEXT);
    n->s = (struct words){copy(p, from, (size_t)(to - from)), NULL, (size_t)(to - from)};
    return n;
}

/* Behind an opening: over "-" or "+". */
static void open_tag(struct parser *p)
{
    p->at += 2;
    if (p->at < p->end && (*p->at == '-' || *p->at == '+')) p->at++;
}

static void close_tag(struct parser *p, const char *close)
{
    skip(p);
    bool minus = p->at < p->end && *p->at == '-', plus = p->at < p->end && *p->at == '+';
    if (minus || plus) p->at++;
    if ((size_t)(p->end - p->at) < 2 || memcmp(p->at, close, 2) != 0) {
        fail(p, "the tag goes on where it should end");
        return;
    }
    p->at += 2;
    p->trim = minus;
    p->newline = *close != '}' && !plus;
    p->line_starts = false;
}

static void skip_comment(struct parser *p)
{
    while (p->at + 1 < p->end && memcmp(p->at, "#}", 2) != 0) p->at++;
    bool minus = p->at > p->start && p->at[-1] == '-';
    if (p->at + 1 >= p->end) {
        fail(p, "a comment without its end");
        return;
    }
    p->at += 2;
    p->trim = minus;
    p->newline = true;
    p->line_starts = false;
}

static struct node *block(struct parser *p, const char *const *stops, const char **stop);

static struct node *if_node(struct parser *p)
{
    static const char *const stops[] = {"elif", "else", "endif", NULL}, *const ends[] = {"endif",
                                                                                         NULL};
    const char *stop = "";
    struct node *n = new_node(p, N_IF, expression(p), NULL);
    close_tag(p, "%}");
    n->b = block(p, stops, &stop);
    if (strcmp(stop, "elif") == 0) {
        if (++p->level > DEEPEST) fail(p, "too deeply nested");
        n->c = if_node(p);
        p->level--;
        deepen(p, n, n->b);
        deepen(p, n, n->c);
        return n; /* the inner one took the end */
    }
    if (strcmp(stop, "else") == 0) {
        close_tag(p, "%}");
        n->c = block(p, ends, &stop);
    }
    deepen(p, n, n->b);
    deepen(p, n, n->c);
    return n;
}

static struct node *for_node(struct parser *p)
{
    static const char *const stops[] = {"else", "endfor", NULL}, *const ends[] = {"endfor", NULL};
    const char *stop = "";
    struct node *n = literal(p, N_FOR);
    n->text = take_name(p);
    if (take(p, ",")) n->more = take_name(p);
    expect(p, "in");
    n->a = disjunction(p);
    if (take(p, "if")) n->d = expression(p);
    close_tag(p, "%}");
    n->b = block(p, stops, &stop);
    if (strcmp(stop, "else") == 0) {
        close_tag(p, "%}");
        n->c = block(p, ends, &stop);
    }
    deepen(p, n, n->a);
    deepen(p, n, n->b);
    deepen(p, n, n->c);
    deepen(p, n, n->d);
    return n;
}

static struct node *set_node(struct parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    const char *stop = "";
    struct node *target = literal(p, N_NAME);
    target->text = take_name(p);
    if (take(p, ".")) target = member(p, target);
    if (target->op == N_METHOD) fail(p, "set of a call");
    bool body = !take(p, "=");
    struct node *n = new_node(p, body ? N_SET_BODY : N_SET, target, body ? NULL : expression(p));
    if (!body) return n;
    close_tag(p, "%}");
    n->b = block(p, ends, &stop);
    deepen(p, n, n->b);
    return n;
}

/* Behind "{%": a statement; at a stop word *stop is it. The closing "%}" is left. */
static struct node *statement(struct parser *p, const char *const *stops, const char **stop)
{
    static const char *const ends[] = {"endgeneration", NULL};
    const char *word = take_name(p), *inner = "";
    for (int i = 0; stops && stops[i]; i++)
        if (strcmp(word, stops[i]) == 0) {
            *stop = stops[i];
            return NULL;
        }
    if (strcmp(word, "if") == 0) return if_node(p);
    if (strcmp(word, "for") == 0) return for_node(p);
    if (strcmp(word, "set") == 0) return set_node(p);
    if (strcmp(word, "break") == 0) return literal(p, N_BREAK);
    if (strcmp(word, "continue") == 0) return literal(p, N_CONTINUE);
    if (strcmp(word, "generation") == 0) {
        struct node *n = literal(p, N_BODY);
        close_tag(p, "%}");
        n->b = block(p, ends, &inner);
        deepen(p, n, n->b);
        return n;
    }
    char what[NAME + 40];
    snprintf(what, sizeof what, "{%% %.64s %%} is not known here", word);
    fail(p, what);
    return NULL;
}

/* Statements up to one of the stop words, which is taken with all but its "%}"; NULL: to the end.
 */
static struct node *block(struct parser *p, const char *const *stops, const char **stop)
{
    struct node *first = NULL, **last = &first;
    *stop = "";
    if (++p->level > DEEPEST) fail(p, "too deeply nested");
    while (!p->pool->failed && p->at < p->end) {
        struct node *n = text_node(p);
        if (n->s.n > 0) {
            *last = n;
            last = &n->next;
        }
        if (p->at >= p->end || p->pool->failed) break;
        char kind = p->at[1];
        open_tag(p);
        if (kind == '#') {
            skip_comment(p);
            continue;
        }
        if (kind == '{')
            n = new_node(p, N_PRINT, expression(p), NULL);
        else
            n = statement(p, stops, stop);
        if (!n) break;
        close_tag(p, kind == '{' ? "}}" : "%}");
        *last = n;
        last = &n->next;
    }
    if (stops && !**stop && !p->pool->failed) fail(p, "a block without its end");
    p->level--;
    return first;
}

struct jinja *jinja_parse(const char *text, size_t n, char why[JINJA_WHY])
{
    const char *stop;
    struct jinja *j = memory_take(1, sizeof *j, "a chat template");
    j->bytes = n;
    j->pool = (struct pool){.most = 512 * n + 65536, .why = why, .steps = 1};
    if (n > 0 && text[n - 1] == '\n') n--;
    struct parser p = {
        .pool = &j->pool, .start = text, .at = text, .end = text + n, .line_starts = true};
    j->body = block(&p, NULL, &stop);
    if (!j->pool.failed) return j;
    jinja_free(j);
    return NULL;
}

void jinja_free(struct jinja *j)
{
    if (!j) return;
    pool_free(&j->pool);
    free(j);
}
