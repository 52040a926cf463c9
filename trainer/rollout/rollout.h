/* Rollouts: questions are answered by the chunks that learn, in place.
 *
 * A pipeline decodes in batches: the slots of a direction are split into decode batches, and each
 * of them goes down the stages, has one token sampled per slot at the last stage, and returns to
 * the first. Under dualpipe half of the batches flow down and half up, so that all ranks work
 * although decoding is sequential. A question's prompt is read once; its answers share the cache
 * blocks. A finished slot is refilled at once. Questions are handed out one by one to whichever
 * pipeline asks; no draw depends on who answers (P3). Answers stay on the rank that sampled them:
 * all ranks know how long each is, its tokens go where they are asked for (rollout_bring).
 *
 * A rollout can be stopped between two decode batches: a first stage that hears of it drops what it
 * has not finished and takes no more questions, and the queue tells the others; nothing is
 * exchanged for that beyond the messages there are.
 *
 * The cache may be too small for all answers as they grow (mesh.cache_tokens): then the youngest
 * wait, and continue later with the same tokens and log-probabilities (room.h).
 *
 * An answer may have several turns (struct rollout_environment): at the end of one it waits, while
 * others are decoded, for the tokens of an observation. Those are read as a prompt's are, not
 * sampled, and the answer goes on behind them. */
#ifndef DUET_TRAINER_ROLLOUT_ROLLOUT_H
#define DUET_TRAINER_ROLLOUT_ROLLOUT_H

#include "comm/base/rng.h"
#include "model/sampling.h"
#include "trainer/data/ends.h"
#include "trainer/data/pack.h"
#include "trainer/stage/stage.h"

struct question {
    const int *token; /* the prompt; NULL where rollout_job.prompt says it */
    int n;            /* >= 1, < max_context */
};

struct answer {
    int n;                /* tokens, the one that ends it and those of observations included */
    bool truncated;       /* stopped by the limit, not by an end */
    unsigned short turns; /* in which it was sampled; 0: the job has no environment */
    int observed;         /* of the tokens: observations', which were not sampled */
    int rank;             /* of the world: where it was sampled, and stays; NULL on the others: */
    int *token;           /* (max_new) */
    /* (max_new) of the full distribution at the sampling temperature; LOGP_OBSERVED
     * (trainer/data/pack.h) of an observation's token */
    float *logp;
};
/* Tokens that were sampled. */
static inline int answer_sampled(const struct answer *a)
{
    return a->n - a->observed;
}

/* Hears of answers as they are finished, while others are still decoded. */
struct rollout_listener {
    /* Answer `index` (question * samples + sample of the job) is complete and will not change.
     * Called on one rank, where the answer was sampled (the first rank of the first stage of its
     * direction), in an order that depends on mesh and timing. A decode batch waits meanwhile: be
     * quick, and do nothing collective. A job that is stopped tells of answers that are not among
     * the whole questions, too. NULL: no listener. */
    void (*finished)(void *context, int index, const struct answer *a);
    void *context;
};

/* What an answer hears at the end of a turn. */
struct observation {
    int answer;
    const int *token; /* (n), until the environment is next called */
    int n;
    bool ends;      /* the answer is complete: nothing is observed */
    bool truncated; /* it ends at a limit of the environment's */
};

/* Lets an answer go on behind the end of a turn. Both functions are called on the rank where the
 * answer is sampled, between decode batches: be quick, and do nothing collective. */
struct rollout_environment {
    /* The last token of the answer was sampled; ended: it is one that ends an answer. Has a turn
     * ended? Then the answer waits for its observation, while others are decoded. */
    bool (*turn_ended)(void *context, int index, const struct answer *a, bool ended);
    /* An observation of an answer that waits, in any order; false: none came within
     * wait_ms milliseconds. Each comes after a while. */
    bool (*observe)(void *context, int wait_ms, struct observation *out);
    void *context; /* NULL turn_ended: answers have one turn */
};

