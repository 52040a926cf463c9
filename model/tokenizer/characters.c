/* One token a character: a tokenizer.json of kind WordLevel whose pre-tokenizer splits at every
 * character: a character is the token of that text or <unk>. Added (special) tokens are found
 * first, leftmost and longest, as Hugging Face's `tokenizers` does. Characters are code points of
 * valid UTF-8; any other byte is one <unk>. */
#include "model/tokenizer/kind.h"
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/base/utf8.h"

/* Added tokens are tried one by one at each place of a text, so there may not be very many. */
enum { ADDED_MAX = 1024, ASCII = 128 };

struct character_word {
    const char *text; /* held by the json */
    size_t n;
    int id;
};

struct characters {
    struct tokenizer base;
    json_t *json; /* owns all text */
    int n_added, unk;
    struct character_word *by_id;  /* size words; text NULL until its id was seen */
    struct character_word *sorted; /* size words in memcmp order of their text */
    struct character_word *added;  /* n_added, longest first */
    int ascii[ASCII];              /* ids of one-byte characters, unk when there is none */
    bool added_starts[256];
};

/* The member's "type" must be `known`. */
static bool type_is(struct parse *p, const json_t *object, const char *place, const char *known)
{
    char why[128];
    const char *type = text_member(object, "type");
    if (type && strcmp(type, known) == 0) return true;
    snprintf(why, sizeof why, "type must be \"%s\" (one token per character), found", known);
    refuse(p, place, why, type ? type : "none");
    return false;
}

/* Kinds of step that this program runs; others change ids silently, so they are refused by name. */
static void check_steps(struct parse *p, const json_t *root)
{
    static const char *const absent[] = {"normalizer", "post_processor"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        const json_t *step = json_object_get(root, absent[i]);
        if (step && !json_is_null(step)) {
            const char *type = text_member(step, "type");
            refuse(p, absent[i], "must be null, found", type ? type : "something else");
        }
    }
    const json_t *split = json_object_get(root, "pre_tokenizer");
    if (type_is(p, split, "pre_tokenizer", "Split")) {
        const char *pattern = text_member(json_object_get(split, "pattern"), "Regex");
        const char *behavior = text_member(split, "behavior");
        if (!pattern || strcmp(pattern, "[\\s\\S]"))
            refuse(p, "pre_tokenizer.pattern", "must be the Regex \"[\\s\\S]\", found",
                   pattern ? pattern : "none");
        if (!behavior || strcmp(behavior, "Isolated"))
            refuse(p, "pre_tokenizer.behavior", "must be \"Isolated\", found",
                   behavior ? behavior : "none");
        if (json_is_true(json_object_get(split, "invert")))
            refuse(p, "pre_tokenizer.invert", "must be false", NULL);
    }
    type_is(p, json_object_get(root, "decoder"), "decoder", "Fuse");
    type_is(p, json_object_get(root, "model"), "model", "WordLevel");
}

/* Puts a word at its id. The ids must be 0 .. size-1, each once; `size` counts all words. */
static void place_word(struct parse *p, struct characters *t, const char *place, const char *text,
                       const json_t *id)
{
    json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (text[0] == '\0')
        refuse(p, place, "a token is empty", NULL);
    else if (at < 0 || at >= t->base.size)
        refuse(p, place, "ids must be 0, 1, 2, ... without gaps; bad id of", text);
    else if (t->by_id[at].text)
        refuse(p, place, "duplicate id, the second time for", text);
    else
        t->by_id[at] = (struct character_word){text, strlen(text), (int)at};
}

static void check_added(struct parse *p, const json_t *token, const char *text)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(token, flags[i]))) {
            char why[64];
            snprintf(why, sizeof why, "%s must be false for", flags[i]);
            refuse(p, "added_tokens", why, text);
        }
    if (!json_is_true(json_object_get(token, "special")))
        refuse(p, "added_tokens", "special must be true for", text);
}

static int longer_first(const void *a, const void *b)
{
    const struct character_word *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (x->id > y->id) - (x->id < y->id);
}

