/* Values of function tests in a plain encoding, one line each, so that equal values of equal types
 * are equal bytes and nothing of a program's own objects takes part in comparing:
 *
 *   None n   True t   False f   int i-12   float d and the 16 digits of its bits   str s and the
 *   hexadecimal digits of its UTF-8   list (or tuple) [a,b,...]   dict {key:value,...} by keys
 *
 * -0.0 is 0.0. A value of any other type, or of a class derived from these, is x: equal to none. */
#ifndef DUET_TRAINER_REWARD_CODE_VALUE_H
#define DUET_TRAINER_REWARD_CODE_VALUE_H

#include <jansson.h>
#include <stdio.h>

void value_write(FILE *out, const json_t *value);

#endif
