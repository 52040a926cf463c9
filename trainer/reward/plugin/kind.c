/* Plug-ins in the grader server: a pool for each grader of the recipe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/config/graders.h"
#include "trainer/reward/plugin/grader_pool.h"
#include "trainer/reward/plugin/kind.h"
#include "trainer/reward/plugin/message.h"

enum { SAY_BYTES = 4096, LISTS_MOST = 256, TRIAL = 0 /* ticket: no request lies there */ };
#define UNSEEN 0.02 /* between looks at workers that there was no room to watch */

struct hosted {
    const struct plugin *grader; /* NULL: none of this number */
    struct grader_pool *pool;
    char *library[4];          /* its command, where it is a shared object */
    char wrong[LINE_WHY + 64]; /* with it, when it was tried; "": nothing */
};

struct plugin_state {
    struct hosted at[LISTS_MOST][PLUGINS_MOST];
    int lists;
    struct grade_request *check; /* asks whether they work */
    int trials;                  /* of them under way */
    char say[SAY_BYTES];         /* for the log, with the next reply */
    size_t say_bytes;
};

/* What does not fit is left out: it is counted anyway. */
static void note(void *ctx, const char *text)
{
    struct plugin_state *k = ctx;
    size_t n = strlen(text);
    if (n + 1 > sizeof k->say - k->say_bytes) return;
    memcpy(k->say + k->say_bytes, text, n);
    k->say[k->say_bytes + n] = '\n';
    k->say_bytes += n + 1;
}

static void *open_kind(void)
{
    struct plugin_state *k = memory_take(1, sizeof *k, "plug-in graders");
    return k;
}

/* A shared object is loaded by this program in a process of its own, which speaks JSON Lines as a
 * command does. */
static void host(struct plugin_state *k, struct hosted *h, const struct plugin *g)
{
    static char self[] = "/proc/self/exe", command[] = "grader";
    h->grader = g;
    h->library[0] = self;
    h->library[1] = command;
    h->library[2] = (char *)g->library;
    const struct grader_pool_options o = {.name = g->name,
                                          .argv = g->library ? h->library : g->words,
                                          .workers = g->workers,
                                          .retries = g->retries,
                                          .timeout_s = g->timeout_s,
                                          .start_s = g->start_s,
                                          .most = GRADE_WINDOW,
                                          .note = note,
                                          .ctx = k};
    h->pool = grader_pool_open(&o);
}

static void configure(void *state, const char *bytes, size_t n)
{
    struct plugin_state *k = state;
    const char *end = bytes + n;
    for (const char *at = bytes; at < end && k->lists < LISTS_MOST; at += strlen(at) + 1) {
        const struct plugin_list *l = plugin_list_of(at);
        for (int i = 0; i < l->n; i++) host(k, &k->at[k->lists][i], &l->at[i]);
        k->lists++;
    }
}

static void reply(struct plugin_state *k, struct grade_request *r, struct plugin_told told,
                  const char *why)
{
    char bytes[sizeof told + SAY_BYTES * 2];
    size_t n = strlen(why);
    if (n > SAY_BYTES) n = SAY_BYTES;
    told.why = (uint32_t)n;
    told.say = (uint32_t)k->say_bytes;
    memcpy(bytes, &told, sizeof told);
    memcpy(bytes + sizeof told, why, n);
    memcpy(bytes + sizeof told + n, k->say, k->say_bytes);
    grade_reply(r, bytes, sizeof told + n + k->say_bytes);
    k->say_bytes = 0;
}

static void try_all(struct plugin_state *k, struct grade_request *r)
{
    k->check = r;
    for (int i = 0; i < k->lists * PLUGINS_MOST; i++) {
        struct grader_pool *p = k->at[i / PLUGINS_MOST][i % PLUGINS_MOST].pool;
        k->trials += p && grader_pool_try(p, TRIAL);
    }
}

