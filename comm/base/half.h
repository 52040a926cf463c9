/* Numbers of 16 bits as files hold them: fp16 (IEEE 754 binary16) and bf16 (the upper half of a
 * float). Rounded to nearest, ties to even; a NaN stays a NaN. Pure. */
#ifndef DUET_COMM_BASE_HALF_H
#define DUET_COMM_BASE_HALF_H

#include <stdint.h>

float half_to_float(uint16_t half);
uint16_t half_of_float(float value); /* beyond 65,504 (rounded): infinity */
float bf16_to_float(uint16_t bf16);
uint16_t bf16_of_float(float value);

#endif
