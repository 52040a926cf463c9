/* See screen_say.h. Places are named by line of a file, or by number of a generator's problem. */
#include "trainer/data/screen_say.h"
#include <string.h>
#include "comm/base/log.h"
#include "trainer/data/text.h"

enum { MESSAGE = 900 };

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
                 l->sample ? "seen in a sample: such problems are skipped when they are drawn"
                           : "left out",
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
bool screen_say_long_prompts(const struct look *l)
{
    const struct found *f = &l->seen.long_prompts;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return false;
    text_add(&text,
             "%s prompts without room for an answer in model.max_context %d: ", split_name(l),
             l->how->max_context);
    say_which(l, f, l->n, &text);
    text_add(&text, ", the longest needs %d", l->seen.longest_prompt + 1);
    bool refuse = too_many(l, f, l->n, &text);
    say_found(l, refuse, f, message);
    return refuse;
}

/* true: too many are not rendered. */
bool screen_say_no_rendering(const struct look *l)
{
    const struct found *f = &l->seen.no_rendering;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return false;
    bool refuse = f->n == l->n || (double)f->n / l->n > l->how->leave_out;
    text_add(&text, "%s conversations that the chat template refuses: ", split_name(l));
    say_which(l, f, l->n, &text);
    text_add(&text, ": %s; %s", l->seen.why,
             refuse ? "change them, raise data.leave_out, or set data.template to one of your own"
                    : "left out");
    say_found(l, refuse, f, message);
    return refuse;
}

/* Whatever is answered, nobody could say whether it is right: a reward of 0 would teach something
 * else. true: too many are. */
bool screen_say_ungradable(const struct look *l)
{
    const struct found *f = &l->seen.ungradable;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    struct problem first;
    if (f->n == 0) return false;
    bool refuse = f->n == l->n || (double)f->n / l->n > l->how->leave_out;
    source_look(l->source, l->split, f->place[0], &first);
    text_add(&text, "%s problems whose answer cannot be compared by value: ", split_name(l));
    say_which(l, f, l->n, &text);
    text_add(&text, ": %s; %s", l->how->ungradable(&first),
             refuse ? "write them as docs/REWARDS.md says, raise data.leave_out, or set "
                      "data.verifier: exact and reward_math: 0"
                    : "left out");
    say_found(l, refuse, f, message);
    return refuse;
}

/* Only a warning: such answers are cut, which mask_truncated and rewards take care of. */
void screen_say_little_room(const struct look *l)
{
    const struct found *f = &l->seen.little_room;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text,
             "%s prompts that leave less than the %d tokens of max_new for an answer in "
             "model.max_context %d: ",
             split_name(l), l->how->max_new[l->split], l->how->max_context);
    say_which(l, f, l->n, &text);
    text_add(&text, ", the longest leaves %d; such answers are cut there", l->seen.least_room);
    say_found(l, false, f, message);
}

/* Nothing could be graded. */
void screen_say_no_answers(const struct look *l)
{
    const struct found *f = &l->seen.no_answer;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "%s problems without an answer: ", split_name(l));
    say_which(l, f, l->n, &text);
    text_add(&text, "; grpo and evaluations grade by it: give each line an \"answer\", name the "
                    "member that holds it in data.fields, or use the file for sft only");
    say_found(l, true, f, message);
}

static void say_no_field(const struct look *l, const struct found *f, const char *field,
                         const char *what, const char *reward)
{
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "no \"%s\", %s, in training problems: ", field, what);
    say_which(l, f, l->n, &text);
    text_add(&text,
             "; reward_%s grades by it: give each line the member, name the one that holds it in "
             "data.fields (%s=NAME), or leave reward_%s out",
             reward, field, reward);
    say_found(l, true, f, message);
}

/* A reward that could not be given is refused. */
void screen_say_no_fields(const struct look *l)
{
    say_no_field(l, &l->seen.no_tests, "tests", "a list of tests", l->how->tests_for);
    say_no_field(l, &l->seen.no_language, "language", "a string", l->how->language_for);
}

/* Only a warning: other answers of the file can still be right. */
void screen_say_long_answers(const struct look *l)
{
    const struct found *f = &l->seen.long_answers;
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
    const struct found *f = &l->seen.long_demonstrations;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "demonstrations that do not fit model.max_context %d: ", l->how->max_context);
    say_which(l, f, of, &text);
    if (l->seen.longest_demonstration > l->how->max_context)
        text_add(&text, ", the longest needs %d", l->seen.longest_demonstration);
    bool refuse = false;
    if (l->lines)
        refuse = too_many(l, f, of, &text);
    else
        text_add(&text, "; sft passes over them");
    say_found(l, refuse, f, message);
}

/* Refused: the loss would be infinite. */
static void say_unlearnable(const struct look *l, int of)
{
    const struct found *f = &l->seen.unlearnable;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (f->n == 0) return;
    text_add(&text, "demonstrations with tokens that are never sampled: ");
    say_which(l, f, of, &text);
    text_add(&text, ", the first has token %d; take it out of model.never_tokens, or change them",
             l->seen.never);
    say_found(l, true, f, message);
}

/* Without a usable demonstration sft has nothing to do: refused. Some without: a warning. */
void screen_say_demonstrations(const struct look *l)
{
    const struct found *f = &l->seen.no_demonstration;
    int left = l->n - l->seen.long_prompts.n - l->seen.no_rendering.n, of = left - f->n;
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (l->seen.usable == 0) {
        problems_add(l->problems, l->file, 0,
                     "no usable demonstration for sft: of %d %s %d have none and %d do not fit "
                     "model.max_context %d%s",
                     left, l->lines ? "records" : "problems tried", f->n,
                     l->seen.long_demonstrations.n, l->how->max_context,
                     f->n == left ? "; add a \"demonstration\" to each line" : "");
        return;
    }
    say_long_demonstrations(l, of);
    say_unlearnable(l, of);
    if (f->n == 0) return;
    text_add(&text, "records without a demonstration: ");
    say_which(l, f, left, &text);
    text_add(&text, "; sft passes over them");
    say_found(l, false, f, message);
}

/* An answer that cannot be written is refused, since no reward could ever be earned; in a prompt
 * <unk> may be harmless. */
void screen_say_unknown(const struct look *l)
{
    char message[MESSAGE];
    struct text text = {message, 0, sizeof message, false};
    if (l->seen.unwritten.n) {
        text_add(&text,
                 "%s answers with characters that are not in the tokenizer: ", split_name(l));
        say_which(l, &l->seen.unwritten, l->n, &text);
        text_add(&text, ", ");
        unknown_name(&l->seen.written, &text);
        text_add(&text, ": no completion could ever be right. Replace these characters, or use a "
                        "model.tokenizer that has them");
        say_found(l, true, &l->seen.unwritten, message);
    }
    if (l->seen.unread.n == 0) return;
    text = (struct text){message, 0, sizeof message, false};
    text_add(&text, "%s %s with characters that are not in the tokenizer: ", split_name(l),
             l->how->demonstrations && l->split == SPLIT_TRAIN ? "prompts or demonstrations"
                                                               : "prompts");
    say_which(l, &l->seen.unread, l->n, &text);
    text_add(&text, ", ");
    unknown_name(&l->seen.read, &text);
    text_add(&text, "; the model reads each as <unk>");
    say_found(l, false, &l->seen.unread, message);
}
