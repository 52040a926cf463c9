#include "trainer/checkpoint/hf/index.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/hf/safetensors.h"
#include "trainer/checkpoint/hf/json_scan.h"

enum { DEPTH = 8, MOST_FILE_NAME = 200 };

struct index_reader {
    struct json_scan scan;
    struct hf_index *x;
    size_t room;
    const char *tensor; /* whose entry is read; NULL: none */
    bool map;
};

static bool is_plain(const char *name)
{
    return *name && *name != '.' && !strpbrk(name, "/\\:") && !strstr(name, "..") &&
           strlen(name) <= MOST_FILE_NAME;
}

/* A plain name only: an index cannot point out of its folder. r->tensor stays set on failure, for
 * the message. */
static bool add(struct index_reader *r, const char *tensor)
{
    struct hf_index *x = r->x;
    r->tensor = tensor;
    const char *file = json_scan_string(&r->scan);
    if (!file) return false;
    if (!*tensor || strlen(tensor) > ST_MOST_NAME)
        return json_scan_fail(&r->scan, "a tensor's name is empty, or longer than 1024 bytes");
    if (!is_plain(file))
        return json_scan_fail(&r->scan,
                              "its file is no plain name in this folder (no / \\ : .. and at "
                              "most 200 bytes)");
    if (x->n == ST_MOST_TENSORS)
        return json_scan_fail(&r->scan, "there are more than 1000000 tensors");
    if (x->n == r->room) {
        r->room = r->room ? r->room * 2 : 64;
        x->entry = realloc(x->entry, r->room * sizeof *x->entry);
        SYS_OK(x->entry, "free memory", "no memory for %zu tensors", r->room);
    }
    x->entry[x->n++] = (struct hf_entry){tensor, file};
    r->tensor = NULL;
    return true;
}

static bool read_map(struct index_reader *r)
{
    struct json_scan *s = &r->scan;
    if (r->map) return json_scan_fail(s, "weight_map is there twice");
    r->map = true;
    if (!json_scan_need(s, '{', "weight_map is not an object")) return false;
    if (json_scan_take(s, '}')) return true;
    do {
        const char *tensor = json_scan_string(s);
        if (!tensor || !json_scan_need(s, ':', "a : is missing") || !add(r, tensor)) return false;
    } while (json_scan_take(s, ','));
    return json_scan_need(s, '}', "a , or } is missing");
}

/* Members other than weight_map are passed over, to a bounded depth. */
static bool read_root(struct index_reader *r)
{
    struct json_scan *s = &r->scan;
    if (!json_scan_need(s, '{', "it is not a JSON object")) return false;
    if (!json_scan_is(s, '}')) {
        do {
            const char *name = json_scan_string(s);
            if (!name || !json_scan_need(s, ':', "a : is missing")) return false;
            if (strcmp(name, "weight_map") == 0 ? !read_map(r) : !json_scan_skip(s, DEPTH))
                return false;
        } while (json_scan_take(s, ','));
    }
    if (!json_scan_need(s, '}', "a , or } is missing")) return false;
    while (s->at < s->end && memchr(" \t\r\n", *s->at, 4)) s->at++;
    if (s->at < s->end) return json_scan_fail(s, "there is more after its end");
    return r->map || json_scan_fail(s, "it has no weight_map");
}

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct hf_entry *)a)->tensor, ((const struct hf_entry *)b)->tensor);
}

static bool check_twice(struct index_reader *r)
{
    struct hf_index *x = r->x;
    if (x->n > 0) qsort(x->entry, x->n, sizeof *x->entry, by_tensor);
    for (size_t i = 1; i < x->n; i++) {
        r->tensor = x->entry[i].tensor;
        if (strcmp(r->tensor, x->entry[i - 1].tensor) == 0)
            return json_scan_fail(&r->scan, "the name is there twice");
    }
    return true;
}

/* Strings are unescaped into one buffer as long as the file: no escape is shorter than its
 * character. */
bool hf_index_parse(struct hf_index *x, const void *bytes, size_t n, const char *file,
                    struct problems *p)
{
    const unsigned char *all = bytes;
    *x = (struct hf_index){.text = memory_take(n + 1, 1, "an index of tensors")};
    struct index_reader r = {.scan = {all, all, all + n, x->text, NULL}, .x = x};
    char shown[96];
    if (read_root(&r) && check_twice(&r)) return true;
    size_t at = (size_t)(r.scan.at - all);
    if (r.tensor)
        problems_add(p, file, 0, "tensor \"%s\": %s (read up to byte %zu)",
                     safetensor_show(shown, r.tensor), r.scan.why, at);
    else
        problems_add(p, file, 0, "at byte %zu: %s", at, r.scan.why);
    hf_index_free(x);
    return false;
}

void hf_index_free(struct hf_index *x)
{
    free(x->entry);
    free(x->text);
    *x = (struct hf_index){0};
}

const struct hf_entry *hf_index_find(const struct hf_index *x, const char *tensor)
{
    const struct hf_entry key = {.tensor = tensor};
    return x->n > 0 ? bsearch(&key, x->entry, x->n, sizeof key, by_tensor) : NULL;
}
