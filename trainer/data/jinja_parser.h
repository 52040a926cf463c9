/* Where the parser of a chat template (jinja.h) stands, the tokens it takes there and the nodes
 * that it makes. What is wrong is noted once, with its line, and ends the text: loops see its end
 * or a failed pool. */
#ifndef DUET_TRAINER_DATA_JINJA_PARSER_H
#define DUET_TRAINER_DATA_JINJA_PARSER_H

#include "trainer/data/jinja_node.h"

enum { DEEPEST = 100, NAME = 64 };

struct parser {
    struct pool *pool;
    const char *start, *at, *end;
    int level;
    bool line_starts, trim; /* what stands before `at` was a line's end; white space is eaten */
    bool newline;           /* one line break is eaten */
};

void parser_fail(struct parser *p, const char *what);
/* n bytes and a NUL, in the pool. */
const char *parser_copy(struct parser *p, const char *at, size_t n);

bool parser_letter(char c);
bool parser_digit(char c);
/* Bytes of the name that stands here. */
size_t parser_name_length(const struct parser *p);
/* The string literal that begins here, unescaped, at `out`, which has room for the rest of the
 * template; returns its length. */
size_t parser_string(struct parser *p, char *out);
/* Over white space; so does all that follows, first. */
void parser_skip(struct parser *p);

/* A word of letters stands for itself, not for the beginning of a longer one. */
bool parser_next_is(struct parser *p, const char *word);
bool parser_take(struct parser *p, const char *word);
/* An operator, not the "-" of "-%}". */
bool parser_operator(struct parser *p, char c);
/* Fails where the word is missing. */
void parser_expect(struct parser *p, const char *word);
/* "", having failed, where there is none. */
const char *parser_name(struct parser *p);

/* Never NULL; its depth is that of a and b and one more. Fails beyond DEEPEST. */
struct node *parser_node(struct parser *p, enum node_op op, struct node *a, struct node *b);
struct node *parser_leaf(struct parser *p, enum node_op op);
/* Counts a list below n to its depth. */
void parser_deepen(struct parser *p, struct node *n, const struct node *list);

#endif
