/* Chat templates held against what jinja2 made of them (tests/oracle/chat.py):
 * tests/golden/chat.jsonl, or the file that CHAT_CASES names; whose every byte is; and
 * programs that never end. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/jinja.h"
#include "tests/support/check_unit.h"

enum { TURNS = 32 };

static int read_turns(const json_t *list, struct turn turn[TURNS])
{
    size_t i;
    const json_t *m;
    int n = 0;
    json_array_foreach(list, i, m)
    {
        const char *role = json_string_value(json_object_get(m, "role"));
        const json_t *content = json_object_get(m, "content");
        struct turn *t = &turn[n++];
        *t = (struct turn){.role = *role == 's'   ? TURN_SYSTEM
                                   : *role == 'u' ? TURN_USER
                                                  : TURN_ASSISTANT,
                           .text = json_string_value(content),
                           .n = json_string_length(content),
                           .reasoning = json_string_value(json_object_get(m, "reasoning_content"))};
    }
    return n;
}

static void check_case(const json_t *c, int line)
{
    char why[JINJA_WHY] = "";
    struct turn turn[TURNS];
    struct rendered out = {.n = 0};
    const json_t *template = json_object_get(c, "template"), *text = json_object_get(c, "text");
    const char *name = json_string_value(json_object_get(c, "name"));
    struct jinja *j = jinja_parse(json_string_value(template), json_string_length(template), why);
    ck_assert_msg(j != NULL, "%s: %s", name, why);
    const struct jinja_job job = {.turn = turn,
                                  .turns = read_turns(json_object_get(c, "messages"), turn),
                                  .bos = json_string_value(json_object_get(c, "bos")),
                                  .eos = json_string_value(json_object_get(c, "eos")),
                                  .ask = json_is_true(json_object_get(c, "ask")),
                                  .no_thinking = json_is_true(json_object_get(c, "no_thinking"))};
    bool ok = jinja_render(j, &job, &out, why);
    ck_assert_msg(ok == json_is_string(text), "line %d, %s: %s", line, name, why);
    if (ok)
        ck_assert_msg(out.n == json_string_length(text) &&
                          memcmp(out.text, json_string_value(text), out.n) == 0,
                      "line %d, %s:\n%.*s\nnot\n%s", line, name, (int)out.n, out.text,
                      json_string_value(text));
    rendered_free(&out);
    jinja_free(j);
}

START_TEST(as_jinja2_renders)
{
    const char *path = getenv("CHAT_CASES");
    FILE *f = fopen(path ? path : "tests/golden/chat.jsonl", "r");
    static char line[1 << 20];
    int n = 0;
    ck_assert_msg(f != NULL, "run from the root");
    while (fgets(line, sizeof line, f)) {
        json_t *c = json_loads(line, 0, NULL);
        check_case(c, ++n);
        json_decref(c);
    }
    fclose(f);
    ck_assert_int_ge(n, 42);
}
END_TEST

/* A letter for each byte: t the template's, o others', a the assistant's. */
static void check_who(const char *template, const char *text, const char *who)
{
    static const struct turn turns[] = {{TURN_USER, " Ask<x> ", NULL, 8},
                                        {TURN_ASSISTANT, "say", NULL, 3}};
    char why[JINJA_WHY] = "", got[256] = "";
    struct rendered out = {.n = 0};
    struct jinja *j = jinja_parse(template, strlen(template), why);
    ck_assert_msg(j != NULL, "%s: %s", template, why);
    const struct jinja_job job = {.turn = turns, .turns = 2};
    ck_assert_msg(jinja_render(j, &job, &out, why), "%s: %s", template, why);
    ck_assert_msg(out.n == strlen(text) && memcmp(out.text, text, out.n) == 0, "%s: %.*s", template,
                  (int)out.n, out.text);
    for (size_t i = 0; i < out.n; i++) got[i] = "toa"[out.who[i]];
    ck_assert_msg(strcmp(got, who) == 0, "%s: %s, not %s", template, got, who);
    rendered_free(&out);
    jinja_free(j);
}

