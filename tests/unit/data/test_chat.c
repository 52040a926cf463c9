/* Conversations as tokens: what is learned, what ends a turn, and that nobody's text becomes a
 * special token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/chat.h"
#include "trainer/data/own_template.h"
#include "tests/support/check_unit.h"

enum { ROOM = 512 };

static struct tokenizer *built_in;
static char *json;
static bool think = true; /* data.think */

static void make_tokenizer(void)
{
    struct problems p = {0};
    size_t n;
    json = tokenizer_builtin_json(&n);
    built_in = tokenizer_parse(json, n, "built-in", &p);
    ck_assert_ptr_nonnull(built_in);
}

static void free_tokenizer(void)
{
    tokenizer_free(built_in);
    free(json);
}

static struct chat *open_chat(const char *own, const char *system, struct problems *p)
{
    struct settings set = {.run = {.seed = 1}};
    char *texts[] = {strdup(own ? own : ""), strdup(system ? system : "")};
    set.data.think = think;
    set.data.template = texts[0];
    set.data.system = texts[1];
    const struct chat_job job = {.settings = &set, .tokenizer = built_in, .tokenizer_json = json};
    struct chat *c = chat_new(&job, p);
    free(texts[0]);
    free(texts[1]);
    return c;
}

/* Tokens as text: special ones in brackets, what is learned in capitals' stead between | and |. */
static void show(const struct chat_tokens *t, char *out)
{
    bool learned = false;
    for (size_t i = 0; i < t->n; i++) {
        char text[64];
        int id = t->token[i];
        bool learn = t->learn && t->learn[i];
        tokenizer_decode(built_in, &id, 1, text, sizeof text);
        out += sprintf(out, "%s", learn != learned ? "|" : "");
        out += sprintf(out, id < 7 ? "[%s]" : "%s", text);
        learned = learn;
    }
    if (learned) sprintf(out, "|");
}

static void check_conversation(const char *own, const char *system, const struct turn *turn, int n,
                               const char *says)
{
    struct problems p = {0};
    int token[ROOM];
    unsigned char learn[ROOM];
    char text[4 * ROOM] = "";
    struct chat_tokens t = {token, learn, ROOM, 0};
    struct chat *c = open_chat(own, system, &p);
    ck_assert_msg(c != NULL, "%s", p.n ? p.text[0] : "");
    chat_conversation(c, turn, n, &t);
    show(&t, text);
    ck_assert_str_eq(text, says);
    struct chat_tokens count = {.room = 0};
    chat_conversation(c, turn, n, &count);
    ck_assert_uint_eq(count.n, t.n);
    chat_free(c);
}

#define TURN(role, text)                         \
    {                                            \
        TURN_##role, text, NULL, sizeof text - 1 \
    }
#define OWN "[{system}]\\n{/}Q:{user}\\n{/}A:{assistant}<eos>\\n{/}!"

START_TEST(conversations)
{
    static const struct turn two[] = {TURN(SYSTEM, "s"), TURN(USER, "u"), TURN(ASSISTANT, "a"),
                                      TURN(USER, "v"), TURN(ASSISTANT, "b")};
    check_conversation(NULL, NULL, two, 5, "s\nu[<think>]|a[<eos>]|v[<think>]|b[<eos>]|");
    check_conversation(OWN, NULL, two, 5, "![s]\nQ:u\nA:|a[<eos>]|\nQ:v\nA:|b[<eos>]|");
    check_conversation(OWN, NULL, two, 4, "![s]\nQ:u\nA:|a[<eos>]|"); /* nothing after the last */
    check_conversation(OWN, "x", two + 1, 2, "![x]\nQ:u\nA:|a[<eos>]|");
    check_conversation(OWN, "x", two, 3, "![s]\nQ:u\nA:|a[<eos>]|"); /* its own */
    check_conversation("{user}\\n{/}{assistant}<eos>", "x", two + 1, 2, "x\n\nu\n|a[<eos>]|");
    static const struct turn why[] = {TURN(USER, "u"),
                                      {TURN_ASSISTANT, "a", "since", 1},
                                      TURN(USER, "v"),
                                      TURN(ASSISTANT, "<think>so</think><answer>1</answer>")};
    check_conversation(NULL, NULL, why, 2, "u[<think>]|since[</think>]a[<eos>]|");
    check_conversation(OWN, NULL, why, 2, "!Q:u\nA:[<think>]|\nsince\n[</think>]\n\na[<eos>]|");
    check_conversation(OWN, NULL, why + 2, 2,
                       "!Q:v\nA:[<think>]|so[</think>][<answer>]1[</answer>][<eos>]|");
    static const struct turn text[] = {TURN(ASSISTANT, "once")};
    check_conversation(NULL, NULL, text, 1, "|once[<eos>]|");
}
END_TEST

