#include "model/tokenizer/split.h"

#include <string.h>

static void add(struct splitter *s, struct pattern *q, enum split_behavior behavior, bool invert)
{
    s->step[s->n++] = (struct split_step){q, behavior, invert};
}

/* Another behaviour would give other pieces, so it is refused and not replaced by the usual one. */
static enum split_behavior behavior_of(struct parse *p, const json_t *step)
{
    static const char *const names[] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const char *name = text_member(step, "behavior");
    for (int i = 0; name && i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(names[i], name) == 0) return (enum split_behavior)i;
    refuse(p, "pre_tokenizer",
           "behavior of Split must be Isolated, Removed, MergedWithPrevious, MergedWithNext or "
           "Contiguous, found",
           name ? name : "none");
    return SPLIT_ISOLATED;
}

static void read_split(struct parse *p, struct splitter *s, const json_t *step)
{
    static const char *const names[] = {"type", "pattern", "behavior", "invert", NULL};
    enum split_behavior behavior = behavior_of(p, step);
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = text_member(pattern, "Regex");
    check_members(p, "pre_tokenizer", step, names);
    const char *text = !regex && p->ok ? string_pattern(p, "pre_tokenizer", step) : NULL;
    if (!p->ok) return;
    struct pattern *q =
        regex ? pattern_new(p, "pre_tokenizer.pattern", regex) : pattern_of_text(text);
    if (q) add(s, q, behavior, json_is_true(json_object_get(step, "invert")));
}

static void read_byte_level(struct parse *p, struct splitter *s, const json_t *step)
{
    static const char *const names[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                        NULL};
    const json_t *regex = json_object_get(step, "use_regex");
    check_members(p, "pre_tokenizer", step, names);
    if (json_is_true(json_object_get(step, "add_prefix_space")))
        add(s, NULL, SPLIT_ISOLATED, false);
    s->byte_level = true;
    if (regex && !json_is_true(regex)) return;
    struct pattern *q = pattern_new(p, "pre_tokenizer", PATTERN_GPT2);
    if (q) add(s, q, SPLIT_ISOLATED, false);
}

static void read_digits(struct parse *p, struct splitter *s, const json_t *step)
{
    static const char *const names[] = {"type", "individual_digits", NULL};
    bool each = json_is_true(json_object_get(step, "individual_digits"));
    check_members(p, "pre_tokenizer", step, names);
    struct pattern *q = pattern_new(p, "pre_tokenizer", "\\p{N}");
    if (q) add(s, q, each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false);
}

/* ByteLevel comes last: pieces behind it are bytes in disguise, which no pattern is meant for. */
void splitter_read(struct parse *p, struct splitter *s, const json_t *step)
{
    const json_t *steps[STEPS_MOST];
    int n = steps_of(p, "pre_tokenizer", step, "pretokenizers", steps);
    for (int i = 0; i < n && p->ok; i++) {
        const char *type = type_of(steps[i]);
        if (s->byte_level)
            refuse(p, "pre_tokenizer", "ByteLevel must be the last step; after it comes", type);
        else if (strcmp(type, "Split") == 0)
            read_split(p, s, steps[i]);
        else if (strcmp(type, "ByteLevel") == 0)
            read_byte_level(p, s, steps[i]);
        else if (strcmp(type, "Digits") == 0)
            read_digits(p, s, steps[i]);
        else
            refuse_kind(p, "pre_tokenizer", steps[i],
                        "Split, Digits, ByteLevel, or a Sequence of them");
    }
}

void splitter_add_seams(struct parse *p, struct splitter *s, const char *regex)
{
    struct pattern *q = pattern_new(p, "pre_tokenizer", regex);
    if (q) add(s, q, SPLIT_MERGED_WITH_NEXT, false);
}

void splitter_free(struct splitter *s)
{
    for (int i = 0; i < s->n; i++) pattern_free(s->step[i].pattern);
}

struct split_run {
    const struct splitter *s;
    struct room *room;
    split_take *take;
    void *ctx;
};

/* A piece that the next part may still join. */
struct pending {
    const char *text;
    size_t start, stop;
    bool any, match; /* match: of the last part */
};

static void run_from(const struct split_run *r, int step, const char *text, size_t n);

static void hand_on(const struct split_run *r, int step, struct pending *d)
{
    if (d->any && d->stop > d->start) run_from(r, step + 1, d->text + d->start, d->stop - d->start);
    d->any = false;
}

static bool joins(enum split_behavior behavior, const struct pending *d, bool match)
{
    switch (behavior) {
    case SPLIT_MERGED_WITH_PREVIOUS: return d->any && match && !d->match;
    case SPLIT_MERGED_WITH_NEXT: return d->any && !match && d->match;
    case SPLIT_CONTIGUOUS: return d->any && match == d->match;
    default: return false;
    }
}

/* The next part of the text, a match or what lies between two. */
static void part(const struct split_run *r, int step, struct pending *d, size_t stop, bool match)
{
    const struct split_step *how = &r->s->step[step];
    size_t start = d->stop;
    match = match != how->invert;
    if (joins(how->behavior, d, match)) {
        d->stop = stop;
        d->match = match;
        return;
    }
    hand_on(r, step, d);
    d->start = start;
    d->stop = stop;
    d->match = match;
    d->any = !(match && how->behavior == SPLIT_REMOVED);
}

static void run_pattern(const struct split_run *r, int step, const char *text, size_t n)
{
    struct pending d = {.text = text};
    const struct pattern *q = r->s->step[step].pattern;
    size_t at = 0, start, stop;
    while (at < n && pattern_next(q, text, n, at, &start, &stop)) {
        if (start > at) part(r, step, &d, start, false);
        part(r, step, &d, stop, true);
        at = stop;
    }
    if (at < n) part(r, step, &d, n, false);
    hand_on(r, step, &d);
}

/* ByteLevel stands once, so its room is not used twice. */
static void run_prefix(const struct split_run *r, int step, const char *text, size_t n)
{
    if (text[0] == ' ') {
        run_from(r, step + 1, text, n);
        return;
    }
    r->room->n = 0;
    room_put(r->room, " ", 1);
    room_put(r->room, text, n);
    run_from(r, step + 1, r->room->at, n + 1);
}

static void run_from(const struct split_run *r, int step, const char *text, size_t n)
{
    if (step == r->s->n)
        r->take(r->ctx, text, n);
    else if (r->s->step[step].pattern)
        run_pattern(r, step, text, n);
    else
        run_prefix(r, step, text, n);
}

void splitter_run(const struct splitter *s, struct room *room, const char *text, size_t n,
                  split_take *take, void *ctx)
{
    const struct split_run r = {s, room, take, ctx};
    if (n > 0) run_from(&r, 0, text, n);
}
