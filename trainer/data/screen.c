/* See screen.h. One pass over a split counts everything; what was found is said afterwards, a
 * message for each kind of it, with the first few places by name. */
#include "trainer/data/screen.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/watch.h"
#include "trainer/data/completion.h"
#include "trainer/data/jinja.h"
#include "trainer/data/unknown.h"

enum { NAMED = 8, TRIED = 2048, SAMPLE = 65536, MESSAGE = 900, EVERY = 1024 };

/* Records of which the same is to be said. */
struct found {
    int n, last, place[NAMED]; /* numbers of the first (source_look) */
};

struct look {
    const struct source *source;
    const struct screen *how;
    struct problems *problems;
    enum split split;
    const char *file;
    bool lines;  /* a file's: places are lines */
    bool sample; /* looked at are some of many, which are not left out */
    int n;       /* problems looked at */
    bool *keep;  /* (n) */
    char *text;  /* of a demonstration; what is longer than text_size does not fit */
    size_t text_size;

    struct found long_prompts, little_room, long_answers, no_demonstration, long_demonstrations;
    struct found unread, unwritten, no_answer, no_rendering;
    char why[JINJA_WHY]; /* of the first without a rendering */
    int longest_prompt, longest_demonstration, least_room;
    int usable; /* demonstrations */
    int tags;   /* tokens around an answer */
    struct unknown read, written;
};

/* The same record twice counts once. */
static void found_add(struct found *f, int place)
{
    if (f->n > 0 && f->last == place) return;
    if (f->n < NAMED) f->place[f->n] = place;
    f->last = place;
    f->n++;
}

/* --- one problem -------------------------------------------------------------------------------
 */

static int tokens_of(const struct look *l, struct span s, bool special)
{
    return (int)tokenizer_encode(l->how->tokenizer, s.at, s.n, special, NULL, 0);
}

static int larger(int a, int b)
{
    return a > b ? a : b;
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
    if (l->no_rendering.n == 0) snprintf(l->why, sizeof l->why, "%s", why);
    found_add(&l->no_rendering, place);
    return true;
}

/* Conversations are learned from whole. Returns whether one holds characters that cannot be read.
 */
static bool look_at_conversation(struct look *l, const struct problem *p, int place)
{
    struct chat_tokens t = {.room = 0};
    const struct turn *turn = source_turns(l->source, p);
    bool unread = false;
    if (!l->how->chat || turn[p->turns - 1].role != TURN_ASSISTANT) {
        found_add(&l->no_demonstration, place);
        return false;
    }
    for (int i = 0; i < p->turns; i++)
        unread = scan(l, &l->read, (struct span){turn[i].text, turn[i].n}, false) || unread;
    chat_conversation(l->how->chat, turn, p->turns, &t);
    if (no_rendering(l, place)) return false;
    l->longest_demonstration = larger(l->longest_demonstration, (int)t.n);
    if ((int)t.n > l->how->max_context)
        found_add(&l->long_demonstrations, place);
    else
        l->usable++;
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
        found_add(&l->no_demonstration, place);
        return false;
    }
    struct span whole = {text.at, text.n}, answer = completion_answer(whole);
    int n = n_prompt + tokens_of(l, whole, true) + 1; /* <eos> */
    if (!text.cut) l->longest_demonstration = larger(l->longest_demonstration, n);
    if (text.cut || n > l->how->max_context)
        found_add(&l->long_demonstrations, place);
    else
        l->usable++;
    struct span wanted = {p->answer, strlen(p->answer)};
    bool same = answer.n == wanted.n && memcmp(answer.at, wanted.at, wanted.n) == 0;
    if (answer.at && !same && scan(l, &l->written, answer, false)) found_add(&l->unwritten, place);
    return scan(l, &l->read, completion_reasoning(whole, &closed), true);
}

/* false: it is left out. */
static bool look_at(struct look *l, const struct problem *p, int place)
{
    const struct screen *how = l->how;
    struct span prompt = {p->prompt, strlen(p->prompt)}, answer = {p->answer, strlen(p->answer)};
    int n = prompt_tokens(l, p);
    if (no_rendering(l, place)) return false;
    if (n >= how->max_context) {
        l->longest_prompt = larger(l->longest_prompt, n);
        found_add(&l->long_prompts, place);
        return false;
    }
    int room = how->max_context - n;
    if (room < how->max_new[l->split]) {
        if (l->little_room.n == 0 || room < l->least_room) l->least_room = room;
        found_add(&l->little_room, place);
    }
    if (how->max_new[l->split] > 0 &&
        l->tags + tokens_of(l, answer, true) > smaller(room, how->max_new[l->split]))
        found_add(&l->long_answers, place);
    if (p->no_answer && how->max_new[l->split] > 0) found_add(&l->no_answer, place);
    if (scan(l, &l->written, answer, false)) found_add(&l->unwritten, place);
    bool unread = scan(l, &l->read, prompt, false);
    if (how->demonstrations && l->split == SPLIT_TRAIN)
        unread = look_at_demonstration(l, p, place, n) || unread;
    if (unread) found_add(&l->unread, place);
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
    double said = clock_now();
    for (int i = 0; i < l->n; i++) {
        struct problem p;
        int number = number_of(l, i);
        source_look(l->source, l->split, number, &p);
        l->keep[i] = look_at(l, &p, number);
        if (i % EVERY) continue;
        watchdog_feed();
        if (clock_now() < said + 2) continue;
        said = clock_now();
        log_info("%s: %d of %d problems examined", l->file, i, l->n);
    }
}

