/* A conversation is rendered as text whose bytes are known by who wrote them, then cut: at the
 * template's special tokens, and around what is learned, where the assistant begins and ends when
 * it samples. The rest is encoded in one piece, as its makers do, but without special tokens. */
#include "trainer/data/chat.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "trainer/data/jinja.h"
#include "trainer/data/model_template.h"
#include "trainer/data/own_template.h"
#include "trainer/data/vocabulary.h"

static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
enum { TAGS = sizeof tags / sizeof *tags, REFUSED = 1 << 30 };

/* The prompt that R1-Zero was trained with (DeepSeek-R1, arXiv 2501.12948v1, table 1), without the
 * user's part. */
static const char R1[] =
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>.";

struct chat {
    const struct tokenizer *t;
    struct own_template own;
    bool bare;
    struct model_template files;
    struct jinja *model; /* NULL: own */
    const char *name, *refused;
    char why[JINJA_WHY];
    char *system; /* data.system; NULL: none */
    char **special;
    int specials;
    struct never_tokens never;
    struct ends ends;
    struct rendered r;
    struct turn *turn; /* (room) with the system's before them */
    int room;
};

/* --- opening --- */

static void add_special(struct chat *c, const char *text)
{
    if (!text || !*text || tokenizer_find(c->t, text) < 0) return;
    c->special[c->specials] = memory_copy_text(text, text);
    c->specials++;
}

/* The bare template's special tokens, also where the tokenizer's file does not list them as added.
 */
static const char *const bare_tokens[] = {"<think>", TOKEN_EOS};

static void read_specials(struct chat *c, const char *json)
{
    json_t *root = json ? json_loads(json, 0, NULL) : NULL;
    const json_t *list = json_object_get(root, "added_tokens"), *v;
    size_t i;
    c->special = memory_take(json_array_size(list) + 2, sizeof *c->special, "special tokens");
    json_array_foreach(list, i, v)
    {
        add_special(c, json_string_value(json_object_get(v, "content")));
    }
    json_decref(root);
    for (int k = 0; k < 2 && c->bare; k++) add_special(c, bare_tokens[k]);
}

/* The longest special token that stands here in the template's text, by its number; -1: none. */
static int special_at(const struct chat *c, size_t at)
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
static void render(struct chat *c, const struct turn *turn, int n, bool ask, bool thinking)
{
    const struct jinja_job job = {turn, n, c->files.bos, c->files.eos, ask, !thinking};
    c->r.n = 0;
    c->refused = NULL;
    if (!c->model)
        own_template_render(&c->own, turn, n, ask, &c->r);
    else if (!jinja_render(c->model, &job, &c->r, c->why))
        c->refused = c->why;
}

/* The special token that follows what the assistant said last; -1: none does before more text. */
static int find_end(const struct chat *c)
{
    size_t at = c->r.n;
    while (at > 0 && c->r.who[at - 1] != WHO_ASSISTANT) at--;
    for (; at > 0 && at < c->r.n; at++) {
        int special = special_at(c, at);
        if (special >= 0) return tokenizer_find(c->t, c->special[special]);
    }
    return -1;
}

/* Does the rendering hold the text, all of its bytes by `who`, from *at on? Goes behind it. */
static bool shows(const struct rendered *r, const struct turn *t, size_t *at)
{
    unsigned char who = t->role == TURN_ASSISTANT ? WHO_ASSISTANT : WHO_OTHERS;
    for (; *at + t->n <= r->n; ++*at) {
        size_t k = 0;
        while (k < t->n && r->text[*at + k] == t->text[k] && r->who[*at + k] == who) k++;
        if (k < t->n) continue;
        *at += t->n;
        return true;
    }
    return false;
}

/* Families by the words that they put around a user's. */
static const char *family(const struct rendered *r)
{
    static const struct {
        const char *word, *name;
    } rows[] = {{"<|im_start|>user\n", "the model's (ChatML)"},
                {"<|start_header_id|>user<|end_header_id|>\n\n", "the model's (Llama 3)"},
                {"<\xef\xbd\x9cUser\xef\xbd\x9c>", "the model's (DeepSeek)"},
                {"[INST]", "the model's (Mistral)"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].word);
        for (size_t at = 0; at + n <= r->n; at++)
            if (memcmp(r->text + at, rows[i].word, n) == 0) return rows[i].name;
    }
    return "the model's";
}

