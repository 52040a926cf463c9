/* The expressions of a chat template (jinja.h), by recursive descent whose depth is bounded. Never
 * NULL; what is wrong has been noted (jinja_parser.h). */
#ifndef DUET_TRAINER_DATA_JINJA_EXPRESSION_H
#define DUET_TRAINER_DATA_JINJA_EXPRESSION_H

#include "trainer/data/jinja_parser.h"

struct node *jinja_expression(struct parser *p);
/* One without "if ... else ..." around it, as after "in" of a for. */
struct node *jinja_expression_plain(struct parser *p);
/* Behind "a.": a member, or a method with its arguments. */
struct node *jinja_expression_member(struct parser *p, struct node *a);

#endif
