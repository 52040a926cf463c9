/* Choosing a token from logits. */
#ifndef DUET_MODEL_SAMPLING_H
#define DUET_MODEL_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

struct ops;
struct sampling {
    float temperature; /* 0: greedy (log-probability then at temperature 1) */
    int top_k;         /* 0: off */
    float top_p;       /* 1: off */
};

/* The token drawn from softmax(logits / temperature) restricted to top-k, then top-p, by inverting
 * its cumulative sum (in token order, in double) at u in [0,1). Among equally likely tokens the
 * lower one is kept first. A logit of -infinity or NaN is never drawn. What is recorded as the
 * token's log-probability is that of the FULL distribution (ops->logprob_forward): with truncation
 * the sampling distribution differs from the one that is trained on, and importance ratios start
 * from the full one (docs/ARCHITECTURE.md).
 *
 * The same token whatever the tables of operations and the way taken: a large vocabulary is neither
 * sorted nor weighed token by token, but where a sum formed faster could decide otherwise than the
 * one in token order, that one is formed. scratch: sampling_scratch(V) bytes, aligned as a double.
 * Local, allocates nothing. */
int sample_token(const struct ops *ops, const float *logits, int V, const struct sampling *s,
                 double u, void *scratch);
size_t sampling_scratch(int V);

#endif