/* A template is known by what it makes of conversations: what was said must be in it, once and in
 * order, with and without the beginning of an answer, and a special token must end an answer. */
static bool probe(struct chat *c, struct problems *p)
{
    static const struct turn turns[] = {{TURN_USER, "Ask one", NULL, 7},
                                        {TURN_ASSISTANT, "Say two", NULL, 7},
                                        {TURN_USER, "Ask three", NULL, 9},
                                        {TURN_ASSISTANT, "Say four", NULL, 8}};
    const char *why = NULL;
    for (int n = 1; n <= 4 && !why; n++) {
        size_t at = 0;
        render(c, turns, n, n % 2 == 1, true);
        for (int i = 0; i < n && !c->refused && !why; i++)
            if (!shows(&c->r, &turns[i], &at)) why = "it does not show what was said";
        if (c->refused) why = c->refused;
        if (n % 2 == 0 && !why) ends_add(&c->ends, find_end(c));
    }
    if (c->model) c->name = family(&c->r);
    if (why)
        problems_add(p, c->files.path, 0,
                     "this chat template cannot be used: %s. Write the template for Duet: "
                     "data.template with {user} and {assistant} (docs/TUTORIAL.md)",
                     why);
    return !why;
}

/* A template that fails is said once, by whatever found it: the parser, or the probe. */
static void open_template(struct chat *c, const struct settings *s, struct problems *p)
{
    static const char bare[] = "{system}\\n{/}{user}{/}<think>{assistant}<eos>";
    const char *own = s->data.template;
    c->name = c->bare ? "bare" : "data.template";
    if (c->bare || !model_template_wanted(s)) {
        if (own_template_parse(&c->own, c->bare ? bare : own, p)) probe(c, p);
        return;
    }
    if (!model_template_read(&c->files, s, p)) return;
    c->model = jinja_parse(c->files.text, strlen(c->files.text), c->why);
    if (c->model)
        probe(c, p);
    else
        problems_add(p, c->files.path, 0,
                     "this chat template cannot be read: %s. Write it for Duet: data.template with "
                     "{user} and {assistant} (docs/TUTORIAL.md)",
                     c->why);
}

/* Behind what the template ends a turn with: model.end_tokens (checked by vocabulary_open), those
 * of the model's files, or <eos>. */
static void read_ends(struct chat *c, const struct settings *s)
{
    const char *at = s->model.end_tokens ? s->model.end_tokens : "";
    if (c->ends.n == 0 && c->files.eos) ends_add(&c->ends, tokenizer_find(c->t, c->files.eos));
    for (char *end; *at; at = *end ? end + 1 : end) {
        long id = strtol(at, &end, 10);
        if (end == at) break;
        ends_add(&c->ends, (int)id);
    }
    for (int i = 0; i < c->files.ends.n; i++)
        if (c->files.ends.id[i] < vocabulary_rows(s, c->t)) ends_add(&c->ends, c->files.ends.id[i]);
    if (c->ends.n == 0) ends_add(&c->ends, tokenizer_find(c->t, TOKEN_EOS));
}

static void check_ends(const struct chat *c, struct problems *p)
{
    for (int i = 0; i < c->ends.n; i++)
        if (never_has(&c->never, c->ends.id[i]))
            problems_add(p, NULL, 0,
                         "token %d ends an answer, but model.never_tokens has it: leave it out of "
                         "one of them",
                         c->ends.id[i]);
}

/* Special tokens first: the probe looks for the one that ends a turn. */
struct chat *chat_new(const struct chat_job *job, struct problems *p)
{
    struct chat *c = memory_take(1, sizeof *c, "a chat template");
    const char *system = job->settings->data.system;
    struct problems told = {0}; /* by vocabulary_open */
    int before = p->n;
    c->t = job->tokenizer;
    c->never = vocabulary_never(job->settings, c->t, &told);
    problems_free(&told);
    c->bare = !job->settings->data.template || !*job->settings->data.template;
    read_specials(c, job->tokenizer_json);
    if (system && *system)
        c->system = memory_copy_text(strcmp(system, "r1") == 0 ? R1 : system, "data.system");
    open_template(c, job->settings, p);
    read_ends(c, job->settings);
    if (p->n == before && c->ends.n == 0)
        problems_add(p, NULL, 0,
                     "%s: no special token ends the assistant's turn: put one of the tokenizer's "
                     "behind {assistant} in data.template",
                     c->name);
    check_ends(c, p);
    if (p->n == before) return c;
    chat_free(c);
    return NULL;
}

