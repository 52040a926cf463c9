/* Encoding: added tokens are found, the text between them is normalized and cut into pieces, and a
 * piece becomes ids: those that the cache has, or those that merging gives. */
#include "model/tokenizer/bpe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/utf8.h"

/* Ids of a short piece, where its hash says; a newer piece takes the place of an older one. */
enum { CACHED_BYTES = 30, CACHED_IDS = 6, CACHE_SIZE = 1 << 15 };
struct cached {
    uint64_t hash;
    uint32_t id[CACHED_IDS];
    unsigned char n, n_ids;
    char text[CACHED_BYTES];
};

struct bpe_work {
    pthread_mutex_t lock;
    struct cached *cache;
    uint64_t seed;
    struct normal_room normal;
    struct room prefix;
    struct merge_room merge;
    uint32_t *ids; /* of a piece that is merged */
    size_t ids_room;
};

/* Members that only one kind uses are read there (byte_fallback.c, byte_level.c). */
static void check_model(struct parse *p, const json_t *model)
{
    static const char *const names[] = {"type",
                                        "dropout",
                                        "unk_token",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "ignore_merges",
                                        "vocab",
                                        "merges",
                                        NULL};
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *dropout = json_object_get(model, "dropout");
    check_members(p, "model", model, names);
    if (dropout && !json_is_null(dropout) && !(json_number_value(dropout) <= 0))
        refuse(p, "model", "dropout must be null: ids would be drawn by chance", NULL);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const json_t *v = json_object_get(model, empty[i]);
        const char *text = json_string_value(v);
        if (v && !json_is_null(v) && !(text && text[0] == '\0'))
            refuse(p, "model", "must be null or empty:", empty[i]);
    }
}

/* In the order of need: merges refer to words, added tokens go through the normalizer. After a
 * problem t is returned as it is: bpe_finish releases it. */
struct bpe *bpe_read(struct parse *p, const json_t *root)
{
    static const char *const names[] = {
        "version",       "truncation",     "padding", "added_tokens", "normalizer",
        "pre_tokenizer", "post_processor", "decoder", "model",        NULL};
    const json_t *model = json_object_get(root, "model"),
                 *added = json_object_get(root, "added_tokens");
    struct bpe *t = memory_take(1, sizeof *t, "a tokenizer");
    check_members(p, "the file", root, names);
    check_model(p, model);
    normalizer_read(p, &t->normalizer, json_object_get(root, "normalizer"));
    splitter_read(p, &t->splitter, json_object_get(root, "pre_tokenizer"));
    words_read(p, &t->words, json_object_get(model, "vocab"), added);
    if (!p->ok) return t;
    t->base.size = t->words.size;
    merges_read(p, &t->pairs, json_object_get(model, "merges"), &t->words);
    if (p->ok) added_read(p, &t->added, added, &t->normalizer);
    for (int i = 0; i < t->added.n && p->ok; i++) {
        struct word *w = &t->words.word[t->added.token[i].id];
        w->text = t->added.forms.at + t->added.token[i].form;
        w->n = (uint32_t)t->added.token[i].form_n;
    }
    around_read(p, t, json_object_get(root, "post_processor"));
    return t;
}

void bpe_find_whole(struct bpe *t, bool spelled)
{
    text_table_new(&t->whole, (size_t)t->words.size);
    for (int i = 0; i < t->words.size; i++) {
        const struct word *w = &t->words.word[i];
        if (!w->in_model || w->literal) continue;
        text_table_add(&t->whole, spelled ? w->spelled : w->text, spelled ? w->n_spelled : w->n, i);
    }
}

/* The seed keeps anybody from writing a text whose pieces all share one place of the cache. */
struct tokenizer *bpe_finish(struct parse *p, struct bpe *t)
{
    if (!p->ok) {
        bpe_release(&t->base);
        return NULL;
    }
    struct bpe_work *w = t->work = memory_take(1, sizeof *w, "a tokenizer");
    pthread_mutex_init(&w->lock, NULL);
    w->cache = memory_take(CACHE_SIZE, sizeof *w->cache, "a tokenizer");
    w->seed = hash_mix((uintptr_t)w->cache, (uintptr_t)t);
    for (int i = 0; i < t->words.size; i++) {
        const struct word *word = &t->words.word[i];
        /* Each byte that is no part of a character within the token may become U+FFFD. */
        size_t most = 0;
        for (size_t at = 0, bytes; at < word->n; at += bytes ? bytes : 1) {
            bytes = utf8_character(word->text + at, word->n - at);
            most += bytes ? bytes : sizeof UTF8_REPLACEMENT - 1;
        }
        if (most > t->base.longest) t->base.longest = most;
    }
    return &t->base;
}

static void work_free(struct bpe_work *w)
{
    if (!w) return;
    pthread_mutex_destroy(&w->lock);
    free(w->cache);
    free(w->ids);
    normal_room_free(&w->normal);
    room_free(&w->prefix);
    merge_room_free(&w->merge);
    free(w);
}

