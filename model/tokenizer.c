/* See tokenizer.h. Which kind a file is of, and what all kinds have in common; a kind is a row of
 * functions (model/tokenizer/kind.h). */
#include "model/tokenizer.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/kind.h"

/* Arrays and objects within each other, without reading them. */
static int depth_of(const char *s, size_t n)
{
    int depth = 0, most = 0;
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        if (text && s[i] == '\\')
            i++;
        else if (s[i] == '"')
            text = !text;
        else if (!text && (s[i] == '[' || s[i] == '{'))
            most = ++depth > most ? depth : most;
        else if (!text && (s[i] == ']' || s[i] == '}'))
            depth--;
    }
    return most;
}

/* Depth is checked on the bytes: jansson recurses, and a file of brackets would overflow the stack.
 * */
static json_t *load(struct parse *p, const void *bytes, size_t n)
{
    json_error_t error;
    if (n == 0)
        problems_add(p->problems, p->file, 0, "the file is empty");
    else if (n > FILE_MOST)
        problems_add(p->problems, p->file, 0, "is larger than 256 MiB: no tokenizer.json is");
    else if (depth_of(bytes, n) > DEPTH_MOST)
        problems_add(p->problems, p->file, 0, "has more than %d levels of arrays and objects",
                     DEPTH_MOST);
    else {
        json_t *json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &error);
        if (json) return json;
        problems_add(p->problems, p->file, error.line > 0 ? error.line : 0, "not JSON: %s",
                     error.text);
    }
    p->ok = false;
    return NULL;
}

/* Old files of BPE do not say that they are. */
static const struct tokenizer_kind *kind_of(struct parse *p, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    const char *type = text_member(model, "type");
    bool bpe = type ? strcmp(type, "BPE") == 0 : json_object_get(model, "merges") != NULL;
    if (bpe && json_is_true(json_object_get(model, "byte_fallback"))) return &kind_byte_fallback;
    if (bpe) return &kind_byte_level;
    if (type && strcmp(type, kind_characters.name) == 0) return &kind_characters;
    refuse(p, "model", "type must be \"BPE\" or \"WordLevel\" (one token per character), found",
           type ? type : "none");
    return NULL;
}

struct tokenizer *tokenizer_parse(const void *bytes, size_t n, const char *file, struct problems *p)
{
    struct parse parse = {.file = file, .problems = p, .ok = true};
    json_t *json = load(&parse, bytes, n);
    if (!json) return NULL;
    const struct tokenizer_kind *kind = kind_of(&parse, json);
    struct tokenizer *t = kind ? kind->read(&parse, json) : NULL;
    if (t) t->kind = kind;
    json_decref(json);
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (t) t->kind->release(t);
}

int tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

int tokenizer_find(const struct tokenizer *t, const char *token)
{
    return t->kind->find(t, token, strlen(token));
}

bool tokenizer_has(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->size && (!t->kind->has || t->kind->has(t, id));
}

size_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool special,
                        int *out, size_t max)
{
    return t->kind->encode(t, text, n, special, out, max);
}

size_t tokenizer_before(const struct tokenizer *t, const int **ids)
{
    *ids = t->around;
    return t->n_before;
}

size_t tokenizer_behind(const struct tokenizer *t, const int **ids)
{
    *ids = t->around ? t->around + t->n_before : NULL;
    return t->n_behind;
}

size_t tokenizer_unknown(const struct tokenizer *t, const char *text, size_t n, bool special,
                         size_t from, size_t *bytes)
{
    return t->kind->unknown ? t->kind->unknown(t, text, n, special, from, bytes) : n;
}

size_t tokenizer_text_bytes(const struct tokenizer *t, size_t n)
{
    return n * t->longest + 1;
}

static void check_ids(const struct tokenizer *t, const int *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        INVARIANT(ids[i] >= 0 && ids[i] < t->size, "token %d of a vocabulary of %d", ids[i],
                  t->size);
}

size_t tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, char *out, size_t max)
{
    struct decoding d = {.out = {out, 0, max ? max - 1 : 0}};
    check_ids(t, ids, n);
    t->kind->decode(t, &d, ids, n, true);
    if (max) out[d.out.n < max ? d.out.n : max - 1] = '\0';
    return d.out.n;
}

/* Ids whose text depends on what follows wait in `id`; of the others the text is put out, up to the
 * beginning of a character, which `d` holds. */
struct tokenizer_stream {
    const struct tokenizer *t;
    struct decoding d;
    int *id;
    size_t n, room;
    char *text;
    size_t text_room;
};

struct tokenizer_stream *tokenizer_stream_new(const struct tokenizer *t)
{
    struct tokenizer_stream *s = memory_take(1, sizeof *s, "the text of an answer");
    s->t = t;
    return s;
}

static void *grown(void *at, size_t *room, size_t n, size_t size)
{
    if (n <= *room) return at;
    *room = n + n / 2 + 16;
    void *more = realloc(at, *room * size);
    SYS_OK(more, "give the job more memory", "no memory for the text of an answer");
    return more;
}

/* The text of all ids that wait. */
static const char *put_out(struct tokenizer_stream *s, bool last, size_t *n)
{
    s->text = grown(s->text, &s->text_room, tokenizer_text_bytes(s->t, s->n) + 4, 1);
    s->d.out = (struct sink){s->text, 0, s->text_room - 1};
    s->t->kind->decode(s->t, &s->d, s->id, s->n, last);
    s->text[s->d.out.n] = '\0';
    s->n = 0;
    *n = s->d.out.n;
    return s->text;
}

const char *tokenizer_stream_put(struct tokenizer_stream *s, int id, size_t *n)
{
    check_ids(s->t, &id, 1);
    s->id = grown(s->id, &s->room, s->n + 1, sizeof *s->id);
    s->id[s->n++] = id;
    *n = 0;
    if (s->t->kind->waits && s->t->kind->waits(s->t, id)) return "";
    return put_out(s, false, n);
}

const char *tokenizer_stream_end(struct tokenizer_stream *s, size_t *n)
{
    const char *text = put_out(s, true, n);
    s->d = (struct decoding){0};
    return text;
}

void tokenizer_stream_free(struct tokenizer_stream *s)
{
    if (!s) return;
    free(s->id);
    free(s->text);
    free(s);
}
