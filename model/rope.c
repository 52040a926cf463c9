#include "model/rope.h"

#include <math.h>
#include <stddef.h>

static const double TURN = 6.283185307179586;

/* What an operation of transformers leaves of x: its tensors are fp32. */
static double rounded(const struct rope *r, double x)
{
    return r->angles == ROPE_FP32 ? (double)(float)x : x;
}

/* theta^(2i/D), the reciprocal of the frequency before scaling. */
static double power_of(const struct dims *d, int i)
{
    const struct rope *r = &d->rope;
    return rounded(r, pow((double)d->rope_theta, rounded(r, 2.0 * i / d->D)));
}

static double plain_frequency(const struct dims *d, int i)
{
    const struct rope *r = &d->rope;
    if (r->angles == ROPE_DOUBLE) return pow((double)d->rope_theta, -2.0 * i / d->D);
    return rounded(r, 1 / power_of(d, i));
}

/* A number divided by a tensor is its reciprocal times the number, in torch. */
static double over(const struct rope *r, double number, double x)
{
    return rounded(r, rounded(r, 1 / x) * rounded(r, number));
}

static double llama3(const struct rope *r, double f)
{
    double wave = over(r, TURN, f);
    if (wave < rounded(r, r->original / r->high)) return f;
    if (wave > rounded(r, r->original / r->low)) return rounded(r, f / r->factor);
    double part = rounded(r, over(r, r->original, wave) - r->low);
    part = rounded(r, part / rounded(r, r->high - r->low));
    double stretched = rounded(r, rounded(r, rounded(r, 1 - part) * f) / r->factor);
    return rounded(r, stretched + rounded(r, part * f));
}

/* The pair, not a whole number, that turns `turns` times in the original context. */
static double pair_of(const struct dims *d, double turns)
{
    return d->D * log(d->rope.original / (turns * TURN)) / (2 * log((double)d->rope_theta));
}

static double yarn(const struct dims *d, double f, int i)
{
    const struct rope *r = &d->rope;
    double from = pair_of(d, r->fast), to = pair_of(d, r->slow);
    if (r->whole) from = floor(from), to = ceil(to);
    from = fmax(from, 0);
    to = fmin(to, d->D - 1);
    if (from == to) to += 0.001;
    double ramp = rounded(r, rounded(r, i - rounded(r, from)) / rounded(r, to - from));
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    double keep = rounded(r, 1 - ramp);
    double stretched = rounded(r, 1 / rounded(r, r->factor * power_of(d, i)));
    return rounded(r, rounded(r, stretched * rounded(r, 1 - keep)) + rounded(r, f * keep));
}

double rope_frequency(const struct dims *d, int i)
{
    double f = plain_frequency(d, i);
    switch (d->rope.scaling) {
    case ROPE_LLAMA3: return llama3(&d->rope, f);
    case ROPE_YARN: return yarn(d, f, i);
    case ROPE_NONE: break;
    }
    return f;
}

void rope_table(float *out, const struct dims *d)
{
    int D = d->D, half = D / 2;
    float by = d->rope.scaling == ROPE_YARN ? (float)d->rope.attention : 1;
    for (int i = 0; i < half; i++) {
        double frequency = rope_frequency(d, i);
        for (int pos = 0; pos < d->max_context; pos++) {
            float *row = out + (size_t)pos * (size_t)D;
            double angle = rounded(&d->rope, pos * frequency);
            row[i] = (float)cos(angle) * by;
            row[half + i] = (float)sin(angle) * by;
        }
    }
}

static double m(double factor, double k)
{
    return factor <= 1 ? 1 : 0.1 * k * log(factor) + 1;
}

double rope_attention(double factor, double mscale, double mscale_all)
{
    if (mscale == 0 || mscale_all == 0) return m(factor, 1);
    return m(factor, mscale) / m(factor, mscale_all);
}