/* --- what is said of them ----------------------------------------------------------------------
 */

static struct source_place place_of(const struct look *l, int number)
{
    struct problem p;
    source_look(l->source, l->split, number, &p);
    return source_place(l->source, &p);
}

/* "7"; a line of another file than the first: "b.jsonl:7" */
static void say_place(const struct look *l, int number, const char *first, struct text *out)
{
    struct source_place place = {l->file, number};
    if (l->lines) place = place_of(l, number);
    if (first && strcmp(place.file, first) != 0) text_add(out, "%s:", place.file);
    text_add(out, "%d", place.line);
}

/* "1 of 48 (line 7)", "12 of 48 (lines 3, 7, 9 and 9 more)" */
static void say_which(const struct look *l, const struct found *f, int of, struct text *out)
{
    const char *first = l->lines ? place_of(l, f->place[0]).file : NULL;
    text_add(out, "%d of %d (%s%s ", f->n, of, l->lines ? "line" : "problem", f->n > 1 ? "s" : "");
    int named = f->n < NAMED ? f->n : NAMED;
    for (int i = 0; i < named; i++) {
        text_add(out, i ? ", " : "");
        say_place(l, f->place[i], first, out);
    }
    if (named < f->n) text_add(out, " and %d more", f->n - named);
    text_add(out, ")");
}

static const char *split_name(const struct look *l)
{
    return l->split == SPLIT_TRAIN ? "training" : "held-out";
}

static void say_found(const struct look *l, bool refuse, const struct found *f, const char *text)
{
    struct source_place at = {l->file, 0};
    if (l->lines) at = place_of(l, f->place[0]);
    if (refuse)
        problems_add(l->problems, at.file, at.line, "%s", text);
    else if (l->how->speaks && at.line > 0)
        log_warn("%s:%d: %s", at.file, at.line, text);
    else if (l->how->speaks)
        log_warn("%s: %s", at.file, text);
}

/* Too many are refused; with none left there is nothing to train on. The share that would be let
 * pass is rounded up. */
static bool too_many(const struct look *l, const struct found *f, int of, struct text *out)
{
    double share = (double)f->n / of;
    if (f->n == of) {
        text_add(out, "; none remain: raise model.max_context");
        return true;
    }
    if (share <= l->how->leave_out) {
        text_add(out, "; %s (data.leave_out is %g)",
                 l->sample ? "of a sample: all such are passed over when they come up" : "left out",
                 l->how->leave_out);
        return false;
    }
    text_add(out,
             "; more than data.leave_out allows (%g): shorten them, raise model.max_context, or "
             "leave them out with --set data.leave_out=%.3f",
             l->how->leave_out, (double)(int)(1000 * share + 1) / 1000);
    return true;
}

/* true: refused. */
static bool say_long_prompts(const struct look *l)
{
    const struct found *f = &l->long_prompts;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return false;
    text_add(&text,
             "%s prompts without room for an answer in model.max_context %d: ", split_name(l),
             l->how->max_context);
    say_which(l, f, l->n, &text);
    text_add(&text, ", the longest needs %d", l->longest_prompt + 1);
    bool refuse = too_many(l, f, l->n, &text);
    say_found(l, refuse, f, message);
    return refuse;
}

/* true: too many are not rendered. */
static bool say_no_rendering(const struct look *l)
{
    const struct found *f = &l->no_rendering;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return false;
    bool refuse = f->n == l->n || (double)f->n / l->n > l->how->leave_out;
    text_add(&text, "%s conversations that the chat template refuses: ", split_name(l));
    say_which(l, f, l->n, &text);
    text_add(&text, ": %s; %s", l->why,
             refuse ? "change them, raise data.leave_out, or set data.template to one of your own"
                    : "left out");
    say_found(l, refuse, f, message);
    return refuse;
}

/* Only a warning: such answers are cut, which mask_truncated and rewards take care of. */
static void say_little_room(const struct look *l)
{
    const struct found *f = &l->little_room;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text,
             "%s prompts that leave less than the %d tokens of max_new for an answer in "
             "model.max_context %d: ",
             split_name(l), l->how->max_new[l->split], l->how->max_context);
    say_which(l, f, l->n, &text);
    text_add(&text, ", the longest leaves %d; such answers are cut there", l->least_room);
    say_found(l, false, f, message);
}

