/* The tensors of a manifest: hundreds of megabytes of a large job's, so they are read from left to
 * right, a slice at a time, and never become a tree. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/checkpoint/gap.h"
#include "trainer/checkpoint/hf/json_scan.h"
#include "trainer/checkpoint/manifest_tensors.h"
#include "trainer/checkpoint/range.h"

enum { DEPTH = 64 }; /* of members that mean nothing to us */

struct tensors_reader {
    const struct manifest_reader *r;
    struct json_scan s;
    size_t slices, room; /* of the pool */
    size_t tensors_room;
};

/* Grows an array of n things by half as many again. */
static bool room_for_one(const struct manifest_reader *r, void **at, size_t n, size_t *room,
                         size_t size)
{
    if (n < *room) return true;
    const size_t more = *room + *room / 2 + 64;
    void *bigger = realloc(*at, more * size);
    if (!bigger) return manifest_bad(r, "no memory for %zu slices", more);
    *at = bigger;
    *room = more;
    return true;
}

/* --- slices --- */

enum { RUN_NUMBERS = 3, COLUMN_NUMBERS = 5 };

/* A whole number of either sign. */
static bool scan_whole(struct json_scan *s, long long *value)
{
    uint64_t x;
    const bool minus = json_scan_take(s, '-');
    if (!json_scan_u64(s, &x) || x > LLONG_MAX) return false;
    *value = minus ? -(long long)x : (long long)x;
    return true;
}

/* Their number; 0: it is no list of 3 or 5 whole numbers. */
static int scan_numbers(struct json_scan *s, long long v[COLUMN_NUMBERS])
{
    int n = 0;
    if (!json_scan_take(s, '[')) return 0;
    do {
        if (n == COLUMN_NUMBERS || !scan_whole(s, &v[n++])) return 0;
    } while (json_scan_take(s, ','));
    return json_scan_take(s, ']') && (n == RUN_NUMBERS || n == COLUMN_NUMBERS) ? n : 0;
}

/* The order is checked, because the name of a slice's dataset depends on the slice before it
 * (again). */
static bool add_slice(struct tensors_reader *t, struct manifest_tensor *to)
{
    struct manifest *m = t->r->m;
    long long v[COLUMN_NUMBERS] = {0};
    const int n = scan_numbers(&t->s, v);
    if (n == 0)
        return manifest_bad(
            t->r, "%s: a slice is neither [shard, lo, hi] nor [shard, lo, hi, run, stride]",
            to->name);
    const bool columns = n == COLUMN_NUMBERS;
    const struct range at = {(size_t)v[1], (size_t)v[2], (size_t)v[3], (size_t)v[4]};
    if (v[0] < 0 || v[0] >= m->shards || v[1] < 0 || v[2] < 0 || v[3] < columns || v[4] < 0 ||
        !range_valid(&at, to->n))
        return manifest_bad(t->r, "%s: impossible slice [%lld, %lld, %lld%s]", to->name, v[0], v[1],
                            v[2], columns ? ", ..." : "");
    const struct manifest_slice *before = to->slices ? &m->pool[t->slices - 1] : NULL;
    const bool again = before && before->shard == (int)v[0];
    if (before && (before->shard > (int)v[0] || (again && before->at.lo >= at.lo)))
        return manifest_bad(t->r, "%s: its slices are out of order", to->name);
    if (!room_for_one(t->r, (void **)&m->pool, t->slices, &t->room, sizeof *m->pool) || !m->pool)
        return false;
    m->pool[t->slices++] = (struct manifest_slice){(int)v[0], again, at};
    to->slices++;
    return true;
}

/* What is no list has no slices: that is found when what they hold is counted. */
static bool read_slices(struct tensors_reader *t, struct manifest_tensor *to)
{
    if (!json_scan_take(&t->s, '[')) return json_scan_skip(&t->s, DEPTH);
    if (json_scan_take(&t->s, ']')) return true;
    do {
        if (!add_slice(t, to)) return false;
    } while (json_scan_take(&t->s, ','));
    return json_scan_need(&t->s, ']', "a , or ] is missing");
}

