#include "trainer/planner/hosts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/files.h"

enum { MOST_HOSTS = 16384, MOST_SLOTS = 65536, NAME_BYTES = 254, WORD_BYTES = 300 };

/* ---- words ---- */

/* What is left of a line. */
struct host_line {
    const char *at, *end, *file;
    int number;
    bool text_is_odd; /* it holds bytes that no text has */
    struct problems *p;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_spaces(struct host_line *l)
{
    while (l->at < l->end && is_space(*l->at)) l->at++;
}

/* The next word, cut at spaces and '='; false at the end of the line. What is too long is cut and
 * not known later. */
static bool next_word(struct host_line *l, char word[WORD_BYTES])
{
    size_t n = 0;
    skip_spaces(l);
    for (; l->at < l->end && !is_space(*l->at) && *l->at != '='; l->at++)
        if (n + 1 < WORD_BYTES) word[n++] = isprint((unsigned char)*l->at) ? *l->at : '?';
    word[n] = '\0';
    return n > 0;
}

static bool next_is(struct host_line *l, char c)
{
    skip_spaces(l);
    if (l->at == l->end || *l->at != c) return false;
    l->at++;
    return true;
}

/* Behind a byte order mark, which editors put before UTF-8. */
static size_t text_start(const char *text, size_t n)
{
    return n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* The line at *at of a text, without its comment; *at becomes the next one's. */
static struct host_line take_line(const char *text, size_t n, size_t *at)
{
    const char *line = text + *at, *end = memchr(line, '\n', n - *at);
    if (!end) end = text + n;
    const char *comment = memchr(line, '#', (size_t)(end - line));
    *at = (size_t)(end - text) + 1;
    return (struct host_line){.at = line, .end = comment ? comment : end};
}

/* ---- a line ---- */

static const char *const keys[] = {"slots", "max_slots", "max-slots"};
enum { N_KEYS = sizeof keys / sizeof *keys };

static bool is_key(const char *word)
{
    for (int k = 0; k < N_KEYS; k++)
        if (strcasecmp(word, keys[k]) == 0) return true;
    return false;
}

static bool name_possible(const char *name)
{
    static const char *const allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t user = strspn(name, allowed);
    const char *host = user > 0 && name[user] == '@' ? name + user + 1 : name;
    if (is_key(name)) return false;
    return host[strspn(host, allowed)] == '\0' && isalnum((unsigned char)host[0]) &&
           strlen(name) <= NAME_BYTES;
}

/* The commonest mistakes have a message of their own; launch/run/hostfile.sh has the same ones. */
static void no_name(const struct host_line *l, const char *name)
{
    const char *colon = strchr(name, ':');
    if (l->text_is_odd)
        problems_add(l->p, l->file, l->number,
                     "not a text file, or a UTF-16 one: save it as UTF-8 or plain text");
    else if (name[0] == '[' || (colon && strchr(colon + 1, ':')))
        problems_add(l->p, l->file, l->number,
                     "%.60s is an IPv6 address, but hosts are reached over IPv4: write the host's "
                     "name or its IPv4 address",
                     name);
    else if (colon && isdigit((unsigned char)colon[1]))
        problems_add(l->p, l->file, l->number,
                     "\"%.40s\" is not a host name; write: %.*s slots=%.6s", name,
                     (int)(colon - name < 40 ? colon - name : 40), name, colon + 1);
    else if (!*name || is_key(name))
        problems_add(l->p, l->file, l->number, "the line has no host name; write: HOST slots=2");
    else
        problems_add(
            l->p, l->file, l->number,
            "\"%.40s\" is not a host name: names consist of ASCII letters, digits, . - and _",
            name);
}

/* Case does not count, in names as in DNS. */
static int host_find(const struct hosts *h, const char *name)
{
    for (int i = 0; i < h->n; i++)
        if (strcasecmp(h->at[i].name, name) == 0) return i;
    return -1;
}

/* Names are not looked up: a plan may be made where the hosts cannot be reached. */
static void host_add(struct hosts *h, const char *name, int slots)
{
    if (h->n == h->room) {
        h->room = 2 * h->room + 8;
        h->at = realloc(h->at, (size_t)h->room * sizeof *h->at);
        SYS_OK(h->at, "free memory on this machine", "no memory for %d hosts", h->room);
    }
    char *copy = memory_copy_text(name, "a host's name");
    h->at[h->n++] = (struct host){copy, slots};
    h->slots += slots;
}

/* A count behind `key =`; 0 and a problem when it is none. */
static int take_count(struct host_line *l, const char *key)
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

/* Stops at the first mistake of a line: what follows would be misread. */
static struct counts take_counts(struct host_line *l)
{
    struct counts c = {0};
    char key[WORD_BYTES];
    while (l->at < l->end && !c.wrong) {
        if (!next_word(l, key)) break;
        int k = 0;
        while (k < N_KEYS && strcasecmp(key, keys[k]) != 0) k++;
        const char *near = k == N_KEYS ? nearest_name(key, keys, N_KEYS) : NULL;
        if (k == N_KEYS)
            problems_add(l->p, l->file, l->number,
                         "\"%.40s\" is not an option of a host: use slots=N or max_slots=N%s%s%s",
                         key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        int n = k < N_KEYS ? take_count(l, key) : 0;
        c.wrong = n == 0;
        *(k == 0 ? &c.slots : &c.most) = n;
    }
    skip_spaces(l);
    if (l->at < l->end && !c.wrong) {
        problems_add(l->p, l->file, l->number, "\"=\" without a name before it");
        c.wrong = true;
    }
    return c;
}

/* A host that is there already has the sum of its slots, as for mpirun. */
static void host_take(struct hosts *h, struct host_line *l, const char *name, int slots)
{
    int before = host_find(h, name);
    if (before < 0 && h->n == MOST_HOSTS)
        problems_add(l->p, l->file, l->number, "more than %d hosts", MOST_HOSTS);
    else if (before < 0)
        host_add(h, name, slots);
    else if (h->at[before].slots + slots > MOST_SLOTS)
        problems_add(l->p, l->file, l->number,
                     "host %.60s is listed more than once, with more than %d slots in total", name,
                     MOST_SLOTS);
    else
        h->at[before].slots += slots, h->slots += slots;
}

/* mpirun would count cores where slots is missing; a plan cannot, so it must be given. */
static void read_line(struct hosts *h, struct host_line *l)
{
    char name[WORD_BYTES];
    skip_spaces(l);
    if (l->at == l->end) return;
    next_word(l, name);
    if (!name_possible(name)) {
        no_name(l, name);
        return;
    }
    struct counts c = take_counts(l);
    if (!c.wrong && c.slots == 0)
        problems_add(
            l->p, l->file, l->number,
            "host %.60s has no slots=N: add it, since its number of cores is not known here", name);
    else if (!c.wrong && c.most > 0 && c.most < c.slots)
        problems_add(l->p, l->file, l->number, "host %.60s: max_slots=%d is less than slots=%d",
                     name, c.most, c.slots);
    else if (!c.wrong)
        host_take(h, l, name, c.slots);
}

/* ---- a file ---- */

/* A file with NULs (UTF-16, a program) gets one message, not one for each line. */
bool hosts_parse(struct hosts *h, const char *text, size_t n, const char *file, struct problems *p)
{
    enum { ENOUGH = 20 }; /* mistakes of a file that is something else */
    int before = p->n, number = 0;
    bool odd = n > 0 && memchr(text, '\0', n) != NULL;
    *h = (struct hosts){0};
    for (size_t at = text_start(text, n); at < n && p->n - before < (odd ? 1 : ENOUGH);) {
        struct host_line l = take_line(text, n, &at);
        l.file = file, l.number = ++number, l.p = p, l.text_is_odd = odd;
        read_line(h, &l);
    }
    if (p->n == before && h->n == 0)
        problems_add(p, file, 0, "lists no hosts: write one per line, as in: node-a slots=4");
    return p->n == before;
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
    free(h->placed);
    *h = (struct hosts){0};
}

/* ---- maps ---- */

/* Room for the hosts of this many ranks; false: there are not enough slots. */
static bool map_begin(struct hosts *h, int ranks, struct problems *p)
{
    if (ranks > h->slots)
        problems_add(p, NULL, 0, "%d ranks, but the %d hosts have %d slots", ranks, h->n, h->slots);
    if (ranks > h->slots) return false;
    free(h->placed);
    h->placed = memory_take((size_t)ranks, sizeof *h->placed, "the hosts of ranks");
    h->n_placed = 0;
    return true;
}

/* One line of a map file. */
static void map_line(struct hosts *h, struct host_line *l, int ranks, int *used)
{
    char name[WORD_BYTES], more[WORD_BYTES];
    if (!next_word(l, name)) return;
    int host = host_find(h, name);
    if (next_word(l, more) || next_is(l, '='))
        problems_add(l->p, l->file, l->number, "a map takes one host per line and nothing else");
    else if (host < 0)
        problems_add(l->p, l->file, l->number, "\"%.60s\" is not in the hostfile or cluster file",
                     name);
    else if (h->n_placed == ranks)
        problems_add(l->p, l->file, l->number, "more lines than ranks (%d)", ranks);
    else if (++used[host] > h->at[host].slots)
        problems_add(l->p, l->file, l->number, "host %.60s has %d slots, but this is its rank %d",
                     name, h->at[host].slots, used[host]);
    else
        h->placed[h->n_placed++] = host;
}

/* Stops at the first mistake: later lines are ranks counted from it. */
bool hosts_map_parse(struct hosts *h, const char *text, size_t n, const char *file, int ranks,
                     struct problems *p)
{
    int before = p->n, number = 0;
    if (!map_begin(h, ranks, p)) return false;
    int *used = memory_take((size_t)h->n, sizeof *used, "a map of ranks");
    for (size_t at = text_start(text, n); at < n && p->n == before;) {
        struct host_line l = take_line(text, n, &at);
        l.file = file, l.number = ++number, l.p = p;
        map_line(h, &l, ranks, used);
    }
    free(used);
    if (p->n == before && h->n_placed < ranks)
        problems_add(p, file, 0,
                     "places only %d of %d ranks: write one host per line, for rank 0, 1, ...",
                     h->n_placed, ranks);
    return p->n == before;
}

/* The i-th stage to be placed: in order, or a mirror's pairs one after the other. */
static int stage_at(bool mirrored, int i, int pp)
{
    if (!mirrored) return i;
    return i % 2 ? pp - 1 - i / 2 : i / 2;
}

/* What shares a stage fills a host before the next stage does. */
static bool map_stages(struct hosts *h, bool mirrored, int dp, int pp, int tp, struct problems *p)
{
    int ranks = dp * pp * tp, host = 0, used = 0;
    if (!map_begin(h, ranks, p)) return false;
    for (int i = 0; i < ranks; i++) {
        int stage = stage_at(mirrored, i / (dp * tp), pp), d = i / tp % dp, t = i % tp;
        if (used == h->at[host].slots) host++, used = 0;
        h->placed[(d * pp + stage) * tp + t] = host;
        used++;
    }
    h->n_placed = ranks;
    return true;
}

static char *read_whole(const char *path, const char *what, size_t *n, struct problems *p)
{
    enum { MOST_BYTES = 1 << 24 };
    struct failure f = {0};
    char *text = path_read(path, MOST_BYTES, n, &f);
    if (!text) problems_add(p, path, 0, "cannot read the %s: %s", what, f.why);
    return text;
}

bool hosts_load(struct hosts *h, const char *path, struct problems *p)
{
    size_t n;
    *h = (struct hosts){0};
    char *text = read_whole(path, "hostfile", &n, p);
    bool ok = text && hosts_parse(h, text, n, path, p);
    free(text);
    return ok;
}

/* A mesh behind the kind, as launch/run.sh wants it, must be the recipe's. */
bool hosts_map(struct hosts *h, const char *map, int dp, int pp, int tp, struct problems *p)
{
    static const char *const kinds[] = {"pipelines", "experts", "mirrored"};
    size_t length = strcspn(map, ":"), n;
    char mesh[64];
    snprintf(mesh, sizeof mesh, ":%dx%dx%d", dp, pp, tp);
    for (int k = 0; k < 3; k++) {
        if (strncmp(map, kinds[k], length) != 0 || kinds[k][length]) continue;
        if (map[length] && strcmp(map + length, mesh) != 0)
            problems_add(p, NULL, 0, "--map %.80s: its mesh differs from the recipe's, %s", map,
                         mesh + 1);
        else if (k > 0)
            map_stages(h, k == 2, dp, pp, tp, p);
        return p->n == 0;
    }
    char *text = read_whole(map, "map file (not one of pipelines, experts, mirrored)", &n, p);
    bool ok = text && hosts_map_parse(h, text, n, map, dp * pp * tp, p);
    free(text);
    return ok;
}

int *hosts_place(const struct hosts *h, int ranks)
{
    int *host = memory_take((size_t)ranks, sizeof *host, "the hosts of ranks");
    INVARIANT(ranks <= h->slots && (!h->placed || ranks == h->n_placed), "%d ranks, %d slots",
              ranks, h->slots);
    for (int rank = 0; h->placed && rank < ranks; rank++) host[rank] = h->placed[rank];
    if (h->placed) return host;
    for (int i = 0, rank = 0; rank < ranks; i++)
        for (int s = 0; s < h->at[i].slots && rank < ranks; s++) host[rank++] = i;
    return host;
}
