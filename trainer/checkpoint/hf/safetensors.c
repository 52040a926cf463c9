/* See safetensors.h. The first mistake of a header ends its reading: behind it nothing has a
 * meaning. */
#include "trainer/checkpoint/hf/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/hf/json_scan.h"

struct st_reader {
    struct json_scan scan;
    struct safetensors *s;
    size_t room;
    bool metadata;
    const char *name; /* the tensor that is read; NULL: none */
};

uint64_t safetensor_count(const struct safetensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

const char *safetensor_shape_text(char out[256], const uint64_t *shape, int rank)
{
    size_t at = 0;
    out[at++] = '[';
    for (int i = 0; i < rank; i++)
        at += (size_t)snprintf(out + at, 256 - at, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(out + at, 256 - at, "]");
    return out;
}

const char *safetensor_show(char out[96], const char *name)
{
    size_t n = 0;
    for (; name[n] && n < 92; n++) out[n] = (unsigned char)name[n] < 0x20 ? '?' : name[n];
    while (name[n] && n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    snprintf(out + n, 96 - n, "%s", name[n] ? "..." : "");
    return out;
}

/* --- one tensor --- */

static bool read_shape(struct st_reader *r, struct safetensor *t)
{
    struct json_scan *s = &r->scan;
    t->rank = 0;
    if (!json_scan_need(s, '[', "shape is not a list")) return false;
    if (json_scan_take(s, ']')) return true;
    do {
        if (t->rank == ST_RANK) return json_scan_fail(s, "its shape has more than 8 dimensions");
        if (!json_scan_u64(s, &t->shape[t->rank++])) return false;
    } while (json_scan_take(s, ','));
    return json_scan_need(s, ']', "shape is not a list of whole numbers");
}

static bool read_offsets(struct st_reader *r, struct safetensor *t)
{
    static const char why[] = "data_offsets is not a list of two whole numbers";
    struct json_scan *s = &r->scan;
    return json_scan_need(s, '[', why) && json_scan_u64(s, &t->begin) &&
           json_scan_need(s, ',', why) && json_scan_u64(s, &t->end) && json_scan_need(s, ']', why);
}

static bool read_dtype(struct st_reader *r, struct safetensor *t)
{
    const char *name = json_scan_string(&r->scan);
    if (!name) return false;
    return st_find(name, &t->dtype) ||
           json_scan_fail(&r->scan, "its dtype is unknown to the format");
}

/* Each member once, and no others. */
static bool read_member(struct st_reader *r, struct safetensor *t, unsigned *seen)
{
    static const struct {
        const char *name;
        bool (*read)(struct st_reader *r, struct safetensor *t);
    } member[] = {{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}};
    const char *name = json_scan_string(&r->scan);
    if (!name || !json_scan_need(&r->scan, ':', "a : is missing")) return false;
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(name, member[i].name) != 0) continue;
        if (*seen & 1u << i) return json_scan_fail(&r->scan, "it has a member twice");
        *seen |= 1u << i;
        return member[i].read(r, t);
    }
    return json_scan_fail(&r->scan, "it has a member that is none of dtype, shape, data_offsets");
}

static bool read_entry(struct st_reader *r, struct safetensor *t)
{
    unsigned seen = 0;
    if (!json_scan_need(&r->scan, '{', "it is not an object")) return false;
    if (!json_scan_is(&r->scan, '}')) {
        do {
            if (!read_member(r, t, &seen)) return false;
        } while (json_scan_take(&r->scan, ','));
    }
    if (!json_scan_need(&r->scan, '}', "a , or } is missing")) return false;
    return seen == 7 || json_scan_fail(&r->scan, "it lacks one of dtype, shape, data_offsets");
}

/* Rules 4 and 5: the shape's bytes are those of the data. */
static bool check_entry(struct st_reader *r, const struct safetensor *t)
{
    uint64_t n = 1, bits;
    bool zero = false;
    for (int i = 0; i < t->rank; i++) zero |= t->shape[i] == 0;
    for (int i = 0; i < t->rank && !zero; i++)
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return json_scan_fail(&r->scan, "the product of its shape is larger than 2^64 - 1");
    if (zero) n = 0;
    if (__builtin_mul_overflow(n, (uint64_t)st_bits(t->dtype), &bits))
        return json_scan_fail(&r->scan, "its shape has more bits than 2^64 - 1");
    if (bits % 8) return json_scan_fail(&r->scan, "its elements do not fill whole bytes");
    if (t->end < t->begin)
        return json_scan_fail(&r->scan, "its data_offsets end before they begin");
    if (t->end - t->begin != bits / 8)
        return json_scan_fail(&r->scan,
                              "its data_offsets hold another number of bytes than its shape");
    return true;
}

/* r->name is set while the entry is read, so that a message names the tensor. */
static bool read_tensor(struct st_reader *r, const char *name)
{
    struct safetensors *s = r->s;
    struct safetensor t = {.name = name};
    r->name = name;
    if (!*name) return json_scan_fail(&r->scan, "a tensor's name is empty");
    if (strlen(name) > ST_MOST_NAME)
        return json_scan_fail(&r->scan, "its name is longer than 1024 bytes");
    if (!read_entry(r, &t) || !check_entry(r, &t)) return false;
    if (s->n == ST_MOST_TENSORS)
        return json_scan_fail(&r->scan, "there are more than 1000000 tensors");
    if (s->n == r->room) {
        r->room = r->room ? r->room * 2 : 64;
        s->t = realloc(s->t, r->room * sizeof *s->t);
        SYS_OK(s->t, "free memory", "no memory for %zu tensors", r->room);
    }
    s->t[s->n++] = t;
    r->name = NULL;
    return true;
}

/* --- the header --- */

/* Nothing here is used, but a reader that passed over what the format forbids would hide a broken
 * writer. */
static bool read_metadata(struct st_reader *r)
{
    struct json_scan *s = &r->scan;
    if (r->metadata) return json_scan_fail(s, "__metadata__ is there twice");
    r->metadata = true;
    if (!json_scan_need(s, '{', "__metadata__ is not an object")) return false;
    if (json_scan_take(s, '}')) return true;
    do {
        if (!json_scan_string(s) || !json_scan_need(s, ':', "a : is missing")) return false;
        if (!json_scan_is(s, '"'))
            return json_scan_fail(s, "__metadata__ maps to something other than text");
        if (!json_scan_string(s)) return false;
    } while (json_scan_take(s, ','));
    return json_scan_need(s, '}', "a , or } is missing");
}

/* The format allows no space before the first brace and only spaces behind the last. */
static bool read_tensors(struct st_reader *r)
{
    struct json_scan *s = &r->scan;
    if (!(s->at < s->end && *s->at == '{')) return json_scan_fail(s, "its first byte is not {");
    s->at++;
    if (!json_scan_is(s, '}')) {
        do {
            const char *name = json_scan_string(s);
            if (!name || !json_scan_need(s, ':', "a : is missing")) return false;
            if (strcmp(name, "__metadata__") == 0 ? !read_metadata(r) : !read_tensor(r, name))
                return false;
        } while (json_scan_take(s, ','));
    }
    if (!json_scan_need(s, '}', "a , or } is missing")) return false;
    for (; s->at < s->end; s->at++)
        if (*s->at != ' ') return json_scan_fail(s, "something other than spaces follows it");
    return true;
}

/* --- the layout --- */

static int by_place(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Rules 3 and 6: the data are covered once, without holes, to the end of the file. */
static bool check_layout(struct st_reader *r, uint64_t file_bytes)
{
    struct safetensors *s = r->s;
    uint64_t at = 0;
    if (s->n > 0) qsort(s->t, s->n, sizeof *s->t, by_place);
    for (size_t i = 0; i < s->n; i++) {
        r->name = s->t[i].name;
        if (s->t[i].begin > at)
            return json_scan_fail(&r->scan,
                                  "its data begin behind a hole that belongs to no tensor");
        if (s->t[i].begin < at)
            return json_scan_fail(&r->scan, "its data overlap with another tensor's");
        at = s->t[i].end;
    }
    r->name = NULL;
    if (at > file_bytes - s->data)
        return json_scan_fail(&r->scan,
                              "the file ends before its last tensor (a download that was cut "
                              "off?)");
    if (at < file_bytes - s->data)
        return json_scan_fail(&r->scan,
                              "there are bytes behind the last tensor that belong to none");
    if (s->n > 0) qsort(s->t, s->n, sizeof *s->t, safetensor_name_order);
    for (size_t i = 1; i < s->n; i++) {
        r->name = s->t[i].name;
        if (strcmp(s->t[i - 1].name, s->t[i].name) == 0)
            return json_scan_fail(&r->scan, "the name is there twice");
    }
    return true;
}

/* --- the file --- */

/* What people meet most is told apart first: half a download, and a Git LFS pointer, whose text
 * reads as a huge length. */
uint64_t safetensors_header_bytes(const unsigned char first[8], uint64_t file_bytes,
                                  const char *file, struct problems *p)
{
    uint64_t n = 0;
    if (file_bytes < 8) {
        problems_add(p, file, 0,
                     "is no safetensors file: it has %" PRIu64 " bytes, fewer than the 8 of the "
                     "header's length; download it again",
                     file_bytes);
        return 0;
    }
    static const char lfs[] = "version ";
    if (memcmp(first, lfs, 8) == 0) {
        problems_add(p, file, 0,
                     "is a Git LFS pointer, not the weights: fetch them with `git lfs pull` in its "
                     "folder");
        return 0;
    }
    for (int i = 7; i >= 0; i--) n = n << 8 | first[i];
    if (n > ST_MOST_HEADER)
        problems_add(p, file, 0,
                     "is no safetensors file: a header of %" PRIu64 " bytes, more than %d", n,
                     ST_MOST_HEADER);
    else if (n > file_bytes - 8)
        problems_add(p, file, 0,
                     "the header has %" PRIu64 " bytes, but the file ends after %" PRIu64
                     "; download it again",
                     n, file_bytes);
    else if (n < 2)
        problems_add(p, file, 0, "is no safetensors file: a header of %" PRIu64 " bytes", n);
    else
        return n + 8;
    return 0;
}

static void say(const struct st_reader *r, const char *file, struct problems *p)
{
    char shown[96];
    size_t at = (size_t)(r->scan.at - r->scan.begin) + 8;
    if (r->name)
        problems_add(p, file, 0, "tensor \"%s\": %s (the header up to byte %zu was read)",
                     safetensor_show(shown, r->name), r->scan.why, at);
    else
        problems_add(p, file, 0, "the header, at byte %zu: %s", at, r->scan.why);
}

/* Strings are unescaped into one buffer as long as the header. n < header: the file has become
 * shorter since its length was asked. */
bool safetensors_parse(struct safetensors *s, const void *bytes, size_t n, uint64_t file_bytes,
                       const char *file, struct problems *p)
{
    const unsigned char *all = bytes;
    *s = (struct safetensors){0};
    unsigned char first[8] = {0};
    memcpy(first, all, n < 8 ? n : 8);
    uint64_t header = safetensors_header_bytes(first, file_bytes, file, p);
    if (header == 0) return false;
    if (header > n) {
        problems_add(p, file, 0, "only %zu of the header's %" PRIu64 " bytes could be read", n,
                     header);
        return false;
    }
    s->data = header;
    s->text = memory_take(header, 1, "the header of a safetensors file");
    struct st_reader r = {.scan = {all + 8, all + 8, all + header, s->text, NULL}, .s = s};
    if (read_tensors(&r) && check_layout(&r, file_bytes)) return true;
    say(&r, file, p);
    safetensors_free(s);
    return false;
}

void safetensors_free(struct safetensors *s)
{
    free(s->t);
    free(s->text);
    *s = (struct safetensors){0};
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct safetensor key = {.name = name};
    return s->n > 0 ? bsearch(&key, s->t, s->n, sizeof key, safetensor_name_order) : NULL;
}

/* --- writing --- */

int safetensor_name_order(const void *a, const void *b)
{
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

int safetensor_file_order(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    return x->dtype != y->dtype ? (x->dtype < y->dtype ? 1 : -1) : strcmp(x->name, y->name);
}

/* The reference writer's spacing: the same tensors give the same file. */
static void print_tensor(FILE *f, const struct safetensor *t)
{
    fprintf(f, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, st_name(t->dtype));
    for (int i = 0; i < t->rank; i++) fprintf(f, "%s%" PRIu64, i ? "," : "", t->shape[i]);
    fprintf(f, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", t->begin, t->end);
}

/* Eight bytes are kept free for the length, which is known last. Spaces at the end make it a
 * multiple of eight, so that the data are aligned in a mapped file. */
char *safetensors_header(struct safetensor *t, size_t tensors, size_t *n)
{
    char *text = NULL;
    uint64_t at = 0;
    FILE *f = open_memstream(&text, n);
    if (!f) return NULL;
    fprintf(f, "%8s{\"__metadata__\":{\"format\":\"pt\"}", "");
    for (size_t i = 0; i < tensors; i++) {
        t[i].begin = at;
        t[i].end = at += safetensor_count(&t[i]) * (uint64_t)st_bits(t[i].dtype) / 8;
        print_tensor(f, &t[i]);
    }
    fputc('}', f);
    for (long k = ftell(f); k % 8; k++) fputc(' ', f);
    if (fclose(f) != 0) return NULL;
    for (int i = 0; i < 8; i++) text[i] = (char)((*n - 8) >> 8 * i & 255);
    return text;
}