/* Nothing could be graded. */
static void say_no_answers(const struct look *l)
{
    const struct found *f = &l->no_answer;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "%s problems without an answer: ", split_name(l));
    say_which(l, f, l->n, &text);
    text_add(&text, "; grpo and evaluations grade by it: give each line an \"answer\", name the "
                    "member that holds it in data.fields, or use the file for sft only");
    say_found(l, true, f, message);
}

/* Only a warning: other answers of the file can still be right. */
static void say_long_answers(const struct look *l)
{
    const struct found *f = &l->long_answers;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text,
             "%s answers longer than max_new %d or model.max_context %d allows: ", split_name(l),
             l->how->max_new[l->split], l->how->max_context);
    say_which(l, f, l->n, &text);
    text_add(&text, "; no completion can be right for these");
    say_found(l, false, f, message);
}

/* A generator's demonstrations have no end: those that do not fit are passed over, however many
 * they are. */
static void say_long_demonstrations(const struct look *l, int of)
{
    const struct found *f = &l->long_demonstrations;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "demonstrations that do not fit model.max_context %d: ", l->how->max_context);
    say_which(l, f, of, &text);
    if (l->longest_demonstration > l->how->max_context)
        text_add(&text, ", the longest needs %d", l->longest_demonstration);
    bool refuse = false;
    if (l->lines)
        refuse = too_many(l, f, of, &text);
    else
        text_add(&text, "; sft passes over them");
    say_found(l, refuse, f, message);
}

/* Without a usable demonstration sft has nothing to do: refused. Some without: a warning. */
static void say_demonstrations(const struct look *l)
{
    const struct found *f = &l->no_demonstration;
    int left = l->n - l->long_prompts.n - l->no_rendering.n, of = left - f->n;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (l->usable == 0) {
        problems_add(l->problems, l->file, 0,
                     "no usable demonstration for sft: of %d %s %d have none and %d do not fit "
                     "model.max_context %d%s",
                     left, l->lines ? "records" : "problems tried", f->n, l->long_demonstrations.n,
                     l->how->max_context,
                     f->n == left ? "; add a \"demonstration\" to each line" : "");
        return;
    }
    say_long_demonstrations(l, of);
    if (f->n == 0) return;
    text_add(&text, "records without a demonstration: ");
    say_which(l, f, left, &text);
    text_add(&text, "; sft passes over them");
    say_found(l, false, f, message);
}

/* An answer that cannot be written is refused, since no reward could ever be earned; in a prompt
 * <unk> may be harmless. */
static void say_unknown(const struct look *l)
{
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (l->unwritten.n) {
        text_add(&text,
                 "%s answers with characters that are not in the tokenizer: ", split_name(l));
        say_which(l, &l->unwritten, l->n, &text);
        text_add(&text, ", ");
        unknown_name(&l->written, &text);
        text_add(&text, ": no completion could ever be right. Replace these characters, or use a "
                        "model.tokenizer that has them");
        say_found(l, true, &l->unwritten, message);
    }
    if (l->unread.n == 0) return;
    text = (struct text){message, 0, sizeof message, false};
    text_add(&text, "%s %s with characters that are not in the tokenizer: ", split_name(l),
             l->how->demonstrations && l->split == SPLIT_TRAIN ? "prompts or demonstrations"
                                                               : "prompts");
    say_which(l, &l->unread, l->n, &text);
    text_add(&text, ", ");
    unknown_name(&l->read, &text);
    text_add(&text, "; the model reads each as <unk>");
    say_found(l, false, &l->unread, message);
}

/* --- a split -----------------------------------------------------------------------------------
 */

static struct look look_new(const struct source *s, const struct screen *how, enum split split,
                            struct problems *p)
{
    struct look l = {.source = s, .how = how, .problems = p, .split = split};
    int n = source_count(s, split);
    l.lines = source_task(s) == NULL;
    l.n = l.lines || split == SPLIT_HELDOUT ? n : TRIED;
    l.sample = split == SPLIT_TRAIN && source_is_large(s) && n > SAMPLE;
    if (l.sample) l.n = SAMPLE;
    l.keep = memory_take((size_t)l.n + 1, sizeof *l.keep, "looking at problems");
    static const char around[] = "</think><answer></answer>";
    l.tags = tokens_of(&l, (struct span){around, sizeof around - 1}, true);
    l.text_size = tokenizer_text_bytes(how->tokenizer, (size_t)how->max_context) + 1;
    l.text = memory_take(l.text_size, 1, "looking at problems");
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
    bool refused = say_long_prompts(&l);
    refused = say_no_rendering(&l) || refused;
    bool some = l.long_prompts.n + l.no_rendering.n > 0 && !refused;
    if (l.n > 0 && !refused) {
        say_little_room(&l);
        say_long_answers(&l);
        say_no_answers(&l);
        if (how->demonstrations && split == SPLIT_TRAIN) say_demonstrations(&l);
        say_unknown(&l);
    }
    if (some && !l.sample && (l.lines || split == SPLIT_HELDOUT)) source_keep(s, split, l.keep);
    free(l.keep);
    free(l.text);
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
