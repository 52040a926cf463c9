/* Byte-level BPE (GPT-2, Llama 3, Qwen, DeepSeek). The file spells each byte as a character: those
 * that are printed in Latin-1 as themselves, the other 68 as U+0100, U+0101, ... in their order.
 * Here pieces and tokens are bytes. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/bpe.h"
#include "comm/base/utf8.h"

enum { CHARACTERS = 256 + 68 };

/* byte[c]: the byte that character c spells, -1 none; spelled[b]: the character of byte b. */
struct alphabet {
    short byte[CHARACTERS];
    unsigned spelled[256];
};

static void alphabet_fill(struct alphabet *a)
{
    unsigned others = 256;
    memset(a->byte, -1, sizeof a->byte);
    for (unsigned b = 0; b < 256; b++) {
        bool itself = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        a->spelled[b] = itself ? b : others++;
        a->byte[a->spelled[b]] = (short)b;
    }
}

/* Tokens that hold another character, as special ones, are their own text. */
static size_t spelled_bytes(const void *how, struct word *w, char *out)
{
    const struct alphabet *a = how;
    const char *spelled = w->text;
    size_t n = w->n, count = 0;
    for (size_t i = 0, bytes; i < n; i += bytes) {
        bytes = utf8_character(spelled + i, n - i);
        unsigned c = bytes ? utf8_point(spelled + i, bytes) : CHARACTERS;
        if (c >= CHARACTERS || a->byte[c] < 0) {
            memcpy(out, spelled, n);
            w->literal = true;
            return n;
        }
        out[count++] = (char)a->byte[c];
    }
    return count;
}

/* Trained on clean text, a vocabulary may lack bytes that no character has, and rare ones
 * (SmolLM2's lacks 21). */
static void find_bytes(struct parse *p, struct bpe *t, const struct alphabet *a,
                       const json_t *model)
{
    const char *unk = text_member(model, "unk_token");
    int id = unk ? words_find_spelled(&t->words, unk, strlen(unk)) : -1;
    t->unk = id < 0 ? BPE_NONE : (uint32_t)id;
    t->fuse_unk = json_is_true(json_object_get(model, "fuse_unk"));
    for (unsigned b = 0; b < 256; b++) {
        char spelled[5] = "";
        id = words_find_spelled(&t->words, spelled, utf8_put(a->spelled[b], spelled));
        t->byte_id[b] = id < 0 ? BPE_NONE : (uint32_t)id;
        t->lacks_bytes = t->lacks_bytes || id < 0;
    }
    if (t->lacks_bytes && unk && t->unk == BPE_NONE)
        refuse(p, "model.unk_token", "is not in model.vocab, which lacks bytes:", unk);
}

/* Bytes that are lacking become the unknown token, or nothing where there is none. */
static size_t spell_some(const struct bpe *t, const char *piece, size_t n, uint32_t *ids)
{
    size_t count = 0;
    bool before = false; /* the last one was unknown, too */
    for (size_t i = 0; i < n; i++) {
        uint32_t id = t->byte_id[(unsigned char)piece[i]];
        bool lacking = id == BPE_NONE;
        if (lacking && (t->unk == BPE_NONE || (before && t->fuse_unk))) continue;
        ids[count++] = lacking ? t->unk : id;
        before = lacking;
    }
    return count;
}

static size_t spell(const struct bpe *t, const char *piece, size_t n, uint32_t *ids)
{
    if (t->lacks_bytes) return spell_some(t, piece, n, ids);
    for (size_t i = 0; i < n; i++) ids[i] = t->byte_id[(unsigned char)piece[i]];
    return n;
}

/* A character with a byte that is lacking, also where it is a part of an added token. */
static size_t unknown(const struct tokenizer *base, const char *text, size_t n, bool special,
                      size_t from, size_t *bytes)
{
    const struct bpe *t = (const struct bpe *)base;
    (void)special;
    if (!t->lacks_bytes) return n;
    for (size_t i = from, length; i < n; i += length) {
        length = utf8_character(text + i, n - i);
        if (length == 0) length = 1;
        for (size_t k = 0; k < length; k++)
            if (t->byte_id[(unsigned char)text[i + k]] == BPE_NONE) {
                *bytes = length;
                return i;
            }
    }
    return n;
}

