/* A conversation is rendered as text whose bytes are known by who wrote them, then cut: at the
 * template's special tokens, and around what is learned, where the assistant begins and ends when
 * it samples. The rest is encoded in one piece, as its makers do, but without special tokens. */
#include "trainer/data/chat.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/data/chat_state.h"

static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
enum { TAGS = sizeof tags / sizeof *tags, REFUSED = 1 << 30 };

/* --- rendering --- */

/* The longest special token that stands here in the template's text, by its number; -1: none. */
int chat_special_at(const struct chat *c, size_t at)
{
    const struct rendered *r = &c->r;
    size_t most = 0;
    int found = -1;
    for (int i = 0; i < c->specials; i++) {
        const char *word = c->special[i];
        if (*word != r->text[at]) continue;
        size_t n = strlen(word), k = 0;
        if (n <= most || n > r->n - at || memcmp(r->text + at, word, n) != 0) continue;
        while (k < n && r->who[at + k] == WHO_TEMPLATE) k++;
        if (k < n) continue;
        most = n;
        found = i;
    }
    return found;
}

/* thinking: of models whose template can go either way. */
void chat_render(struct chat *c, const struct turn *turn, int n, bool ask, bool thinking)
{
    const struct jinja_job job = {turn, n, c->files.bos, c->files.eos, ask, !thinking};
    c->r.n = 0;
    c->refused = NULL;
    if (!c->model)
        own_template_render(&c->own, turn, n, ask, &c->r);
    else if (!jinja_render(c->model, &job, &c->r, c->why))
        c->refused = c->why;
}

/* data.system before the turns, unless they have their own; *n counts it. */
const struct turn *chat_with_system(struct chat *c, const struct turn *turn, int *n)
{
    if (!c->system || (*n > 0 && turn[0].role == TURN_SYSTEM)) return turn;
    if (*n + 1 > c->room) {
        c->room = 2 * (*n + 1);
        free(c->turn);
        c->turn = memory_take((size_t)c->room, sizeof *c->turn, "a conversation");
    }
    c->turn[0] = (struct turn){TURN_SYSTEM, c->system, NULL, strlen(c->system)};
    if (*n > 0) memcpy(c->turn + 1, turn, (size_t)*n * sizeof *turn);
    (*n)++;
    return c->turn;
}

/* --- tokens --- */

static void put_text(const struct chat *c, const char *text, size_t n, bool special, bool learn,
                     struct chat_tokens *out)
{
    size_t used = out->n < out->room ? out->n : out->room;
    if (n == 0) return;
    size_t more = tokenizer_encode(c->t, text, n, special, out->token ? out->token + used : NULL,
                                   out->room - used);
    for (size_t i = used; out->learn && i < out->room && i < used + more; i++)
        out->learn[i] = learn;
    out->n += more;
}

static void put_token(int token, bool learn, struct chat_tokens *out)
{
    if (out->n < out->room) {
        out->token[out->n] = token;
        if (out->learn) out->learn[out->n] = learn;
    }
    out->n++;
}

/* The tag of an answer that begins here, if it is a token; -1: none. */
static int tag_at(const struct chat *c, const char *text, size_t n, size_t *bytes)
{
    for (int i = 0; i < TAGS; i++) {
        *bytes = strlen(tags[i]);
        if (*bytes <= n && memcmp(text, tags[i], *bytes) == 0) return tokenizer_find(c->t, tags[i]);
    }
    return -1;
}

/* What the assistant says: text, in which the tags of an answer are tokens where there are such. */
static void put_said(const struct chat *c, const char *text, size_t n, struct chat_tokens *out)
{
    size_t from = 0, tag = 0;
    for (size_t at = 0; at < n; at++) {
        int id = text[at] == '<' ? tag_at(c, text + at, n - at, &tag) : -1;
        if (id < 0) continue;
        put_text(c, text + from, at - from, false, true, out);
        put_token(id, true, out);
        from = at + tag;
        at = from - 1;
    }
    put_text(c, text + from, n - from, false, true, out);
}

/* The rendered conversation. The first special token behind what the assistant said ends its turn:
 * it is learned, too. */
static void put_rendered(const struct chat *c, struct chat_tokens *out)
{
    const struct rendered *r = &c->r;
    bool said = false;
    if (c->refused) {
        out->n = REFUSED;
        return;
    }
    for (size_t at = 0, from = 0; at < r->n;) {
        int special = r->who[at] == WHO_TEMPLATE ? chat_special_at(c, at) : -1;
        bool learn = r->who[at] == WHO_ASSISTANT;
        if (special >= 0) {
            put_token(tokenizer_find(c->t, c->special[special]), said, out);
            said = false;
            from = at += strlen(c->special[special]);
            continue;
        }
        do at++;
        while (at < r->n && (r->who[at] == WHO_ASSISTANT) == learn &&
               (r->who[at] != WHO_TEMPLATE || chat_special_at(c, at) < 0));
        if (learn)
            put_said(c, r->text + from, at - from, out);
        else
            put_text(c, r->text + from, at - from, false, false, out);
        said = said || learn;
        from = at;
    }
}

