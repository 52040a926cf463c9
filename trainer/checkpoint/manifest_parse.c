/* Reads a manifest from bytes that may be anything (promise P11). The checksum comes first, so that
 * damage is called damage; what passes it and still does not fit was written by another program or
 * version. */
#include "comm/base/checksum.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/manifest.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/checkpoint/gap.h"
#include "trainer/checkpoint/range.h"

enum { MOST_SHARDS = 1 << 20 };

struct manifest_reader {
    struct manifest *m;
    const char *file;
    struct problems *p;
};

__attribute__((format(printf, 2, 3))) static bool bad(const struct manifest_reader *r,
                                                      const char *fmt, ...)
{
    char why[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    problems_add(r->p, r->file, 0, "%s; use another checkpoint, or restore a copy of this one",
                 why);
    return false;
}

/* 16 lower-case hexadecimal digits: one way to write a number, so that a flipped bit cannot hide.
 */
static bool read_hex(const char *s, size_t n, uint64_t *value)
{
    *value = 0;
    if (n != 16) return false;
    for (size_t i = 0; i < 16; i++) {
        const char *at = memchr("0123456789abcdef", s[i], 16);
        if (!at) return false;
        *value = *value << 4 | (uint64_t)(at - "0123456789abcdef");
    }
    return true;
}

/* On the raw bytes, before they are parsed: JSON with a flipped digit is still JSON. */
static bool check_sum(const struct manifest_reader *r, const char *bytes, size_t n)
{
    static const char LEFT[] = "{\"xxh64\": \"", RIGHT[] = "\",\n";
    const size_t left = sizeof LEFT - 1, right = sizeof RIGHT - 1, head = left + 16 + right;
    uint64_t said;
    if (n < head || memcmp(bytes, LEFT, left) != 0 ||
        memcmp(bytes + left + 16, RIGHT, right) != 0 || !read_hex(bytes + left, 16, &said))
        return bad(r, "damaged in its first line: the checksum is missing");
    const uint64_t is = checksum(bytes + head, n - head, 0);
    if (is == said) return true;
    return bad(r,
               "damaged: the checksum of bytes %zu to %zu is %016" PRIx64
               ", the first line says %016" PRIx64 " (changed or cut after it was saved)",
               head, n, is, said);
}

/* --- members --- */

static bool read_sum(const struct manifest_reader *r, json_t *o, const char *what,
                     struct file_sum *s)
{
    json_error_t e;
    json_int_t size;
    const char *hex;
    size_t n;
    if (json_unpack_ex(o, &e, 0, "{s:I, s:s%}", "bytes", &size, "xxh64", &hex, &n) != 0)
        return bad(r, "%s: %s", what, e.text);
    if (size < 0 || !read_hex(hex, n, &s->xxh64))
        return bad(r, "%s: impossible bytes or xxh64", what);
    s->bytes = (uint64_t)size;
    return true;
}

/* A name must be the one that its number gives: a manifest cannot point to a file elsewhere. */
static bool read_shards(const struct manifest_reader *r, json_t *list)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > MOST_SHARDS) return bad(r, "\"shards\" lists %zu files", n);
    r->m->shards = (int)n;
    r->m->shard = calloc(n, sizeof *r->m->shard);
    if (!r->m->shard) return bad(r, "no memory for %zu shards", n);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        shard_name(name, (int)i, (int)n);
        json_t *o = json_array_get(list, i);
        const char *file = json_string_value(json_object_get(o, "file"));
        if (!file || strcmp(file, name) != 0) return bad(r, "shard %zu must be called %s", i, name);
        if (!read_sum(r, o, name, &r->m->shard[i])) return false;
    }
    return true;
}

/* Files of the model beside the two that every run has. */
static bool read_more_files(const struct manifest_reader *r, json_t *files)
{
    struct manifest *m = r->m;
    const char *name;
    json_t *o;
    json_object_foreach(files, name, o)
    {
        if (strcmp(name, "recipe.yaml") == 0 || strcmp(name, "tokenizer.json") == 0) continue;
        if (!attachment_name_valid(name) || m->files == MOST_ATTACHMENTS)
            return bad(r, "\"files\" has an impossible name, or more than %d files",
                       MOST_ATTACHMENTS);
        struct manifest_file *f = &m->file[m->files++];
        strcpy(f->name, name);
        if (!read_sum(r, o, name, &f->sum)) return false;
    }
    return true;
}