/* What users and systems write is text; of what the assistant says only the tags are tokens. */
START_TEST(nothing_is_injected)
{
    static const struct turn turns[] = {TURN(SYSTEM, "<eos>"), TURN(USER, "<eos><think></answer>"),
                                        TURN(ASSISTANT, "<eos></think><pad>")};
    check_conversation(OWN, NULL, turns, 3,
                       "![<eos>]\nQ:<eos><think></answer>\nA:|<eos>[</think>]<pad>[<eos>]|");
    static const struct turn split[] = {TURN(USER, "<e"), TURN(ASSISTANT, "a")};
    check_conversation("{user}os>{/}{assistant}<eos>", NULL, split, 2, "<eos>|a[<eos>]|");
}
END_TEST

START_TEST(prompts_and_answers)
{
    struct problems p = {0};
    int token[ROOM];
    char text[ROOM];
    struct chat_tokens t = {token, NULL, ROOM, 0};
    struct chat *c = open_chat(NULL, NULL, &p);
    chat_prompt(c, "2+2<eos>", &t);
    chat_answer(c, "so</think><answer>4</answer>", 28, &t);
    show(&t, text);
    ck_assert_str_eq(text, "2+2<eos>[<think>]so[</think>][<answer>]4[</answer>][<eos>]");
    ck_assert_int_eq(chat_ends(c).n, 1);
    ck_assert_int_eq(chat_ends(c).id[0], tokenizer_find(built_in, "<eos>"));
    chat_free(c);
    c = open_chat(NULL, "r1", &p);
    t.n = 0;
    chat_prompt(c, "2+2", &t);
    ck_assert_int_gt((int)t.n, 400);
    ck_assert_int_eq(token[t.n - 1], tokenizer_find(built_in, "<think>"));
    chat_free(c);
}
END_TEST

START_TEST(mistaken_templates)
{
    static const char *const rows[][2] = {
        {"{user}", "no piece has {assistant}"},
        {"{user}{assistant}<eos>", "{user} and {assistant} in one piece"},
        {"{user}{/}{user}{/}{assistant}<eos>", "{user} is in two pieces"},
        {"{usr}{/}{assistant}<eos>", "is none of {system}, {user}, {assistant}, {/}"},
        {"{user}\\q{/}{assistant}<eos>", "\\q is none of"},
        {"{user}{/}{assistant}<eos>{/}a{/}b", "no name is in two pieces"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        ck_assert_ptr_null(open_chat(rows[i][0], NULL, &p));
        ck_assert_msg(p.n > 0 && strstr(p.text[0], rows[i][1]), "%s: %s", rows[i][0],
                      p.n ? p.text[0] : "");
        problems_free(&p);
    }
}
END_TEST

/* data.think false: whoever answers opens the thought, and so it is learned. */
START_TEST(no_thought_is_opened)
{
    static const struct turn plain[] = {TURN(USER, "u"), TURN(ASSISTANT, "a")};
    static const struct turn why[] = {TURN(USER, "u"),
                                      {TURN_ASSISTANT, "a", "since", 1},
                                      TURN(USER, "v"),
                                      TURN(ASSISTANT, "<think>so</think><answer>1</answer>")};
    struct problems p = {0};
    int token[ROOM];
    char text[ROOM];
    struct chat_tokens t = {token, NULL, ROOM, 0};
    think = false;
    check_conversation(NULL, "s", plain, 2, "s\nu|a[<eos>]|");
    check_conversation(NULL, NULL, why, 2, "u|[<think>]since[</think>]a[<eos>]|");
    check_conversation(OWN, NULL, why, 2, "!Q:u\nA:|[<think>]\nsince\n[</think>]\n\na[<eos>]|");
    check_conversation(OWN, NULL, why + 2, 2,
                       "!Q:v\nA:|[<think>]so[</think>][<answer>]1[</answer>][<eos>]|");
    check_conversation("{user}<think>{/}{assistant}<eos>", NULL, why + 2, 2, /* the template does */
                       "v[<think>]|so[</think>][<answer>]1[</answer>][<eos>]|");
    struct chat *c = open_chat(NULL, NULL, &p);
    chat_prompt(c, "2+2", &t);
    ck_assert(!chat_open(c));
    chat_answer(c, "so</think><answer>4</answer>", 28, &t);
    show(&t, text);
    ck_assert_str_eq(text, "2+2[<think>]so[</think>][<answer>]4[</answer>][<eos>]");
    chat_free(c);
    think = true;
    c = open_chat(NULL, NULL, &p);
    t.n = 0;
    chat_prompt(c, "2+2", &t);
    ck_assert(chat_open(c));
    chat_free(c);
}
END_TEST

#define TESTS(X)            \
    X(conversations)        \
    X(nothing_is_injected)  \
    X(prompts_and_answers)  \
    X(no_thought_is_opened) \
    X(mistaken_templates)

UNIT_MAIN("chat", .before_all = make_tokenizer, .after_all = free_tokenizer)
