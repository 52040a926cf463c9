#include "trainer/rollout/rollout.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/tp_follow.h"
#include "trainer/rollout/bring.h"
#include "trainer/rollout/gather.h"
#include "trainer/rollout/place.h"
#include "trainer/rollout/lockstep.h"
#include "trainer/rollout/turns.h"

static struct rollout *rollout_measured(struct stage *s, const struct world *w,
                                        struct rollout_room room)
{
    struct rollout *r = memory_take(1, sizeof *r, "a rollout");
    *r = (struct rollout){.stage = s, .host_ops = s->ops, .world = w, .room = room};
    arena_beside(&r->arena, s->device, &r->host);
    place_decoders(r);
    place_buffers(r);
    return r;
}

struct arena rollout_measure(struct stage *s, const struct world *w, struct rollout_room room)
{
    struct rollout *r = rollout_measured(s, w, room);
    struct arena measured = r->arena;
    free(r);
    return measured;
}

/* The pipelines that share experts: of each stage the rank that decides. Collective over world. */
static void group_find(struct rollout *r)
{
    const struct mesh *m = r->stage->mesh;
    r->group = MPI_COMM_NULL;
    if (m->ep == 1) return;
    int color = rollout_leads(r) ? m->d / m->ep : MPI_UNDEFINED;
    r->group = mpi_split(r->world->comm, color, r->world->rank);
}

/* To few ranks, so that connections do not grow with the job. `open`: requests, answers that move,
 * and of each decoder's batches activations and tokens, both ways. */
static struct p2p *messages_open(const struct rollout *r)
{
    static const char *const tag_name[ROLLOUT_TAGS] = {[TAG_HEAD] = "a decode batch",
                                                       "a decode batch",
                                                       [TAG_ACT] = "activations",
                                                       "activations",
                                                       [TAG_BACK] = "sampled tokens",
                                                       "sampled tokens",
                                                       [TAG_ASK] = "a request for questions",
                                                       [TAG_GIVE] = "questions",
                                                       [TAG_TOKENS] = "the tokens of an answer",
                                                       [TAG_LOGP] = "an answer's probabilities"};
    int rank[ROLLOUT_PEERS], n = rollout_peers(r->stage, rank);
    int open = QUEUE_OPEN + BRING_OPEN + r->decoders * (4 * r->decoder[0].n_batches + 8);
    struct p2p *p = p2p_new_near(&transport_mpi, r->world->comm, &(struct peers){rank, n}, open);
    p2p_name(p, r->world->sites > 1 ? "the site" : "the job", tag_name);
    return p;
}

struct rollout *rollout_new(struct stage *s, const struct world *w, struct rollout_room room)
{
    struct rollout *r = rollout_measured(s, w, room);
    if (s->device != &device_host) r->host_ops = ops_find(s->ops->precision, NULL);
    arena_back(&r->arena, s->device, r->arena.used);
    place_buffers(r);
    r->p2p = messages_open(r);
    group_find(r);
    return r;
}

void rollout_free(struct rollout *r)
{
    if (!r) return;
    p2p_free(r->p2p);
    if (r->group != MPI_COMM_NULL) MPI_OK(MPI_Comm_free(&r->group));
    arena_free(&r->arena);
    free(r);
}

size_t rollout_bytes(const struct rollout *r)
{
    return r->arena.size + r->host.size;
}

/* --- a job --- */

/* Sends still under way end, and the cache forgets this job. */
static void decoder_close(struct rollout *r, struct decoder *d)
{
    for (int i = 0; i < d->n_batches; i++) {
        for (int k = 0; k < 2; k++) {
            p2p_wait(r->p2p, d->batch[i].sent[k]);
            d->batch[i].sent[k] = TICKET_NONE;
        }
        if (d->last) {
            p2p_wait(r->p2p, d->out_sent[i]);
            d->out_sent[i] = TICKET_NONE;
        }
    }
    for (int s = 0; s < d->cache.slots; s++) cache_release(&d->cache, s);
}

static void lead(struct rollout *r)
{
    queue_start(r);
    (r->stage->mesh->ep > 1 ? lockstep_run : turns_run)(r);
    queue_close(r);
    tp_follow_end(r);
}

static void run_all(struct rollout *r)
{
    if (rollout_leads(r))
        lead(r);
    else
        tp_follow_run(r);
    for (int i = 0; i < r->decoders; i++) decoder_close(r, &r->decoder[i]);
    die_place(NULL);
}

/* Questions that are complete, up to the first that is not. */
static int count_whole(const struct rollout *r)
{
    int i = 0, answers = r->job->questions * r->job->samples;
    while (i < answers && r->answer[i].n > 0) i++;
    return i / r->job->samples;
}

int rollout_whole(const struct rollout *r)
{
    return r->whole;
}

static void count_waits(const struct rollout *r, struct rollout_times *t)
{
    long n[2] = {0};
    for (int i = 0; i < r->decoders; i++) {
        n[0] += r->decoder[i].set_aside;
        n[1] += r->decoder[i].read_again;
    }
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, n, 2, MPI_LONG, MPI_SUM, r->world->comm));
    t->waits = n[0];
    t->read_again = n[1];
}

/* Once, when it costs a tenth more rows. */
static void mind_waits(struct rollout *r, const struct rollout_times *t)
{
    struct rollout_cache c = rollout_cache(r->stage);
    if (r->told_of_waits || t->read_again * 10 <= t->tokens) return;
    r->told_of_waits = true;
    if (r->world->rank == 0)
        log_warn(
            "the cache has room for %ld tokens a pipeline, too few: %ld tokens of answers and "
            "prompts were read again, beside the %ld that were sampled, and answers waited %ld "
            "times; raise mesh.cache_tokens (%ld: none ever waits) or lower "
            "mesh.decode_slots",
            rollout_cache_tokens(&c), t->read_again, t->tokens, t->waits,
            c.full * c.directions * KV_BLOCK);
}

/* All ranks sample until no question is left; what each has of every answer then is its length and
 * its place. Tokens stay where they were sampled until rollout_bring. */
const struct answer *rollout_run(struct rollout *r, const struct rollout_job *job,
                                 struct rollout_times *t)
{
    int answers = job->questions * job->samples;
    const struct rollout_room *room = &r->room;
    INVARIANT(answers <= room->answers && job->samples <= room->samples &&
                  job->max_new <= room->max_new,
              "%d answers of %d, %d to a question of %d, %d tokens of %d", answers, room->answers,
              job->samples, room->samples, job->max_new, room->max_new);
    r->job = job;
    r->stopping = false;
    r->held = 0;
    memset(r->answer, 0, (size_t)answers * sizeof *r->answer);
    double start = device_clock(r->stage->device);
    run_all(r);
    long tokens = gather_answers(r, answers);
    r->whole = count_whole(r);
    struct rollout_times all = {.seconds = device_clock(r->stage->device) - start,
                                .tokens = tokens};
    count_waits(r, &all);
    mind_waits(r, &all);
    if (t) *t = all;
    return r->answer;
}