static bool read_files(const struct manifest_reader *r, json_t *files)
{
    struct manifest *m = r->m;
    if (!json_is_object(files)) return bad(r, "\"files\" is not an object");
    json_t *recipe = json_object_get(files, "recipe.yaml"),
           *tokenizer = json_object_get(files, "tokenizer.json");
    m->has_recipe = recipe != NULL;
    m->has_tokenizer = tokenizer != NULL;
    return (!recipe || read_sum(r, recipe, "recipe.yaml", &m->recipe)) &&
           (!tokenizer || read_sum(r, tokenizer, "tokenizer.json", &m->tokenizer)) &&
           read_more_files(r, files);
}

/* The order is checked, because the name of a slice's dataset depends on the slice before it
 * (again). */
static bool read_slice(const struct manifest_reader *r, json_t *list, struct manifest_tensor *t)
{
    json_int_t shard, lo, hi, run = 0, stride = 0;
    const bool columns = json_array_size(list) == 5;
    if (json_unpack(list, columns ? "[I, I, I, I, I!]" : "[I, I, I!]", &shard, &lo, &hi, &run,
                    &stride) != 0)
        return bad(r, "%s: a slice is neither [shard, lo, hi] nor [shard, lo, hi, run, stride]",
                   t->name);
    const struct range at = {(size_t)lo, (size_t)hi, (size_t)run, (size_t)stride};
    if (shard < 0 || shard >= r->m->shards || lo < 0 || hi < 0 || run < columns || stride < 0 ||
        !range_valid(&at, t->n))
        return bad(r, "%s: impossible slice [%lld, %lld, %lld%s]", t->name, (long long)shard,
                   (long long)lo, (long long)hi, columns ? ", ..." : "");
    const struct manifest_slice *before = t->slices ? &t->slice[t->slices - 1] : NULL;
    const bool again = before && before->shard == (int)shard;
    if (before && (before->shard > (int)shard || (again && before->at.lo >= at.lo)))
        return bad(r, "%s: its slices are out of order", t->name);
    t->slice[t->slices++] = (struct manifest_slice){(int)shard, again, at};
    return true;
}

/* Absent in a manifest from before it was written. */
static bool read_shape(const struct manifest_reader *r, json_t *list, struct manifest_tensor *t)
{
    const size_t dims = json_array_size(list);
    uint64_t n = 1;
    if (!list) return true;
    bool ok = dims > 0 && dims <= PARAM_DIMS;
    for (size_t i = 0; ok && i < dims; i++) {
        const json_int_t size = json_integer_value(json_array_get(list, i));
        ok = size > 0 && size <= INT_MAX && n <= t->n / (uint64_t)size;
        if (!ok) break;
        t->shape[i] = (int)size;
        n *= (uint64_t)size;
    }
    return (ok && n == t->n) || bad(r, "%s: its shape does not have %zu elements", t->name, t->n);
}

/* n is bounded so that its bytes as float32 can be counted in a size_t. */
static bool read_tensor(const struct manifest_reader *r, const char *name, json_t *o,
                        struct manifest_tensor *t)
{
    json_error_t e;
    json_int_t n;
    json_t *slices;
    if (strlen(name) == 0 || strlen(name) >= sizeof t->name)
        return bad(r, "a tensor's name has %zu characters", strlen(name));
    strcpy(t->name, name);
    if (json_unpack_ex(o, &e, 0, "{s:I, s:o}", "n", &n, "slices", &slices) != 0)
        return bad(r, "%s: %s", name, e.text);
    if (n <= 0 || (uint64_t)n > SIZE_MAX / sizeof(float))
        return bad(r, "%s: impossible number of elements %lld", name, (long long)n);
    t->n = (size_t)n;
    if (!read_shape(r, json_object_get(o, "shape"), t)) return false;
    for (size_t i = 0; i < json_array_size(slices); i++)
        if (!read_slice(r, json_array_get(slices, i), t)) return false;
    return true;
}

