/* Reads a manifest from bytes that may be anything (promise P11). The checksum comes first, so that
 * damage is called damage; what passes it and still does not fit was written by another program or
 * version. All but the tensors, which are nearly all of a large job's, becomes a tree of JSON. */
#include "comm/base/checksum.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/manifest_tensors.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SHARDS = 1 << 20 };

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
        return manifest_bad(r, "damaged in its first line: the checksum is missing");
    const uint64_t is = checksum(bytes + head, n - head, 0);
    if (is == said) return true;
    return manifest_bad(r,
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
        return manifest_bad(r, "%s: %s", what, e.text);
    if (size < 0 || !read_hex(hex, n, &s->xxh64))
        return manifest_bad(r, "%s: impossible bytes or xxh64", what);
    s->bytes = (uint64_t)size;
    return true;
}

/* A name must be the one that its number gives: a manifest cannot point to a file elsewhere. */
static bool read_shards(const struct manifest_reader *r, json_t *list)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > MOST_SHARDS) return manifest_bad(r, "\"shards\" lists %zu files", n);
    r->m->shards = (int)n;
    r->m->shard = calloc(n, sizeof *r->m->shard);
    if (!r->m->shard) return manifest_bad(r, "no memory for %zu shards", n);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        shard_name(name, (int)i, (int)n);
        json_t *o = json_array_get(list, i);
        const char *file = json_string_value(json_object_get(o, "file"));
        if (!file || strcmp(file, name) != 0)
            return manifest_bad(r, "shard %zu must be called %s", i, name);
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
            return manifest_bad(r, "\"files\" has an impossible name, or more than %d files",
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
    if (!json_is_object(files)) return manifest_bad(r, "\"files\" is not an object");
    json_t *recipe = json_object_get(files, "recipe.yaml"),
           *tokenizer = json_object_get(files, "tokenizer.json");
    m->has_recipe = recipe != NULL;
    m->has_tokenizer = tokenizer != NULL;
    return (!recipe || read_sum(r, recipe, "recipe.yaml", &m->recipe)) &&
           (!tokenizer || read_sum(r, tokenizer, "tokenizer.json", &m->tokenizer)) &&
           read_more_files(r, files);
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
        return manifest_bad(r, "not a manifest of ours: %s", e.text);
    if (strcmp(format, "duet-checkpoint") != 0 || version != 1)
        return manifest_bad(
            r, "written as %.40s version %lld; this program reads duet-checkpoint version 1",
            format, (long long)version);
    if (step < 0 || !json_is_object(state)) return manifest_bad(r, "impossible step or state");
    r->m->step = (long)step;
    r->m->keep_forever = keep != 0;
    r->m->state = json_incref(state);
    return read_shards(r, shards) && read_files(r, files);
}

/* --- the tensors are cut out --- */

struct part_of_text {
    const char *at, *end;
};

/* The quote that closes a string; end when none does. */
static const char *string_end(const char *open, const char *end)
{
    const char *at = open + 1;
    while (at < end && *at != '"') at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end ? at : end;
}

/* Behind a value: at the comma or the bracket that follows it on its own level. What is passed over
 * is checked when it is read. */
static const char *value_end(const char *at, const char *end)
{
    size_t depth = 0;
    for (; at < end; at++) {
        if (*at == '"') at = string_end(at, end);
        if (at == end) break;
        if (depth == 0 && (*at == ',' || *at == '}' || *at == ']')) break;
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
    }
    return at;
}

/* The value of the root's member "tensors"; empty at the end of the text where it has none. */
static struct part_of_text find_tensors(const char *bytes, size_t n)
{
    static const char NAME[] = "\"tensors\"";
    const char *end = bytes + n, *at = bytes;
    while (at < end) {
        const char *open = memchr(at, '"', (size_t)(end - at)), *close = NULL;
        if (open) close = string_end(open, end);
        if (!close || close == end) break;
        const char *value = memchr(close, ':', (size_t)(end - close));
        if (!value) break;
        at = value_end(value + 1, end);
        const size_t length = (size_t)(close + 1 - open);
        if (length == sizeof NAME - 1 && memcmp(open, NAME, length) == 0)
            return (struct part_of_text){value + 1, at};
    }
    return (struct part_of_text){end, end};
}

/* All but the tensors as a tree: in their place {}, and their lines, so that mistakes have the
 * right ones. NULL and a problem when it is not JSON. */
static json_t *parse_rest(const struct manifest_reader *r, const char *bytes, size_t n,
                          struct part_of_text tensors)
{
    const size_t before = (size_t)(tensors.at - bytes), behind = n - (size_t)(tensors.end - bytes);
    json_error_t e = {0};
    size_t lines = 0;
    for (const char *c = tensors.at; c < tensors.end; c++) lines += *c == '\n';
    char *rest = malloc(before + behind + lines + 2), *at = rest;
    if (!rest) {
        manifest_bad(r, "no memory for its %zu bytes", n);
        return NULL;
    }
    memcpy(at, bytes, before);
    at += before;
    if (tensors.at < tensors.end) {
        memset(at, '\n', lines + 2);
        at[0] = '{';
        at[lines + 1] = '}';
        at += lines + 2;
    }
    memcpy(at, tensors.end, behind);
    at += behind;
    json_t *root = json_loadb(rest, (size_t)(at - rest), JSON_REJECT_DUPLICATES, &e);
    free(rest);
    if (!root)
        problems_add(r->p, r->file, e.line,
                     "not JSON: %s; use another checkpoint, or restore a copy of this one", e.text);
    return root;
}

/* Readers return at the first fault and leave m half filled; it is emptied here, in one place. */
bool manifest_parse(struct manifest *m, const void *bytes, size_t n, const char *file,
                    struct problems *p)
{
    *m = (struct manifest){0};
    const struct manifest_reader r = {m, file, p};
    if (!check_sum(&r, bytes, n)) return false;
    const struct part_of_text tensors = find_tensors(bytes, n);
    json_t *root = parse_rest(&r, bytes, n, tensors);
    const bool ok = root && read_root(&r, root) &&
                    manifest_read_tensors(&r, tensors.at, (size_t)(tensors.end - tensors.at));
    json_decref(root);
    if (!ok) manifest_free(m);
    return ok;
}
