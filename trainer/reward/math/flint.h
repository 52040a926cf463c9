/* FLINT, whose balls (arb, acb) were a library of their own before its version 3. */
#ifndef DUET_TRAINER_REWARD_MATH_FLINT_H
#define DUET_TRAINER_REWARD_MATH_FLINT_H

#include <flint/fmpq.h>
#if __has_include(<flint/acb.h>)
#include <flint/acb.h>
#else
#include <acb.h>
#endif

#endif
