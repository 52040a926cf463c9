/* Conversations through the chat templates of model families (those of tests/golden/chat.jsonl):
 * with and without thinking, data.system, the prompt of R1-Zero, and what refuses a system turn. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/chat.h"
#include "tests/support/check_unit.h"

enum { ROOM = 2048 };

/* Special tokens of the families, behind those of the built-in tokenizer. */
static const char *const special[] = {"<s>",
                                      "</s>",
                                      "<|im_start|>",
                                      "<|im_end|>",
                                      "<|start_header_id|>",
                                      "<|end_header_id|>",
                                      "<|eot_id|>",
                                      "<\uff5cUser\uff5c>",
                                      "<\uff5cAssistant\uff5c>",
                                      "<\uff5cend\u2581of\u2581sentence\uff5c>"};
enum { SPECIALS = sizeof special / sizeof *special };

struct model {
    struct tokenizer *t;
    char *json;
};

static struct model make_model(void)
{
    struct model m;
    struct problems p = {0};
    size_t n;
    char *built_in = tokenizer_builtin_json(&n);
    json_t *root = json_loadb(built_in, n, 0, NULL), *added = json_object_get(root, "added_tokens");
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    for (int i = 0; i < SPECIALS; i++) {
        json_int_t id = (json_int_t)json_object_size(vocab);
        json_object_set_new(vocab, special[i], json_integer(id));
        json_array_append_new(added, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id,
                                               "content", special[i], "single_word", 0, "lstrip", 0,
                                               "rstrip", 0, "normalized", 0, "special", 1));
    }
    m.json = json_dumps(root, 0);
    m.t = tokenizer_parse(m.json, strlen(m.json), "t.json", &p);
    ck_assert_msg(m.t != NULL, "%s", p.n ? p.text[0] : "");
    json_decref(root);
    free(built_in);
    return m;
}

static void free_model(struct model *m)
{
    tokenizer_free(m->t);
    free(m->json);
}

static char *template_called(const char *name)
{
    FILE *f = fopen("tests/golden/chat.jsonl", "r");
    static char line[1 << 20];
    char *text = NULL;
    ck_assert_msg(f != NULL, "run from the root");
    while (!text && fgets(line, sizeof line, f)) {
        json_t *c = json_loads(line, 0, NULL);
        if (strcmp(json_string_value(json_object_get(c, "name")), name) == 0)
            text = strdup(json_string_value(json_object_get(c, "template")));
        json_decref(c);
    }
    fclose(f);
    ck_assert_msg(text != NULL, "%s", name);
    return text;
}

static struct chat *open_chat(const struct model *m, char *template, char *system,
                              struct problems *p)
{
    struct settings s = {.data = {.template = (char[]){"model"}, .system = system, .think = true},
                         .model = {.tokenizer = (char[]){""}}}; /* a text is never NULL */
    s.files = (struct model_files){
        .from = (char[]){"m"},
        .chat_template = template,
        .tokenizer_config = (char[]){"{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}"}};
    const struct chat_job job = {.settings = &s, .tokenizer = m->t, .tokenizer_json = m->json};
    return chat_new(&job, p);
}

/* As text, what is learned between | and |. */
static void show(const struct model *m, const struct chat_tokens *t, char out[8 * ROOM])
{
    bool learned = false;
    *out = '\0';
    for (size_t i = 0; i < t->n; i++) {
        char text[64];
        bool learn = t->learn && t->learn[i];
        tokenizer_decode(m->t, &t->token[i], 1, text, sizeof text);
        out += sprintf(out, "%s%s", learn != learned ? "|" : "", text);
        learned = learn;
    }
    if (learned) sprintf(out, "|");
}

