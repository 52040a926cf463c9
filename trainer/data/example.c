/* See example.h. A line is gone through once; the members that may be wanted are noted where they
 * stand, then the form is chosen and its strings are copied out, unescaped. */
#include "trainer/data/example_reading.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/data/completion.h"
#include "trainer/data/scan.h"

/* What a demonstration or answer of a file may not hold: they are tokens of their own. */
static const char *const reserved[] = {"<pad>", "<eos>", "<unk>", "<think>"};
static const char *const tags[] = {"</think>", "<answer>", "</answer>"};
enum { RESERVED = sizeof reserved / sizeof *reserved, TAGS = sizeof tags / sizeof *tags };

static bool wrong(const struct example_reading *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool wrong(const struct example_reading *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(d->why, EXAMPLE_WHY, fmt, args);
    va_end(args);
    return false;
}

/* --- members --- */

/* jansson says better what is wrong with a line than the scanner, which only knows that it is. */
static bool no_json(const struct example_reading *d, const char *line, size_t n)
{
    json_error_t error;
    json_t *value = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    bool object = json_is_object(value);
    json_decref(value);
    if (!value) return wrong(d, "not JSON: %s (column %d)", error.text, error.column);
    return wrong(d, object ? "not JSON" : "not a JSON object with \"prompt\" and \"answer\"");
}

static bool note_member(struct example_reading *d, struct span key, struct span value)
{
    for (int i = 0; i < d->f->names; i++) {
        struct span name = {d->f->name[i].at, d->f->name[i].n};
        if (!scan_key_is_span(key, name)) continue;
        if (d->value[i].at)
            return wrong(d, "not JSON: duplicate member \"%.*s\"", (int)name.n, name.at);
        d->value[i] = value;
    }
    return true;
}

static bool note_members(struct example_reading *d, const char *line, size_t n)
{
    struct scan s = {line, line + n};
    bool first = true;
    enum scan_step step = scan_opens(&s, '{') ? SCAN_MORE : SCAN_WRONG;
    while (step == SCAN_MORE) {
        struct span key, value;
        step = scan_member(&s, &first, &key);
        if (step != SCAN_MORE) break;
        if (!scan_value(&s, &value)) return no_json(d, line, n);
        if (!note_member(d, key, value)) return false;
    }
    return (step == SCAN_END && scan_done(&s)) || no_json(d, line, n);
}

/* Member `name` of an object. */
static struct span member_of(struct span object, const char *name)
{
    struct scan s = scan_of(object);
    struct span key, value, none = {NULL, 0};
    bool first = true;
    if (!scan_opens(&s, '{')) return none;
    while (scan_member(&s, &first, &key) == SCAN_MORE && scan_value(&s, &value))
        if (scan_key_is(key, name)) return value;
    return none;
}

static struct span named(const struct example_reading *d, const char *name)
{
    const char *dot = strchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : strlen(name);
    for (int i = 0; i < d->f->names; i++)
        if (d->f->name[i].n == n && memcmp(d->f->name[i].at, name, n) == 0)
            return dot && d->value[i].at ? member_of(d->value[i], dot + 1) : d->value[i];
    return (struct span){NULL, 0};
}

/* A role's member by the first of its names that the line has, which goes to *name, else the first
 * of all. */
static struct span example_member(const struct example_reading *d, const struct form *form,
                                  enum part_role role, const char **name)
{
    struct span value = {NULL, 0};
    *name = form->member[role][0];
    for (int i = 0; i < FORM_NAMES && form->member[role][i] && !value.at; i++) {
        value = named(d, form->member[role][i]);
        if (value.at) *name = form->member[role][i];
    }
    return value;
}

static bool of_form(const struct example_reading *d, const struct form *form)
{
    const char *name;
    for (unsigned role = 0; role < PART_ROLES; role++)
        if (form->known_by >> role & 1 && !example_member(d, form, (enum part_role)role, &name).at)
            return false;
    struct span answer = example_member(d, form, PART_ANSWER, &name);
    return form->place != ANSWER_HASHES || span_find(answer, "####") < answer.n;
}

/* A problem may have a score, too: only a completion's is a label, unless all lines are
 * preferences. */
static const struct form *recognise(const struct example_reading *d)
{
    bool all = d->f->preferences;
    const struct form *of = form_number(0);
    if (d->f->form) return d->f->form;
    for (int i = 0; form_number(i); i++)
        if (form_number(i)->member[PART_SCORE][0] && of_form(d, form_number(i)) &&
            (all || named(d, "completion").at))
            return form_number(i);
    for (int i = 0; form_number(i); i++) {
        if (all && form_number(i)->member[PART_CHOSEN][0]) of = form_number(i);
        if (!all && of_form(d, form_number(i))) return form_number(i);
    }
    return of;
}

/* --- texts --- */

/* Every text is at most as long as it is in the line; each role is copied once, a prompt also
 * joined, an answer also cut in two. */
static void make_room(struct example *r, size_t n)
{
    size_t room = (PART_ROLES + 4) * n + 1024;
    r->used = 0;
    if (room <= r->room) return;
    free(r->bytes);
    r->bytes = malloc(room);
    SYS_OK(r->bytes, "give the job more memory", "no memory for a line of %zu bytes", n);
    r->room = room;
}

static char *keep(struct example *r, const char *at, size_t n)
{
    INVARIANT(r->used + n < r->room, "%zu + %zu bytes of %zu", r->used, n, r->room);
    char *copy = r->bytes + r->used;
    memcpy(copy, at, n);
    copy[n] = '\0';
    r->used += n + 1;
    return copy;
}

static struct span copy_unescaped(struct example *r, struct span value)
{
    INVARIANT(r->used + value.n < r->room, "%zu + %zu bytes of %zu", r->used, value.n, r->room);
    char *copy = r->bytes + r->used;
    size_t n = scan_unescape(value, copy);
    copy[n] = '\0';
    r->used += n + 1;
    return (struct span){copy, n};
}

/* A role's text; *out.at NULL where the line has none. Problems of the forms read and said before
 * there were others keep to strings; the others take whole numbers, too. */
static bool example_text(struct example_reading *d, enum part_role role, bool needed,
                         struct span *out)
{
    const char *name;
    struct span value = example_member(d, d->form, role, &name);
    bool number = role == PART_ANSWER && d->form != form_number(0) && value.n > 0 &&
                  strspn(value.at, "-0123456789") >= value.n;
    *out = (struct span){NULL, 0};
    if (value_is(value, '"'))
        *out = copy_unescaped(d->r, value);
    else if (number)
        *out = (struct span){keep(d->r, value.at, value.n), value.n};
    else if (needed || (value.at && !value_is(value, 'n'))) /* not null */
        return wrong(d, value.at ? "\"%s\" is not a string" : "no \"%s\"", name);
    return true;
}

/* --- conversations --- */

static struct turn *new_turn(struct example *r)
{
    if (r->turns == r->room_turns) {
        r->room_turns = r->room_turns ? 2 * r->room_turns : 16;
        r->turn = realloc(r->turn, (size_t)r->room_turns * sizeof *r->turn);
        SYS_OK(r->turn, "give the job more memory", "no memory for %d turns", r->room_turns);
    }
    r->turn[r->turns] = (struct turn){.text = ""};
    return &r->turn[r->turns++];
}

/* Names of other writers, too: human and gpt are ShareGPT's, developer is OpenAI's. */
static bool role_of(const struct example_reading *d, struct span value, enum turn_role *role)
{
    static const struct {
        const char *name;
        enum turn_role role;
    } roles[] = {{"system", TURN_SYSTEM}, {"developer", TURN_SYSTEM},    {"user", TURN_USER},
                 {"human", TURN_USER},    {"assistant", TURN_ASSISTANT}, {"gpt", TURN_ASSISTANT}};
    if (!value_is(value, '"')) return wrong(d, "a message without a \"role\"");
    struct span word = {value.at + 1, value.n - 2};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (scan_key_is(word, roles[i].name)) {
            *role = roles[i].role;
            return true;
        }
    return wrong(d, "role \"%.*s\" is none of system, user, assistant",
                 (int)(word.n < 40 ? word.n : 40), word.at);
}

/* content: a string, or [{"type": "text", "text": ...}, ...]. */
static bool content_of(struct example_reading *d, struct span value, struct span *out)
{
    struct scan s = scan_of(value);
    bool first = true;
    if (value_is(value, '"')) {
        *out = copy_unescaped(d->r, value);
        return true;
    }
    *out = (struct span){d->r->bytes + d->r->used, 0};
    if (!scan_opens(&s, '[')) return wrong(d, "a message whose \"content\" is not a string");
    while (scan_element(&s, &first) == SCAN_MORE) {
        struct span part;
        scan_value(&s, &part);
        struct span type = member_of(part, "type"), text = member_of(part, "text");
        if (type.n != 6 || memcmp(type.at, "\"text\"", 6) != 0 || !value_is(text, '"'))
            return wrong(d, "a message with a part that is not text");
        out->n += copy_unescaped(d->r, text).n;
        d->r->used--; /* the next part goes on there */
    }
    d->r->bytes[d->r->used++] = '\0';
    return true;
}

/* from and value are ShareGPT's; the reasoning has two names, of which the first with a text
 * counts. */
static bool take_turn(struct example_reading *d, struct span message)
{
    static const char *const names[][2] = {{"role", "from"}, {"content", "value"}},
                             *const why[] = {"reasoning_content", "thinking"};
    struct span member[2], text, reasoning = {NULL, 0};
    struct turn *t = new_turn(d->r);
    for (int i = 0; i < 2; i++) {
        member[i] = member_of(message, names[i][0]);
        if (!member[i].at) member[i] = member_of(message, names[i][1]);
        if (!value_is(reasoning, '"')) reasoning = member_of(message, why[i]);
    }
    if (!role_of(d, member[0], &t->role) || !content_of(d, member[1], &text)) return false;
    t->text = text.at;
    t->n = text.n;
    if (value_is(reasoning, '"')) t->reasoning = copy_unescaped(d->r, reasoning).at;
    return true;
}

static bool example_turns(struct example_reading *d, struct span list, const char *name)
{
    struct scan s = scan_of(list);
    bool first = true;
    if (!scan_opens(&s, '[')) return wrong(d, "\"%s\" is not a list of messages", name);
    while (scan_element(&s, &first) == SCAN_MORE) {
        struct span message;
        scan_value(&s, &message);
        if (!value_is(message, '{')) return wrong(d, "\"%s\" is not a list of messages", name);
        if (!take_turn(d, message)) return false;
    }
    return d->r->turns > 0 || wrong(d, "\"%s\" has no messages", name);
}

/* Everything before the last answer, where there is one. */
static const char *join_prompt(struct example *r)
{
    int asked = r->turns;
    while (asked > 0 && r->turn[asked - 1].role == TURN_ASSISTANT) asked--;
    char *joined = r->bytes + r->used;
    size_t n = 0;
    for (int i = 0; i < asked; i++) {
        if (i > 0) joined[n++] = '\n';
        memcpy(joined + n, r->turn[i].text, r->turn[i].n);
        n += r->turn[i].n;
    }
    joined[n] = '\0';
    r->used += n + 1;
    return joined;
}

/* --- records --- */

static bool holds(const char *text, const char *const *words, int n, const char **found)
{
    for (int i = 0; i < n; i++)
        if (strstr(text, *found = words[i])) return true;
    return false;
}

/* What only this program's use of a record demands. */
static bool check_words(const struct example_reading *d)
{
    const char *word, *answer = d->r->answer, *why = d->r->demonstration;
    if (answer && (holds(answer, reserved, RESERVED, &word) || holds(answer, tags, TAGS, &word)))
        return wrong(d, "answer may not contain %s", word);
    if (why && holds(why, reserved, RESERVED, &word))
        return wrong(d, "demonstration may not contain %s", word);
    if (why && holds(why, tags, TAGS, &word) &&
        !completion_in_form((struct span){why, strlen(why)}))
        return wrong(d, "demonstration with %s must read: reasoning</think><answer>...</answer>",
                     word);
    return true;
}

/* GSM8K: "working <<2+3=5>> #### 1,234". */
static bool take_hashes(struct example_reading *d, struct span text)
{
    size_t at = text.n, n = 0;
    for (size_t i = 0, next; i < text.n; i = next + 1) {
        struct span rest = {text.at + i, text.n - i};
        next = i + span_find(rest, "####");
        if (next < text.n) at = next;
    }
    if (at == text.n) return wrong(d, "no \"####\" before the answer");
    struct span answer = span_trim((struct span){text.at + at + 4, text.n - at - 4});
    char *out = keep(d->r, answer.at, answer.n);
    for (size_t i = 0; i < answer.n; i++)
        if (answer.at[i] != ',') out[n++] = answer.at[i];
    out[n] = '\0';
    d->r->answer = out;
    struct span working = span_trim((struct span){text.at, at});
    char *kept = keep(d->r, working.at, working.n);
    n = 0;
    for (size_t i = 0; i < working.n; i++) {
        struct span rest = {working.at + i, working.n - i};
        size_t end = rest.n > 1 && memcmp(rest.at, "<<", 2) == 0 ? span_find(rest, ">>") : rest.n;
        if (end < rest.n)
            i += end + 1;
        else
            kept[n++] = working.at[i];
    }
    kept[n] = '\0';
    if (n > 0) d->r->demonstration = kept;
    return true;
}

static bool take_boxed(struct example_reading *d, struct span answer, struct span why)
{
    if (!answer.at && why.at) {
        struct span boxed = completion_boxed(why);
        answer = span_trim(boxed);
        if (!boxed.at)
            return wrong(d, "no answer: neither a member nor a \\boxed{} in the solution");
    }
    if (!answer.at) return wrong(d, "no \"%s\"", d->form->member[PART_ANSWER][0]);
    d->r->answer = keep(d->r, answer.at, answer.n);
    return true;
}

/* What some rewards look at, whatever the form: tests as they stand, for whoever reads them. */
static void take_extras(struct example_reading *d)
{
    const char *name;
    struct span tests = example_member(d, d->form, PART_TESTS, &name),
                language = example_member(d, d->form, PART_LANGUAGE, &name);
    if (!tests.at) tests = named(d, "tests");
    if (!language.at) language = named(d, "language");
    if (tests.at && !value_is(tests, 'n')) d->r->tests = keep(d->r, tests.at, tests.n);
    if (value_is(language, '"')) d->r->language = copy_unescaped(d->r, language).at;
}

/* A program may have tests in place of an answer. */
static bool take_answer(struct example_reading *d)
{
    struct span answer, why;
    bool needed = d->form->member[PART_ANSWER][0] && d->form->place != ANSWER_BOXED &&
                  !d->form->member[PART_COMPLETION][0] && !d->form->member[PART_MESSAGES][0] &&
                  !d->r->tests;
    if (!example_text(d, PART_ANSWER, needed, &answer) ||
        !example_text(d, PART_DEMONSTRATION, false, &why))
        return false;
    d->r->demonstration = why.at;
    d->r->answer = answer.at;
    if (d->form->place == ANSWER_BOXED) return take_boxed(d, answer, why);
    if (d->form->place == ANSWER_HASHES && answer.at) return take_hashes(d, answer);
    return true;
}

/* A prompt, which may be a list of messages, with its completion, if the form has one. */
static bool example_prompt(struct example_reading *d)
{
    const char *name;
    struct example *r = d->r;
    struct span list = example_member(d, d->form, PART_PROMPT, &name), text, after = {NULL, 0};
    if (value_is(list, '[')) {
        if (!example_turns(d, list, name)) return false;
        r->prompt = join_prompt(r);
    } else {
        if (!example_text(d, PART_PROMPT, true, &text)) return false;
        r->prompt = text.at;
    }
    if (!d->form->member[PART_COMPLETION][0] || example_prefers(d->form)) return true;
    bool needed = !d->form->member[PART_ANSWER][0];
    if (!example_text(d, PART_COMPLETION, needed, &after) || !after.at) return !needed;
    if (r->turns == 0) *new_turn(r) = (struct turn){TURN_USER, r->prompt, NULL, strlen(r->prompt)};
    *new_turn(r) = (struct turn){TURN_ASSISTANT, after.at, NULL, after.n};
    return true;
}

static bool take_messages(struct example_reading *d, struct span list, const char *name)
{
    bool answered = false;
    if (!example_turns(d, list, name)) return false;
    for (int i = 0; i < d->r->turns; i++) answered |= d->r->turn[i].role == TURN_ASSISTANT;
    d->r->prompt = join_prompt(d->r);
    if (!take_answer(d)) return false;
    return answered || d->r->answer || wrong(d, "no turn of the assistant to learn from");
}

static bool take_whole_text(struct example_reading *d)
{
    struct span text;
    if (!example_text(d, PART_TEXT, true, &text)) return false;
    *new_turn(d->r) = (struct turn){TURN_ASSISTANT, text.at, NULL, text.n};
    d->r->prompt = "";
    return true;
}

static const struct example_takes takes = {example_member, example_text, example_turns,
                                           example_prompt};

/* Conversations before single answers: their records may have an answer, too, to be graded by. */
bool example_read(struct example *r, const char *line, size_t n, const struct fields *f,
                  char why[EXAMPLE_WHY])
{
    struct example_reading d = {.r = r, .f = f, .take = &takes, .why = why};
    const char *name;
    make_room(r, n);
    r->prompt = r->answer = r->demonstration = r->tests = r->language = NULL;
    r->chosen = r->rejected = NULL;
    r->turns = 0;
    if (!note_members(&d, line, n)) return false;
    d.form = recognise(&d);
    take_extras(&d);
    struct span list = example_member(&d, d.form, PART_MESSAGES, &name),
                text = example_member(&d, d.form, PART_TEXT, &name);
    if (example_prefers(d.form)) return example_preference(&d);
    if (list.at || (d.form->member[PART_MESSAGES][0] && !d.form->member[PART_PROMPT][0])) {
        if (!list.at) return wrong(&d, "no \"%s\"", d.form->member[PART_MESSAGES][0]);
        if (!take_messages(&d, list, d.form->member[PART_MESSAGES][0])) return false;
    } else if (text.at || d.form->member[PART_TEXT][0]) {
        if (!take_whole_text(&d)) return false;
    } else if (!example_prompt(&d) || !take_answer(&d)) {
        return false;
    }
    return check_words(&d);
}

void example_free(struct example *r)
{
    free(r->bytes);
    free(r->turn);
    *r = (struct example){.turns = 0};
}
