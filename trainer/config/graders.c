/* See graders.h. */
#include "trainer/config/graders.h"
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/config/check.h"
#include "trainer/config/table.h"

/* A list that is being read. */
struct reading {
    struct plugin_list *list;
    const struct check *c; /* NULL: mistakes are not told */
    int line;              /* of the setting */
    const char *phase;
};

__attribute__((format(printf, 2, 3))) static void say(const struct reading *r, const char *fmt, ...)
{
    char text[512];
    if (!r->c) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    complain(r->c, r->line, "graders of %s: %s", r->phase, text);
}

static const char *const members[] = {"name",    "command", "library", "weight",
                                      "workers", "timeout", "start",   "retries"};
enum { MEMBERS = sizeof members / sizeof *members };

static bool name_ok(const char *name)
{
    size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
    return n > 0 && n < PLUGIN_NAME && !name[n] && !(name[0] >= '0' && name[0] <= '9');
}

/* The next word of a command, in place: blanks part words, quotes of either kind hold them
 * together. NULL: there is none; *open: a quote is not closed. */
static char *next_word(char **rest, bool *open)
{
    char *at = *rest + strspn(*rest, " \t\n"), *to = at, *word = at, quote = '\0';
    if (!*at) return NULL;
    for (; *at && (quote || !strchr(" \t\n", *at)); at++) {
        if (quote ? *at == quote : *at == '\'' || *at == '"')
            quote = quote ? '\0' : *at;
        else
            *to++ = *at;
    }
    *open = quote != '\0';
    *rest = *at ? at + 1 : at;
    *to = '\0';
    return word;
}

static bool read_command(const struct reading *r, struct plugin *p, const char *command)
{
    char *rest = p->text = memory_copy_text(command, "a grader's command");
    bool open = false;
    int n = 0;
    for (char *word; n < PLUGIN_WORDS && (word = next_word(&rest, &open)) != NULL;)
        p->words[n++] = word;
    if (n == 0 || open || *rest)
        say(r, "%s: command \"%.80s\" %s", p->name, command,
            n == 0 ? "is empty"
            : open ? "has a quote that is not closed"
                   : "has more than 64 words");
    return n > 0 && !open && !*rest;
}

static bool number(const struct reading *r, const struct plugin *p, const json_t *o,
                   const char *member, double low, double high, double *value)
{
    const json_t *v = json_object_get(o, member);
    if (!v || json_is_null(v)) return true;
    double given = json_is_number(v) ? json_number_value(v) : NAN;
    if (given >= low && given <= high) {
        *value = given;
        return true;
    }
    char *text = json_dumps(v, JSON_ENCODE_ANY);
    say(r, "%s: %s is a number from %g to %g, not %.60s", p->name, member, low, high, text);
    free(text);
    return false;
}

static bool count(const struct reading *r, const struct plugin *p, const json_t *o,
                  const char *member, int low, int high, int *value)
{
    double given = *value;
    bool ok = number(r, p, o, member, low, high, &given);
    if (ok && given != floor(given)) say(r, "%s: %s is a whole number", p->name, member);
    *value = (int)given;
    return ok && given == floor(given);
}

/* A member spelt wrong would leave its default in force, without a word. */
static bool members_known(const struct reading *r, const json_t *o)
{
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)o, key, value)
    {
        bool known = false;
        for (int i = 0; i < MEMBERS; i++) known = known || strcmp(key, members[i]) == 0;
        if (known) continue;
        const char *near = nearest_name(key, members, MEMBERS);
        say(r,
            "\"%.40s\" is unknown (a grader has name, command or library, weight, workers, "
            "timeout, start, retries)%s%s%s",
            key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        ok = false;
    }
    return ok;
}

/* Members of a line of samples.jsonl, where a reward's name is one, too. */
static const char *const samples[] = {
    "step",        "phase",      "question",   "sample", "prompt",     "completion",
    "expected",    "parsed",     "why",        "reward", "advantage",  "truncated",
    "temperature", "prompt_ids", "answer_ids", "logp",   "environment"};

/* A reward of the table has a setting for its weight. */
static bool name_free(const struct reading *r, const char *name)
{
    char setting[PLUGIN_NAME + 16];
    snprintf(setting, sizeof setting, "reward_%s", name);
    bool taken = setting_find(&sections[SECTION_PHASE], setting) != NULL;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        taken = taken || strcmp(samples[i], name) == 0;
    for (int i = 0; i < r->list->n; i++) {
        if (strcmp(r->list->at[i].name, name) != 0) continue;
        say(r, "two graders are called %s", name);
        return false;
    }
    if (taken) say(r, "%s is the name of another reward, or of a member of samples.jsonl", name);
    return !taken;
}

