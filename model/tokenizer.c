/* See tokenizer.h. A tokenizer.json of kind WordLevel whose pre-tokenizer splits at every
 * character: a character is the token of that text or <unk>. Added (special) tokens are found
 * first, leftmost and longest, as Hugging Face's `tokenizers` does. Characters are code points of
 * valid UTF-8; any other byte is one <unk>. */
#include "model/tokenizer.h"
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

/* Added tokens are tried one by one at each place of a text, so there may not be very many. */
enum { ADDED_MAX = 1024, ASCII = 128 };

static const char *const builtin_special[] = {"<pad>",    "<eos>",     "<think>", "</think>",
                                              "<answer>", "</answer>", "<unk>"};
enum { SPECIALS = sizeof builtin_special / sizeof *builtin_special };

struct word {
    const char *text; /* held by the json */
    size_t n;
    int id;
};

struct tokenizer {
    json_t *json; /* owns all text */
    int size, n_added, unk;
    size_t longest;      /* bytes of a token */
    struct word *by_id;  /* size words; text NULL until its id was seen */
    struct word *sorted; /* size words in memcmp order of their text */
    struct word *added;  /* n_added, longest first */
    int ascii[ASCII];    /* ids of one-byte characters, unk when there is none */
    bool added_starts[256];
};

struct parse {
    const char *file;
    struct problems *problems;
    struct tokenizer *t;
    bool ok;
};

static void refuse(struct parse *p, const char *place, const char *why, const char *what)
{
    problems_add(p->problems, p->file, 0, "%s: %s%s%.80s%s", place, why, what ? " \"" : "",
                 what ? what : "", what ? "\"" : "");
    p->ok = false;
}

static json_t *builtin_vocabulary(void)
{
    json_t *vocabulary = json_object();
    int id = 0;
    for (int i = 0; i < SPECIALS; i++)
        json_object_set_new(vocabulary, builtin_special[i], json_integer(id++));
    json_object_set_new(vocabulary, "\n", json_integer(id++));
    for (char c = 0x20; c < 0x7f; c++)
        json_object_set_new(vocabulary, (char[]){c, '\0'}, json_integer(id++));
    return vocabulary;
}

char *tokenizer_builtin_json(size_t *n)
{
    json_t *added = json_array();
    for (int i = 0; i < SPECIALS; i++)
        json_array_append_new(added, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", i, "content",
                                               builtin_special[i], "single_word", 0, "lstrip", 0,
                                               "rstrip", 0, "normalized", 0, "special", 1));
    json_t *root =
        json_pack("{s:s,s:n,s:n,s:o,s:n,s:{s:s,s:{s:s},s:s,s:b},s:n,s:{s:s},s:{s:s,s:o,s:s}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                  "pre_tokenizer", "type", "Split", "pattern", "Regex", "[\\s\\S]", "behavior",
                  "Isolated", "invert", 0, "post_processor", "decoder", "type", "Fuse", "model",
                  "type", "WordLevel", "vocab", builtin_vocabulary(), "unk_token", "<unk>");
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    SYS_OK(text, "give the job more memory", "no memory for the built-in tokenizer");
    *n = strlen(text);
    return text;
}

static const char *text_member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

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
static void place_word(struct parse *p, const char *place, const char *text, const json_t *id)
{
    struct tokenizer *t = p->t;
    json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (text[0] == '\0')
        refuse(p, place, "a token is empty", NULL);
    else if (at < 0 || at >= t->size)
        refuse(p, place, "ids must be 0, 1, 2, ... without gaps; bad id of", text);
    else if (t->by_id[at].text)
        refuse(p, place, "duplicate id, the second time for", text);
    else
        t->by_id[at] = (struct word){text, strlen(text), (int)at};
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
    const struct word *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (x->id > y->id) - (x->id < y->id);
}

