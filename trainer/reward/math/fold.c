#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/functions.h"

static long bits_of(const fmpq_t x)
{
    return (long)fmpz_bits(fmpq_numref(x)) + (long)fmpz_bits(fmpq_denref(x));
}

/* Steps for a product of such numbers: its greatest common divisor is the most of it. */
static bool may(struct math_work *w, long bits)
{
    long words = bits / 64;
    return bits <= 2 * MATH_BITS && math_step(w, 1 + words * words / 32);
}

static bool power(struct math_work *w, fmpq_t out, const fmpq_t x, const fmpq_t k)
{
    const fmpz *n = fmpq_numref(k);
    if (!fmpz_is_one(fmpq_denref(k)) || fmpz_bits(n) > 30) return false;
    slong times = fmpz_get_si(n);
    if (fmpq_is_zero(x) && times <= 0) return false;
    bool unit = fmpz_is_pm1(fmpq_numref(x)) && fmpz_is_one(fmpq_denref(x));
    long bits = bits_of(x) * (times < 0 ? -times : times);
    if (!unit && !may(w, bits)) return false;
    fmpq_pow_si(out, x, times);
    return true;
}

/* The k-th root where it is rational; of a negative number where k is odd. */
static bool root(struct math_work *w, fmpq_t out, const fmpq_t x, slong k)
{
    if (k < 2 || k > 64 || (fmpq_sgn(x) < 0 && k % 2 == 0)) return false;
    if (!may(w, 4 * bits_of(x))) return false;
    fmpz_t above, below;
    fmpz_init(above);
    fmpz_init(below);
    fmpz_abs(above, fmpq_numref(x));
    bool exact = fmpz_root(above, above, k) && fmpz_root(below, fmpq_denref(x), k);
    if (exact) {
        if (fmpq_sgn(x) < 0) fmpz_neg(above, above);
        fmpq_set_fmpz_frac(out, above, below);
    }
    fmpz_clear(above);
    fmpz_clear(below);
    return exact;
}

/* x^(p/q) as the q-th root's p-th power. */
static bool any_power(struct math_work *w, fmpq_t out, const fmpq_t x, const fmpq_t k)
{
    if (fmpz_is_one(fmpq_denref(k))) return power(w, out, x, k);
    if (fmpz_bits(fmpq_denref(k)) > 7) return false;
    fmpq_t p, base;
    fmpq_init(p);
    fmpq_init(base);
    fmpq_set_fmpz(p, fmpq_numref(k));
    bool exact = root(w, base, x, fmpz_get_si(fmpq_denref(k))) && power(w, out, base, p);
    fmpq_clear(p);
    fmpq_clear(base);
    return exact;
}

static bool small(const fmpq_t x, slong *n, slong most)
{
    if (!fmpz_is_one(fmpq_denref(x)) || fmpz_cmp_si(fmpq_numref(x), most) > 0 ||
        fmpz_sgn(fmpq_numref(x)) < 0)
        return false;
    *n = fmpz_get_si(fmpq_numref(x));
    return true;
}

static bool choose(struct math_work *w, fmpq_t out, const fmpq_t a, const fmpq_t b)
{
    slong n, k;
    if (!small(a, &n, 1000) || !small(b, &k, 1000) || !math_step(w, 1 + n)) return false;
    fmpz_bin_uiui(fmpq_numref(out), (ulong)n, (ulong)k);
    fmpz_one(fmpq_denref(out));
    return true;
}

/* Functions of rationals with rational values; of the others nothing is claimed. */
static bool call(struct math_work *w, int function, fmpq_t out, const fmpq_t x)
{
    slong n;
    switch (function) {
    case FUNCTION_SQRT: return root(w, out, x, 2);
    case FUNCTION_ABS: fmpq_abs(out, x); return true;
    case FUNCTION_FACTORIAL:
        if (!small(x, &n, 400) || !math_step(w, 1 + n)) return false;
        fmpz_fac_ui(fmpq_numref(out), (ulong)n);
        fmpz_one(fmpq_denref(out));
        return true;
    case FUNCTION_FLOOR:
        fmpz_fdiv_q(fmpq_numref(out), fmpq_numref(x), fmpq_denref(x));
        fmpz_one(fmpq_denref(out));
        return true;
    case FUNCTION_CEILING:
        fmpz_cdiv_q(fmpq_numref(out), fmpq_numref(x), fmpq_denref(x));
        fmpz_one(fmpq_denref(out));
        return true;
    default: return false;
    }
}

/* Powers and roots count their own steps: their results are longer than what they take. */
static bool binary(struct math_work *w, int kind, fmpq_t out, const fmpq_t a, const fmpq_t b)
{
    if (kind != NODE_POWER && kind != NODE_ROOT && !may(w, bits_of(a) + bits_of(b))) return false;
    slong k;
    switch (kind) {
    case NODE_ADD: fmpq_add(out, a, b); return true;
    case NODE_SUBTRACT: fmpq_sub(out, a, b); return true;
    case NODE_MULTIPLY: fmpq_mul(out, a, b); return true;
    case NODE_DIVIDE:
        if (fmpq_is_zero(b)) return false;
        fmpq_div(out, a, b);
        return true;
    case NODE_POWER: return any_power(w, out, a, b);
    case NODE_ROOT: return small(b, &k, 64) && root(w, out, a, k);
    case NODE_CHOOSE: return choose(w, out, a, b);
    default: return false;
    }
}

/* The recursion is as deep as the parser lets a tree be. */
bool math_exact(struct math_work *w, int node, fmpq_t out)
{
    const struct node *n = &w->node[node];
    if (!node || !math_step(w, 1)) return false;
    if (n->kind == NODE_NUMBER) {
        fmpq_set(out, &w->value[n->value]);
        return true;
    }
    if (n->kind < NODE_ADD || n->kind > NODE_CHOOSE || !math_exact(w, n->a, out)) return false;
    if (n->kind == NODE_NEGATE) {
        fmpq_neg(out, out);
        return true;
    }
    fmpq_t a, b;
    fmpq_init(a);
    fmpq_init(b);
    fmpq_set(a, out);
    bool exact = n->kind == NODE_CALL ? n->b == 0 && call(w, n->op, out, a)
                                      : math_exact(w, n->b, b) && binary(w, n->kind, out, a, b);
    fmpq_clear(a);
    fmpq_clear(b);
    return exact && bits_of(out) <= 2 * MATH_BITS;
}

bool math_is_decimal(const struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    if (n->kind == NODE_NEGATE) n = &w->node[n->a];
    return n->kind == NODE_NUMBER && n->decimal;
}
