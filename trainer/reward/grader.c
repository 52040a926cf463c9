#include "trainer/reward/grader.h"
#include "comm/base/die.h"
#include "trainer/data/completion.h"

static const struct grader *const graders[GRADERS] = {
    [GRADER_ACCURACY] = &grader_accuracy,
    [GRADER_FORMAT] = &grader_format,
};

const struct grader *grader_at(int number)
{
    INVARIANT(number >= 0 && number < GRADERS, "grader %d of %d", number, GRADERS);
    return graders[number];
}

unsigned graders_need(void)
{
    unsigned needs = 0;
    for (int i = 0; i < GRADERS; i++) needs |= graders[i]->needs;
    return needs;
}

static void read_text(const struct grading *g, struct completion *c)
{
    int n = c->n > 0 && ends_have(&g->ends, c->token[c->n - 1]) ? c->n - 1 : c->n;
    size_t bytes = tokenizer_decode(g->tokenizer, c->token, (size_t)n, g->text, g->text_size);
    c->text = g->text;
    c->bytes = bytes < g->text_size ? bytes : g->text_size - 1;
}

void grading_read(const struct grading *g, struct completion *c, unsigned needs)
{
    if ((needs & NEEDS_TEXT) == NEEDS_TEXT) read_text(g, c);
    if ((needs & NEEDS_VERDICT) == NEEDS_VERDICT)
        c->verdict =
            verdict_of(g->task, c->problem, (struct span){c->text, c->bytes}, c->truncated);
}
