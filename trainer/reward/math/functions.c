#include "trainer/reward/math/functions.h"
#include <string.h>

static void floor_of(acb_t out, const acb_t x, slong precision)
{
    arb_floor(acb_realref(out), acb_realref(x), precision);
    arb_zero(acb_imagref(out));
}

static void ceiling_of(acb_t out, const acb_t x, slong precision)
{
    arb_ceil(acb_realref(out), acb_realref(x), precision);
    arb_zero(acb_imagref(out));
}

static void abs_of(acb_t out, const acb_t x, slong precision)
{
    acb_abs(acb_realref(out), x, precision);
    arb_zero(acb_imagref(out));
}

static void lg_of(acb_t out, const acb_t x, slong precision)
{
    acb_t ten;
    acb_init(ten);
    acb_set_si(ten, 10);
    acb_log(ten, ten, precision);
    acb_log(out, x, precision);
    acb_div(out, out, ten, precision);
    acb_clear(ten);
}

#define ROW(id, text, back, cost, f) \
    [id] = {.name = text, .inverse = back, .steps = cost, .value = f}
const struct function math_functions[FUNCTIONS] = {
    ROW(FUNCTION_SIN, "sin", FUNCTION_ARCSIN, 20, acb_sin),
    ROW(FUNCTION_COS, "cos", FUNCTION_ARCCOS, 20, acb_cos),
    ROW(FUNCTION_TAN, "tan", FUNCTION_ARCTAN, 25, acb_tan),
    ROW(FUNCTION_COT, "cot", -1, 25, acb_cot),
    ROW(FUNCTION_SEC, "sec", -1, 25, acb_sec),
    ROW(FUNCTION_CSC, "csc", -1, 25, acb_csc),
    ROW(FUNCTION_ARCSIN, "arcsin", -1, 40, acb_asin),
    ROW(FUNCTION_ARCCOS, "arccos", -1, 40, acb_acos),
    ROW(FUNCTION_ARCTAN, "arctan", -1, 40, acb_atan),
    ROW(FUNCTION_SINH, "sinh", -1, 20, acb_sinh),
    ROW(FUNCTION_COSH, "cosh", -1, 20, acb_cosh),
    ROW(FUNCTION_TANH, "tanh", -1, 20, acb_tanh),
    ROW(FUNCTION_EXP, "exp", -1, 20, acb_exp),
    ROW(FUNCTION_LN, "ln", -1, 20, acb_log),
    ROW(FUNCTION_LG, "lg", -1, 40, lg_of),
    ROW(FUNCTION_LOG, "log", -1, 40, lg_of),
    ROW(FUNCTION_SQRT, "sqrt", -1, 5, acb_sqrt),
    ROW(FUNCTION_ABS, "abs", -1, 2, abs_of),
    ROW(FUNCTION_FLOOR, "floor", -1, 2, floor_of),
    ROW(FUNCTION_CEILING, "ceil", -1, 2, ceiling_of),
    ROW(FUNCTION_FACTORIAL, "factorial", -1, 500, NULL),
};

int math_function(struct span name)
{
    static const struct {
        const char *as;
        int row;
    } others[] = {{"asin", FUNCTION_ARCSIN}, {"acos", FUNCTION_ARCCOS}, {"atan", FUNCTION_ARCTAN}};
    for (int i = 0; i < FUNCTIONS; i++)
        if (span_is(name, math_functions[i].name)) return i;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_is(name, others[i].as)) return others[i].row;
    return -1;
}

bool math_function_of_angle(int function)
{
    return function <= FUNCTION_CSC;
}