struct rollout_job {
    const struct question *question; /* how long each prompt is, the same on every rank */
    int questions, samples;          /* G answers each */
    /* The tokens of a question's prompt, read before the next is asked for. Asked for on the rank
     * that answers it alone (the first rank of the first stage of its direction), now and then more
     * than once. NULL: `question` has them. */
    const int *(*prompt)(void *context, int question);
    void *prompt_context;
    int max_new; /* tokens of an answer, observations included; also limited by max_context */
    struct sampling sampling;
    struct ends ends;
    int sampleable; /* tokens with a text: ids below it may be sampled */
    uint64_t seed;
    enum rng_purpose purpose;
    uint32_t step;
    /* Number of the first question in what the draws are keyed by: a job that continues where
     * another stopped. */
    int first;
    /* Asked before each decode batch on first stages: shall the rollout end now, with the answers
     * that are complete? Ranks may hear at different moments. NULL: never. */
    int (*stop)(void *context);
    void *stop_context;
    struct rollout_listener listener;
    /* An observation that leaves no room for another token ends its answer, truncated. What an
     * answer observes depends on what is in it alone, else draws do not (P3). */
    struct rollout_environment environment;
};

struct rollout;
/* The largest of all jobs: answers, answers to one question, their tokens. */
struct rollout_room {
    int answers, samples, max_new;
};
/* Collective over world. */
struct rollout *rollout_new(struct stage *s, const struct world *w, struct rollout_room room);
/* What rollout_new would take: an arena that only measured. The stage may be a measured one.
 * Local. */
struct arena rollout_measure(struct stage *s, const struct world *w, struct rollout_room room);
void rollout_free(struct rollout *r);
/* Ranks of the world that this rank of the mesh exchanges messages with in a rollout: a few, and
 * twice the logarithm of the number of pipelines. Returns how many. Reads the mesh, where chunks
 * lie and how many directions there are. Local. */
enum { ROLLOUT_PEERS = 96 };
int rollout_peers(const struct stage *s, int out[ROLLOUT_PEERS]);
size_t rollout_bytes(const struct rollout *r);

/* What a decode batch of this stage carries from stage to stage: its head; for every row its place
 * and its activations; events: an answer that starts or ends, a question that is done with; back to
 * the first stage what was sampled of a row. order_bytes: what the first of a stage's ranks tells
 * each of the others before a batch (0 without tensor parallelism). Head, places and events come
 * from a stage's first rank alone. Local, the stage may be a measured one. */
struct rollout_batch {
    int slots; /* answers of a full batch */
    size_t head_bytes, place_bytes, row_bytes, event_bytes, back_bytes, order_bytes;
};
struct rollout_batch rollout_batch(const struct stage *s);

/* The cache of a pipeline. Without mesh.cache_tokens it has room for all answers and prompts at
 * once, however long they get, or takes 2 GiB a rank where that would be more. Local, the stage may
 * be a measured one. */
struct rollout_cache {
    int blocks;     /* of KV_BLOCK positions, for each direction */
    long full;      /* number with which no answer ever waits */
    int directions; /* each with its own */
    int slots;      /* answers of a direction that are decoded at once */
};
struct rollout_cache rollout_cache(const struct stage *s);
/* Positions, of all directions. */
long rollout_cache_tokens(const struct rollout_cache *c);
/* How many answers of `answer` tokens have room at once, `samples` to a prompt of `prompt` tokens,
 * if there were slots for them. */
long rollout_fit(const struct rollout_cache *c, int prompt, int answer, int samples);

struct rollout_times {
    double seconds;
    long tokens; /* sampled by the whole job, without observations' */
    /* How often an answer lost its blocks of the cache to an older one and had to wait, and the
     * positions that were read again for it (room.h). They depend on timing; the answers do not. */
    long waits, read_again;
};
/* Collective over world: every rank passes the same job and gets all answers, answer[question *
 * samples + sample], their tokens where they were sampled; valid until the next call. */
const struct answer *rollout_run(struct rollout *r, const struct rollout_job *job,
                                 struct rollout_times *t);
/* In the last job: how many questions, from the first on, have all their answers; all of them
 * unless it was stopped. The same on every rank. Local. */
int rollout_whole(const struct rollout *r);

/* An answer of the last job that is wanted in a pipeline: its tokens and log-probabilities on the
 * first rank of the pipeline; those two are read there alone. */
struct parcel {
    int answer, to;
    int *token;
    float *logp;
};
/* Parcel i of n: the same on every rank. */
struct parcels {
    int n;
    struct parcel (*at)(void *context, int i);
    void *context;
};
/* Collective over world, though only the ranks that an answer passes wait. */
void rollout_bring(struct rollout *r, const struct parcels *p);
/* Answer i whole, on rank 0 of the world until the next call; NULL on the others. Collective. */
const struct answer *rollout_fetch(struct rollout *r, int i);

#endif
