/* Lines as people's files have them: by recognition, by name, by a mapping; what is wrong with a
 * line is said. Samples are shaped after the sets that each form is called by. */
#include <stdio.h>
#include <string.h>
#include "trainer/data/example.h"
#include "tests/support/check_unit.h"

struct row {
    const char *fields, *line, *prompt, *answer, *demonstration;
    int turns;
};

static const char *shown(const char *text)
{
    return text ? text : "(none)";
}

static void check_row(const struct row *row)
{
    struct problems p = {0};
    struct fields f;
    struct example e = {.turns = 0};
    char why[EXAMPLE_WHY] = "";
    ck_assert_msg(fields_parse(&f, row->fields, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_msg(example_read(&e, row->line, strlen(row->line), &f, why), "%s: %s", row->line,
                  why);
    ck_assert_str_eq(shown(e.prompt), shown(row->prompt));
    ck_assert_str_eq(shown(e.answer), shown(row->answer));
    ck_assert_str_eq(shown(e.demonstration), shown(row->demonstration));
    ck_assert_int_eq(e.turns, row->turns);
    example_free(&e);
    fields_free(&f);
}

#define GSM8K                                                                    \
    "{\"question\":\"How many?\",\"answer\":\"She has 24*2=<<24*2=48>>48.\\nSo " \
    "<<48+1000=1048>>1048"                                                       \
    "\\n#### 1,048\"}"
#define CHAT                                                                                   \
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be "                                    \
    "brief.\"},{\"role\":\"user\",\"content\":"                                                \
    "\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello\"},{\"role\":\"user\",\"content\":[{" \
    "\"type\""                                                                                 \
    ":\"text\",\"text\":\"B\"},{\"type\":\"text\",\"text\":\"ye\"}]},{\"role\":\"assistant\"," \
    "\"content\":\"Ciao\",\"reasoning_content\":\"polite\"}]}"

START_TEST(forms)
{
    static const struct row rows[] = {
        {NULL, "{\"prompt\":\"p\",\"answer\":\"a\"}", "p", "a", NULL, 0},
        {"auto", "{\"prompt\":\"p\",\"answer\":\"a\",\"completion\":\"c\"}", "p", "a", NULL, 0},
        {NULL, GSM8K, "How many?", "1048", "She has 24*2=48.\nSo 1048", 0},
        {"gsm8k", GSM8K, "How many?", "1048", "She has 24*2=48.\nSo 1048", 0},
        {"prompt=question, answer=answer[####]", GSM8K, "How many?", "1048",
         "She has 24*2=48.\nSo 1048", 0},
        {NULL, "{\"question\":\"q\",\"answer\":\"plain\"}", "q", "plain", NULL, 0},
        {NULL,
         "{\"problem\":\"x\",\"solution\":\"so \\\\boxed{1} or \\\\boxed{\\\\frac{1}{2}}.\","
         "\"level\":\"Level 1\",\"type\":\"Algebra\"}",
         "x", "\\frac{1}{2}", "so \\boxed{1} or \\boxed{\\frac{1}{2}}.", 0},
        {NULL, "{\"problem\":\"x\",\"solution\":\"\\\\boxed 5$\"}", "x", "5", "\\boxed 5$", 0},
        {"math", "{\"problem\":\"x\",\"solution\":\"s\",\"answer\":\"7\"}", "x", "7", "s", 0},
        {"aime", "{\"ID\":\"1\",\"Problem\":\"x\",\"Answer\":33}", "x", "33", NULL, 0},
        {NULL, "{\"problem\":\"x\",\"answer\":\"033\",\"messages\":[]}", "x", "033", NULL, 0},
        {NULL,
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"2+2\"}],\"reward_model\":{\"style\":"
         "\"rule\",\"ground_truth\":\"4\"}}",
         "2+2", "4", NULL, 1},
        {NULL, CHAT, "Be brief.\nHi\nHello\nBye", NULL, NULL, 5},
        {NULL,
         "{\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":"
         "\"Hello\"}]}",
         "Hi", NULL, NULL, 2},
        {NULL, "{\"prompt\":\"p\",\"completion\":\"c<eos>\"}", "p", NULL, NULL, 2},
        {NULL, "{\"text\":\"once upon\",\"meta\":{\"x\":[1,2]}}", "", NULL, NULL, 1},
        {"prompt=q,demonstration=why,answer=a",
         "{\"a\":\"1\",\"q\":\"x\",\"why\":\"since\",\"prompt\":\"no\"}", "x", "1", "since", 0},
        {"prompt=a, answer=a", "{\"a\":\"1\"}", "1", "1", NULL, 0},
        {"messages=chat, answer=gold",
         "{\"gold\":5,\"chat\":[{\"role\":\"user\",\"content\":\"x\"}]}", "x", "5", NULL, 1},
        {"prompt=meta.q, answer=meta.a", "{\"meta\":{\"q\":\"x\",\"a\":\"y\"}}", "x", "y", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&rows[i]);
}
END_TEST

/* Rewards look at these, whatever the form; tests are kept as they stand. */
START_TEST(tests_and_language)
{
    static const struct {
        const char *fields, *line, *tests, *language;
    } rows[] = {
        {NULL, "{\"prompt\":\"p\",\"answer\":\"a\"}", NULL, NULL},
        {NULL, "{\"prompt\":\"p\",\"tests\":[{\"stdin\":\"\\u0031\"}],\"language\":\"e\\u006e\"}",
         "[{\"stdin\":\"\\u0031\"}]", "en"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"#### 5\",\"language\":\"zh\",\"tests\":null}",
         NULL, "zh"},
        {"prompt=p,answer=a,tests=meta.t,language=l",
         "{\"p\":\"p\",\"a\":\"a\",\"meta\":{\"t\":[1]},\"l\":\"c\"}", "[1]", "c"},
        {"prompt=p,answer=a", "{\"p\":\"p\",\"a\":\"a\",\"tests\":{},\"language\":5}", "{}", NULL},
        {NULL, "{\"text\":\"once\",\"language\":\"en\"}", NULL, "en"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct fields f;
        struct example e = {.turns = 0};
        char why[EXAMPLE_WHY] = "";
        ck_assert_msg(fields_parse(&f, rows[i].fields, &p), "%s", p.n ? p.text[0] : "");
        ck_assert_msg(example_read(&e, rows[i].line, strlen(rows[i].line), &f, why), "%s: %s",
                      rows[i].line, why);
        ck_assert_str_eq(shown(e.tests), shown(rows[i].tests));
        ck_assert_str_eq(shown(e.language), shown(rows[i].language));
        example_free(&e);
        fields_free(&f);
    }
}
END_TEST

START_TEST(turns)
{
    struct fields f;
    struct problems p = {0};
    struct example e = {.turns = 0};
    char why[EXAMPLE_WHY];
    fields_parse(&f, NULL, &p);
    ck_assert(example_read(&e, CHAT, sizeof CHAT - 1, &f, why));
    static const enum turn_role roles[] = {TURN_SYSTEM, TURN_USER, TURN_ASSISTANT, TURN_USER,
                                           TURN_ASSISTANT};
    static const char *const texts[] = {"Be brief.", "Hi", "Hello", "Bye", "Ciao"};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(e.turn[i].role, roles[i]);
        ck_assert_str_eq(e.turn[i].text, texts[i]);
        ck_assert_uint_eq(e.turn[i].n, strlen(texts[i]));
    }
    ck_assert_ptr_null(e.turn[2].reasoning);
    ck_assert_str_eq(e.turn[4].reasoning, "polite");
    example_free(&e);
    fields_free(&f);
}
END_TEST

START_TEST(bad_lines)
{
    static const struct {
        const char *fields, *line, *says;
    } rows[] = {
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"5\"}", "no \"####\" before the answer"},
        {"math", "{\"problem\":\"q\",\"solution\":\"\\\\boxed{5\"}", "\\boxed{}"},
        {"math", "{\"problem\":\"q\"}", "no \"answer\""},
        {"messages", "{\"prompt\":\"q\"}", "no \"messages\""},
        {NULL, "{\"messages\":[]}", "\"messages\" has no messages"},
        {NULL, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "no turn of the assistant"},
        {NULL, "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "role \"tool\" is none"},
        {NULL, "{\"messages\":[{\"content\":\"x\"}]}", "without a \"role\""},
        {NULL, "{\"messages\":[{\"role\":\"user\",\"content\":3}]}", "\"content\" is not a string"},
        {NULL, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]}",
         "a part that is not text"},
        {NULL, "{\"messages\":[3]}", "not a list of messages"},
        {NULL, "{\"messages\":\"x\"}", "not a list of messages"},
        {"completion", "{\"prompt\":\"q\"}", "no \"completion\""},
        {"text", "{\"text\":[]}", "\"text\" is not a string"},
        {"prompt=a,answer=b", "{\"a\":\"x\"}", "no \"b\""},
        {NULL, "{\"prompt\":\"x\",\"answer\":\"<eos>\"}", "answer may not contain <eos>"},
        {NULL, "{\"prompt\":\"x\",\"answer\":\"1\",\"prompt\":\"y\"}", "not JSON: duplicate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct fields f;
        struct example e = {.turns = 0};
        char why[EXAMPLE_WHY] = "nothing";
        ck_assert(fields_parse(&f, rows[i].fields, &p));
        ck_assert(!example_read(&e, rows[i].line, strlen(rows[i].line), &f, why));
        ck_assert_msg(strstr(why, rows[i].says) != NULL, "%s: %s", rows[i].line, why);
        example_free(&e);
        fields_free(&f);
    }
}
END_TEST

START_TEST(mistaken_settings)
{
    static const char *const rows[][2] = {
        {"gsm8", "did you mean gsm8k?"},
        {"promt=a, answer=b", "did you mean prompt?"},
        {"answer=b", "no prompt=, messages= or text="},
        {"prompt=a", "no answer= or completion="},
        {"prompt=a, prompt=b, answer=c", "prompt is given twice"},
        {"prompt=a[boxed], answer=b", "name a member"},
        {"prompt=, answer=b", "name a member"},
        {"prompt=a, answer=b[last]", "name a member"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct fields f;
        ck_assert(!fields_parse(&f, rows[i][0], &p));
        ck_assert_msg(p.n > 0 && strstr(p.text[0], rows[i][1]), "%s: %s", rows[i][0],
                      p.n ? p.text[0] : "");
        fields_free(&f);
        problems_free(&p);
    }
}
END_TEST

#define TESTS(X)          \
    X(forms)              \
    X(tests_and_language) \
    X(turns)              \
    X(bad_lines)          \
    X(mistaken_settings)

UNIT_MAIN("example")