static int tensor_order(const void *a, const void *b)
{
    const struct manifest_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* With columns gap_find cannot name an element: hence two messages. */
static bool find_gap(const struct manifest_reader *r)
{
    size_t slices = 0;
    for (size_t i = 0; i < r->m->tensors; i++)
        if (r->m->tensor[i].slices > slices) slices = r->m->tensor[i].slices;
    uint64_t *scratch = calloc(gap_scratch(slices), sizeof *scratch);
    if (!scratch) return bad(r, "no memory for %zu slices", slices);
    bool ok = true;
    for (size_t i = 0; ok && i < r->m->tensors; i++) {
        const struct manifest_tensor *t = &r->m->tensor[i];
        const size_t gap = gap_find(t, scratch);
        if (gap == 0 && t->slices > 0 && t->slice[0].at.run)
            ok = bad(r, "%s: its slices do not hold each of the %zu elements exactly once", t->name,
                     t->n);
        else if (gap < t->n)
            ok = bad(r, "%s: no slice holds element %zu of %zu", t->name, gap, t->n);
    }
    free(scratch);
    return ok;
}

/* Slices are counted first: tensors point into the pool, which therefore must not move. Another
 * program may order the names otherwise than bsearch needs them. */
static bool read_tensors(const struct manifest_reader *r, json_t *tensors)
{
    struct manifest *m = r->m;
    if (!json_is_object(tensors)) return bad(r, "\"tensors\" is not an object");
    const char *name;
    json_t *o;
    size_t all = 0;
    json_object_foreach(tensors, name, o) all += json_array_size(json_object_get(o, "slices"));
    m->tensor = calloc(json_object_size(tensors) + 1, sizeof *m->tensor);
    m->pool = calloc(all + 1, sizeof *m->pool);
    if (!m->tensor || !m->pool) return bad(r, "no memory for %zu slices", all);
    size_t used = 0;
    json_object_foreach(tensors, name, o)
    {
        struct manifest_tensor *t = &m->tensor[m->tensors++];
        t->slice = m->pool + used;
        if (!read_tensor(r, name, o, t)) return false;
        used += t->slices;
    }
    qsort(m->tensor, m->tensors, sizeof *m->tensor, tensor_order);
    return find_gap(r);
}

/* --- the whole --- */

/* The format and version are checked before what they give a meaning to. */
static bool read_root(const struct manifest_reader *r, json_t *root)
{
    json_error_t e;
    const char *format;
    json_int_t version, step;
    int keep;
    json_t *shards, *files, *tensors, *state;
    if (json_unpack_ex(root, &e, 0, "{s:s, s:I, s:I, s:b, s:o, s:o, s:o, s:o}", "format", &format,
                       "version", &version, "step", &step, "keep_forever", &keep, "shards", &shards,
                       "files", &files, "tensors", &tensors, "state", &state) != 0)
        return bad(r, "not a manifest of ours: %s", e.text);
    if (strcmp(format, "duet-checkpoint") != 0 || version != 1)
        return bad(r, "written as %.40s version %lld; this program reads duet-checkpoint version 1",
                   format, (long long)version);
    if (step < 0 || !json_is_object(state)) return bad(r, "impossible step or state");
    r->m->step = (long)step;
    r->m->keep_forever = keep != 0;
    r->m->state = json_incref(state);
    return read_shards(r, shards) && read_files(r, files) && read_tensors(r, tensors);
}

/* Readers return at the first fault and leave m half filled; it is emptied here, in one place. */
bool manifest_parse(struct manifest *m, const void *bytes, size_t n, const char *file,
                    struct problems *p)
{
    *m = (struct manifest){0};
    const struct manifest_reader r = {m, file, p};
    if (!check_sum(&r, bytes, n)) return false;
    json_error_t e;
    json_t *root = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &e);
    bool ok = root != NULL;
    if (!ok)
        problems_add(p, file, e.line,
                     "not JSON: %s; use another checkpoint, or restore a copy of this one", e.text);
    ok = ok && read_root(&r, root);
    json_decref(root);
    if (!ok) manifest_free(m);
    return ok;
}
