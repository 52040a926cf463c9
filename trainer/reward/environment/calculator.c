/* A calculator: the expression in front of a turn's last "=" is worked out, exactly.
 *
 *   12*34=408      1/3+1/6=1/2      -5*(2-9)=35      7/0=?      x=?
 *
 * What can be worked out is what the tasks read (tasks/expression.h): whole numbers, + - * /,
 * brackets, signs; of at most EXPRESSION_BYTES, with numerators and denominators of 64 bits. */
#include "trainer/reward/environment/environment.h"
#include <string.h>
#include "trainer/data/tasks/expression.h"

/* The longest run of characters that an expression may have, up to the end. */
static struct span last_expression(struct span s)
{
    size_t from = s.n;
    while (from > 0 && s.at[from - 1] != '\0' && strchr("0123456789+-*/() ", s.at[from - 1]))
        from--;
    return (struct span){s.at + from, s.n - from};
}

static void observe(struct text *out, struct span turn)
{
    struct expression e;
    if (turn.n > 0 && turn.at[turn.n - 1] == '=') turn.n--;
    struct span asked = span_trim(last_expression(turn));
    if (expression_read(&e, asked, EXPRESSION_SIGN, (struct fraction){0, 1}))
        fraction_write(out, e.value);
    else
        text_add(out, "?");
}

const struct environment environment_calculator = {.name = "calculator",
                                                   .stop = "=",
                                                   .observe = observe};
