/* Parsing chat templates: texts and tags, by recursive descent whose depth is bounded. White space
 * between tags goes as in Jinja with trim_blocks and lstrip_blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/data/jinja_expression.h"

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
    struct node *n = parser_leaf(p, N_TEXT);
    n->s = (struct written){parser_copy(p, from, (size_t)(to - from)), NULL, (size_t)(to - from)};
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
    parser_skip(p);
    bool minus = p->at < p->end && *p->at == '-', plus = p->at < p->end && *p->at == '+';
    if (minus || plus) p->at++;
    if ((size_t)(p->end - p->at) < 2 || memcmp(p->at, close, 2) != 0) {
        parser_fail(p, "the tag goes on where it should end");
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
        parser_fail(p, "a comment without its end");
        return;
    }
    p->at += 2;
    p->trim = minus;
    p->newline = true;
    p->line_starts = false;
}

static struct node *block(struct parser *p, const char *const *stops, const char **stop);

/* elif is an if within else; a long chain of them is as deep as it is long, hence the level. */
static struct node *if_node(struct parser *p)
{
    static const char *const stops[] = {"elif", "else", "endif", NULL}, *const ends[] = {"endif",
                                                                                         NULL};
    const char *stop = "";
    struct node *n = parser_node(p, N_IF, jinja_expression(p), NULL);
    close_tag(p, "%}");
    n->b = block(p, stops, &stop);
    if (strcmp(stop, "elif") == 0) {
        if (++p->level > DEEPEST) parser_fail(p, "too deeply nested");
        n->c = if_node(p);
        p->level--;
        parser_deepen(p, n, n->b);
        parser_deepen(p, n, n->c);
        return n; /* the inner one took the end */
    }
    if (strcmp(stop, "else") == 0) {
        close_tag(p, "%}");
        n->c = block(p, ends, &stop);
    }
    parser_deepen(p, n, n->b);
    parser_deepen(p, n, n->c);
    return n;
}

/* Without conditional expressions in the list: `for x in y if z` filters the items. */
static struct node *for_node(struct parser *p)
{
    static const char *const stops[] = {"else", "endfor", NULL}, *const ends[] = {"endfor", NULL};
    const char *stop = "";
    struct node *n = parser_leaf(p, N_FOR);
    n->text = parser_name(p);
    if (parser_take(p, ",")) n->more = parser_name(p);
    parser_expect(p, "in");
    n->a = jinja_expression_plain(p);
    if (parser_take(p, "if")) n->d = jinja_expression(p);
    close_tag(p, "%}");
    n->b = block(p, stops, &stop);
    if (strcmp(stop, "else") == 0) {
        close_tag(p, "%}");
        n->c = block(p, ends, &stop);
    }
    parser_deepen(p, n, n->a);
    parser_deepen(p, n, n->b);
    parser_deepen(p, n, n->c);
    parser_deepen(p, n, n->d);
    return n;
}

/* A member as target is a namespace's, which outlives the round of a loop. */
static struct node *set_node(struct parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    const char *stop = "";
    struct node *target = parser_leaf(p, N_NAME);
    target->text = parser_name(p);
    if (parser_take(p, ".")) target = jinja_expression_member(p, target);
    if (target->op == N_METHOD) parser_fail(p, "set of a call");
    bool body = !parser_take(p, "=");
    struct node *n =
        parser_node(p, body ? N_SET_BODY : N_SET, target, body ? NULL : jinja_expression(p));
    if (!body) return n;
    close_tag(p, "%}");
    n->b = block(p, ends, &stop);
    parser_deepen(p, n, n->b);
    return n;
}

/* Behind "{%": a statement; at a stop word *stop is it. The closing "%}" is left. */
static struct node *statement(struct parser *p, const char *const *stops, const char **stop)
{
    static const char *const ends[] = {"endgeneration", NULL};
    const char *word = parser_name(p), *inner = "";
    for (int i = 0; stops && stops[i]; i++)
        if (strcmp(word, stops[i]) == 0) {
            *stop = stops[i];
            return NULL;
        }
    if (strcmp(word, "if") == 0) return if_node(p);
    if (strcmp(word, "for") == 0) return for_node(p);
    if (strcmp(word, "set") == 0) return set_node(p);
    if (strcmp(word, "break") == 0) return parser_leaf(p, N_BREAK);
    if (strcmp(word, "continue") == 0) return parser_leaf(p, N_CONTINUE);
    if (strcmp(word, "generation") == 0) {
        struct node *n = parser_leaf(p, N_BODY);
        close_tag(p, "%}");
        n->b = block(p, ends, &inner);
        parser_deepen(p, n, n->b);
        return n;
    }
    char what[NAME + 40];
    snprintf(what, sizeof what, "{%% %.64s %%} is not known here", word);
    parser_fail(p, what);
    return NULL;
}

/* Statements up to one of the stop words, which is taken with all but its "%}"; NULL: to the end.
 */
static struct node *block(struct parser *p, const char *const *stops, const char **stop)
{
    struct node *first = NULL, **last = &first;
    *stop = "";
    if (++p->level > DEEPEST) parser_fail(p, "too deeply nested");
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
            n = parser_node(p, N_PRINT, jinja_expression(p), NULL);
        else
            n = statement(p, stops, stop);
        if (!n) break;
        close_tag(p, kind == '{' ? "}}" : "%}");
        *last = n;
        last = &n->next;
    }
    if (stops && !**stop && !p->pool->failed) parser_fail(p, "a block without its end");
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
