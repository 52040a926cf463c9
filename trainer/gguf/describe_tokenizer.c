/* The keys of a tokenizer, from tokenizer.json and what stands beside it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "trainer/gguf/describe.h"

/* tokenizer.ggml.token_type */
enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };
enum { PAD_NAME = 24 };

static const char file[] = "tokenizer.json";

/* --- the way of splitting --- */

static const char *text_at(const json_t *object, const char *member)
{
    const char *s = json_string_value(json_object_get(object, member));
    return s ? s : "";
}

struct steps {
    const char *pattern[4];
    int n;
    bool gpt2, foreign;
};

/* A step of a pre-tokenizer: Split by a pattern, single digits (the same as a pattern), or bytes.
 */
static void take_step(struct steps *s, const json_t *step)
{
    const char *type = text_at(step, "type");
    const char *pattern = text_at(json_object_get(step, "pattern"), "Regex");
    if (strcmp(type, "ByteLevel") == 0)
        s->gpt2 = !json_is_false(json_object_get(step, "use_regex"));
    else if (s->n < 4 && strcmp(type, "Split") == 0 && pattern[0])
        s->pattern[s->n++] = pattern;
    else if (s->n < 4 && strcmp(type, "Digits") == 0 &&
             json_is_true(json_object_get(step, "individual_digits")))
        s->pattern[s->n++] = "\\p{N}";
    else
        s->foreign = true;
}

static bool same_steps(const struct steps *s, const struct gguf_split *known)
{
    if (s->foreign || s->gpt2 != known->gpt2) return false;
    for (int i = 0; i < 3; i++) {
        const char *pattern = i < s->n ? s->pattern[i] : NULL;
        if (!pattern != !known->pattern[i]) return false;
        if (pattern && strcmp(pattern, known->pattern[i]) != 0) return false;
    }
    return s->n <= 3;
}

/* A GGUF file has a name instead of a pattern, and llama.cpp compiles the pattern in: only one that
 * is the same to the last character may be named. */
static const char *split_name(const json_t *tokenizer)
{
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer"), *step;
    const json_t *list = json_object_get(pre, "pretokenizers");
    struct steps s = {0};
    size_t i;
    if (!list) take_step(&s, pre);
    json_array_foreach(list, i, step)
    {
        take_step(&s, step);
    }
    for (int k = 0; k < GGUF_SPLITS; k++)
        if (same_steps(&s, &gguf_splits[k])) return gguf_splits[k].names[0];
    return NULL;
}

/* --- tokens --- */

struct tokens {
    uint64_t n;
    struct gguf_text *text; /* (n) */
    int32_t *type;          /* (n) */
    char (*pad)[PAD_NAME];  /* (n) names of ids that have no token */
};

static void tokens_place(struct tokens *t, uint64_t n)
{
    t->n = n;
    t->text = memory_take((size_t)n, sizeof *t->text, "the vocabulary of a GGUF file");
    t->type = memory_take((size_t)n, sizeof *t->type, "the vocabulary of a GGUF file");
    t->pad = memory_take((size_t)n, sizeof *t->pad, "the vocabulary of a GGUF file");
}

static void tokens_free(struct tokens *t)
{
    free(t->text);
    free(t->type);
    free(t->pad);
}

static bool set_token(struct tokens *t, const char *text, json_int_t id, int32_t type,
                      struct problems *p)
{
    if (id < 0 || (uint64_t)id >= t->n) {
        problems_add(p, file, 0, "token \"%.60s\" has number %lld, but the embedding has %llu rows",
                     text, (long long)id, (unsigned long long)t->n);
        return false;
    }
    t->text[id] = (struct gguf_text){text, strlen(text)};
    t->type[id] = type;
    return true;
}

/* Added tokens come second, since many stand in the vocabulary, too, and their type must win. Rows
 * of the embedding without a token are named as llama.cpp's converter names them. */
static bool take_tokens(struct tokens *t, const json_t *root, struct problems *p)
{
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab"), *id, *added;
    const char *text;
    size_t i;
    json_object_foreach(vocab, text, id)
    {
        if (!set_token(t, text, json_integer_value(id), NORMAL, p)) return false;
    }
    json_array_foreach(json_object_get(root, "added_tokens"), i, added)
    {
        bool special = json_is_true(json_object_get(added, "special"));
        json_int_t number = json_integer_value(json_object_get(added, "id"));
        if (!set_token(t, text_at(added, "content"), number, special ? CONTROL : USER_DEFINED, p))
            return false;
    }
    for (uint64_t k = 0; k < t->n; k++) {
        if (t->type[k]) continue;
        int n = snprintf(t->pad[k], PAD_NAME, "[PAD%llu]", (unsigned long long)k);
        t->text[k] = (struct gguf_text){t->pad[k], (size_t)n};
        t->type[k] = UNUSED;
    }
    return true;
}

