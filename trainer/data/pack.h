/* Packs token sequences into micro-batches of a fixed token count, without padding inside: whole
 * sequences side by side with their boundaries, the unused tail left out of the computation
 * (messages keep one size).
 *
 * Which sequence goes into which micro-batch is deal.h's; here one is filled. */
#ifndef DUET_TRAINER_DATA_PACK_H
#define DUET_TRAINER_DATA_PACK_H

#include "comm/base/arena.h"
#include "model/chunk.h"

/* In place of the log-probability of a token that was not sampled: an observation's, within an
 * answer. It is read, and nothing is learned of it. No log-probability is so large. */
#define LOGP_OBSERVED 1.0f

/* A prompt with its answer or demonstration. The tokens belong to the caller. */
struct sequence {
    int prompt, sample; /* number of the problem within its step; of the answer within its group */
    int n_prompt, n;    /* tokens of the prompt; of prompt and answer together */
    const int *token;   /* (n); of one whose answer is elsewhere (n_prompt); NULL: not here, and
                           none is read here before micro_batch_answered */
    bool elsewhere;     /* the answer; where it goes says answer_room */
    /* (n) 0: not learned, as the user's turns within a conversation; NULL: all of the answer is. */
    const unsigned char *learn;
    const float
        *logp; /* (n - n_prompt) recorded when the answer was sampled; NULL for demonstrations */
    float advantage;
    bool truncated; /* stopped by max_new, not by <eos> */
};

/* One micro-batch: the model's rows, and what the loss needs at each row. All arrays (T). */
struct micro_batch {
    struct rows rows;
    int *token, *pos, *start; /* start: (sequences + 1) */
    int *target;              /* token to be predicted, -1: none (prompt) */
    float *weight;            /* the loss's weight of this token, over the whole step (P6) */
    float *advantage, *old_logp, *ref_logp;
    float *logp, *entropy, *dlogp;
};

/* Rows a sequence needs: its last token is predicted, never read. */
static inline int sequence_rows(const struct sequence *s)
{
    return s->n - 1;
}

/* In memory of the host, where it is filled; or of a device, for what passes read. */
void micro_batch_place(struct micro_batch *m, int T_max, struct arena *a);
/* m without sequences, and one more behind those that it has; weight: of each answer token. */
void micro_batch_clear(struct micro_batch *m);
void micro_batch_append(struct micro_batch *m, const struct sequence *s, float weight);

/* Room for the answer of a sequence that was filled in while the answer was elsewhere, its first
 * row being row `at`. */
struct answer_room {
    int *token;  /* (n - n_prompt) */
    float *logp; /* as old_logp */
};
struct answer_room micro_batch_answer(struct micro_batch *m, const struct sequence *s, int at);
/* Behind the last of them: what is read, from what is predicted. An observation's tokens then are
 * no targets any more. */
void micro_batch_answered(struct micro_batch *m);

/* `there`, in the memory of d, becomes the same; only logp, entropy and dlogp, which passes make,
 * do not. The same micro-batch: nothing is done. */
void micro_batch_copy_in(struct micro_batch *there, const struct micro_batch *m,
                         const struct device *d);

#endif
