#include "trainer/reward/math/same.h"
#include <string.h>
#include "trainer/reward/math/evaluate.h"
#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/lex.h"

enum { LEAST_POINTS = 6, ENOUGH_POINTS = 8, POINT_BITS = 192, CONSTANT_BITS = 384 };

/* --- infinity --- */

/* +1, -1: plus or minus infinity; 0: something else. */
static int infinity(const struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    int sign = 1;
    if (n->kind == NODE_NEGATE) {
        sign = -1;
        n = &w->node[n->a];
    }
    return n->kind == NODE_CONSTANT && n->op == CONSTANT_INFINITY ? sign : 0;
}

static bool is_opaque(const struct node *n)
{
    bool set = n->kind == NODE_CONSTANT && (n->op == CONSTANT_EMPTY || n->op == CONSTANT_REALS);
    return n->kind == NODE_TEXT || set;
}

/* --- decimals --- */

/* C3: equal to half of the sixth place, where that is four digits of the value at least: else two
 * small numbers would be one. */
static bool rounds_to(const fmpq_t a, const fmpq_t b)
{
    fmpq_t apart, most;
    fmpq_init(apart);
    fmpq_init(most);
    fmpq_sub(apart, a, b);
    fmpq_abs(apart, apart);
    fmpq_set_si(most, 1, 2000000);
    bool equal = fmpq_cmp(apart, most) <= 0;
    fmpq_abs(most, a);
    fmpq_div_2exp(most, most, 13);
    equal = equal && fmpq_cmp(apart, most) <= 0;
    fmpq_clear(apart);
    fmpq_clear(most);
    return equal;
}

/* A real value of another kind as the rational number that its ball's middle is: so near that its
 * sixth place is sure, but for numbers made to lie on the border. */
static bool near(struct math_work *w, int node, fmpq_t out)
{
    acb_t x;
    acb_init(x);
    bool real = math_evaluate(w, node, -1, 128, x) && arb_contains_zero(acb_imagref(x)) &&
                arb_rel_accuracy_bits(acb_realref(x)) > 60 &&
                arf_cmpabs_2exp_si(arb_midref(acb_realref(x)), 200) < 0 &&
                arf_cmpabs_2exp_si(arb_midref(acb_realref(x)), -200) > 0;
    if (real) arf_get_fmpq(out, arb_midref(acb_realref(x)));
    acb_clear(x);
    return real;
}

static enum same same_decimals(struct math_work *w, int g, int a)
{
    if (math_has_names(w, g) || math_has_names(w, a)) return SAME_NO;
    fmpq_t x, y;
    fmpq_init(x);
    fmpq_init(y);
    bool known = (math_exact(w, g, x) || near(w, g, x)) && (math_exact(w, a, y) || near(w, a, y));
    bool equal = known && math_step(w, 200) && rounds_to(x, y);
    fmpq_clear(x);
    fmpq_clear(y);
    return equal ? SAME_YES : SAME_NO;
}

/* --- balls --- */

/* d = g - a: does it exclude zero, or is it zero to that part of g (bits)? */
static enum same judge(const acb_t d, const acb_t g, slong bits)
{
    if (!acb_contains_zero(d)) return SAME_NO;
    mag_t error, size;
    mag_init(error);
    mag_init(size);
    acb_get_mag(error, d);
    acb_get_mag_lower(size, g);
    if (mag_cmp_2exp_si(size, -60) < 0) mag_set_ui_2exp_si(size, 1, -60);
    mag_mul_2exp_si(size, size, -bits);
    enum same same = mag_cmp(error, size) <= 0 ? SAME_YES : SAME_UNKNOWN;
    mag_clear(error);
    mag_clear(size);
    return same;
}

/* Constants, at precisions that double until the balls are apart or the same to 180 bits. */
static enum same same_constants(struct math_work *w, int g, int a)
{
    enum same same = SAME_UNKNOWN;
    acb_t x, y, d;
    acb_init(x);
    acb_init(y);
    acb_init(d);
    for (slong p = CONSTANT_BITS; p <= 4 * CONSTANT_BITS && same == SAME_UNKNOWN; p *= 2) {
        if (!math_evaluate(w, g, -1, p, x)) break;
        if (!math_evaluate(w, a, -1, p, y)) {
            same = math_step(w, 0) && !w->blurred ? SAME_NO : SAME_UNKNOWN;
            break;
        }
        acb_sub(d, x, y, p);
        same = judge(d, x, 180);
        if (same == SAME_YES && mag_cmp_2exp_si(arb_radref(acb_realref(d)), -40) > 0)
            same = SAME_UNKNOWN; /* of 9^(9^9) and one more, nobody knows */
    }
    acb_clear(x);
    acb_clear(y);
    acb_clear(d);
    return same;
}

