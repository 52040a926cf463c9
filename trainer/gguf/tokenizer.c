/* tokenizer.json of the folder that a file was made of: byte-level BPE, its vocabulary in the order
 * of the file, its merges as they are, its splitting pattern by name. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "trainer/gguf/describe.h"
#include "trainer/gguf/hf.h"
#include "trainer/gguf/keys.h"

/* Kinds of tokens in tokenizer.ggml.token_type. */
enum { TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

static const struct gguf_split *split_of(struct gguf_text pre)
{
    for (int i = 0; i < GGUF_SPLITS; i++)
        for (int k = 0; k < 4 && gguf_splits[i].names[k]; k++)
            if (gguf_text_is(pre, gguf_splits[i].names[k])) return &gguf_splits[i];
    return NULL;
}

static json_t *byte_level(bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", use_regex);
}

static json_t *pre_tokenizer(const struct gguf_split *s)
{
    json_t *steps = json_array();
    for (int i = 0; i < 3 && s->pattern[i]; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                                               "pattern", "Regex", s->pattern[i], "behavior",
                                               "Isolated", "invert", 0));
    json_array_append_new(steps, byte_level(s->gpt2));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* --- vocabulary --- */

struct vocabulary {
    const struct gguf *g;
    const char *file;
    struct problems *p;
    json_t *vocab, *added, *merges;
};

static int64_t type_of_token(const struct gguf *g, uint64_t i)
{
    const struct gguf_value *v = gguf_find(g, "tokenizer.ggml.token_type");
    int64_t type;
    return v && gguf_whole(v, i, &type) ? type : 1;
}

static json_t *added_token(json_int_t id, json_t *content, bool special)
{
    return json_pack("{s:I, s:O, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", content,
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                     special);
}

/* Added tokens stand in both lists, as in tokenizer.json. A text that is there twice would leave an
 * id without a token. Rows that had none before are called [PAD7] in the file, and have none again.
 */
static bool add_token(struct vocabulary *v, uint64_t i, struct gguf_text t)
{
    int64_t type = type_of_token(v->g, i);
    if (type == TOKEN_UNUSED) return true;
    json_t *text = json_stringn(t.at, t.n);
    if (!text || memchr(t.at, 0, t.n)) {
        json_decref(text);
        problems_add(v->p, v->file, 0, "token %llu is not UTF-8, or holds a zero byte",
                     (unsigned long long)i);
        return false;
    }
    if (type == TOKEN_CONTROL || type == TOKEN_USER)
        json_array_append_new(v->added, added_token((json_int_t)i, text, type == TOKEN_CONTROL));
    const char *key = json_string_value(text);
    bool twice = json_object_get(v->vocab, key) != NULL;
    if (twice)
        problems_add(v->p, v->file, 0, "the token \"%.60s\" is there twice", key);
    else
        json_object_set_new(v->vocab, key, json_integer((json_int_t)i));
    json_decref(text);
    return !twice;
}

static bool add_tokens(struct vocabulary *v)
{
    const struct gguf_value *tokens = gguf_find(v->g, "tokenizer.ggml.tokens");
    if (!tokens || !tokens->array || tokens->kind != GGUF_STRING || tokens->n == 0) {
        problems_add(v->p, v->file, 0, "has no tokens under the key tokenizer.ggml.tokens");
        return false;
    }
    const unsigned char *cursor = tokens->at;
    struct gguf_text t;
    for (uint64_t i = 0; i < tokens->n; i++)
        if (!gguf_text(tokens, &cursor, &t) || !add_token(v, i, t)) return false;
    return true;
}

/* In the order of the file: a merge's place is its rank. */
static bool add_merges(struct vocabulary *v)
{
    const struct gguf_value *merges = gguf_find(v->g, "tokenizer.ggml.merges");
    if (!merges || !merges->array || merges->kind != GGUF_STRING) {
        problems_add(v->p, v->file, 0, "has no merges under the key tokenizer.ggml.merges");
        return false;
    }
    const unsigned char *cursor = merges->at;
    struct gguf_text t;
    for (uint64_t i = 0; i < merges->n; i++) {
        json_t *text = gguf_text(merges, &cursor, &t) ? json_stringn(t.at, t.n) : NULL;
        if (!text) {
            problems_add(v->p, v->file, 0, "merge %llu is not UTF-8", (unsigned long long)i);
            return false;
        }
        json_array_append_new(v->merges, text);
    }
    return true;
}

/* --- the file --- */

static json_t *model_of(const struct vocabulary *v, const struct gguf_split *s)
{
    return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", s->ignore_merges, "vocab", v->vocab,
                     "merges", v->merges);
}