void chat_free(struct chat *c)
{
    if (!c) return;
    own_template_free(&c->own);
    model_template_free(&c->files);
    jinja_free(c->model);
    for (int i = 0; i < c->specials; i++) free(c->special[i]);
    free(c->special);
    never_free(&c->never);
    free(c->system);
    free(c->turn);
    rendered_free(&c->r);
    free(c);
}

const char *chat_name(const struct chat *c)
{
    return c->name;
}

uint64_t chat_sum(const struct chat *c)
{
    uint64_t sum = 0;
    if (!c || !c->model) return 0;
    const struct model_template *f = &c->files;
    const char *const text[] = {f->text, f->bos, f->eos};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        sum = text[i] ? checksum(text[i], strlen(text[i]), sum) : checksum("", 1, sum);
    return checksum(f->ends.id, (size_t)f->ends.n * sizeof *f->ends.id, sum);
}

struct ends chat_ends(const struct chat *c)
{
    return c->ends;
}

const struct never_tokens *chat_never(const struct chat *c)
{
    return &c->never;
}

const char *chat_refused(const struct chat *c)
{
    return c->refused;
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
        int special = r->who[at] == WHO_TEMPLATE ? special_at(c, at) : -1;
        bool learn = r->who[at] == WHO_ASSISTANT;
        if (special >= 0) {
            put_token(tokenizer_find(c->t, c->special[special]), said, out);
            said = false;
            from = at += strlen(c->special[special]);
            continue;
        }
        do at++;
        while (at < r->n && (r->who[at] == WHO_ASSISTANT) == learn &&
               (r->who[at] != WHO_TEMPLATE || special_at(c, at) < 0));
        if (learn)
            put_said(c, r->text + from, at - from, out);
        else
            put_text(c, r->text + from, at - from, false, false, out);
        said = said || learn;
        from = at;
    }
}

/* data.system before the turns, unless they have their own; *n counts it. */
static const struct turn *with_system(struct chat *c, const struct turn *turn, int *n)
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

const struct rendered *chat_show(struct chat *c, const struct turn *turn, int n, bool ask,
                                 bool thinking)
{
    turn = with_system(c, turn, &n);
    render(c, turn, n, ask, thinking);
    return c->refused ? NULL : &c->r;
}

void chat_shown(const struct chat *c, struct chat_tokens *out)
{
    put_rendered(c, out);
}

/* What the assistant is asked with; does it end in an open thought? */
static bool put_question(struct chat *c, const struct turn *turn, int n, bool thinking,
                         struct chat_tokens *out)
{
    static const char think[] = "<think>", line[] = "<think>\n";
    chat_show(c, turn, n, true, thinking);
    put_rendered(c, out);
    bool open = rendered_ends(&c->r, think) || rendered_ends(&c->r, line);
    if (open || !thinking) return open;
    if (tokenizer_find(c->t, think) >= 0)
        put_token(tokenizer_find(c->t, think), false, out);
    else
        put_text(c, think, sizeof think - 1, false, false, out);
    return true;
}

void chat_ask(struct chat *c, const struct turn *turn, int n, struct chat_tokens *out)
{
    put_question(c, turn, n, true, out);
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
    if (c->bare && !says_never(c, completion, n))
        put_text(c, completion, n, true, true, out); /* as it always was: any special token */
    else
        put_said(c, completion, n, out);
    put_token(c->ends.id[0], true, out);
}

/* The last turn, behind what asks for it: as it is, never through a template, which might cut the
 * reasoning off. open: a thought is. */
static void put_last(struct chat *c, const struct turn *last, bool open, struct chat_tokens *out)
{
    const char *text = last->text;
    size_t n = last->n, opening = strlen(tags[0]);
    if (n >= opening && memcmp(text, tags[0], opening) == 0) {
        text += opening;
        n -= opening;
    } else if (last->reasoning) {
        bool line = rendered_ends(&c->r, "\n") || c->bare;
        if (!line) put_said(c, "\n", 1, out);
        put_said(c, last->reasoning, strlen(last->reasoning), out);
        const char *close = c->bare ? "</think>" : "\n</think>\n\n";
        put_said(c, close, strlen(close), out);
    } else if (open && !c->bare) {
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
    bool open = put_question(c, turn, n - 1, thinking, out);
    put_last(c, last, open, out);
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