/* Is the value real, or the imaginary unit in the tree? */
static bool is_real(const struct math_work *w, const acb_t x)
{
    return w->imaginary || arb_contains_zero(acb_imagref(x));
}

/* At points where both are defined: one that tells them apart is enough. Where the expected one has
 * values and the answer has hardly any, they are not the same function. */
static enum same same_functions(struct math_work *w, int g, int a)
{
    enum same same = SAME_YES;
    int points = 0, expected = 0;
    acb_t x, y, d;
    acb_init(x);
    acb_init(y);
    acb_init(d);
    for (int i = 0; i < MATH_POINTS && points < ENOUGH_POINTS && same != SAME_NO; i++) {
        if (!math_evaluate(w, g, i, POINT_BITS, x) || !is_real(w, x)) continue;
        expected++;
        if (!math_evaluate(w, a, i, POINT_BITS, y) || !is_real(w, y)) continue;
        acb_sub(d, x, y, POINT_BITS);
        same = judge(d, x, 80);
        points += same == SAME_YES;
    }
    acb_clear(x);
    acb_clear(y);
    acb_clear(d);
    if (same == SAME_NO) return SAME_NO;
    if (!math_step(w, 0)) return SAME_UNKNOWN;
    if (points >= LEAST_POINTS) return SAME_YES;
    return expected >= LEAST_POINTS && points == 0 ? SAME_NO : SAME_UNKNOWN;
}

static enum same same_exact(struct math_work *w, int g, int a, bool *decided)
{
    fmpq_t x, y;
    fmpq_init(x);
    fmpq_init(y);
    bool both = math_exact(w, g, x) && math_exact(w, a, y);
    enum same same = both && fmpq_equal(x, y) ? SAME_YES : SAME_NO;
    fmpq_clear(x);
    fmpq_clear(y);
    *decided = both;
    return same;
}

/* From what is decided at once to what takes steps. */
enum same math_same(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    bool decided, decimal = math_is_decimal(w, g) || math_is_decimal(w, a);
    if (is_opaque(x) || is_opaque(y))
        return x->kind == y->kind && x->op == y->op ? SAME_YES : SAME_NO;
    if (infinity(w, g) || infinity(w, a))
        return infinity(w, g) == infinity(w, a) ? SAME_YES : SAME_NO;
    enum same same = same_exact(w, g, a, &decided);
    if (decided && (same == SAME_YES || !decimal)) return same;
    if (!math_step(w, 0)) return SAME_UNKNOWN;
    if (decimal) return same_decimals(w, g, a);
    bool names = math_has_names(w, g) || math_has_names(w, a);
    return names ? same_functions(w, g, a) : same_constants(w, g, a);
}

/* --- proportional --- */

struct ratio {
    acb_t a, b, first_a, first_b, left, right;
};

/* a b0 = a0 b at this point; the first point where b is not zero gives a0 and b0. */
static enum same at_point(struct ratio *r, bool *begun)
{
    if (!*begun) {
        if (acb_contains_zero(r->a) || acb_contains_zero(r->b))
            return acb_contains_zero(r->a) == acb_contains_zero(r->b) ? SAME_UNKNOWN : SAME_NO;
        acb_set(r->first_a, r->a);
        acb_set(r->first_b, r->b);
        *begun = true;
        return SAME_YES;
    }
    acb_mul(r->left, r->a, r->first_b, POINT_BITS);
    acb_mul(r->right, r->first_a, r->b, POINT_BITS);
    acb_sub(r->right, r->left, r->right, POINT_BITS);
    return judge(r->right, r->left, 80);
}

/* a b0 = a0 b at every point says so without a division. */
enum same math_proportional(struct math_work *w, int a, int b, int *sign)
{
    struct ratio r;
    memset(&r, 0, sizeof r);
    acb_struct *all[] = {r.a, r.b, r.first_a, r.first_b, r.left, r.right};
    enum same same = SAME_YES;
    bool begun = false;
    int points = 0;
    for (int i = 0; i < 6; i++) acb_init(all[i]);
    for (int i = 0; i < MATH_POINTS && points < ENOUGH_POINTS && same != SAME_NO; i++) {
        if (!math_evaluate(w, a, i, POINT_BITS, r.a) || !math_evaluate(w, b, i, POINT_BITS, r.b) ||
            !is_real(w, r.a) || !is_real(w, r.b))
            continue;
        same = at_point(&r, &begun);
        points += same == SAME_YES;
    }
    if (begun) {
        acb_div(r.left, r.first_a, r.first_b, POINT_BITS);
        *sign = arb_is_negative(acb_realref(r.left)) ? -1 : 1;
    }
    for (int i = 0; i < 6; i++) acb_clear(all[i]);
    if (same == SAME_NO) return SAME_NO;
    return points >= LEAST_POINTS && math_step(w, 0) ? SAME_YES : SAME_UNKNOWN;
}
