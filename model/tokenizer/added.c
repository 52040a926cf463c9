#include "model/tokenizer/added.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/utf8.h"

/* \w of the regular expressions of `tokenizers`: Alphabetic, M, Nd, Pc and the two joiners. */
#define WORD                                                                                       \
    "[\\p{L}\\p{Nl}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}" \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}]"

/* A table of edges: (node, byte) leads to node e->first, and e->second is the token that ends
 * there, 0 none. false: the text is empty, or there already. */
static bool tree_add(struct added_tree *t, const char *text, size_t n, uint32_t number)
{
    struct pair_entry *e = NULL;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_new;
        e = pair_table_put(&t->node, at, (unsigned char)text[i], &is_new);
        if (is_new) e->first = ++t->nodes;
        at = e->first;
    }
    if (!e || e->second) return false;
    e->second = number;
    t->starts[(unsigned char)text[0]] = true;
    return true;
}

static bool flag(struct parse *p, const json_t *token, const char *name)
{
    const json_t *v = json_object_get(token, name);
    if (v && !json_is_boolean(v)) refuse(p, "added_tokens", "must be true or false:", name);
    return json_is_true(v);
}

/* A normalized token is looked for in normalized text, so its own text is normalized, too. */
static void read_one(struct parse *p, struct added *a, const json_t *token,
                     const struct normalizer *z)
{
    static const char *const names[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    const char *text = text_member(token, "content");
    struct added_token *one = &a->token[a->n++];
    *one = (struct added_token){.id = (int)json_integer_value(json_object_get(token, "id")),
                                .form = a->forms.n,
                                .form_n = strlen(text),
                                .normalized = flag(p, token, "normalized"),
                                .single_word = flag(p, token, "single_word"),
                                .lstrip = flag(p, token, "lstrip"),
                                .rstrip = flag(p, token, "rstrip")};
    flag(p, token, "special");
    check_members(p, "added_tokens", token, names);
    if (one->form_n > TOKEN_MOST)
        refuse(p, "added_tokens", "a token has more than 1024 bytes:", text);
    if (!p->ok) return;
    struct normal_room room = {0};
    if (one->normalized) text = normalizer_run(z, &room, text, &one->form_n);
    room_put(&a->forms, text, one->form_n);
    normal_room_free(&room);
}

static void grow_trees(struct parse *p, struct added *a)
{
    size_t bytes[2] = {0};
    for (int i = 0; i < a->n; i++) bytes[a->token[i].normalized] += a->token[i].form_n;
    pair_table_new(&a->raw.node, bytes[0]);
    pair_table_new(&a->normal.node, bytes[1]);
    for (int i = 0; i < a->n && p->ok; i++) {
        const struct added_token *one = &a->token[i];
        struct added_tree *tree = one->normalized ? &a->normal : &a->raw;
        if (!tree_add(tree, a->forms.at + one->form, one->form_n, (uint32_t)i + 1))
            refuse(p, "added_tokens", "two of them are the same, once they are normalized", NULL);
    }
}

void added_read(struct parse *p, struct added *a, const json_t *list, const struct normalizer *z)
{
    size_t n = json_array_size(list);
    bool words = false;
    a->token = memory_take(n, sizeof *a->token, "a tokenizer");
    for (size_t i = 0; i < n && p->ok; i++) {
        read_one(p, a, json_array_get(list, i), z);
        words = words || a->token[i].single_word;
    }
    if (p->ok) grow_trees(p, a);
    if (words && p->ok) a->word = pattern_new(p, "added_tokens", WORD);
}

void added_free(struct added *a)
{
    free(a->token);
    room_free(&a->forms);
    pair_table_free(&a->raw.node);
    pair_table_free(&a->normal.node);
    pattern_free(a->word);
}

/* Number of the longest token at the beginning of a text and its end; 0 when there is none. */
static uint32_t longest(const struct added_tree *t, const char *text, size_t n, size_t *bytes)
{
    uint32_t at = 0, found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct pair_entry *e = pair_table_find(&t->node, at, (unsigned char)text[i]);
        if (!e) break;
        at = e->first;
        if (e->second) {
            found = e->second;
            *bytes = i + 1;
        }
    }
    return found;
}

static size_t last_character(const char *text, size_t n)
{
    size_t at = n - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}

static bool is_word(const struct added *a, const char *character, size_t n)
{
    size_t start, stop;
    return pattern_next(a->word, character, n, 0, &start, &stop);
}

/* Does no word touch the token? */
static bool stands_alone(const struct added *a, const char *text, size_t n, size_t start,
                         size_t stop)
{
    size_t before = start > 0 ? last_character(text, start) : 0;
    if (start > 0 && is_word(a, text + before, start - before)) return false;
    return stop == n || !is_word(a, text + stop, utf8_character(text + stop, n - stop));
}

static size_t spaces_before(const char *text, size_t at, size_t least)
{
    while (at > least) {
        size_t character = last_character(text, at);
        if (!pattern_is_space(utf8_point(text + character, at - character))) break;
        at = character;
    }
    return at > least ? at : least;
}

static size_t spaces_behind(const char *text, size_t n, size_t at)
{
    while (at < n) {
        size_t bytes = utf8_character(text + at, n - at);
        if (!pattern_is_space(utf8_point(text + at, bytes))) break;
        at += bytes;
    }
    return at;
}

/* A match that single_word refuses is passed over whole, as in `tokenizers`: no shorter token is
 * looked for inside it. w->done bounds lstrip: spaces that an earlier token took are gone. */
bool added_next(const struct added *a, const struct added_tree *tree, const char *text, size_t n,
                struct added_walk *w)
{
    for (size_t i = w->from, bytes; i < n; i++) {
        if (!tree->starts[(unsigned char)text[i]]) continue;
        uint32_t found = longest(tree, text + i, n - i, &bytes);
        if (!found) continue;
        const struct added_token *token = &a->token[found - 1];
        size_t start = i, stop = i + bytes;
        w->from = stop;
        i = stop - 1;
        if (token->single_word && !stands_alone(a, text, n, start, stop)) continue;
        if (token->lstrip) start = spaces_before(text, start, w->done);
        if (token->rstrip) stop = spaces_behind(text, n, stop);
        w->start = start;
        w->stop = stop;
        w->id = token->id;
        return true;
    }
    w->from = n;
    return false;
}
