#include "trainer/plan/hosts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/files.h"

enum { MOST_HOSTS = 16384, MOST_SLOTS = 65536, NAME_BYTES = 254, WORD_BYTES = 300 };

/* ---- words ---- */

/* What is left of a line. */
struct line {
    const char *at, *end, *file;
    int number;
    struct problems *p;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_spaces(struct line *l)
{
    while (l->at < l->end && is_space(*l->at)) l->at++;
}

/* The next word, cut at spaces and '='; false at the end of the line. What is too long is cut and not known later. */
static bool next_word(struct line *l, char word[WORD_BYTES])
{
    size_t n = 0;
    skip_spaces(l);
    for (; l->at < l->end && !is_space(*l->at) && *l->at != '='; l->at++)
        if (n + 1 < WORD_BYTES) word[n++] = isprint((unsigned char)*l->at) ? *l->at : '?';
    word[n] = '\0';
    return n > 0;
}

static bool next_is(struct line *l, char c)
{
    skip_spaces(l);
    if (l->at == l->end || *l->at != c) return false;
    l->at++;
    return true;
}

/* ---- a line ---- */

static bool name_possible(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:@");
    return name[n] == '\0' && n <= NAME_BYTES && isalnum((unsigned char)name[0]);
}

static int host_find(const struct hosts *h, const char *name)
{
    for (int i = 0; i < h->n; i++)
        if (strcmp(h->at[i].name, name) == 0) return i;
    return -1;
}

static void host_add(struct hosts *h, const char *name, int slots)
{
    if (h->n == h->room) {
        h->room = 2 * h->room + 8;
        h->at = realloc(h->at, (size_t)h->room * sizeof *h->at);
        SYS_OK(h->at, "free memory on this machine", "no memory for %d hosts", h->room);
    }
    char *copy = strdup(name);
    SYS_OK(copy, "free memory on this machine", "no memory for a host's name");
    h->at[h->n++] = (struct host){copy, slots};
    h->slots += slots;
}

/* A count behind `key =`; 0 and a problem when it is none. */
static int take_count(struct line *l, const char *key)
{
    char word[WORD_BYTES];
    char *rest = word;
    bool given = next_is(l, '=') && next_word(l, word);
    long n = given ? strtol(word, &rest, 10) : 0;
    if (given && *rest == '\0' && n >= 1 && n <= MOST_SLOTS) return (int)n;
    problems_add(l->p, l->file, l->number, "%s must be a number from 1 to %d, as in %s=4", key,
                 MOST_SLOTS, key);
    return 0;
}

struct counts {
    int slots, most; /* 0: not given */
    bool wrong;
};

static struct counts take_counts(struct line *l)
{
    static const char *const known[] = {"slots", "max_slots", "max-slots"};
    struct counts c = {0};
    char key[WORD_BYTES];
    while (l->at < l->end && !c.wrong) {
        if (!next_word(l, key)) break;
        int k = 0;
        while (k < 3 && strcmp(key, known[k]) != 0) k++;
        const char *near = k == 3 ? nearest_name(key, known, 3) : NULL;
        if (k == 3)
            problems_add(l->p, l->file, l->number,
                         "\"%.40s\": a host may have slots=N and max_slots=N%s%s%s", key,
                         near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        int n = k < 3 ? take_count(l, key) : 0;
        c.wrong = n == 0;
        *(k == 0 ? &c.slots : &c.most) = n;
    }
    skip_spaces(l);
    if (l->at < l->end && !c.wrong) {
        problems_add(l->p, l->file, l->number, "\"=\" without a word before it");
        c.wrong = true;
    }
    return c;
}

static void read_line(struct hosts *h, struct line *l)
{
    char name[WORD_BYTES];
    skip_spaces(l);
    if (l->at == l->end) return;
    next_word(l, name);
    struct counts c = take_counts(l);
    int before = host_find(h, name);
    if (!name_possible(name))
        problems_add(l->p, l->file, l->number, "\"%.40s\" is no host's name", name);
    else if (before >= 0)
        problems_add(l->p, l->file, l->number,
                     "host %.60s is there already, as number %d: give all its slots at once", name,
                     before + 1);
    else if (!c.wrong && c.slots == 0)
        problems_add(l->p, l->file, l->number,
                     "host %.60s has no slots=N; mpirun would count its cores, which are not known "
                     "here",
                     name);
    else if (!c.wrong && c.most > 0 && c.most < c.slots)
        problems_add(l->p, l->file, l->number, "host %.60s: max_slots=%d is less than slots=%d",
                     name, c.most, c.slots);
    else if (!c.wrong && h->n == MOST_HOSTS)
        problems_add(l->p, l->file, l->number, "more than %d hosts", MOST_HOSTS);
    else if (!c.wrong)
        host_add(h, name, c.slots);
}

/* ---- a file ---- */

bool hosts_parse(struct hosts *h, const char *text, size_t n, const char *file, struct problems *p)
{
    enum { ENOUGH = 20 }; /* mistakes of a file that is something else */
    int before = p->n, number = 0;
    *h = (struct hosts){0};
    for (size_t at = 0; at < n && p->n - before < ENOUGH;) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        if (!end) end = text + n;
        at = (size_t)(end - text) + 1;
        const char *comment = memchr(line, '#', (size_t)(end - line));
        struct line l = {line, comment ? comment : end, file, ++number, p};
        read_line(h, &l);
    }
    if (p->n == before && h->n == 0)
        problems_add(p, file, 0, "names no host; write one a line, as in: node-a slots=4");
    return p->n == before;
}

bool hosts_load(struct hosts *h, const char *path, struct problems *p)
{
    enum { MOST_BYTES = 1 << 24 };
    struct failure f = {0};
    size_t n;
    *h = (struct hosts){0};
    char *text = file_read(path, MOST_BYTES, &n, &f);
    if (!text) {
        problems_add(p, path, 0, "cannot read the hostfile: %s", f.why);
        return false;
    }
    bool ok = hosts_parse(h, text, n, path, p);
    free(text);
    return ok;
}

void hosts_of_cluster(struct hosts *h, const struct cluster *c)
{
    char name[32];
    *h = (struct hosts){0};
    for (int i = 0; i < c->top.nodes; i++) {
        snprintf(name, sizeof name, "node-%d", i + 1);
        host_add(h, name, c->top.devices);
    }
}

void hosts_free(struct hosts *h)
{
    for (int i = 0; i < h->n; i++) free(h->at[i].name);
    free(h->at);
    *h = (struct hosts){0};
}

int *hosts_place(const struct hosts *h, int ranks)
{
    int *host = memory_take((size_t)ranks, sizeof *host, "the hosts of ranks");
    INVARIANT(ranks <= h->slots, "%d ranks, %d slots", ranks, h->slots);
    for (int i = 0, rank = 0; rank < ranks; i++)
        for (int s = 0; s < h->at[i].slots && rank < ranks; s++) host[rank++] = i;
    return host;
}
