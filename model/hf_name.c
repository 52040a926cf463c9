/* Names of tensors in Hugging Face folders, spelled from the rules in the table of parameters. */
#include <stdio.h>
#include <string.h>

#include "comm/base/die.h"
#include "model/params.h"

/* What lies between the braces of a rule; n 0: it has none. */
struct braces {
    const char *open, *close; /* the braces themselves */
    int n;                    /* pieces between them */
};

static struct braces braces_of(const char *rule)
{
    struct braces b = {.open = strchr(rule, '{')};
    if (!b.open) return b;
    b.close = strchr(b.open, '}');
    INVARIANT(b.close, "%s: unbalanced brace", rule);
    b.n = 1;
    for (const char *c = b.open; c < b.close; c++) b.n += *c == ',';
    return b;
}

/* Piece k of those between the braces. */
static const char *piece_of(const struct braces *b, int k, int *length)
{
    const char *from = b->open + 1;
    for (; k > 0; k--) from = strchr(from, ',') + 1;
    *length = (int)strcspn(from, ",}");
    return from;
}

struct hf_text {
    char *at;
    size_t left;
};

static void put_piece(struct hf_text *t, const char *from, int length)
{
    INVARIANT((size_t)length < t->left, "no room for %.*s", length, from);
    memcpy(t->at, from, (size_t)length);
    t->at += length;
    t->left -= (size_t)length;
    *t->at = 0;
}

static void put_number(struct hf_text *t, int number)
{
    char digits[16];
    put_piece(t, digits, snprintf(digits, sizeof digits, "%d", number));
}

/* From `from` up to `to`, with the expert's number in the place of #. */
static void put_rule(struct hf_text *t, const char *from, const char *to, int expert)
{
    for (; from < to; from++) {
        if (*from == '#')
            put_number(t, expert);
        else
            put_piece(t, from, 1);
    }
}

/* Experts of the whole model. */
static int experts_of(const struct param *p)
{
    return (int)(p->whole / p->n) * p->stacked;
}

/* A fused tensor has several names at Hugging Face (braces in the rule), an expert tensor one set
 * for each expert: i counts them all. */
bool param_hf_name(const struct param *p, int i, char *name, size_t bytes)
{
    struct braces b = braces_of(p->hf);
    struct hf_text t = {name, bytes};
    int pieces = b.n > 0 ? b.n : 1;
    if (i >= pieces * (p->cut == CUT_EXPERTS ? experts_of(p) : 1)) return false;
    if (p->within) {
        put_piece(&t, "model.layers.", 13);
        put_number(&t, p->layer);
        put_piece(&t, ".", 1);
    }
    const char *end = p->hf + strlen(p->hf);
    put_rule(&t, p->hf, b.n > 0 ? b.open : end, i / pieces);
    if (b.n == 0) return true;
    int length;
    const char *piece = piece_of(&b, i % pieces, &length);
    put_piece(&t, piece, length);
    put_rule(&t, b.close + 1, end, i / pieces);
    return true;
}
