/* BPE over characters with byte fallback (Llama 2, Mistral): the normalizer writes U+2581 for each
 * space, a character that is no token becomes the tokens <0x00> .. <0xFF> of its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/bpe.h"
#include "comm/base/utf8.h"

#define SPACE "\xe2\x96\x81" /* U+2581 */

/* The decoder's first step. */
struct replace {
    const char *from, *to;
    size_t n_from, n_to;
};

static void find_bytes(struct parse *p, struct bpe *t)
{
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        int id = words_find_spelled(&t->words, name, (size_t)snprintf(name, 8, "<0x%02X>", b));
        if (id < 0) {
            refuse(p, "model.vocab", "byte_fallback needs a token for each byte; lacks", name);
            return;
        }
        t->byte_id[b] = (uint32_t)id;
    }
}

static size_t spell(const struct bpe *t, const char *piece, size_t n, uint32_t *ids)
{
    size_t count = 0;
    for (size_t i = 0, bytes; i < n; i += bytes) {
        bytes = utf8_character(piece + i, n - i);
        int id = words_find_spelled(&t->words, piece + i, bytes);
        if (id >= 0)
            ids[count++] = (uint32_t)id;
        else
            for (size_t k = 0; k < bytes; k++)
                ids[count++] = t->byte_id[(unsigned char)piece[i + k]];
    }
    return count;
}

static size_t replaced_text(const void *how, struct word *w, char *out)
{
    const struct replace *r = how;
    size_t n = 0;
    for (size_t i = 0; i < w->n;) {
        bool here = w->n - i >= r->n_from && memcmp(w->text + i, r->from, r->n_from) == 0;
        memcpy(out + n, here ? r->to : w->text + i, here ? r->n_to : 1);
        n += here ? r->n_to : 1;
        i += here ? r->n_from : 1;
    }
    return n;
}

/* <0x41>, also in lower case. */
static int byte_of(const struct word *w)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    if (w->n != 6 || memcmp(w->text, "<0x", 3) != 0 || w->text[5] != '>') return -1;
    const char *high = memchr(digits, w->text[3], 32), *low = memchr(digits, w->text[4], 32);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

static void read_strip(struct parse *p, struct bpe *t, const json_t *step)
{
    const char *content = text_member(step, "content");
    size_t n = content ? strlen(content) : 0;
    json_int_t start = json_integer_value(json_object_get(step, "start")),
               stop = json_integer_value(json_object_get(step, "stop"));
    if (n != 1 || stop != 0 || start < 0 || start > 1)
        refuse(p, "decoder",
               "Strip must take at most one ASCII character off the beginning, none off the end",
               NULL);
    else if (start == 1)
        t->strip = content[0];
}

/* Replace, ByteFallback, Fuse, and Strip or not. */
static void read_decoder(struct parse *p, struct bpe *t, const json_t *decoder, struct replace *r)
{
    static const char *const types[] = {"Replace", "ByteFallback", "Fuse", "Strip"};
    const json_t *steps[STEPS_MOST];
    int n = steps_of(p, "decoder", decoder, "decoders", steps);
    for (int i = 0; i < n && p->ok; i++)
        if (i >= 4 || strcmp(type_of(steps[i]), types[i]) != 0)
            refuse_kind(p, "decoder", steps[i],
                        "byte_fallback: the Sequence of Replace, ByteFallback, Fuse and Strip");
    if (p->ok && n < 3)
        refuse(p, "decoder", "must be the Sequence of Replace, ByteFallback, Fuse and Strip", NULL);
    if (!p->ok) return;
    r->from = string_pattern(p, "decoder", steps[0]);
    r->to = text_member(steps[0], "content");
    r->n_from = r->from ? strlen(r->from) : 0;
    r->n_to = r->to ? strlen(r->to) : 0;
    if (p->ok && (!r->to || r->n_to > r->n_from))
        refuse(p, "decoder", "content of Replace must be a text not longer than its pattern", NULL);
    if (n == 4) read_strip(p, t, steps[3]);
}

