#include "trainer/reward/math/evaluate.h"
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/functions.h"
#include "trainer/reward/math/lex.h"

/* Where a variable is at a point: drawn by its name, from [-3, 3], (0, 3], (0, 1) and (3, 40), so
 * that roots, logarithms and arcs of something are defined at some (C5). */
static void draw(const char *name, int point, slong precision, acb_t out)
{
    static const struct {
        int low, span;
    } ranges[] = {{-3, 6}, {0, 3}, {0, 1}, {3, 37}};
    enum { PARTS = 100003 };
    uint64_t draws = checksum(name, strlen(name), (uint64_t)point * 2654435761U + 17);
    int range = point * 4 / MATH_POINTS;
    fmpq_t x;
    fmpq_init(x);
    fmpq_set_si(x, (slong)(1 + draws % (PARTS - 1)) * ranges[range].span, PARTS);
    fmpq_add_si(x, x, ranges[range].low);
    arb_set_fmpq(acb_realref(out), x, precision);
    arb_zero(acb_imagref(out));
    fmpq_clear(x);
}

static bool constant(int which, slong precision, acb_t out)
{
    acb_zero(out);
    switch (which) {
    case CONSTANT_PI: acb_const_pi(out, precision); return true;
    case CONSTANT_E: arb_const_e(acb_realref(out), precision); return true;
    case CONSTANT_I: acb_onei(out); return true;
    default: return false;
    }
}

static bool is_negative(const acb_t x)
{
    return acb_is_real(x) && arb_is_negative(acb_realref(x));
}

/* |x|^(p/q) with the sign of a real root, where x < 0 and q is odd. */
static void real_power(acb_t out, const acb_t x, const fmpq_t k, slong precision)
{
    acb_t base, exponent;
    acb_init(base);
    acb_init(exponent);
    acb_neg(base, x);
    arb_set_fmpq(acb_realref(exponent), k, precision);
    acb_pow(out, base, exponent, precision);
    if (fmpz_is_odd(fmpq_numref(k))) acb_neg(out, out);
    acb_clear(base);
    acb_clear(exponent);
}

static void power(acb_t out, const acb_t x, const acb_t y, const fmpq *k, slong precision)
{
    if (k && fmpz_is_one(fmpq_denref(k)) && fmpz_bits(fmpq_numref(k)) < 60)
        acb_pow_fmpz(out, x, fmpq_numref(k), precision);
    else if (k && fmpz_is_odd(fmpq_denref(k)) && is_negative(x))
        real_power(out, x, k, precision);
    else
        acb_pow(out, x, y, precision);
}

/* The exponent of a power, or of a root its inverse, exactly where it is rational. */
static bool raised(struct math_work *w, const struct node *n, int point, slong precision, acb_t out)
{
    fmpq_t k;
    acb_t x, y;
    fmpq_init(k);
    acb_init(x);
    acb_init(y);
    bool is_root = n->kind == NODE_ROOT, exact = math_exact(w, n->b, k),
         defined = math_evaluate(w, n->a, point, precision, x) && !(is_root && fmpq_is_zero(k)) &&
                   math_step(w, 40);
    if (exact) {
        if (is_root && defined) fmpq_inv(k, k);
        arb_set_fmpq(acb_realref(y), k, precision);
    } else if (defined) {
        defined = math_evaluate(w, n->b, point, precision, y);
        if (is_root) acb_inv(y, y, precision);
    }
    bool zero = acb_is_zero(x) && exact && fmpq_sgn(k) > 0;
    if (zero)
        acb_zero(out);
    else if (defined)
        power(out, x, y, exact ? k : NULL, precision);
    fmpq_clear(k);
    acb_clear(x);
    acb_clear(y);
    return defined;
}

/* n! of a small whole number: of anything else nobody means a value. */
static bool factorial(const acb_t x, slong precision, acb_t out)
{
    fmpz_t n;
    fmpz_init(n);
    bool whole = acb_is_real(x) && arb_get_unique_fmpz(n, acb_realref(x)) && fmpz_sgn(n) >= 0 &&
                 fmpz_cmp_si(n, 100000) <= 0;
    if (whole) {
        acb_zero(out);
        arb_fac_ui(acb_realref(out), fmpz_get_ui(n), precision);
    }
    fmpz_clear(n);
    return whole;
}

/* A logarithm to a base is a quotient of two. */
static bool call(struct math_work *w, const struct node *n, int point, slong precision, acb_t out)
{
    const struct function *f = &math_functions[n->op];
    acb_t x;
    acb_init(x);
    bool defined =
        math_evaluate(w, n->a, point, precision, x) && math_step(w, f->steps * (precision / 128));
    if (defined && n->op == FUNCTION_FACTORIAL)
        defined = factorial(x, precision, out);
    else if (defined && n->b) {
        acb_log(out, x, precision);
        defined = math_evaluate(w, n->b, point, precision, x);
        acb_log(x, x, precision);
        acb_div(out, out, x, precision);
    } else if (defined)
        f->value(out, x, precision);
    acb_clear(x);
    return defined;
}

/* Dividing by an exact zero is no value; by a ball around it, an infinite ball. */
static bool binary(struct math_work *w, const struct node *n, int point, slong precision, acb_t out)
{
    acb_t b;
    acb_init(b);
    bool defined = math_evaluate(w, n->a, point, precision, out) &&
                   math_evaluate(w, n->b, point, precision, b);
    if (defined) switch (n->kind) {
        case NODE_ADD: acb_add(out, out, b, precision); break;
        case NODE_SUBTRACT: acb_sub(out, out, b, precision); break;
        case NODE_MULTIPLY: acb_mul(out, out, b, precision); break;
        case NODE_DIVIDE:
            defined = !acb_is_zero(b);
            acb_div(out, out, b, precision);
            break;
        default: defined = false; /* a binomial of what is not whole */
        }
    acb_clear(b);
    return defined;
}

/* What is rational is exact. (Only numbers and what is made of them directly: asking every node
 * for all below it would take the square of the steps.) */
static bool value(struct math_work *w, int node, int point, slong precision, acb_t out)
{
    const struct node *n = &w->node[node];
    switch (n->kind) {
    case NODE_NUMBER:
        acb_zero(out);
        arb_set_fmpq(acb_realref(out), &w->value[n->value], precision);
        return true;
    case NODE_NAME:
        if (point < 0) return false;
        draw(w->name[n->op], point, precision, out);
        return true;
    case NODE_CONSTANT: return constant(n->op, precision, out);
    case NODE_NEGATE:
        if (!math_evaluate(w, n->a, point, precision, out)) return false;
        acb_neg(out, out);
        return true;
    case NODE_POWER:
    case NODE_ROOT: return raised(w, n, point, precision, out);
    case NODE_CALL: return call(w, n, point, precision, out);
    case NODE_CHOOSE: {
        fmpq_t x;
        fmpq_init(x);
        bool exact = math_exact(w, node, x);
        acb_zero(out);
        if (exact) arb_set_fmpq(acb_realref(out), x, precision);
        fmpq_clear(x);
        return exact;
    }
    default:
        return n->kind >= NODE_ADD && n->kind <= NODE_DIVIDE && binary(w, n, point, precision, out);
    }
}

bool math_evaluate(struct math_work *w, int node, int point, slong precision, acb_t out)
{
    if (!node || !math_step(w, precision / 64)) return false;
    if (!value(w, node, point, precision, out)) return false;
    if (!acb_is_finite(out)) w->blurred = true;
    return acb_is_finite(out);
}

bool math_has_names(struct math_work *w, int node)
{
    return math_has(w, node, NODE_NAME, -1);
}