/* --- a tensor --- */

/* Bounded so that its bytes as float32 can be counted in a size_t. */
static bool read_n(struct tensors_reader *t, struct manifest_tensor *to)
{
    long long n;
    if (!scan_whole(&t->s, &n))
        return manifest_bad(t->r, "%s: its number of elements is no whole number", to->name);
    if (n <= 0 || (uint64_t)n > SIZE_MAX / sizeof(float))
        return manifest_bad(t->r, "%s: impossible number of elements %lld", to->name, n);
    to->n = (size_t)n;
    return true;
}

/* Absent in a manifest from before it was written. */
static bool read_shape(struct tensors_reader *t, struct manifest_tensor *to)
{
    uint64_t n = 1;
    int dims = 0;
    bool ok = json_scan_take(&t->s, '[');
    do {
        long long size = 0;
        ok = ok && dims < PARAM_DIMS && scan_whole(&t->s, &size) && size > 0 && size <= INT_MAX &&
             n <= to->n / (uint64_t)size;
        if (!ok) break;
        to->shape[dims++] = (int)size;
        n *= (uint64_t)size;
    } while (json_scan_take(&t->s, ','));
    if (ok && json_scan_take(&t->s, ']') && n == to->n) return true;
    return manifest_bad(t->r, "%s: its shape does not have %zu elements", to->name, to->n);
}

/* Where members stand that cannot be read before n is. */
struct tensor_members {
    bool n, slices, later;
    struct json_scan shape, slices_at; /* shape: begin is NULL where there is none */
};

/* Slices need the number of dimensions, n: where it comes behind them they are read later. */
static bool read_member(struct tensors_reader *t, struct manifest_tensor *to,
                        struct tensor_members *m)
{
    struct json_scan *s = &t->s;
    const char *name = json_scan_string(s);
    if (!name || !json_scan_need(s, ':', "a : is missing")) return false;
    const bool n = strcmp(name, "n") == 0, slices = strcmp(name, "slices") == 0,
               shape = strcmp(name, "shape") == 0;
    if ((n && m->n) || (slices && m->slices) || (shape && m->shape.begin))
        return manifest_bad(t->r, "%s: duplicate member", to->name);
    m->n = m->n || n;
    m->slices = m->slices || slices;
    if (n) return read_n(t, to);
    if (slices && m->n) return read_slices(t, to);
    if (slices) m->slices_at = *s, m->later = true;
    if (shape) m->shape = *s;
    return json_scan_skip(s, DEPTH);
}

/* What was passed over. */
static bool read_later(struct tensors_reader *t, struct manifest_tensor *to,
                       const struct tensor_members *m)
{
    const struct json_scan here = t->s;
    if (!m->n || !m->slices)
        return manifest_bad(t->r, "%s: it lacks one of n and slices", to->name);
    bool ok = true;
    if (m->shape.begin) {
        t->s = m->shape;
        ok = read_shape(t, to);
    }
    if (ok && m->later) {
        t->s = m->slices_at;
        ok = read_slices(t, to);
    }
    if (ok) t->s = here;
    return ok;
}

static bool read_tensor(struct tensors_reader *t, struct manifest_tensor *to)
{
    struct tensor_members m = {0};
    if (!json_scan_take(&t->s, '{'))
        return manifest_bad(t->r, "%s: it is no object with n and slices", to->name);
    if (!json_scan_is(&t->s, '}')) {
        do {
            if (!read_member(t, to, &m)) return false;
        } while (json_scan_take(&t->s, ','));
    }
    return json_scan_need(&t->s, '}', "a , or } is missing") && read_later(t, to, &m);
}