static char *tokenizer_text(const struct vocabulary *v, const struct gguf_split *s)
{
    json_t *nfc = s->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *root = json_pack("{s:s, s:n, s:n, s:O, s:o, s:o, s:n, s:o, s:o}", "version", "1.0",
                             "truncation", "padding", "added_tokens", v->added, "normalizer", nfc,
                             "pre_tokenizer", pre_tokenizer(s), "post_processor", "decoder",
                             byte_level(true), "model", model_of(v, s));
    char *text = root ? json_dumps(root, 0) : NULL;
    json_decref(root);
    SYS_OK(text, "free memory", "no memory for tokenizer.json");
    return text;
}

/* Its kind, and the way it splits; NULL and a problem. */
static const struct gguf_split *known(const struct gguf *g, const char *file, struct problems *p)
{
    struct gguf_text model = gguf_key_text(g, "tokenizer.ggml.model");
    struct gguf_text pre = gguf_key_text(g, "tokenizer.ggml.pre");
    if (!gguf_text_is(model, "gpt2")) {
        problems_add(p, file, 0,
                     "its tokenizer is of kind \"%.*s\"; only byte-level BPE (\"gpt2\") is read: "
                     "take the Hugging Face folder, whose tokenizer.json says more",
                     model.n < 40 ? (int)model.n : 40, model.at);
        return NULL;
    }
    const struct gguf_split *s = split_of(pre);
    if (!s)
        problems_add(p, file, 0,
                     "tokenizer.ggml.pre is \"%.*s\": not a way of splitting text that is known "
                     "here; take the Hugging Face folder, whose tokenizer.json has the pattern",
                     pre.n < 40 ? (int)pre.n : 40, pre.at);
    return s;
}

char *gguf_tokenizer_text(const struct gguf *g, const char *file, struct problems *p)
{
    const struct gguf_split *s = known(g, file, p);
    if (!s) return NULL;
    struct vocabulary v = {g, file, p, json_object(), json_array(), json_array()};
    char *text = add_tokens(&v) && add_merges(&v) ? tokenizer_text(&v, s) : NULL;
    json_decref(v.vocab);
    json_decref(v.added);
    json_decref(v.merges);
    return text;
}

/* --- tokenizer_config.json --- */

/* GGUF names a token by number, tokenizer_config.json by text. Texts have different lengths, so
 * they are walked through. What cannot be found is left out: the member is optional. */
static void set_token(json_t *root, const struct gguf *g, const char *key, const char *member)
{
    const struct gguf_value *id = gguf_find(g, key),
                            *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    int64_t wanted;
    struct gguf_text t = {"", 0};
    if (!id || !gguf_whole(id, 0, &wanted) || wanted < 0 || !tokens || !tokens->array ||
        (uint64_t)wanted >= tokens->n)
        return;
    const unsigned char *cursor = tokens->at;
    for (int64_t i = 0; i <= wanted; i++)
        if (!gguf_text(tokens, &cursor, &t)) return;
    json_t *text = json_stringn(t.at, t.n);
    if (text) json_object_set_new(root, member, text);
}

/* Only what the file says: for absent members the reader's defaults apply. */
char *gguf_tokenizer_config_text(const struct gguf *g)
{
    json_t *root = json_object();
    const struct gguf_value *bos = gguf_find(g, "tokenizer.ggml.add_bos_token");
    struct gguf_text chat = gguf_key_text(g, "tokenizer.chat_template");
    json_t *text = chat.n ? json_stringn(chat.at, chat.n) : NULL;
    bool yes;
    if (text) json_object_set_new(root, "chat_template", text);
    if (bos && gguf_bool(bos, &yes)) json_object_set_new(root, "add_bos_token", json_boolean(yes));
    set_token(root, g, "tokenizer.ggml.bos_token_id", "bos_token");
    set_token(root, g, "tokenizer.ggml.eos_token_id", "eos_token");
    set_token(root, g, "tokenizer.ggml.padding_token_id", "pad_token");
    char *out = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    SYS_OK(out, "free memory", "no memory for tokenizer_config.json");
    return out;
}