static int by_text(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Added tokens may stand in the vocabulary too, then with the same id. */
static void read_added(struct parse *p, const json_t *list, const json_t *vocabulary)
{
    struct tokenizer *t = p->t;
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
            place_word(p, "added_tokens", text, id);
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

static void read_words(struct parse *p, json_t *vocabulary, const json_t *added)
{
    struct tokenizer *t = p->t;
    const char *text;
    json_t *id;
    t->size = count_words(vocabulary, added);
    t->by_id = memory_take((size_t)t->size, sizeof *t->by_id, "a tokenizer");
    t->sorted = memory_take((size_t)t->size, sizeof *t->sorted, "a tokenizer");
    t->added = memory_take(json_array_size(added), sizeof *t->added, "a tokenizer");
    json_object_foreach(vocabulary, text, id) if (p->ok) place_word(p, "model.vocab", text, id);
    if (p->ok) read_added(p, added, vocabulary);
    if (!p->ok) return;
    for (int i = 0; i < t->size; i++)
        if (t->by_id[i].n > t->longest) t->longest = t->by_id[i].n;
    memcpy(t->sorted, t->by_id, (size_t)t->size * sizeof *t->sorted);
    qsort(t->sorted, (size_t)t->size, sizeof *t->sorted, by_text);
}

static void read_root(struct parse *p)
{
    struct tokenizer *t = p->t;
    json_t *model = json_object_get(t->json, "model"),
           *vocabulary = json_object_get(model, "vocab");
    const json_t *added = json_object_get(t->json, "added_tokens");
    const char *unk = text_member(model, "unk_token");
    check_steps(p, t->json);
    if (!p->ok) return;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        refuse(p, "model.vocab", "is missing or empty", NULL);
    if (json_array_size(added) > ADDED_MAX)
        refuse(p, "added_tokens", "more than 1024 tokens", NULL);
    if (!unk || !json_object_get(vocabulary, unk))
        refuse(p, "model.unk_token", "must be a token of model.vocab, found", unk ? unk : "none");
    if (p->ok) read_words(p, vocabulary, added);
    if (!p->ok) return;
    t->unk = tokenizer_find(t, unk);
    for (int c = 0; c < ASCII; c++) {
        int id = c ? tokenizer_find(t, (char[]){(char)c, '\0'}) : -1;
        t->ascii[c] = id < 0 ? t->unk : id;
    }
}

struct tokenizer *tokenizer_parse(const void *bytes, size_t n, const char *file, struct problems *p)
{
    json_error_t error;
    struct parse parse = {.file = file, .problems = p, .ok = true};
    json_t *json = n ? json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (!json) {
        if (n)
            problems_add(p, file, error.line > 0 ? error.line : 0, "not JSON: %s", error.text);
        else
            problems_add(p, file, 0, "the file is empty");
        return NULL;
    }
    parse.t = memory_take(1, sizeof *parse.t, "a tokenizer");
    parse.t->json = json;
    read_root(&parse);
    if (parse.ok) return parse.t;
    tokenizer_free(parse.t);
    return NULL;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    free(t->by_id);
    free(t->sorted);
    free(t->added);
    json_decref(t->json);
    free(t);
}

int tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

static int find_text(const struct tokenizer *t, const char *text, size_t n)
{
    struct word key = {text, n, 0};
    const struct word *w = bsearch(&key, t->sorted, (size_t)t->size, sizeof key, by_text);
    return w ? w->id : -1;
}

int tokenizer_find(const struct tokenizer *t, const char *token)
{
    return find_text(t, token, strlen(token));
}

/* Bytes of the UTF-8 character at s, 0 when it is not valid (RFC 3629: no overlong forms, no
 * surrogates, at most U+10FFFF). */
static size_t character_bytes(const unsigned char *s, size_t n)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc0 || s[0] > 0xf7 || length > n) return 0;
    unsigned point = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    bool valid = point >= least[length] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return valid ? length : 0;
}

static const struct word *added_at(const struct tokenizer *t, const char *text, size_t n)
{
    if (!t->added_starts[(unsigned char)text[0]]) return NULL;
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].n <= n && memcmp(t->added[i].text, text, t->added[i].n) == 0)
            return &t->added[i];
    return NULL;
}

size_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool special,
                        int *out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0, used; i < n; i += used, count++) {
        const struct word *added = special ? added_at(t, text + i, n - i) : NULL;
        int id;
        used = added ? added->n : character_bytes((const unsigned char *)text + i, n - i);
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

size_t tokenizer_unknown(const struct tokenizer *t, const char *text, size_t n, bool special,
                         size_t from, size_t *bytes)
{
    for (size_t i = from, used; i < n; i += used) {
        const struct word *added = special ? added_at(t, text + i, n - i) : NULL;
        unsigned char c = (unsigned char)text[i];
        used = added ? added->n : character_bytes((const unsigned char *)text + i, n - i);
        if (added || (used == 1 && t->ascii[c] != t->unk)) continue;
        if (used && find_text(t, text + i, used) >= 0) continue; /* <unk> may be a character, too */
        *bytes = used ? used : 1;
        return i;
    }
    return n;
}

size_t tokenizer_text_bytes(const struct tokenizer *t, size_t n)
{
    return n * t->longest + 1;
}

size_t tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, char *out, size_t max)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        INVARIANT(ids[i] >= 0 && ids[i] < t->size, "token %d of a vocabulary of %d", ids[i],
                  t->size);
        const struct word *w = &t->by_id[ids[i]];
        for (size_t j = 0; j < w->n; j++, length++)
            if (length + 1 < max) out[length] = w->text[j];
    }
    if (max) out[length < max ? length : max - 1] = '\0';
    return length;
}
