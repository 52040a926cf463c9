#include "model/tokenizer/words.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

enum { HOLES_MOST = 1 << 16 }; /* ids that no token has: room is kept for them */

struct words_reading {
    struct parse *p;
    struct words *w;
    char *at; /* where the next spelling goes */
    int most; /* ids are below */
};

/* Puts a token at its id; -1 and a problem when it cannot have it. */
static int place(struct words_reading *r, const char *where, const char *text, const json_t *id,
                 bool in_model)
{
    struct words *w = r->w;
    size_t n = strlen(text);
    json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (n == 0)
        refuse(r->p, where, "a token is empty", NULL);
    else if (n > SPELLING_MOST)
        refuse(r->p, where, "a token has more than 4096 bytes:", text);
    else if (at < 0 || at >= r->most)
        refuse(r->p, where,
               "ids must be integers from 0, below 4194304, with at most 65536 of them not used; "
               "bad id of",
               text);
    else if (w->word[at].spelled)
        refuse(r->p, where, "duplicate id, the second time for", text);
    else {
        memcpy(r->at, text, n);
        w->word[at] = (struct word){.spelled = r->at,
                                    .text = r->at,
                                    .n_spelled = (uint32_t)n,
                                    .n = (uint32_t)n,
                                    .in_model = in_model};
        text_table_add(&w->spelled, r->at, n, (int)at);
        r->at += n;
        if (at >= w->size) w->size = (int)at + 1;
        return (int)at;
    }
    return -1;
}

static size_t count(const json_t *vocab, const json_t *added, size_t *bytes)
{
    const char *text;
    json_t *id;
    *bytes = 0;
    json_object_foreach((json_t *)(size_t)vocab, text, id) *bytes += strlen(text);
    for (size_t i = 0; i < json_array_size(added); i++) {
        text = text_member(json_array_get(added, i), "content");
        *bytes += text ? strlen(text) : 0;
    }
    return json_object_size(vocab) + json_array_size(added);
}

/* Most added tokens stand in the vocabulary, too, and must then have the same id there. */
static void read_added(struct words_reading *r, const json_t *added, const json_t *vocab)
{
    for (size_t i = 0; i < json_array_size(added) && r->p->ok; i++) {
        const json_t *token = json_array_get(added, i), *id = json_object_get(token, "id");
        const char *text = text_member(token, "content");
        const json_t *same = text ? json_object_get(vocab, text) : NULL;
        if (!text)
            refuse(r->p, "added_tokens", "an entry has no content", NULL);
        else if (same && !json_equal(same, id))
            refuse(r->p, "added_tokens", "its id is not that of model.vocab:", text);
        else if (!same && words_find(r->w, text, strlen(text)) >= 0)
            refuse(r->p, "added_tokens", "stands there twice:", text);
        else if (!same)
            place(r, "added_tokens", text, id, false);
    }
}

/* Bytes of all spellings are counted first, since words point to them. Ids may have holes, but a
 * bounded number: a small file must not take much memory. */
void words_read(struct parse *p, struct words *w, const json_t *vocab, const json_t *added)
{
    size_t bytes, n = count(vocab, added, &bytes);
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        refuse(p, "model.vocab", "is missing or empty", NULL);
    if (added && !json_is_null(added) && !json_is_array(added))
        refuse(p, "added_tokens", "must be a list", NULL);
    if (n > IDS_MOST) refuse(p, "model.vocab", "more than 4194304 tokens", NULL);
    if (!p->ok) return;
    struct words_reading r = {.p = p, .w = w, .most = (int)n + HOLES_MOST};
    if (r.most > IDS_MOST) r.most = IDS_MOST;
    r.at = w->spellings = memory_take(bytes + 1, 1, "a tokenizer");
    w->word = memory_take((size_t)r.most, sizeof *w->word, "a tokenizer");
    text_table_new(&w->spelled, n);
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)(size_t)vocab, text, id) if (p->ok)
        place(&r, "model.vocab", text, id, true);
    read_added(&r, added, vocab);
}

void words_free(struct words *w)
{
    free(w->word);
    free(w->spellings);
    free(w->texts);
    text_table_free(&w->spelled);
}

int words_find(const struct words *w, const char *spelled, size_t n)
{
    return text_table_find(&w->spelled, spelled, n);
}

int words_find_spelled(const struct words *w, const char *spelled, size_t n)
{
    int id = words_find(w, spelled, n);
    return id >= 0 && w->word[id].in_model ? id : -1;
}

void words_set_texts(struct words *w, word_text *make, const void *how)
{
    size_t most = 0, at = 0;
    for (int i = 0; i < w->size; i++) most += w->word[i].n;
    w->texts = memory_take(most + 1, 1, "a tokenizer");
    for (int i = 0; i < w->size; i++) {
        struct word *one = &w->word[i];
        one->n = (uint32_t)make(how, one, w->texts + at);
        one->text = w->texts + at;
        at += one->n;
    }
}
