/* See screen.h. One pass over a split counts everything; what was found is said afterwards, a
 * message for each kind of it, with the first few places by name (screen_say.c). */
#include "trainer/data/screen.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "trainer/data/completion.h"
#include "trainer/data/screen_say.h"

enum { TRIED = 2048, SAMPLE = 65536, SAMPLE_AGAIN = 4096, EVERY = 1024 };
enum { SHARE = 64 }; /* problems a rank: to look at fewer takes less time than telling the others */

/* The same record twice counts once. */
static void found_add(struct found *f, int place)
{
    if (f->n > 0 && f->last == place) return;
    if (f->n < NAMED) f->place[f->n] = place;
    f->last = place;
    f->n++;
}

/* --- one problem --- */

static int tokens_of(const struct look *l, struct span s, bool special)
{
    return (int)tokenizer_encode(l->how->tokenizer, s.at, s.n, special, NULL, 0);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static bool scan(const struct look *l, struct unknown *u, struct span s, bool special)
{
    return unknown_scan(u, l->how->tokenizer, s, special);
}

/* Tokens of what is asked, <think> included. */
static int prompt_tokens(const struct look *l, const struct problem *p)
{
    struct chat_tokens t = {.room = 0};
    int n = p->turns;
    if (!l->how->chat) return tokens_of(l, (struct span){p->prompt, strlen(p->prompt)}, false) + 1;
    if (n == 0) {
        chat_prompt(l->how->chat, p->prompt, &t);
        return (int)t.n;
    }
    const struct turn *turn = source_turns(l->source, p);
    while (n > 0 && turn[n - 1].role == TURN_ASSISTANT) n--;
    chat_ask(l->how->chat, turn, n, &t);
    return (int)t.n;
}

/* The model's template refuses some conversations: roles that it does not know, or in an order that
 * it does not take. */
static bool no_rendering(struct look *l, int place)
{
    const char *why = l->how->chat ? chat_refused(l->how->chat) : NULL;
    if (!why) return false;
    if (l->seen.no_rendering.n == 0) snprintf(l->seen.why, sizeof l->seen.why, "%s", why);
    found_add(&l->seen.no_rendering, place);
    return true;
}

/* Does a demonstration that is there and fits ask for a token that has no probability? */
static void look_for_never(struct look *l, const struct problem *p, struct span said, int place)
{
    struct chat *chat = l->how->chat;
    struct chat_tokens t = {l->token, l->learn, (size_t)l->how->max_context, 0};
    if (!chat || chat_never(chat)->n == 0) return;
    if (p->turns > 0) {
        chat_conversation(chat, source_turns(l->source, p), p->turns, &t);
    } else {
        chat_prompt(chat, p->prompt, &t);
        chat_answer(chat, said.at, said.n, &t);
    }
    for (size_t i = 0; i < t.n && i < t.room; i++) {
        if (!t.learn[i] || !never_has(chat_never(chat), t.token[i])) continue;
        if (l->seen.unlearnable.n == 0) l->seen.never = t.token[i];
        found_add(&l->seen.unlearnable, place);
        return;
    }
}

/* Conversations are learned from whole. Returns whether one holds characters that cannot be read.
 */
static bool look_at_conversation(struct look *l, const struct problem *p, int place)
{
    struct chat_tokens t = {.room = 0};
    const struct turn *turn = source_turns(l->source, p);
    bool unread = false;
    if (!l->how->chat || turn[p->turns - 1].role != TURN_ASSISTANT) {
        found_add(&l->seen.no_demonstration, place);
        return false;
    }
    for (int i = 0; i < p->turns; i++)
        unread = scan(l, &l->seen.read, (struct span){turn[i].text, turn[i].n}, false) || unread;
    chat_conversation(l->how->chat, turn, p->turns, &t);
    if (no_rendering(l, place)) return false;
    l->seen.longest_demonstration = larger(l->seen.longest_demonstration, (int)t.n);
    if ((int)t.n > l->how->max_context)
        found_add(&l->seen.long_demonstrations, place);
    else
        l->seen.usable++;
    if ((int)t.n <= l->how->max_context) look_for_never(l, p, (struct span){0}, place);
    return unread;
}

/* What follows <think>: n_prompt tokens with it stand before. Returns whether it holds characters
 * that cannot be read. */
static bool look_at_demonstration(struct look *l, const struct problem *p, int place, int n_prompt)
{
    struct text text = {l->text, 0, l->text_size, false};
    bool closed;
    if (p->turns > 0) return look_at_conversation(l, p, place);
    if (!source_demonstrate(l->source, p, (uint32_t)place, &text)) {
        found_add(&l->seen.no_demonstration, place);
        return false;
    }
    struct span whole = {text.at, text.n}, answer = completion_answer(whole);
    int n = n_prompt + tokens_of(l, whole, true) + 1; /* <eos> */
    if (!text.cut) l->seen.longest_demonstration = larger(l->seen.longest_demonstration, n);
    if (text.cut || n > l->how->max_context)
        found_add(&l->seen.long_demonstrations, place);
    else
        l->seen.usable++;
    if (!text.cut && n <= l->how->max_context) look_for_never(l, p, whole, place);
    struct span wanted = {p->answer, strlen(p->answer)};
    bool same = answer.n == wanted.n && memcmp(answer.at, wanted.at, wanted.n) == 0;
    if (answer.at && !same && scan(l, &l->seen.written, answer, false))
        found_add(&l->seen.unwritten, place);
    return scan(l, &l->seen.read, completion_reasoning(whole, &closed), true);
}

/* false: it is left out. */
static bool look_at(struct look *l, const struct problem *p, int place)
{
    const struct screen *how = l->how;
    struct span prompt = {p->prompt, strlen(p->prompt)}, answer = {p->answer, strlen(p->answer)};
    int n = prompt_tokens(l, p);
    if (no_rendering(l, place)) return false;
    if (n >= how->max_context) {
        l->seen.longest_prompt = larger(l->seen.longest_prompt, n);
        found_add(&l->seen.long_prompts, place);
        return false;
    }
    if (how->ungradable && !p->no_answer && how->ungradable(p)) {
        found_add(&l->seen.ungradable, place);
        return false;
    }
    int room = how->max_context - n;
    if (room < how->max_new[l->split]) {
        if (l->seen.little_room.n == 0 || room < l->seen.least_room) l->seen.least_room = room;
        found_add(&l->seen.little_room, place);
    }
    if (how->max_new[l->split] > 0 &&
        l->tags + tokens_of(l, answer, true) > smaller(room, how->max_new[l->split]))
        found_add(&l->seen.long_answers, place);
    if (l->split == SPLIT_TRAIN && how->tests_for && (!p->tests || p->tests[0] != '['))
        found_add(&l->seen.no_tests, place);
    if (l->split == SPLIT_TRAIN && how->language_for && !p->language)
        found_add(&l->seen.no_language, place);
    if (p->no_answer && !p->tests && how->max_new[l->split] > 0)
        found_add(&l->seen.no_answer, place);
    if (scan(l, &l->seen.written, answer, false)) found_add(&l->seen.unwritten, place);
    bool unread = scan(l, &l->seen.read, prompt, false);
    if (how->demonstrations && l->split == SPLIT_TRAIN)
        unread = look_at_demonstration(l, p, place, n) || unread;
    if (unread) found_add(&l->seen.unread, place);
    return true;
}

/* Number of the i-th that is looked at: of many some, spread evenly. */
static int number_of(const struct look *l, int i)
{
    int n = source_count(l->source, l->split);
    return l->sample ? (int)((int64_t)i * n / l->n) : i;
}

/* May take minutes for a large file: the watchdog is fed and the log says how far it is. */
static void look_at_all(struct look *l)
{
    const struct world *w = l->world;
    const int rank = w ? w->rank : 0, first = screen_first(l, rank), n = screen_first(l, rank + 1);
    double said = clock_now();
    for (int i = first; i < n; i++) {
        struct problem p;
        int number = number_of(l, i);
        source_look(l->source, l->split, number, &p);
        l->keep[i] = look_at(l, &p, number);
        if ((i - first) % EVERY == 0 && watchdog_long(&said))
            log_info("%s: %d of %d problems examined", l->file, (w ? w->size : 1) * (i - first),
                     l->n);
    }
    if (w) screen_share(l);
}

/* --- a split --- */

/* A generator has no end: its first problems are tried. A large file is looked at in a sample,
 * which is smaller where the run has looked at the file before: each of them may be a seek of the
 * disk. */
static struct look look_new(const struct source *s, const struct screen *how, enum split split,
                            struct problems *p)
{
    struct look l = {.source = s, .how = how, .problems = p, .split = split};
    int n = source_count(s, split);
    l.lines = source_task(s) == NULL;
    l.n = l.lines || split == SPLIT_HELDOUT ? n : TRIED;
    l.sample = split == SPLIT_TRAIN && source_is_large(s) && n > SAMPLE;
    if (l.sample) l.n = source_is_known(s) ? SAMPLE_AGAIN : SAMPLE;
    if (how->world && l.n / how->world->size >= SHARE) l.world = how->world;
    l.keep = memory_take((size_t)l.n + 1, sizeof *l.keep, "looking at problems");
    static const char around[] = "</think><answer></answer>";
    l.tags = tokens_of(&l, (struct span){around, sizeof around - 1}, true);
    l.text_size = tokenizer_text_bytes(how->tokenizer, (size_t)how->max_context) + 1;
    l.text = memory_take(l.text_size, 1, "looking at problems");
    l.token = memory_take((size_t)how->max_context, sizeof *l.token, "looking at problems");
    l.learn = memory_take((size_t)how->max_context, 1, "looking at problems");
    if (l.n > 0) {
        struct problem first;
        source_look(s, split, 0, &first);
        l.file = source_place(s, &first).file;
    }
    return l;
}

/* true: some were left out. */
static bool screen_split(struct source *s, const struct screen *how, enum split split,
                         struct problems *p)
{
    struct look l = look_new(s, how, split, p);
    look_at_all(&l);
    bool refused = screen_say_long_prompts(&l);
    refused = screen_say_no_rendering(&l) || refused;
    refused = screen_say_ungradable(&l) || refused;
    const struct seen *seen = &l.seen;
    bool some = seen->long_prompts.n + seen->no_rendering.n + seen->ungradable.n > 0 && !refused;
    if (l.n > 0 && !refused) {
        screen_say_little_room(&l);
        screen_say_long_answers(&l);
        screen_say_no_answers(&l);
        screen_say_no_fields(&l);
        if (how->demonstrations && split == SPLIT_TRAIN) screen_say_demonstrations(&l);
        screen_say_unknown(&l);
    }
    if (some && !l.sample && (l.lines || split == SPLIT_HELDOUT)) source_keep(s, split, l.keep);
    free(l.keep);
    free(l.text);
    free(l.token);
    free(l.learn);
    return some;
}

/* The tags of an answer: the grader looks for them. */
static void check_tags(const struct screen *how, struct problems *p)
{
    static const char *const tags[] = {"</think>", "<answer>", "</answer>"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        size_t bytes, n = strlen(tags[i]);
        if (tokenizer_unknown(how->tokenizer, tags[i], n, true, 0, &bytes) < n)
            problems_add(p, NULL, 0,
                         "the tokenizer cannot produce %s, which marks an answer: add it as a "
                         "special token, or add its characters",
                         tags[i]);
    }
}

/* Held-out problems of a generator are replaced until as many fit as were asked for. */
void source_screen(struct source *s, const struct screen *how, struct problems *p)
{
    int before = p->n;
    check_tags(how, p);
    if (splits_have(how->splits, SPLIT_TRAIN)) screen_split(s, how, SPLIT_TRAIN, p);
    if (!splits_have(how->splits, SPLIT_HELDOUT)) return;
    int known = -1;
    while (p->n == before && source_heldout(s, how->heldout) > known) {
        /* a generator replaces what is left out, until nothing is or it has no more */
        bool some = screen_split(s, how, SPLIT_HELDOUT, p);
        known = source_count(s, SPLIT_HELDOUT);
        if (!some || !source_task(s)) return;
    }
}
