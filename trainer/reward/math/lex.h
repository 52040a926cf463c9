/* Tokens of an answer. What LaTeX writes in several ways is one token (N1-N9, N13, N14): sizes and
 * fonts go, "\dfrac" is "\frac", "≤", "\leqslant" and "<=" are one relation, "1,234" is one number.
 */
#ifndef DUET_TRAINER_REWARD_MATH_LEX_H
#define DUET_TRAINER_REWARD_MATH_LEX_H

#include <stdbool.h>
#include <stdint.h>
#include "trainer/data/completion.h"
#include "trainer/reward/math/clean.h"

/* Characters that stand for themselves are their own kind: + - * / ^ _ ( ) [ ] { } | ! : . ' */
enum token_kind {
    TOKEN_END = 0,
    TOKEN_NUMBER = 128, /* its text: digits, separators of thousands, a point, an exponent */
    TOKEN_LETTER,       /* a variable of one letter */
    TOKEN_GREEK,        /* a variable with a name: its text, without the backslash */
    TOKEN_WORD,         /* letters that are no function: its text */
    TOKEN_TEXT,         /* of \text{...}: its text, without white space at its ends */
    TOKEN_FUNCTION,     /* id: a row of functions.h */
    TOKEN_CONSTANT,     /* id: enum constant */
    TOKEN_FRACTION,     /* \frac */
    TOKEN_ROOT,         /* \sqrt */
    TOKEN_BINOMIAL,     /* \binom */
    TOKEN_GROUP,        /* a command around a group that changes no value: \boxed, \vec, \hat */
    TOKEN_OVERLINE,
    TOKEN_BEGIN,    /* \begin{...}: of a matrix, an array, cases */
    TOKEN_FINISH,   /* \end{...} */
    TOKEN_ROW,      /* \\ in a matrix */
    TOKEN_COLUMN,   /* & */
    TOKEN_RELATION, /* id: enum relation */
    TOKEN_EITHER,   /* \pm, id 1; \mp, id -1 */
    TOKEN_UNION,
    TOKEN_CUT, /* \cap */
    TOKEN_WITHOUT,
    TOKEN_SUCH_THAT, /* \mid */
    TOKEN_PERCENT,
    TOKEN_DEGREE,
    TOKEN_SEPARATOR, /* id: ',', ';', '&' (and), '|' (or) */
    TOKEN_OPEN,      /* id: '{' \{, '<' \langle, 'f' \lfloor, 'c' \lceil, '|' \lvert */
    TOKEN_CLOSE,     /* the same */
    TOKEN_UNKNOWN    /* a command that has no value here */
};
enum constant {
    CONSTANT_PI,
    CONSTANT_E,
    CONSTANT_I,
    CONSTANT_INFINITY,
    CONSTANT_EMPTY,
    CONSTANT_REALS
};
enum relation {
    RELATION_EQUAL,
    RELATION_LESS,
    RELATION_AT_MOST,
    RELATION_MORE,
    RELATION_AT_LEAST,
    RELATION_OTHER, /* not equal */
    RELATION_IN,
    RELATION_ABOUT /* what follows is rounded */
};

struct token {
    uint8_t kind;
    bool space; /* white space before it */
    int16_t id;
    struct span text;
};
enum { MATH_TOKENS = 1200, MATH_TEXT = 4096, MATH_LEX_DEPTH = 200 };

struct tokens {
    char text[MATH_TEXT]; /* what math_clean made */
    size_t length;
    struct token token[MATH_TOKENS + 8]; /* eight of TOKEN_END stand behind the n */
    int n;
};

/* The tokens of an answer, any bytes; NULL or why it has none (clean.h; too many; nested too deep).
 * They point into *t. Local. */
const char *math_lex(struct tokens *t, struct span answer);

/* The same tokens, whatever white space stands between them (C1)? */
bool math_tokens_equal(const struct tokens *a, const struct tokens *b);

#endif