/* Where no token holds U+2581 behind another character, no merge crosses the place before it: the
 * text can be cut there, and the pieces are words. */
static void add_seams(struct parse *p, struct bpe *t)
{
    if (t->splitter.n > 0 || t->whole.entry) return;
    for (int i = 0; i < t->words.size; i++) {
        const struct word *w = &t->words.word[i];
        size_t n = w->n_spelled, at = 0;
        while (at + 3 <= n && memcmp(w->spelled + at, SPACE, 3) == 0) at += 3;
        for (; w->in_model && at + 3 <= n; at++)
            if (memcmp(w->spelled + at, SPACE, 3) == 0) return;
    }
    splitter_add_seams(p, &t->splitter, SPACE "+");
}

/* byte_of reads the texts that words_set_texts makes, so it comes behind it. */
static struct tokenizer *read(struct parse *p, json_t *root)
{
    struct replace r = {0};
    struct bpe *t = bpe_read(p, root);
    t->spell = spell;
    read_decoder(p, t, json_object_get(root, "decoder"), &r);
    if (p->ok && t->splitter.byte_level)
        refuse(p, "pre_tokenizer", "ByteLevel and byte_fallback exclude each other", NULL);
    if (p->ok) find_bytes(p, t);
    if (p->ok) words_set_texts(&t->words, replaced_text, &r);
    if (p->ok) {
        t->byte_of = memory_take((size_t)t->words.size, sizeof *t->byte_of, "a tokenizer");
        for (int i = 0; i < t->words.size; i++) t->byte_of[i] = (short)byte_of(&t->words.word[i]);
        const json_t *model = json_object_get(root, "model");
        if (json_is_true(json_object_get(model, "ignore_merges"))) bpe_find_whole(t, true);
        add_seams(p, t);
    }
    return bpe_finish(p, t);
}

/* At the beginning of a text the decoder takes one character off. */
static void put_decoded(const struct bpe *t, struct decoding *d, const char *text, size_t n)
{
    if (n == 0) return;
    if (!d->begun && t->strip && text[0] == t->strip) {
        text++;
        n--;
    }
    d->begun = true;
    sink_put(&d->out, text, n);
}

/* A run of n tokens of bytes: the text that they are, or U+FFFD for each. */
static void put_run(const struct bpe *t, struct decoding *d, const int *ids, size_t n)
{
    bool valid = true;
    for (size_t i = 0, bytes; i < n && valid; i += bytes) {
        char c[4];
        size_t k = 0;
        for (; k < 4 && i + k < n; k++) c[k] = (char)t->byte_of[ids[i + k]];
        bytes = utf8_character(c, k);
        valid = bytes > 0;
    }
    for (size_t i = 0; i < n; i++) {
        char c = (char)t->byte_of[ids[i]];
        put_decoded(t, d, valid ? &c : UTF8_REPLACEMENT, valid ? 1 : sizeof UTF8_REPLACEMENT - 1);
    }
}

static void decode_fallback(const struct tokenizer *base, struct decoding *d, const int *ids,
                            size_t n, bool last)
{
    const struct bpe *t = (const struct bpe *)base;
    (void)last;
    for (size_t i = 0, run; i < n; i += run ? run : 1) {
        for (run = 0; i + run < n && t->byte_of[ids[i + run]] >= 0;) run++;
        if (run)
            put_run(t, d, ids + i, run);
        else
            put_decoded(t, d, t->words.word[ids[i]].text, t->words.word[ids[i]].n);
    }
}

static bool waits(const struct tokenizer *t, int id)
{
    return ((const struct bpe *)t)->byte_of[id] >= 0;
}

const struct tokenizer_kind kind_byte_fallback = {.name = "BPE with byte fallback",
                                                  .read = read,
                                                  .release = bpe_release,
                                                  .find = bpe_find,
                                                  .has = bpe_has,
                                                  .encode = bpe_encode,
                                                  .decode = decode_fallback,
                                                  .waits = waits};