static void check_decoder(struct parse *p, const json_t *decoder)
{
    const json_t *steps[STEPS_MOST];
    int n = steps_of(p, "decoder", decoder, "decoders", steps);
    if (n != 1 || strcmp(type_of(steps[0]), "ByteLevel") != 0)
        refuse_kind(p, "decoder", decoder, "byte-level BPE: ByteLevel");
}

/* Without ByteLevel the pieces would be characters and not the bytes that the vocabulary spells. */
static struct tokenizer *read(struct parse *p, json_t *root)
{
    struct alphabet a;
    const json_t *model = json_object_get(root, "model");
    struct bpe *t = bpe_read(p, root);
    alphabet_fill(&a);
    t->spell = spell;
    check_decoder(p, json_object_get(root, "decoder"));
    if (p->ok && !t->splitter.byte_level)
        refuse(p, "pre_tokenizer", "BPE without byte_fallback needs ByteLevel as the last step",
               NULL);
    if (p->ok) find_bytes(p, t, &a, model);
    if (p->ok) words_set_texts(&t->words, spelled_bytes, &a);
    if (p->ok && json_is_true(json_object_get(model, "ignore_merges"))) bpe_find_whole(t, false);
    return bpe_finish(p, t);
}

/* Characters go out whole; what may become one is held. */
static void put_bytes(struct decoding *d, const char *s, size_t n)
{
    for (size_t i = 0, bytes; i < n; i += bytes) {
        int cut = 0;
        size_t valid = utf8_invalid(s + i, n - i);
        sink_put(&d->out, s + i, valid);
        i += valid;
        if (i == n) return;
        bytes = utf8_broken(s + i, n - i, &cut);
        if (cut) {
            memcpy(d->held, s + i, bytes);
            d->n_held = bytes;
            return;
        }
        sink_put(&d->out, UTF8_REPLACEMENT, sizeof UTF8_REPLACEMENT - 1);
    }
}

/* The held bytes with those that follow, until the held ones are settled. */
static size_t settle(struct decoding *d, const char *s, size_t n)
{
    size_t taken = 0;
    while (d->n_held > 0 && taken < n) {
        char bytes[5];
        size_t held = d->n_held;
        memcpy(bytes, d->held, held);
        bytes[held] = s[taken];
        size_t whole = utf8_character(bytes, held + 1);
        int cut = 0;
        if (whole == held + 1) {
            sink_put(&d->out, bytes, whole);
            d->n_held = 0;
            taken++;
        } else if (utf8_broken(bytes, held + 1, &cut) == held + 1 && cut) {
            d->held[d->n_held++] = s[taken++];
        } else {
            sink_put(&d->out, UTF8_REPLACEMENT, sizeof UTF8_REPLACEMENT - 1);
            d->n_held = 0;
        }
    }
    return taken;
}

static void decode_bytes(const struct tokenizer *base, struct decoding *d, const int *ids, size_t n,
                         bool last)
{
    const struct bpe *t = (const struct bpe *)base;
    for (size_t i = 0; i < n; i++) {
        const struct word *w = &t->words.word[ids[i]];
        size_t taken = settle(d, w->text, w->n);
        if (taken < w->n) put_bytes(d, w->text + taken, w->n - taken);
    }
    if (last && d->n_held > 0) {
        sink_put(&d->out, UTF8_REPLACEMENT, sizeof UTF8_REPLACEMENT - 1);
        d->n_held = 0;
    }
}

const struct tokenizer_kind kind_byte_level = {.name = "byte-level BPE",
                                               .read = read,
                                               .release = bpe_release,
                                               .find = bpe_find,
                                               .has = bpe_has,
                                               .encode = bpe_encode,
                                               .unknown = unknown,
                                               .decode = decode_bytes};
