/* See plugins.h. */
#include "trainer/reward/plugin/plugins.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/reward/plugin/message.h"

enum { REQUEST_MOST = 16 << 20 };

/* The lists that the server knows, in its order; where a request is put together, most of which no
 * answer ever touches. */
static struct {
    const struct plugin_list **list;
    int lists;
    char *request;
} known;

static int list_number(const struct plugin *grader)
{
    for (int i = 0; i < known.lists; i++)
        if (grader >= known.list[i]->at && grader < known.list[i]->at + PLUGINS_MOST) return i;
    return -1;
}

/* Phases with the same text share a list, and so its workers. Graders are tried while the rank sets
 * up the rest. */
void plugins_open(struct grade_server *s, const struct settings *settings)
{
    char *text = NULL;
    size_t n = 0;
    if (!s) return;
    FILE *f = open_memstream(&text, &n);
    SYS_OK(f, "free memory on this machine", "no memory for the graders of a recipe");
    known.list = memory_take((size_t)settings->n_phases, sizeof *known.list, "graders");
    for (int i = 0; i < settings->n_phases; i++) {
        const char *graders = settings->phases[i].graders;
        const struct plugin_list *l = plugin_list_of(graders);
        if (l->n == 0 || list_number(l->at) >= 0) continue;
        known.list[known.lists++] = l;
        fwrite(graders, 1, strlen(graders) + 1, f);
    }
    SYS_OK(fclose(f) == 0, "free memory on this machine", "no memory for the graders of a recipe");
    if (known.lists > 0) {
        const struct plugin_ask check = {.check = 1};
        known.request = memory_take(REQUEST_MOST, 1, "a request to a grader");
        grade_server_configure(s, GRADE_PLUGIN, text, n);
        grade_server_send(s, GRADE_PLUGIN, 0, &check, sizeof check);
    }
    free(text);
}

static void say_all(const char *at, size_t n)
{
    for (const char *end = at + n; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        log_warn("%.*s", (int)((stop ? stop : end) - at), at);
        at = stop ? stop + 1 : end;
    }
}

/* What the server has for the log is said only where all work: problems say the same. */
void plugins_agree(struct grade_server *s, struct problems *p)
{
    struct grade_reply r;
    if (!s || known.lists == 0 || !grade_server_poll(s, GRADE_PLUGIN, &r, -1)) return;
    struct plugin_told told = {.why = 0};
    if (!r.lost && r.n >= sizeof told) memcpy(&told, r.bytes, sizeof told);
    const char *at = r.bytes + sizeof told, *end = at + told.why;
    if (told.why == 0) say_all(end, told.say);
    while (told.why > 0 && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        problems_add(p, NULL, 0, "%.*s", (int)(stop - at), at);
        at = stop + 1;
    }
}

bool plugins_send(struct grade_server *s, const struct plugin *grader, uint64_t id,
                  const struct line_request *r)
{
    int list = list_number(grader);
    INVARIANT(list >= 0, "grader %s is not known to the server", grader->name);
    struct plugin_ask ask = {.list = (uint32_t)list,
                             .number = (uint32_t)(grader - known.list[list]->at)};
    const size_t room = REQUEST_MOST - sizeof ask;
    size_t n = line_write(known.request + sizeof ask, room, r);
    if (n > room) n = 0; /* too long for anybody: it comes back as lost */
    memcpy(known.request, &ask, sizeof ask);
    return grade_server_send(s, GRADE_PLUGIN, id, known.request, sizeof ask + n);
}

/* A line for the log comes with whatever verdict is next: it need not be of the same grader. */
bool plugins_take(struct grade_server *s, struct plugin_verdict *v, int timeout_ms)
{
    struct grade_reply r;
    struct plugin_told told;
    if (!grade_server_poll(s, GRADE_PLUGIN, &r, timeout_ms)) return false;
    *v = (struct plugin_verdict){.id = r.id, .lost = true};
    if (r.lost || r.n < sizeof told) {
        snprintf(v->why, sizeof v->why, "the grader server gave it up");
        return true;
    }
    memcpy(&told, r.bytes, sizeof told);
    const char *text = r.bytes + sizeof told;
    v->lost = told.lost != 0;
    v->reward = told.reward;
    v->seconds = told.seconds;
    snprintf(v->why, sizeof v->why, "%.*s", (int)told.why, text);
    say_all(text + told.why, told.say);
    return true;
}
