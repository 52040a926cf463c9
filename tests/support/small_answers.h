/* Questions to a small trainer and what it answers: to be held against the answers of another mesh,
 * and learned from. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_SMALL_ANSWERS_H
#define DUET_TESTS_SUPPORT_SMALL_ANSWERS_H

#include "tests/support/small_trainer.h"

enum { SMALL_QUESTIONS = 8, SMALL_ANSWERS = 25, SMALL_NEW = 40 }; /* at most */

struct small_questions {
    int n, token[SMALL_QUESTIONS][SMALL_CONTEXT];
    struct question question[SMALL_QUESTIONS];
};

/* n prompts of these lengths, no two alike. */
static inline void small_questions_make(struct small_questions *q, const int *length, int n)
{
    INVARIANT(n <= SMALL_QUESTIONS, "%d questions", n);
    q->n = n;
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < length[i]; t++) q->token[i][t] = (11 * t + 5 * i + 2) % SMALL_V;
        q->question[i] = (struct question){q->token[i], length[i]};
    }
}

/* All of them, temperature 1. */
static inline struct rollout_job small_rollout_job(const struct small_questions *q, int samples,
                                                   int max_new)
{
    return (struct rollout_job){.question = q->question,
                                .questions = q->n,
                                .samples = samples,
                                .max_new = max_new,
                                .sampling = {1, 0, 1},
                                .ends = {{SMALL_EOS}, 1},
                                .sampleable = SMALL_V - 2,
                                .seed = 9,
                                .purpose = RNG_SAMPLE};
}

/* rollout_job.prompt, where the context is the job's questions: there until the next is asked for.
 */
static inline const int *small_prompt(void *questions, int q)
{
    static int token[SMALL_CONTEXT];
    const struct question *asked = (const struct question *)questions + q;
    memset(token, 0xff, sizeof token);
    memcpy(token, asked->token, (size_t)asked->n * sizeof *token);
    return token;
}

struct small_answers { /* what no answer has is 0 */
    int n[SMALL_ANSWERS];
    bool truncated[SMALL_ANSWERS];
    int token[SMALL_ANSWERS][SMALL_NEW];
    float logp[SMALL_ANSWERS][SMALL_NEW];
};

/* One that was sampled on this rank; the others keep nothing. */
static inline void small_answers_keep(struct small_answers *out, int at, const struct answer *a)
{
    if (!a->token) return;
    INVARIANT(at < SMALL_ANSWERS && a->n <= SMALL_NEW, "answer %d of %d tokens", at, a->n);
    out->n[at] = a->n;
    out->truncated[at] = a->truncated;
    memcpy(out->token[at], a->token, (size_t)a->n * sizeof(int));
    memcpy(out->logp[at], a->logp, (size_t)a->n * sizeof(float));
}

/* What every rank has kept, to all: each answer is on one of them, the others have zeros.
 * Collective over w. */
static inline void small_answers_share(struct small_answers *out, const struct world *w)
{
    _Static_assert(sizeof *out % sizeof(int) == 0, "summed as ints");
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, out, (int)(sizeof *out / sizeof(int)), MPI_INT, MPI_SUM,
                         w->comm));
}

static inline void small_answers_take(struct small_answers *out, const struct world *w,
                                      const struct answer *a, int n)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < n; i++) small_answers_keep(out, i, &a[i]);
    small_answers_share(out, w);
}

/* A step on the first n answers. b must outlive the job. */
static inline struct step_job small_answers_job(struct small_batch *b,
                                                const struct small_questions *q,
                                                const struct small_answers *a, int samples, int n)
{
    b->n = n;
    for (int i = 0; i < n; i++) {
        const struct question *asked = &q->question[i / samples];
        memcpy(b->token[i], asked->token, (size_t)asked->n * sizeof(int));
        memcpy(b->token[i] + asked->n, a->token[i], (size_t)a->n[i] * sizeof(int));
        b->weight[i] = 1.0f / 150;
        b->sequence[i] = (struct sequence){.n_prompt = asked->n,
                                           .n = asked->n + a->n[i],
                                           .token = b->token[i],
                                           .logp = a->logp[i],
                                           .advantage = i % 3 == 0 ? -1 : 0.7f};
    }
    return small_job(b, &policy_shapes[POLICY_CLIP][0]);
}

/* The job's sequence i is answer i of the rollout's last job, which the step gets from where it was
 * sampled; prompts are fetched. s must outlive the job. */
struct small_source {
    struct rollout *rollout;
    const struct learner *learner;
    const struct step_job *job;
    const struct small_batch *batch;
    struct sequence at;
    int fetched;
};

static inline const struct sequence *small_fetch(void *source, int i)
{
    struct small_source *s = source;
    s->fetched++;
    s->at = s->batch->sequence[i];
    s->at.token = s->batch->token[i];
    return &s->at;
}

static inline struct parcel small_parcel(void *source, int i)
{
    const struct small_source *s = source;
    struct landing to = learner_landing(s->learner, s->job, i);
    return (struct parcel){i, to.pipeline, to.room.token, to.room.logp};
}

static inline void small_bring(void *source, const struct step_job *job)
{
    struct small_source *s = source;
    s->job = job;
    rollout_bring(s->rollout, &(struct parcels){job->n, small_parcel, s});
}

static inline void small_answers_elsewhere(struct step_job *job, struct small_batch *b,
                                           struct small_source *s)
{
    for (int i = 0; i < job->n; i++) {
        b->sequence[i].elsewhere = true;
        b->sequence[i].logp = NULL;
        b->sequence[i].token = NULL;
        for (int t = b->sequence[i].n_prompt; t < b->sequence[i].n; t++) b->token[i][t] = -1;
    }
    s->batch = b;
    job->fetch = small_fetch;
    job->fetch_context = s;
    job->bring = small_bring;
    job->bring_context = s;
}

#endif
