/* A chat template made ready: read, tried out on probe conversations, and what ends a turn. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "trainer/data/chat_state.h"
#include "trainer/data/vocabulary.h"

/* The prompt that R1-Zero was trained with (DeepSeek-R1, arXiv 2501.12948v1, table 1), without the
 * user's part. */
static const char R1[] =
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>.";

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

/* The special token that follows what the assistant said last; -1: none does before more text. */
static int find_end(const struct chat *c)
{
    size_t at = c->r.n;
    while (at > 0 && c->r.who[at - 1] != WHO_ASSISTANT) at--;
    for (; at > 0 && at < c->r.n; at++) {
        int special = chat_special_at(c, at);
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
        chat_render(c, turns, n, n % 2 == 1, true);
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

/* data.system must come out as well, before what the user asks. */
static void probe_system(struct chat *c, struct problems *p)
{
    static const struct turn asks = {TURN_USER, "Ask one", NULL, 7};
    char why[JINJA_WHY + 32] = "";
    int n = 1;
    size_t at = 0;
    if (!c->system) return;
    const struct turn *turn = chat_with_system(c, &asks, &n);
    struct turn says = turn[0];
    while (says.n > 0 && strchr(" \t\n", says.text[says.n - 1])) says.n--; /* templates trim it */
    for (; says.n > 0 && strchr(" \t\n", *says.text); says.n--) says.text++;
    chat_render(c, turn, n, true, true);
    if (c->refused)
        snprintf(why, sizeof why, "refuses a system turn: %s", c->refused);
    else if (!shows(&c->r, &says, &at) || !shows(&c->r, &asks, &at))
        snprintf(why, sizeof why, "does not show what the system says");
    if (*why)
        problems_add(p, c->files.path, 0,
                     "data.system: the chat template %s. Leave data.system out and say it in the "
                     "prompts, or write the template for Duet: data.template with {system}, {user} "
                     "and {assistant} (docs/TUTORIAL.md)",
                     why);
}

/* A template that fails is said once, by whatever found it: the parser, or the probe. */
static void open_template(struct chat *c, const struct settings *s, struct problems *p)
{
    const char *bare = s->data.think ? "{system}\\n{/}{user}{/}<think>{assistant}<eos>"
                                     : "{system}\\n{/}{user}{/}{assistant}<eos>";
    const char *own = s->data.template;
    c->name = c->bare ? "bare" : "data.template";
    if (c->bare || !model_template_wanted(s)) {
        if (own_template_parse(&c->own, c->bare ? bare : own, p) && probe(c, p)) probe_system(c, p);
        return;
    }
    if (!model_template_read(&c->files, s, p)) return;
    c->model = jinja_parse(c->files.text, strlen(c->files.text), c->why);
    if (c->model && probe(c, p)) probe_system(c, p);
    if (!c->model)
        problems_add(p, c->files.path, 0,
                     "this chat template cannot be read: %s. Write it for Duet: data.template with "
                     "{user} and {assistant} (docs/TUTORIAL.md)",
                     c->why);
}

/* Behind what the template ends a turn with: model.end_tokens (checked by vocabulary_open), those
 * of the model's files, or <eos>. */
static void read_ends(struct chat *c, const struct settings *s)
{
    int end[END_TOKENS_MOST], n = settings_end_tokens(s, end, END_TOKENS_MOST);
    if (c->ends.n == 0 && c->files.eos) ends_add(&c->ends, tokenizer_find(c->t, c->files.eos));
    for (int i = 0; i < n && i < END_TOKENS_MOST; i++) ends_add(&c->ends, end[i]);
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
    c->think = job->settings->data.think;
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