void bpe_release(struct tokenizer *base)
{
    struct bpe *t = (struct bpe *)base;
    work_free(t->work);
    free(t->base.around);
    words_free(&t->words);
    added_free(&t->added);
    normalizer_free(&t->normalizer);
    splitter_free(&t->splitter);
    pair_table_free(&t->pairs);
    text_table_free(&t->whole);
    free(t->byte_of);
    free(t);
}

int bpe_find(const struct tokenizer *t, const char *token, size_t n)
{
    return words_find(&((const struct bpe *)t)->words, token, n);
}

bool bpe_has(const struct tokenizer *t, int id)
{
    return ((const struct bpe *)t)->words.word[id].spelled != NULL;
}

/* One call of bpe_encode. */
struct encoding {
    const struct bpe *t;
    struct bpe_work *w;
    int *out;
    size_t n, max;
};

static void put_id(struct encoding *e, uint32_t id)
{
    if (e->n < e->max) e->out[e->n] = (int)id;
    e->n++;
}

static size_t merged(const struct bpe *t, struct bpe_work *w, const char *piece, size_t n)
{
    int whole = text_table_find(&t->whole, piece, n);
    if (n > w->ids_room) {
        free(w->ids);
        w->ids_room = n + n / 2 + 64;
        w->ids = memory_take(w->ids_room, sizeof *w->ids, "a long text's tokens");
    }
    if (whole < 0) return merge_ids(&t->pairs, &w->merge, w->ids, t->spell(t, piece, n, w->ids));
    w->ids[0] = (uint32_t)whole;
    return 1;
}

/* Most of a text is short pieces that were met before: these cost a hash and a comparison. */
static void put_piece(void *ctx, const char *piece, size_t n)
{
    struct encoding *e = ctx;
    struct bpe_work *w = e->w;
    struct cached *c = NULL;
    uint64_t hash = 0;
    if (n <= CACHED_BYTES) {
        hash = hash_text(piece, n, w->seed);
        c = &w->cache[hash % CACHE_SIZE];
        if (c->hash == hash && c->n == n && memcmp(c->text, piece, n) == 0) {
            for (int i = 0; i < c->n_ids; i++) put_id(e, c->id[i]);
            return;
        }
    }
    size_t left = merged(e->t, w, piece, n);
    for (size_t i = 0; i < left; i++) put_id(e, w->ids[i]);
    if (!c || left > CACHED_IDS) return;
    c->hash = hash;
    c->n = (unsigned char)n;
    c->n_ids = (unsigned char)left;
    memcpy(c->text, piece, n);
    memcpy(c->id, w->ids, left * sizeof *w->ids);
}

static void cut(struct encoding *e, const char *text, size_t n)
{
    splitter_run(&e->t->splitter, &e->w->prefix, text, n, put_piece, e);
}

typedef void encode_text(struct encoding *e, const char *text, size_t n, bool special);

/* Added tokens of one tree become ids, the text between them goes on to `rest`. */
static void between_added(struct encoding *e, const struct added_tree *tree, const char *text,
                          size_t n, encode_text *rest)
{
    struct added_walk walk = {0};
    while (added_next(&e->t->added, tree, text, n, &walk)) {
        if (walk.start > walk.done) rest(e, text + walk.done, walk.start - walk.done, true);
        put_id(e, (uint32_t)walk.id);
        walk.done = walk.stop;
    }
    if (n > walk.done) rest(e, text + walk.done, n - walk.done, true);
}

static void cut_rest(struct encoding *e, const char *text, size_t n, bool special)
{
    (void)special;
    cut(e, text, n);
}

static void encode_normal(struct encoding *e, const char *text, size_t n, bool special)
{
    text = normalizer_run(&e->t->normalizer, &e->w->normal, text, &n);
    if (special)
        between_added(e, &e->t->added.normal, text, n, cut_rest);
    else
        cut(e, text, n);
}

/* Text without an invalid byte. */
static void encode_valid(struct encoding *e, const char *text, size_t n, bool special)
{
    if (special)
        between_added(e, &e->t->added.raw, text, n, encode_normal);
    else
        encode_normal(e, text, n, false);
}

/* One lock, since the cache and the room are shared by all threads. Invalid bytes cut the text:
 * each is a piece of its own that no pattern sees. */
size_t bpe_encode(const struct tokenizer *base, const char *text, size_t n, bool special, int *out,
                  size_t max)
{
    const struct bpe *t = (const struct bpe *)base;
    struct encoding e = {t, t->work, out, 0, max};
    pthread_mutex_lock(&e.w->lock);
    while (n > 0) {
        size_t valid = utf8_invalid(text, n);
        if (valid > 0) encode_valid(&e, text, valid, special);
        if (valid == n) break;
        uint32_t id = t->byte_id[(unsigned char)text[valid]];
        if (id == BPE_NONE) id = t->unk;
        if (id != BPE_NONE) put_id(&e, id);
        text += valid + 1;
        n -= valid + 1;
    }
    pthread_mutex_unlock(&e.w->lock);
    return e.n;
}