const struct rendered *chat_show(struct chat *c, const struct turn *turn, int n, bool ask,
                                 bool thinking)
{
    turn = chat_with_system(c, turn, &n);
    chat_render(c, turn, n, ask, thinking);
    return c->refused ? NULL : &c->r;
}

void chat_shown(const struct chat *c, struct chat_tokens *out)
{
    put_rendered(c, out);
}

static void put_think(const struct chat *c, bool learn, struct chat_tokens *out)
{
    int id = tokenizer_find(c->t, tags[0]);
    if (id >= 0)
        put_token(id, learn, out);
    else
        put_text(c, tags[0], strlen(tags[0]), false, learn, out);
}

/* What the assistant is asked with. */
static void put_question(struct chat *c, const struct turn *turn, int n, bool thinking,
                         struct chat_tokens *out)
{
    chat_show(c, turn, n, true, thinking);
    put_rendered(c, out);
    c->open = rendered_ends(&c->r, "<think>") || rendered_ends(&c->r, "<think>\n");
    if (c->open || !thinking || !c->think) return;
    put_think(c, false, out);
    c->open = true;
}

void chat_ask(struct chat *c, const struct turn *turn, int n, struct chat_tokens *out)
{
    put_question(c, turn, n, true, out);
}

bool chat_open(const struct chat *c)
{
    return c->open;
}

void chat_prompt(struct chat *c, const char *prompt, struct chat_tokens *out)
{
    const struct turn turn = {TURN_USER, prompt, NULL, strlen(prompt)};
    chat_ask(c, &turn, 1, out);
}

/* Is a special token in the text that is never sampled, and so cannot be learned? */
static bool says_never(const struct chat *c, const char *text, size_t n)
{
    for (int i = 0; i < c->specials && c->never.n > 0; i++) {
        size_t k = strlen(c->special[i]);
        if (!never_has(&c->never, tokenizer_find(c->t, c->special[i]))) continue;
        for (size_t at = 0; at + k <= n; at++)
            if (memcmp(text + at, c->special[i], k) == 0) return true;
    }
    return false;
}

void chat_answer(struct chat *c, const char *completion, size_t n, struct chat_tokens *out)
{
    if (!c->open) put_think(c, true, out);
    if (c->bare && !says_never(c, completion, n))
        put_text(c, completion, n, true, true, out); /* as it always was: any special token */
    else
        put_said(c, completion, n, out);
    put_token(c->ends.id[0], true, out);
}

/* The last turn, behind what asks for it: as it is, never through a template, which might cut the
 * reasoning off. */
static void put_last(struct chat *c, const struct turn *last, struct chat_tokens *out)
{
    const char *text = last->text;
    size_t n = last->n, opening = strlen(tags[0]);
    if (n >= opening && memcmp(text, tags[0], opening) == 0) {
        if (!c->open) put_think(c, true, out);
        text += opening;
        n -= opening;
    } else if (last->reasoning) {
        bool line = rendered_ends(&c->r, "<think>\n") || c->bare;
        if (!c->open) put_think(c, true, out);
        if (!line) put_said(c, "\n", 1, out);
        put_said(c, last->reasoning, strlen(last->reasoning), out);
        const char *close = c->bare ? "</think>" : "\n</think>\n\n";
        put_said(c, close, strlen(close), out);
    } else if (c->open && !c->bare) {
        put_said(c, "\n</think>\n\n", strlen("\n</think>\n\n"), out);
    }
    put_said(c, text, n, out);
    put_token(c->ends.id[0], true, out);
}

/* Turns behind the assistant's last have nothing to learn from. One turn alone is a text, which no
 * template is put around. */
void chat_conversation(struct chat *c, const struct turn *turn, int n, struct chat_tokens *out)
{
    while (n > 0 && turn[n - 1].role != TURN_ASSISTANT) n--;
    if (n == 0) return;
    const struct turn *last = &turn[n - 1];
    if (n == 1) {
        put_said(c, last->text, last->n, out);
        put_token(c->ends.id[0], true, out);
        return;
    }
    bool thinking =
        c->bare || last->reasoning || strncmp(last->text, tags[0], strlen(tags[0])) == 0;
    put_question(c, turn, n - 1, thinking, out);
    put_last(c, last, out);
}

int chat_first(const struct chat_tokens *t)
{
    size_t i = 1;
    while (i < t->n && i < t->room && !t->learn[i]) i++;
    return (int)i;
}

int chat_learned(const struct chat_tokens *t)
{
    int n = 0;
    for (size_t i = 1; i < t->n && i < t->room; i++) n += t->learn[i];
    return n;
}
