#include "trainer/data/jinja_parser.h"

#include <stdio.h>
#include <string.h>

static int line_of(const struct parser *p)
{
    int line = 1;
    for (const char *c = p->start; c < p->at && c < p->end; c++) line += *c == '\n';
    return line;
}

void parser_fail(struct parser *p, const char *what)
{
    pool_fail(p->pool, "line %d: %s", line_of(p), what);
    p->at = p->end;
}

const char *parser_copy(struct parser *p, const char *at, size_t n)
{
    char *text = pool_take(p->pool, n + 1);
    if (!text) return "";
    if (n) memcpy(text, at, n);
    text[n] = '\0';
    return text;
}

void parser_skip(struct parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) && *p->at) p->at++;
}

bool parser_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool parser_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t parser_name_length(const struct parser *p)
{
    size_t n = 0, left = (size_t)(p->end - p->at);
    while (n < left && (parser_letter(p->at[n]) || (n > 0 && parser_digit(p->at[n])))) n++;
    return n;
}

bool parser_next_is(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    parser_skip(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
    return !parser_letter(*word) || parser_name_length(p) == n;
}

bool parser_take(struct parser *p, const char *word)
{
    if (!parser_next_is(p, word)) return false;
    p->at += strlen(word);
    return true;
}

bool parser_operator(struct parser *p, char c)
{
    parser_skip(p);
    size_t left = (size_t)(p->end - p->at);
    if (left == 0 || *p->at != c) return false;
    if (left > 2 && c != '*' &&
        (memcmp(p->at + 1, "%}", 2) == 0 || memcmp(p->at + 1, "}}", 2) == 0))
        return false;
    if (c == '%' && left > 1 && p->at[1] == '}') return false;
    p->at++;
    return true;
}

void parser_expect(struct parser *p, const char *word)
{
    char what[32];
    if (parser_take(p, word)) return;
    snprintf(what, sizeof what, "%s is missing", word);
    parser_fail(p, what);
}

const char *parser_name(struct parser *p)
{
    parser_skip(p);
    size_t n = parser_name_length(p);
    if (n == 0 || n > NAME) {
        parser_fail(p, "a name is missing, or is too long");
        return "";
    }
    const char *name = parser_copy(p, p->at, n);
    p->at += n;
    return name;
}

/* out has room for what is left of the template: no escape is shorter than its character. */
size_t parser_string(struct parser *p, char *out)
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
            parser_fail(p, "an escape in a text that is not known here");
            return 0;
        }
        out[n++] = means[letter - letters];
        p->at += 2;
    }
    if (p->at >= p->end)
        parser_fail(p, "a text without its closing quote");
    else
        p->at++;
    return n;
}

/* --- nodes --- */

/* Never NULL. Without memory all callers share one node, which is emptied again since they write to
 * it. */
struct node *parser_node(struct parser *p, enum node_op op, struct node *a, struct node *b)
{
    static struct node nothing = {.op = N_NONE};
    struct node *n = pool_take(p->pool, sizeof *n);
    if (!n) {
        parser_fail(p, "the template is too large");
        nothing = (struct node){.op = N_NONE};
        return &nothing;
    }
    int below = a ? a->depth : 0;
    if (b && b->depth > below) below = b->depth;
    *n = (struct node){.op = op, .line = line_of(p), .depth = below + 1, .a = a, .b = b};
    if (n->depth > DEEPEST) parser_fail(p, "too deeply nested");
    return n;
}

struct node *parser_leaf(struct parser *p, enum node_op op)
{
    return parser_node(p, op, NULL, NULL);
}

void parser_deepen(struct parser *p, struct node *n, const struct node *list)
{
    for (; list && !p->pool->failed; list = list->next)
        if (list->depth + 1 > n->depth) n->depth = list->depth + 1;
    if (n->depth > DEEPEST) parser_fail(p, "too deeply nested");
}
