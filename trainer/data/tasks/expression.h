/* Arithmetic as the tasks write it, read from any bytes and evaluated exactly.
 *
 *   sum     = product { (+|-) product }
 *   product = factor { (*|/) factor }
 *   factor  = number | "(" sum ")"
 *
 * with, where asked for, a sign before a factor, and x (bound to a value) with unwritten products
 * as in 3x and 2(x+1). Bounded in length, depth and count of numbers; every overflow and division
 * by zero is a refusal. Local. */
#ifndef DUET_TRAINER_DATA_TASKS_EXPRESSION_H
#define DUET_TRAINER_DATA_TASKS_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "trainer/data/completion.h"

enum { EXPRESSION_BYTES = 256, EXPRESSION_DEPTH = 16, EXPRESSION_NUMBERS = 16 };
enum expression_flags { EXPRESSION_PLAIN = 0, EXPRESSION_SIGN = 1, EXPRESSION_X = 2 };

/* num / den in lowest terms, den > 0. */
struct fraction {
    int64_t num, den;
};
/* false when the result does not fit, or b is 0 for '/'. op: one of + - * / */
bool fraction_apply(struct fraction *out, struct fraction a, char op, struct fraction b);
bool fraction_equal(struct fraction a, struct fraction b);

/* "5", "2/3" */
struct text;
void fraction_write(struct text *out, struct fraction v);
/* A number, with a sign and a decimal point if it has them, or two with / between, white space
 * around; false: something else, or it does not fit. */
bool number_read(struct fraction *out, struct span text);
/* For tasks whose answer is one number in one form, `expected`: see task.verify. A number of the
 * same value that is written in another way is not right. */
enum reason number_verify(struct span answer, const char *expected, struct text *read);

struct expression {
    struct fraction value;
    int n; /* numbers written, in reading order */
    int64_t number[EXPRESSION_NUMBERS];
    bool has_x;
};
/* x: the value of x with EXPRESSION_X, else ignored. Numbers have no leading zeros. */
bool expression_read(struct expression *out, struct span text, int flags, struct fraction x);

/* Does the first operation that the rules of arithmetic allow: "(6-2)*8" -> "4*8" -> "32". false:
 * `text` is a number already. For expressions of this program's own making (non-negative whole
 * values); text and out may be one. */
bool expression_step(char *out, size_t size, const char *text);

#endif
