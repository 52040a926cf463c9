/* What ranks have found in the problems that each looked at, as if one had looked at all. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/coll.h"
#include "trainer/data/screen_say.h"

int screen_first(const struct look *l, int rank)
{
    const int ranks = l->world ? l->world->size : 1;
    return (int)((int64_t)l->n * rank / ranks);
}

static void found_join(struct found *a, const struct found *b)
{
    for (int i = 0; i < b->n && i < NAMED && a->n + i < NAMED; i++)
        a->place[a->n + i] = b->place[i];
    if (b->n > 0) a->last = b->last;
    a->n += b->n;
}

/* What is said of the first of a kind is the earlier one's. */
void seen_join(struct seen *a, const struct seen *b)
{
    if (a->unlearnable.n == 0) a->never = b->never;
    if (a->no_rendering.n == 0) memcpy(a->why, b->why, sizeof a->why);
    if (a->little_room.n == 0 || (b->little_room.n > 0 && b->least_room < a->least_room))
        a->least_room = b->least_room;
    a->longest_prompt = larger(a->longest_prompt, b->longest_prompt);
    a->longest_demonstration = larger(a->longest_demonstration, b->longest_demonstration);
    a->usable += b->usable;
    found_join(&a->long_prompts, &b->long_prompts);
    found_join(&a->little_room, &b->little_room);
    found_join(&a->long_answers, &b->long_answers);
    found_join(&a->no_demonstration, &b->no_demonstration);
    found_join(&a->long_demonstrations, &b->long_demonstrations);
    found_join(&a->unread, &b->unread);
    found_join(&a->unwritten, &b->unwritten);
    found_join(&a->no_answer, &b->no_answer);
    found_join(&a->no_rendering, &b->no_rendering);
    found_join(&a->ungradable, &b->ungradable);
    found_join(&a->unlearnable, &b->unlearnable);
    found_join(&a->no_tests, &b->no_tests);
    found_join(&a->no_language, &b->no_language);
    unknown_join(&a->read, &b->read);
    unknown_join(&a->written, &b->written);
}

/* Everybody's to the first rank, in the order of the problems, and what it makes of them to all. */
static void share_seen(struct look *l)
{
    const struct world *w = l->world;
    size_t *offset = memory_take((size_t)w->size + 1, sizeof *offset, "looking at problems");
    struct seen *all = coll_gather_bytes(&l->seen, sizeof l->seen, offset, 0, w->comm);
    for (int r = 1; w->rank == 0 && r < w->size; r++) seen_join(&all[0], &all[r]);
    if (w->rank == 0) l->seen = all[0];
    coll_bcast(&l->seen, sizeof l->seen, 0, w->comm);
    free(all);
    free(offset);
}

void screen_share(struct look *l)
{
    const struct world *w = l->world;
    size_t *count = memory_take(2 * (size_t)w->size, sizeof *count, "looking at problems"),
           *offset = count + w->size;
    for (int r = 0; r < w->size; r++) {
        offset[r] = (size_t)screen_first(l, r);
        count[r] = (size_t)screen_first(l, r + 1) - offset[r];
    }
    coll_all_gather(l->keep, count, offset, sizeof *l->keep, w->comm);
    free(count);
    share_seen(l);
}