static void ask(const struct model *m, const char *name, const char *system, char out[8 * ROOM])
{
    struct problems p = {0};
    int token[ROOM];
    struct chat_tokens t = {token, NULL, ROOM, 0};
    char *template = template_called(name), *says = strdup(system);
    struct chat *c = open_chat(m, template, says, &p);
    ck_assert_msg(c != NULL, "%s: %s", name, p.n ? p.text[0] : "");
    chat_prompt(c, "2+2", &t);
    ck_assert_uint_le(t.n, ROOM);
    show(m, &t, out);
    chat_free(c);
    free(template);
    free(says);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

/* The system speaks first, as data.system says, then the user; then the assistant thinks. */
static void check_family(const char *name, const char *before_system, const char *ending)
{
    struct model m = make_model();
    static char out[8 * ROOM];
    static const char r1[] = "A conversation between User and Assistant. The user asks";
    ask(&m, name, "", out);
    ck_assert_msg(strstr(out, "2+2") && ends_with(out, ending), "%s: %s", name, out);
    ask(&m, name, "Be brief.", out);
    const char *at = strstr(out, "Be brief."), *user = at ? strstr(at, "2+2") : NULL;
    ck_assert_msg(user && ends_with(user, ending), "%s: %s", name, out);
    ck_assert_msg(strncmp(out, before_system, strlen(before_system)) == 0, "%s: %s", name, out);
    ask(&m, name, "r1", out);
    at = strstr(out, r1);
    user = at ? strstr(at, "<answer> answer here </answer>.") : NULL;
    ck_assert_msg(user && strstr(user, "2+2") && ends_with(user, ending), "%s: %s", name, out);
    free_model(&m);
}

START_TEST(families)
{
    check_family("qwen2.5", "<|im_start|>system\nBe brief.", "<|im_start|>assistant\n<think>");
    check_family("qwen3", "<|im_start|>system\nBe brief.", "<|im_start|>assistant\n<think>");
    check_family("llama3", "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.",
                 "<|start_header_id|>assistant<|end_header_id|>\n\n<think>");
    check_family("llama3.2", "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge",
                 "<|start_header_id|>assistant<|end_header_id|>\n\n<think>");
    check_family("deepseek-r1", "<s>Be brief.", "<think>\n");
}
END_TEST

static void check_conversation(const char *name, const struct turn *turn, int n, const char *says)
{
    struct model m = make_model();
    struct problems p = {0};
    int token[ROOM];
    unsigned char learn[ROOM];
    static char out[8 * ROOM];
    struct chat_tokens t = {token, learn, ROOM, 0};
    char *template = template_called(name);
    struct chat *c = open_chat(&m, template, NULL, &p);
    ck_assert_msg(c != NULL, "%s", p.n ? p.text[0] : "");
    chat_conversation(c, turn, n, &t);
    show(&m, &t, out);
    ck_assert_str_eq(out, says);
    chat_free(c);
    free(template);
    free_model(&m);
}

#define TURN(role, text)                         \
    {                                            \
        TURN_##role, text, NULL, sizeof text - 1 \
    }

/* Thinking is what the template has for it: off, its empty thought is no part of what is learned.
 */
START_TEST(thinking)
{
    static const struct turn plain[] = {TURN(USER, "u"), TURN(ASSISTANT, "a")};
    static const struct turn why[] = {TURN(USER, "u"), {TURN_ASSISTANT, "a", "since", 1}};
    check_conversation("qwen3", plain, 2,
                       "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"
                       "<think>\n\n</think>\n\n|a<|im_end|>|");
    check_conversation("qwen3", why, 2,
                       "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>|\nsince\n"
                       "</think>\n\na<|im_end|>|");
    check_conversation("deepseek-r1", plain, 2,
                       "<s><\uff5cUser\uff5c>u<\uff5cAssistant\uff5c><think>\n|\n</think>\n\na"
                       "<\uff5cend\u2581of\u2581sentence\uff5c>|");
}
END_TEST

/* A template that takes no system turn, or leaves it out, is found when it is opened. */
static void check_refused(const char *template, const char *says)
{
    struct model m = make_model();
    struct problems p = {0};
    char *text = strdup(template);
    struct chat *c = open_chat(&m, text, (char[]){""}, &p);
    ck_assert_msg(c != NULL, "%s", p.n ? p.text[0] : "");
    chat_free(c);
    ck_assert_ptr_null(open_chat(&m, text, (char[]){"Be brief."}, &p));
    ck_assert_int_eq(p.n, 1);
    ck_assert_msg(strstr(p.text[0], "m/chat_template.jinja: data.system: the chat template") &&
                      strstr(p.text[0], says),
                  "%s", p.text[0]);
    problems_free(&p);
    free(text);
    free_model(&m);
}

START_TEST(no_system)
{
    char *mistral = template_called("mistral");
    check_refused(mistral, "refuses a system turn: ");
    free(mistral);
    check_refused(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not "
        "supported') }}{% endif %}{% for m in messages %}{{ m['role'] + ':' + "
        "m['content'] + '</s>' }}{% endfor %}",
        "refuses a system turn: it says: System role not supported. Leave data.system out");
    check_refused("{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'] + ':' + "
                  "m['content'] + '</s>' }}{% endif %}{% endfor %}",
                  "does not show what the system says");
}
END_TEST

#define TESTS(X) \
    X(families)  \
    X(thinking)  \
    X(no_system)
UNIT_MAIN("chat templates of models")