static int by_text(const void *a, const void *b)
{
    const struct character_word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Added tokens may stand in the vocabulary too, then with the same id. */
static void read_added(struct parse *p, struct characters *t, const json_t *list,
                       const json_t *vocabulary)
{
    for (size_t i = 0; i < json_array_size(list) && p->ok; i++) {
        const json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
        const char *text = text_member(token, "content");
        if (!text) {
            refuse(p, "added_tokens", "an entry has no content", NULL);
            return;
        }
        check_added(p, token, text);
        const json_t *same = json_object_get(vocabulary, text);
        if (!same)
            place_word(p, t, "added_tokens", text, id);
        else if (!json_equal(same, id))
            refuse(p, "added_tokens", "its id is not that of model.vocab:", text);
        if (!p->ok) return;
        int at = (int)json_integer_value(id);
        t->added[t->n_added++] = t->by_id[at];
        t->added_starts[(unsigned char)text[0]] = true;
    }
    qsort(t->added, (size_t)t->n_added, sizeof *t->added, longer_first);
}

/* How many words there are: of the vocabulary, and added ones that are not in it. */
static int count_words(const json_t *vocabulary, const json_t *added)
{
    size_t n = json_object_size(vocabulary);
    for (size_t i = 0; i < json_array_size(added); i++) {
        const char *text = text_member(json_array_get(added, i), "content");
        n += text && !json_object_get(vocabulary, text);
    }
    return n < INT32_MAX ? (int)n : INT32_MAX;
}

/* place_word finds ids that are missing or there twice; only a complete list is sorted. */
static void read_words(struct parse *p, struct characters *t, json_t *vocabulary,
                       const json_t *added)
{
    const char *text;
    json_t *id;
    t->base.size = count_words(vocabulary, added);
    t->by_id = memory_take((size_t)t->base.size, sizeof *t->by_id, "a tokenizer");
    t->sorted = memory_take((size_t)t->base.size, sizeof *t->sorted, "a tokenizer");
    t->added = memory_take(json_array_size(added), sizeof *t->added, "a tokenizer");
    json_object_foreach(vocabulary, text, id) if (p->ok) place_word(p, t, "model.vocab", text, id);
    if (p->ok) read_added(p, t, added, vocabulary);
    if (!p->ok) return;
    for (int i = 0; i < t->base.size; i++)
        if (t->by_id[i].n > t->base.longest) t->base.longest = t->by_id[i].n;
    memcpy(t->sorted, t->by_id, (size_t)t->base.size * sizeof *t->sorted);
    qsort(t->sorted, (size_t)t->base.size, sizeof *t->sorted, by_text);
}

static int find_text(const struct characters *t, const char *text, size_t n)
{
    struct character_word key = {text, n, 0};
    const struct character_word *w =
        bsearch(&key, t->sorted, (size_t)t->base.size, sizeof key, by_text);
    return w ? w->id : -1;
}

/* ASCII is looked up once, here: most of a text is. NUL has no id: jansson allows none in a
 * text. */
static void read_root(struct parse *p, struct characters *t, const json_t *root)
{
    json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    const char *unk = text_member(model, "unk_token");
    check_steps(p, root);
    if (!p->ok) return;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        refuse(p, "model.vocab", "is missing or empty", NULL);
    if (json_array_size(added) > ADDED_MAX)
        refuse(p, "added_tokens", "more than 1024 tokens", NULL);
    if (!unk || !json_object_get(vocabulary, unk))
        refuse(p, "model.unk_token", "must be a token of model.vocab, found", unk ? unk : "none");
    if (p->ok) read_words(p, t, vocabulary, added);
    if (!p->ok) return;
    t->unk = find_text(t, unk, strlen(unk));
    for (int c = 0; c < ASCII; c++) {
        int id = c ? find_text(t, (char[]){(char)c, '\0'}, 1) : -1;
        t->ascii[c] = id < 0 ? t->unk : id;
    }
}

static void release(struct tokenizer *base)
{
    struct characters *t = (struct characters *)base;
    free(t->by_id);
    free(t->sorted);
    free(t->added);
    json_decref(t->json);
    free(t);
}

static struct tokenizer *read(struct parse *p, json_t *root)
{
    struct characters *t = memory_take(1, sizeof *t, "a tokenizer");
    t->json = json_incref(root);
    read_root(p, t, root);
    if (p->ok) return &t->base;
    release(&t->base);
    return NULL;
}

static int find(const struct tokenizer *t, const char *token, size_t n)
{
    return find_text((const struct characters *)t, token, n);
}

static const struct character_word *added_at(const struct characters *t, const char *text, size_t n)
{
    if (!t->added_starts[(unsigned char)text[0]]) return NULL;
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].n <= n && memcmp(t->added[i].text, text, t->added[i].n) == 0)
            return &t->added[i];
    return NULL;
}

/* used is 0 at a byte that begins no valid character: it is <unk> by itself. */
static size_t encode_characters(const struct tokenizer *base, const char *text, size_t n,
                                bool special, int *out, size_t max)
{
    const struct characters *t = (const struct characters *)base;
    size_t count = 0;
    for (size_t i = 0, used; i < n; i += used, count++) {
        const struct character_word *added = special ? added_at(t, text + i, n - i) : NULL;
        int id;
        used = added ? added->n : utf8_character(text + i, n - i);
        if (added) {
            id = added->id;
        } else if (used == 1) {
            id = t->ascii[(unsigned char)text[i]];
        } else {
            id = used ? find_text(t, text + i, used) : t->unk;
            if (id < 0) id = t->unk;
            if (used == 0) used = 1;
        }
        if (count < max) out[count] = id;
    }
    return count;
}

static size_t unknown(const struct tokenizer *base, const char *text, size_t n, bool special,
                      size_t from, size_t *bytes)
{
    const struct characters *t = (const struct characters *)base;
    for (size_t i = from, used; i < n; i += used) {
        const struct character_word *added = special ? added_at(t, text + i, n - i) : NULL;
        unsigned char c = (unsigned char)text[i];
        used = added ? added->n : utf8_character(text + i, n - i);
        if (added || (used == 1 && t->ascii[c] != t->unk)) continue;
        if (used && find_text(t, text + i, used) >= 0) continue; /* <unk> may be a character, too */
        *bytes = used ? used : 1;
        return i;
    }
    return n;
}

static void decode_characters(const struct tokenizer *base, struct decoding *d, const int *ids,
                              size_t n, bool last)
{
    const struct characters *t = (const struct characters *)base;
    (void)last;
    for (size_t i = 0; i < n; i++) sink_put(&d->out, t->by_id[ids[i]].text, t->by_id[ids[i]].n);
}

const struct tokenizer_kind kind_characters = {.name = "WordLevel",
                                               .read = read,
                                               .release = release,
                                               .find = find,
                                               .encode = encode_characters,
                                               .unknown = unknown,
                                               .decode = decode_characters};