static bool read_program(const struct reading *r, struct plugin *p, const json_t *o)
{
    const char *command = json_string_value(json_object_get(o, "command"));
    const char *library = json_string_value(json_object_get(o, "library"));
    if (!command == !library) {
        say(r, "%s needs a command that speaks JSON Lines, or a library (a shared object): one",
            p->name);
        return false;
    }
    if (library) p->library = p->text = memory_copy_text(library, "a grader's library");
    return library || read_command(r, p, command);
}

/* "&& ok" stands last, so that all mistakes of a grader are told at once. One that is refused may
 * have taken p->text, too. */
static bool read_plugin(const struct reading *r, struct plugin *p, const json_t *o)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    *p = (struct plugin){.weight = 1, .timeout_s = 10, .start_s = 10, .workers = 1, .retries = 2};
    if (!json_is_object(o) || !name_ok(name)) {
        say(r, "each needs a name of a-z, 0-9 and _, at most 31, as in {name: judge, command: "
               "python3 verifier.py}");
        return false;
    }
    snprintf(p->name, sizeof p->name, "%s", name);
    bool ok = members_known(r, o);
    ok = name_free(r, name) && ok;
    ok = read_program(r, p, o) && ok;
    ok = number(r, p, o, "weight", -1e6, 1e6, &p->weight) && ok;
    ok = number(r, p, o, "timeout", 0.01, 86400, &p->timeout_s) && ok;
    ok = number(r, p, o, "start", 0, 86400, &p->start_s) && ok;
    ok = count(r, p, o, "workers", 1, 64, &p->workers) && ok;
    return count(r, p, o, "retries", 0, 100, &p->retries) && ok;
}

/* A recipe is read here twice, to be checked and to be used. The second time nobody is told of
 * mistakes: the check has ended a recipe that has any. */
static void read_list(const struct reading *r, const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error), *item;
    size_t i;
    if (!json_is_array(json))
        say(r, "a list is needed, as in [{name: judge, command: python3 verifier.py}]%s%s",
            json ? "" : "; as JSON: ", json ? "" : error.text);
    json_array_foreach(json, i, item)
    {
        if (r->list->n == PLUGINS_MOST) {
            say(r, "at most %d in a phase", PLUGINS_MOST);
            break;
        }
        struct plugin *p = &r->list->at[r->list->n];
        if (read_plugin(r, p, item)) {
            r->list->n++;
        } else {
            free(p->text);
            p->text = NULL;
        }
    }
    json_decref(json);
}

/* Texts that were read before; never given back. */
static struct known {
    struct known *next;
    char *text;
    struct plugin_list list;
} * known;

const struct plugin_list *plugin_list_of(const char *text)
{
    static const struct plugin_list none;
    if (!text || !*text) return &none;
    for (const struct known *k = known; k; k = k->next)
        if (strcmp(k->text, text) == 0) return &k->list;
    struct known *k = memory_take(1, sizeof *k, "a phase's graders");
    k->text = memory_copy_text(text, "a phase's graders");
    read_list(&(struct reading){.list = &k->list}, text);
    k->next = known;
    known = k;
    return &k->list;
}

/* A rank that waits for a verdict makes no progress. */
static void check_patience(const struct reading *r, const struct plugin *p, double watchdog_s)
{
    const double longest = (p->retries + 1) * (p->timeout_s + p->start_s);
    if (watchdog_s > 0 && longest > watchdog_s)
        say(r,
            "%s may take %g s for an answer, (retries + 1) x (timeout + start), but watchdog_s %g "
            "ends a run that waits for so long: lower them, or raise watchdog_s",
            p->name, longest, watchdog_s);
}

void plugins_check(const struct check *c, int phase)
{
    struct plugin_list list = {.n = 0};
    char name[64];
    const char *text = c->s->phases[phase].graders;
    if (!*text) return;
    settings_phase_name(c->s, phase, name, sizeof name);
    const struct reading r = {&list, c, c->s->lines.phases[phase].graders, name};
    read_list(&r, text);
    for (int i = 0; i < list.n; i++) {
        check_patience(&r, &list.at[i], c->s->run.watchdog_s);
        free(list.at[i].text);
    }
}
