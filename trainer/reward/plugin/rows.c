/* Plug-ins in the table of rewards: a row for each that a phase may bring along, under the name
 * that the phase gives it. */
#include "trainer/reward/plugin/rows.h"
#include <string.h>
#include "comm/base/die.h"
#include "comm/watch.h"
#include "trainer/reward/plugin/plugins.h"
#include "trainer/reward/rewards.h"

enum { LOOK_MS = 1000 };

static const struct plugin *plugin_of(const struct phase_settings *k, int slot)
{
    const struct plugin_list *l = plugin_list_of(k->graders);
    return slot < l->n ? &l->at[slot] : NULL;
}

static double weight_of(const struct phase_settings *k, int slot)
{
    const struct plugin *p = plugin_of(k, slot);
    return p ? p->weight : 0;
}

static const char *name_of(const struct phase_settings *k, int slot)
{
    const struct plugin *p = plugin_of(k, slot);
    return p ? p->name : NULL;
}

/* One verdict, of whichever plug-in: its id says. */
static bool take_one(struct rewards *r, struct grade_server *s, int timeout_ms)
{
    struct plugin_verdict v;
    if (!plugins_take(s, &v, timeout_ms)) return false;
    const int row = GRADER_PLUGIN + (int)(v.id >> 32), i = (int)(v.id & 0xffffffff);
    watchdog_feed();
    if (v.lost)
        rewards_lose(r, row, i);
    else
        r->value[row][i] = (float)v.reward;
    return true;
}

static struct span text_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

/* Where the server has no room, one verdict is waited for: there is one on its way. */
static void start_row(struct rewards *r, const struct grading *g, int i, const struct completion *c,
                      const struct phase_settings *k, int slot)
{
    const struct problem *q = c->problem;
    const struct line_request request = {.answer = {c->text, c->bytes},
                                         .expected = text_of(q->no_answer ? NULL : q->answer),
                                         .prompt = text_of(q->prompt),
                                         .tests = text_of(q->tests),
                                         .language = text_of(q->language)};
    INVARIANT(g->server, "no grader server for %s", name_of(k, slot));
    const uint64_t id = (uint64_t)(unsigned)slot << 32 | (unsigned)i;
    die_waiting("a verdict of grader %s", name_of(k, slot));
    while (!plugins_send(g->server, plugin_of(k, slot), id, &request))
        take_one(r, g->server, LOOK_MS);
    die_waiting(NULL);
    while (take_one(r, g->server, 0)) continue;
}

/* The first of them takes all that is open; a grader has a limit of time for each answer. */
static void collect(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    (void)k;
    die_waiting("%d verdicts of plug-in graders", grade_server_open(g->server, GRADE_PLUGIN));
    while (grade_server_open(g->server, GRADE_PLUGIN) > 0) take_one(r, g->server, LOOK_MS);
    die_waiting(NULL);
}

/* A row's functions know their number. */
#define SLOT(n)                                                                       \
    static double weight_##n(const struct phase_settings *k)                          \
    {                                                                                 \
        return weight_of(k, n);                                                       \
    }                                                                                 \
    static const char *name_##n(const struct phase_settings *k)                       \
    {                                                                                 \
        return name_of(k, n);                                                         \
    }                                                                                 \
    static void start_##n(struct rewards *r, const struct grading *g, int i,          \
                          const struct completion *c, const struct phase_settings *k) \
    {                                                                                 \
        start_row(r, g, i, c, k, n);                                                  \
    }                                                                                 \
    _Static_assert(n < PLUGINS_MOST, "a row too many")
SLOT(0);
SLOT(1);
SLOT(2);
SLOT(3);
SLOT(4);
SLOT(5);
SLOT(6);
SLOT(7);

#define ROW(n)                                                                           \
    {                                                                                    \
        .name = "plugin" #n, .help = "a grader of your own", .needs = NEEDS_TEXT,        \
        .weight = weight_##n, .called = name_##n, .start = start_##n, .collect = collect \
    }
const struct grader grader_plugins[PLUGINS_MOST] = {ROW(0), ROW(1), ROW(2), ROW(3),
                                                    ROW(4), ROW(5), ROW(6), ROW(7)};
