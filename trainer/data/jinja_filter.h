/* What the filters, tests and methods of a chat template (jinja.h) make of values. */
#ifndef DUET_TRAINER_DATA_JINJA_FILTER_H
#define DUET_TRAINER_DATA_JINJA_FILTER_H

#include "trainer/data/jinja_value.h"

/* arg (n). Unknown names fail. */
struct value value_filter(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n);
struct value value_method(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n);
bool value_test(struct pool *p, const char *name, const struct value *v, const struct value *arg,
                int n);

#endif