/* Its name, then itself. */
static bool add_tensor(struct tensors_reader *t, char *text)
{
    struct manifest *m = t->r->m;
    t->s.text = text; /* what was read before is not needed any more */
    const char *name = json_scan_string(&t->s);
    if (!name || !json_scan_need(&t->s, ':', "a : is missing")) return false;
    if (!room_for_one(t->r, (void **)&m->tensor, m->tensors, &t->tensors_room, sizeof *m->tensor))
        return false;
    struct manifest_tensor *to = &m->tensor[m->tensors];
    if (strlen(name) == 0 || strlen(name) >= sizeof to->name)
        return manifest_bad(t->r, "a tensor's name has %zu characters", strlen(name));
    *to = (struct manifest_tensor){0};
    strcpy(to->name, name);
    m->tensors++;
    return read_tensor(t, to);
}

/* --- all of them --- */

/* With columns gap_find cannot name an element: hence two messages. */
static bool find_gap(const struct manifest_reader *r)
{
    size_t slices = 0;
    for (size_t i = 0; i < r->m->tensors; i++)
        if (r->m->tensor[i].slices > slices) slices = r->m->tensor[i].slices;
    uint64_t *scratch = calloc(gap_scratch(slices), sizeof *scratch);
    if (!scratch) return manifest_bad(r, "no memory for %zu slices", slices);
    bool ok = true;
    for (size_t i = 0; ok && i < r->m->tensors; i++) {
        const struct manifest_tensor *t = &r->m->tensor[i];
        const size_t gap = gap_find(t, scratch);
        if (gap == 0 && t->slices > 0 && t->slice[0].at.run)
            ok = manifest_bad(r, "%s: its slices do not hold each of the %zu elements exactly once",
                              t->name, t->n);
        else if (gap < t->n)
            ok = manifest_bad(r, "%s: no slice holds element %zu of %zu", t->name, gap, t->n);
    }
    free(scratch);
    return ok;
}

static int tensor_order(const void *a, const void *b)
{
    const struct manifest_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The pool does not move any more. Another program may order the names otherwise than bsearch needs
 * them. */
static bool finish(const struct manifest_reader *r)
{
    struct manifest *m = r->m;
    struct manifest_slice *next = m->pool;
    for (size_t i = 0; i < m->tensors; next += m->tensor[i++].slices) m->tensor[i].slice = next;
    if (m->tensors > 0) qsort(m->tensor, m->tensors, sizeof *m->tensor, tensor_order);
    for (size_t i = 1; i < m->tensors; i++)
        if (strcmp(m->tensor[i - 1].name, m->tensor[i].name) == 0)
            return manifest_bad(r, "%s: duplicate tensor", m->tensor[i].name);
    return find_gap(r);
}

static bool read_all(struct tensors_reader *t, char *text)
{
    if (!json_scan_need(&t->s, '{', "\"tensors\" is not an object")) return false;
    if (!json_scan_is(&t->s, '}')) {
        do {
            if (!add_tensor(t, text)) return false;
        } while (json_scan_take(&t->s, ','));
    }
    if (!json_scan_need(&t->s, '}', "a , or } is missing")) return false;
    json_scan_is(&t->s, 0); /* passes over white space */
    return t->s.at == t->s.end || json_scan_fail(&t->s, "something stands behind them");
}

/* A mistake of the grammar is told here, once. */
bool manifest_read_tensors(const struct manifest_reader *r, const char *bytes, size_t n)
{
    char *text = malloc(n + 1);
    if (!text) return manifest_bad(r, "no memory for its names");
    const unsigned char *begin = (const unsigned char *)bytes;
    struct tensors_reader t = {.r = r, .s = {.begin = begin, .at = begin, .end = begin + n}};
    const int before = r->p->n;
    const bool ok = read_all(&t, text);
    free(text);
    if (!ok && r->p->n == before)
        return manifest_bad(r, "not JSON in byte %zu of its tensors: %s", (size_t)(t.s.at - begin),
                            t.s.why);
    return ok && finish(r);
}
