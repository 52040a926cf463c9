#include "trainer/run/questions.h"

#include <string.h>
#include "comm/base/problems.h"

enum { NONE = -1 };

/* --- one question --- */

/* Draw `draw` of question i: number 0 is the problem that was asked for. */
static const struct problem *take(struct run *r, int i, int draw)
{
    struct questions *q = &r->scratch->questions;
    q->problem_at = i;
    if (q->given)
        q->problem = (struct problem){.prompt = q->given[i], .answer = ""};
    else
        source_problem(r->source, q->split, q->from + (uint32_t)i + (uint32_t)draw * 0x9e3779b1u,
                       &q->problem);
    return &q->problem;
}

/* A problem's question: its prompt, or its turns up to the last answer. Less than 1: it does not
 * fit, or the model's template refuses it. */
static int encode(struct run *r, const struct problem *p)
{
    struct questions *q = &r->scratch->questions;
    int n_prompt, n = p->turns;
    struct chat_tokens t = {q->prompt, NULL, (size_t)r->stage.dims.max_context, 0};
    q->encoded++;
    if (n == 0) return run_encode(r, p->prompt, NULL, 0, q->prompt, &n_prompt);
    const struct turn *turn = source_turns(r->source, p);
    while (n > 0 && turn[n - 1].role == TURN_ASSISTANT) n--;
    chat_ask(r->chat, turn, n, &t);
    return t.n + 1 <= t.room ? (int)t.n : -1;
}

/* A draw that does not fit gives way to another, the same on every rank and whenever the run is
 * resumed; held-out problems, each of which counts once, and prompts that were given do not. */
static struct asked look(struct run *r, int i)
{
    enum { DRAWS = 4096 };
    struct questions *q = &r->scratch->questions;
    struct asked a = {0};
    int draws = q->split == SPLIT_TRAIN && !q->given ? DRAWS : 1;
    for (a.n = NONE; a.n < 1 && a.draw < draws; a.draw++) a.n = encode(r, take(r, i, a.draw));
    a.draw--;
    if (a.n < 1) a.n = NONE;
    q->prompt_at = i;
    return a;
}

/* Nothing is at hand of what was asked before. */
static void begin(struct run *r, struct questions now)
{
    struct questions *q = &r->scratch->questions;
    now.asked = q->asked;
    now.prompt = q->prompt;
    now.encoded = q->encoded;
    *q = now;
    q->problem_at = q->prompt_at = NONE;
}

static void keep_lengths(struct run *r, int n)
{
    struct step_scratch *s = r->scratch;
    for (int i = 0; i < n; i++) {
        int tokens = s->questions.asked[i].n;
        s->question[i] = (struct question){.n = tokens > 0 ? tokens : 0};
    }
}

/* --- all of them --- */

/* This rank's share is a run of them; where the others' are stands 0, so that sums are what is
 * there. */
static void look_at_share(struct run *r, int n)
{
    const struct world *w = r->world;
    struct asked *asked = r->scratch->questions.asked;
    int each = (n + w->size - 1) / w->size;
    long first = (long)w->rank * each;
    memset(asked, 0, (size_t)n * sizeof *asked);
    for (long i = first; i < first + each && i < n; i++) asked[i] = look(r, (int)i);
    die_place("lengths of all prompts of the step");
    MPI_Request sum;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, asked, n * (int)(sizeof *asked / sizeof(int)), MPI_INT,
                          MPI_SUM, w->comm, &sum));
    world_wait(&sum, 1);
    die_place(NULL);
}

void questions_look(struct run *r, enum split split, uint32_t from, int n, struct problems *p)
{
    begin(r, (struct questions){.split = split, .from = from});
    look_at_share(r, n);
    keep_lengths(r, n);
    for (int i = 0; i < n; i++) {
        if (r->scratch->questions.asked[i].n > 0) continue;
        const struct source_place at = source_place(r->source, take(r, i, 0));
        problems_add(p, at.line > 0 ? at.file : NULL, at.line,
                     "prompts of %s do not fit model.max_context %d: raise it",
                     source_name(r->source), r->stage.dims.max_context);
        return; /* one is enough: there may be thousands */
    }
}

/* The problem is every rank's of a site, hence nobody waits for one that ends. */
void questions_ask(struct run *r, enum split split, uint32_t from, int n)
{
    struct problems p = {0};
    questions_look(r, split, from, n, &p);
    if (p.n > 0) world_agree_problems(r->world, &p, EXIT_USER);
}

void questions_given(struct run *r, const char *const *prompt, int n, struct problems *p)
{
    begin(r, (struct questions){.split = SPLIT_HELDOUT, .given = prompt});
    for (int i = 0; i < n; i++) {
        struct asked *a = &r->scratch->questions.asked[i];
        *a = look(r, i);
        if (a->n < 0)
            problems_add(p, NULL, 0, "prompt %d is too long for model.max_context %d", i + 1,
                         r->stage.dims.max_context);
    }
    keep_lengths(r, n);
}

/* --- what is at hand --- */

const struct problem *questions_problem(struct run *r, int i)
{
    const struct questions *q = &r->scratch->questions;
    return q->problem_at == i ? &q->problem : take(r, i, q->asked[i].draw);
}

const int *questions_prompt(void *run, int i)
{
    struct run *r = run;
    struct questions *q = &r->scratch->questions;
    if (q->prompt_at == i) return q->prompt;
    q->prompt_at = i;
    int n = encode(r, questions_problem(r, i));
    INVARIANT(n == q->asked[i].n, "prompt %d has %d tokens, not %d", i, n, q->asked[i].n);
    return q->prompt;
}
