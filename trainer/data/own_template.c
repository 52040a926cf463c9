#include "trainer/data/own_template.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[TURN_ROLES] = {"{system}", "{user}", "{assistant}"};

static bool begins(const char *at, const char *word)
{
    return strncmp(at, word, strlen(word)) == 0;
}

/* What was found while one piece was read. */
struct template_reading {
    struct own_template *t;
    char *out;
    const char *start; /* of the piece, in out */
    int role;          /* -1: no name yet */
    size_t name_at;    /* bytes before it */
    struct problems *problems;
};

static void end_piece(struct template_reading *d)
{
    size_t n = (size_t)(d->out - d->start);
    const struct piece p = {d->start, d->start + d->name_at, d->role < 0 ? n : d->name_at,
                            d->role < 0 ? 0 : n - d->name_at};
    struct piece *to = d->role < 0 ? &d->t->begin : &d->t->piece[d->role];
    if (to->before)
        problems_add(d->problems, NULL, 0, "data.template: %s is in two pieces",
                     d->role < 0 ? "no name" : names[d->role]);
    *to = p;
    d->start = d->out;
    d->role = -1;
    d->name_at = 0;
}

static const char *read_escape(struct template_reading *d, const char *at)
{
    static const char letters[] = "nt\\{}", means[] = "\n\t\\{}";
    const char *letter = at[1] ? strchr(letters, at[1]) : NULL;
    if (letter)
        *d->out++ = means[letter - letters];
    else
        problems_add(d->problems, NULL, 0,
                     "data.template: \\%.1s is none of \\n, \\t, \\\\, \\{, \\}", at + 1);
    return at + 1 + (at[1] != '\0');
}

/* A wrong name is stepped over, so that the next mistake is found, too. */
static const char *read_brace(struct template_reading *d, const char *at)
{
    if (begins(at, "{/}")) {
        end_piece(d);
        return at + 3;
    }
    for (int role = 0; role < TURN_ROLES; role++) {
        if (!begins(at, names[role])) continue;
        if (d->role >= 0)
            problems_add(d->problems, NULL, 0,
                         "data.template: %s and %s in one piece; put {/} between pieces",
                         names[d->role], names[role]);
        d->role = role;
        d->name_at = (size_t)(d->out - d->start);
        return at + strlen(names[role]);
    }
    problems_add(
        d->problems, NULL, 0,
        "data.template: \"%.12s\" is none of {system}, {user}, {assistant}, {/}; a brace of "
        "the text is written \\{",
        at);
    return at + 1;
}

/* The text only becomes shorter, so it is rewritten in one copy that the pieces point into. */
bool own_template_parse(struct own_template *t, const char *text, struct problems *p)
{
    int before = p->n;
    *t = (struct own_template){.text = malloc(strlen(text) + 1)};
    SYS_OK(t->text, "give the job more memory", "no memory for data.template");
    struct template_reading d = {
        .t = t, .out = t->text, .start = t->text, .role = -1, .problems = p};
    for (const char *at = text; *at && p->n < before + 8;) {
        if (*at == '\\')
            at = read_escape(&d, at);
        else if (*at == '{')
            at = read_brace(&d, at);
        else
            *d.out++ = *at++;
    }
    if (d.out > d.start || d.role >= 0) end_piece(&d);
    for (int role = TURN_USER; role < TURN_ROLES && p->n == before; role++)
        if (!t->piece[role].before)
            problems_add(p, NULL, 0, "data.template: no piece has %s", names[role]);
    return p->n == before;
}

void own_template_free(struct own_template *t)
{
    free(t->text);
    *t = (struct own_template){.text = NULL};
}

/* Without a piece for the system, what it says goes before the next question of the user. */
void own_template_render(const struct own_template *t, const struct turn *turn, int n, bool ask,
                         struct rendered *out)
{
    const struct turn *held = NULL; /* what the system says, for the next turn of the user */
    rendered_add(out, t->begin.before, t->begin.n_before, WHO_TEMPLATE);
    for (int i = 0; i < n; i++) {
        const struct piece *p = &t->piece[turn[i].role];
        bool assistant = turn[i].role == TURN_ASSISTANT;
        if (!p->before) {
            held = &turn[i];
            continue;
        }
        rendered_add(out, p->before, p->n_before, WHO_TEMPLATE);
        if (held && turn[i].role == TURN_USER) {
            rendered_add(out, held->text, held->n, WHO_OTHERS);
            rendered_add(out, "\n\n", 2, WHO_OTHERS);
            held = NULL;
        }
        rendered_add(out, turn[i].text, turn[i].n, assistant ? WHO_ASSISTANT : WHO_OTHERS);
        rendered_add(out, p->after, p->n_after, WHO_TEMPLATE);
    }
    const struct piece *next = &t->piece[TURN_ASSISTANT];
    if (ask) rendered_add(out, next->before, next->n_before, WHO_TEMPLATE);
}
