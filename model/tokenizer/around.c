/* The post_processor of a tokenizer.json: which ids stand before and behind a text. ByteLevel
 * concerns offsets only. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/bpe.h"

enum { AROUND_MOST = 64 };

struct around {
    int id[AROUND_MOST];
    size_t n, n_before;
    bool text; /* the text itself was met */
};

/* An id without a token would be one that the model never learned with. */
static void add_token(struct parse *p, const struct bpe *t, struct around *a, const char *name,
                      const json_t *tokens)
{
    const json_t *ids = json_object_get(json_object_get(tokens, name), "ids");
    if (json_array_size(ids) == 0)
        refuse(p, "post_processor", "special_tokens lacks the ids of", name);
    for (size_t i = 0; i < json_array_size(ids) && p->ok; i++) {
        const json_t *v = json_array_get(ids, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= t->base.size || !t->words.word[id].spelled)
            refuse(p, "post_processor", "an id that is no token, of", name);
        else if (a->n == AROUND_MOST)
            refuse(p, "post_processor", "more than 64 ids around a text", NULL);
        else
            a->id[a->n++] = (int)id;
    }
}

/* "pair" may be there and is not used: texts are encoded one by one. */
static void read_template(struct parse *p, struct bpe *t, const json_t *step)
{
    static const char *const names[] = {"type", "single", "pair", "special_tokens", NULL};
    const json_t *single = json_object_get(step, "single"),
                 *tokens = json_object_get(step, "special_tokens");
    struct around a = {.n = 0};
    check_members(p, "post_processor", step, names);
    for (size_t i = 0; i < json_array_size(single) && p->ok; i++) {
        const json_t *piece = json_array_get(single, i);
        const char *sequence = text_member(json_object_get(piece, "Sequence"), "id");
        const char *name = text_member(json_object_get(piece, "SpecialToken"), "id");
        if (name) {
            add_token(p, t, &a, name, tokens);
        } else if (sequence && strcmp(sequence, "A") == 0 && !a.text) {
            a.text = true;
            a.n_before = a.n;
        } else {
            refuse(p, "post_processor", "single must hold the Sequence A once, and SpecialTokens",
                   NULL);
        }
    }
    if (!a.text && p->ok) refuse(p, "post_processor", "single lacks the Sequence A", NULL);
    if (t->base.around) refuse(p, "post_processor", "has two templates", NULL);
    if (!p->ok || a.n == 0) return;
    t->base.around = memory_take(a.n, sizeof(int), "a tokenizer");
    memcpy(t->base.around, a.id, a.n * sizeof(int));
    t->base.n_before = a.n_before;
    t->base.n_behind = a.n - a.n_before;
}

void around_read(struct parse *p, struct bpe *t, const json_t *step)
{
    const json_t *steps[STEPS_MOST];
    int n = steps_of(p, "post_processor", step, "processors", steps);
    for (int i = 0; i < n && p->ok; i++) {
        const char *type = type_of(steps[i]);
        if (strcmp(type, "TemplateProcessing") == 0)
            read_template(p, t, steps[i]);
        else if (strcmp(type, "ByteLevel") != 0)
            refuse_kind(p, "post_processor", steps[i],
                        "TemplateProcessing, ByteLevel, or a Sequence of them");
    }
}