/* Merges are spelled "a b" or ["a", "b"]; here the former. */
static void put_merges(struct gguf_head *h, const json_t *merges)
{
    size_t n = json_array_size(merges), i, bytes = 0;
    const json_t *m;
    json_array_foreach(merges, i, m)
    {
        bytes += json_string_length(json_array_get(m, 0)) + 2;
        bytes += json_string_length(json_array_get(m, 1));
    }
    struct gguf_text *text = memory_take(n, sizeof *text, "the merges of a GGUF file");
    char *joined = memory_take(bytes, 1, "the merges of a GGUF file"), *at = joined;
    json_array_foreach(merges, i, m)
    {
        text[i] = (struct gguf_text){json_string_value(m), json_string_length(m)};
        if (!json_is_array(m)) continue;
        const char *left = json_string_value(json_array_get(m, 0)),
                   *right = json_string_value(json_array_get(m, 1));
        int length = sprintf(at, "%s %s", left ? left : "", right ? right : "");
        text[i] = (struct gguf_text){at, (size_t)length};
        at += length + 1;
    }
    gguf_put_texts(h, "tokenizer.ggml.merges", text, n);
    free(text);
    free(joined);
}

/* --- beside it --- */

/* The number of the token that `member` names: as a number in the configurations, or as a text in
 * tokenizer_config.json (also as an object with that text). -1: none. */
static json_int_t token_number(const json_t *config, const json_t *beside, const json_t *root,
                               const char *id, const char *member)
{
    const json_t *v = json_object_get(config, id), *added;
    if (json_is_array(v)) v = json_array_get(v, 0);
    if (json_is_integer(v)) return json_integer_value(v);
    const json_t *named = json_object_get(beside, member);
    const char *text =
        json_string_value(named) ? json_string_value(named) : text_at(named, "content");
    size_t i;
    json_array_foreach(json_object_get(root, "added_tokens"), i, added)
    {
        if (text[0] && strcmp(text_at(added, "content"), text) == 0)
            return json_integer_value(json_object_get(added, "id"));
    }
    return -1;
}

/* generation_config.json before config.json, as in hf_settings_apply: what ends an answer in
 * practice often stands there alone. */
static void put_numbers(struct gguf_head *h, const struct gguf_folder *f, const json_t *root,
                        const json_t *beside)
{
    static const char *const rows[][3] = {
        {"bos_token_id", "bos_token", "tokenizer.ggml.bos_token_id"},
        {"eos_token_id", "eos_token", "tokenizer.ggml.eos_token_id"},
        {"pad_token_id", "pad_token", "tokenizer.ggml.padding_token_id"}};
    json_t *generation = f->generation ? json_loads(f->generation, 0, NULL) : NULL;
    json_t *config = json_loads(f->config, 0, NULL);
    for (int i = 0; i < 3; i++) {
        json_int_t id = token_number(generation, beside, root, rows[i][0], rows[i][1]);
        if (id < 0) id = token_number(config, beside, root, rows[i][0], rows[i][1]);
        if (id >= 0 && id <= INT32_MAX) gguf_put_u32(h, rows[i][2], (uint32_t)id);
    }
    json_decref(generation);
    json_decref(config);
}

static void put_chat(struct gguf_head *h, const struct gguf_folder *f, const json_t *beside)
{
    const char *chat = f->chat_template;
    if (!chat) chat = json_string_value(json_object_get(beside, "chat_template"));
    if (chat) gguf_put_text(h, "tokenizer.chat_template", (struct gguf_text){chat, strlen(chat)});
    const json_t *bos = json_object_get(beside, "add_bos_token");
    gguf_put_bool(h, "tokenizer.ggml.add_bos_token", json_is_true(bos));
}

/* --- all of it --- */

static void put_all(struct gguf_head *h, const struct gguf_folder *f, const json_t *root,
                    const struct tokens *t, const char *split)
{
    json_t *beside = f->tokenizer_config ? json_loads(f->tokenizer_config, 0, NULL) : NULL;
    gguf_put_text(h, "tokenizer.ggml.model", (struct gguf_text){"gpt2", 4});
    gguf_put_text(h, "tokenizer.ggml.pre", (struct gguf_text){split, strlen(split)});
    gguf_put_texts(h, "tokenizer.ggml.tokens", t->text, t->n);
    gguf_put_i32s(h, "tokenizer.ggml.token_type", t->type, t->n);
    put_merges(h, json_object_get(json_object_get(root, "model"), "merges"));
    put_numbers(h, f, root, beside);
    put_chat(h, f, beside);
    json_decref(beside);
}

/* Refused before any key of a token is written: a file with a wrong way of splitting would load and
 * answer nonsense. */
bool gguf_describe_tokenizer(struct gguf_head *h, const struct gguf_folder *f, uint64_t vocabulary,
                             struct problems *p)
{
    json_error_t error;
    json_t *root = json_loads(f->tokenizer, 0, &error);
    const char *type = text_at(json_object_get(root, "model"), "type");
    const char *split = root ? split_name(root) : NULL;
    bool bytes = split && (strcmp(type, "BPE") == 0 || type[0] == 0);
    struct tokens t = {0};
    if (!root)
        problems_add(p, file, error.line, "is no JSON: %s", error.text);
    else if (!bytes)
        problems_add(p, file, 0,
                     "llama.cpp has no tokenizer of this kind (%s) with this way of splitting text "
                     "that is known here",
                     type[0] ? type : "BPE");
    if (bytes) tokens_place(&t, vocabulary);
    bool ok = bytes && take_tokens(&t, root, p);
    if (ok) put_all(h, f, root, &t, split);
    tokens_free(&t);
    json_decref(root);
    return ok;
}