START_TEST(whose_bytes)
{
    check_who("{{ '<x>' + messages[0].content + messages[1].content }}", "<x> Ask<x> say",
              "tttooooooooaaa");
    check_who("{{ messages[0].content | trim }}-", "Ask<x>-", "oooooot");
    check_who("{{ messages[0]['content'].replace('<x>', '<y>') }}", " Ask<y> ", "oooottto");
    check_who("{{ messages[0].content.split('s')[-1] ~ 1 }}", "k<x> 1", "ooooot");
    check_who("{{ messages[1].content | upper }}{{ messages[1].content[1:] }}", "SAYay", "aaaaa");
    check_who("{{ messages[1].content | tojson }}", "\"say\"", "taaat");
    check_who("{% set x %}({{ messages[1].content }}){% endset %}{{ x }}", "(say)", "taaat");
    check_who("{{ [messages[0].content | trim, messages[1].content] | join('+') }}", "Ask<x>+say",
              "ooooootaaa");
}
END_TEST

static void check_refused(const char *template, const char *says)
{
    static const struct turn turn = {TURN_USER, "u", NULL, 1};
    char why[JINJA_WHY] = "";
    struct rendered out = {.n = 0};
    const struct jinja_job job = {.turn = &turn, .turns = 1};
    struct jinja *j = jinja_parse(template, strlen(template), why);
    ck_assert_msg(!j || !jinja_render(j, &job, &out, why), "%s", template);
    ck_assert_msg(strstr(why, says) != NULL, "%.60s: %s", template, why);
    rendered_free(&out);
    jinja_free(j);
}

START_TEST(refused)
{
    static const char *const rows[][2] = {
        {"{% macro m() %}{% endmacro %}", "line 1: {% macro %} is not known here"},
        {"\n\n{% for x in y %}", "line 3: a block without its end"},
        {"{{ 'a }}", "a text without its closing quote"},
        {"{{ 1 + }}", "an expression is missing"},
        {"{{ 1 2 }}", "the tag goes on"},
        {"{{ raise_exception('no') }}", "it says: no"},
        {"{{ strftime_now('%Y') }}", "strftime_now() is not known here"},
        {"{{ nothing.member }}", "not defined"},
        {"{{ 'a'.format(1) }}", "method format"},
        {"{{ 'a' | wordwrap }}", "method wordwrap"},
        {"{{ 1.5 }}", "fractions"},
        {"{{ 1 // 0 }}", "arithmetic"},
        {"{{ messages }}", "is printed"},
        {"{% for a in range(4000) %}{% for b in range(4000) %}x{% endfor %}{% endfor %}",
         "too much memory"},
        {"{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(64) %}{% set ns.s = ns.s + ns.s "
         "%}{% endfor %}",
         "too much memory"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_refused(rows[i][0], rows[i][1]);
    char deep[8192] = "{{ ";
    memset(deep + 3, '(', 2000);
    check_refused(deep, "nested");
    strcpy(deep, "{{ 1");
    for (int i = 0; i < 400; i++) strcat(deep, " + 1");
    strcat(deep, " }}");
    check_refused(deep, "nested");
    strcpy(deep, "{% for a in range(4000) %}");
    for (int i = 0; i < 200; i++) strcat(deep, "{%if 1==2%}{%endif%}");
    strcat(deep, "{% endfor %}");
    check_refused(deep, "too long");
    /* what a loop leaves behind does not point into it */
    check_refused(
        "{% set ns = namespace() %}{% for a in messages %}{% set ns.l = loop %}{% endfor %}"
        "{{ ns.l.first.x.y }}",
        "not defined");
}
END_TEST

#define TESTS(X)         \
    X(as_jinja2_renders) \
    X(whose_bytes)       \
    X(refused)

UNIT_MAIN("jinja", .timeout_s = 60)