/* What no grader could ever take is lost at once: refused, it would be offered again for ever. */
static bool take(void *state, struct grade_request *r)
{
    struct plugin_state *k = state;
    struct plugin_ask ask = {.list = LISTS_MOST};
    if (r->n >= sizeof ask) memcpy(&ask, r->bytes, sizeof ask);
    if (ask.check && !k->check) {
        try_all(k, r);
        return true;
    }
    struct hosted *h =
        ask.list < LISTS_MOST && ask.number < PLUGINS_MOST ? &k->at[ask.list][ask.number] : NULL;
    if (!h || !h->pool || r->n == sizeof ask) {
        grade_lose(r);
        return true;
    }
    return grader_pool_submit_line(h->pool, (uint64_t)(uintptr_t)r,
                                   (struct span){r->bytes + sizeof ask, r->n - sizeof ask});
}

/* Milliseconds are rounded up: a deadline that is not quite reached would have the server spin. */
static int wait_for(void *state, struct pollfd *fd, int max, int *timeout_ms)
{
    struct plugin_state *k = state;
    double wake = 1e6;
    int n = 0;
    for (int i = 0; i < k->lists * PLUGINS_MOST; i++) {
        const struct grader_pool *p = k->at[i / PLUGINS_MOST][i % PLUGINS_MOST].pool;
        if (!p) continue;
        n += grader_pool_watch(p, fd + n, max - n);
        double next = grader_pool_wake(p);
        if (max - n < 3 && next > UNSEEN) next = UNSEEN;
        if (next < wake) wake = next;
    }
    if (wake < 0) wake = 0;
    int ms = wake < 1e6 ? (int)(1000 * wake) + (wake > 0) : -1;
    if (ms >= 0 && (*timeout_ms < 0 || ms < *timeout_ms)) *timeout_ms = ms;
    return n;
}

/* All have been tried: what is wrong with those that do not work, a line each. */
static void answer_check(struct plugin_state *k)
{
    char text[SAY_BYTES] = "";
    size_t n = 0;
    for (int i = 0; i < k->lists * PLUGINS_MOST; i++) {
        const struct hosted *h = &k->at[i / PLUGINS_MOST][i % PLUGINS_MOST];
        if (!h->pool || !h->wrong[0]) continue;
        const char *what = h->grader->library ? h->grader->library : h->grader->words[0];
        int more = snprintf(text + n, sizeof text - n,
                            "grader %s (%.300s) does not work, tried on an empty answer: %s\n",
                            h->grader->name, what, h->wrong);
        if (more < 0 || (size_t)more >= sizeof text - n) break;
        n += (size_t)more;
    }
    text[n] = '\0';
    reply(k, k->check, (struct plugin_told){.lost = 0}, text);
    k->check = NULL;
}

/* A grader that says it cannot grade nothing works. */
static void tried(struct plugin_state *k, struct hosted *h, const struct grader_pool_verdict *v)
{
    bool works = v->lost == POOL_FINE || v->lost == POOL_ERROR || v->lost == POOL_BAD;
    if (!works)
        snprintf(h->wrong, sizeof h->wrong, "%s: %s", grader_pool_mishap_name(v->lost), v->why);
    if (--k->trials == 0) answer_check(k);
}

/* A ticket is the address of a request, which stays ours until its reply; TRIAL is none. */
static void step(void *state)
{
    struct plugin_state *k = state;
    struct grader_pool_verdict v;
    for (int i = 0; i < k->lists * PLUGINS_MOST; i++) {
        struct grader_pool *p = k->at[i / PLUGINS_MOST][i % PLUGINS_MOST].pool;
        if (!p) continue;
        grader_pool_step(p);
        while (grader_pool_take(p, &v)) {
            if (v.ticket == TRIAL) {
                tried(k, &k->at[i / PLUGINS_MOST][i % PLUGINS_MOST], &v);
                continue;
            }
            const struct plugin_told told = {
                .reward = v.reward, .seconds = v.seconds, .lost = (uint32_t)v.lost};
            reply(k, (struct grade_request *)(uintptr_t)v.ticket, told, v.why);
        }
    }
}

const struct grade_kind grade_kind_plugin = {.name = "plug-ins",
                                             .open = open_kind,
                                             .configure = configure,
                                             .take = take,
                                             .wait = wait_for,
                                             .step = step};
