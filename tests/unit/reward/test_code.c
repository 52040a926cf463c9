/* The judge of programs: extraction, comparison, values, verdicts by hand. (Cheating, escaping and
 * exhausting programs: test_hostile.c.) */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <unistd.h>
#include "trainer/data/task.h"
#include "trainer/reward/code/ask.h"
#include "tests/support/judged.h"

static const struct code_rules rules = {.cpu_ms = 300, .memory_mib = 256},
                               partial = {.cpu_ms = 300, .memory_mib = 256, .partial = true};

START_TEST(extraction)
{
    static const struct {
        const char *completion;
        enum code_language language;
        bool thinks;
        const char *code; /* NULL: none */
    } rows[] = {
        {"</think>\n```python\nx = 1\n```\n", CODE_PYTHON, true, "x = 1\n"},
        {"</think>```python\nx\n```", CODE_PYTHON, true, "x\n"},
        {"</think>\n```py\nx\n```", CODE_PYTHON, true, "x\n"},
        {"</think>\n  ```Python \nx\n  ```", CODE_PYTHON, true, "x\n"},
        {"</think>\n```python\r\nx\r\n```\r\n", CODE_PYTHON, true, "x\r\n"},
        {"</think>\n```c\nint x;\n```", CODE_C, true, "int x;\n"},
        {"</think>\n```python\none\n```\n```python\ntwo\n```", CODE_PYTHON, true, "two\n"},
        {"</think>\n```python\none\n```\n```c\ntwo\n```", CODE_PYTHON, true, "one\n"},
        {"</think>\n```\n```python\n```\nx\n```", CODE_PYTHON, true, NULL},
        {"</think>\n```python\n```", CODE_PYTHON, true, ""},
        {"</think>\n```python\nx = 1\n", CODE_PYTHON, true, NULL},
        {"</think>\nx = 1\n", CODE_PYTHON, true, NULL},
        {"</think>\n```\nx = 1\n```", CODE_PYTHON, true, NULL},
        {"</think>\n```c++\nx\n```", CODE_C, true, NULL},
        {"```python\nx\n```", CODE_PYTHON, true, NULL},
        {"```python\nx\n```", CODE_PYTHON, false, "x\n"},
        {"```python\nx\n```\n</think>done", CODE_PYTHON, true, NULL},
        {"```python\nx\n```\n</think>done", CODE_PYTHON, false, NULL},
        {"</think>\n```python\nx\n```\n</think>", CODE_PYTHON, true, NULL},
        {"", CODE_PYTHON, true, NULL},
        {"</think>", CODE_PYTHON, true, NULL},
        {"</think>\n```python", CODE_PYTHON, true, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct span code =
            code_extract(span_of(rows[i].completion), rows[i].language, rows[i].thinks);
        const char *expected = rows[i].code;
        ck_assert_msg(expected ? code.at && code.n == strlen(expected) &&
                                     memcmp(code.at, expected, code.n) == 0
                               : !code.at,
                      "row %zu: \"%.*s\"", i, (int)code.n, code.at ? code.at : "");
    }
    ck_assert_int_eq(code_language_of(NULL), CODE_PYTHON);
    ck_assert_int_eq(code_language_of("en"), CODE_PYTHON);
    ck_assert_int_eq(code_language_of("en c"), CODE_C);
}
END_TEST

START_TEST(outputs)
{
    static const struct {
        const char *output, *expected;
        double tolerance;
        bool same;
    } rows[] = {
        {"1\n2\n", "1\n2\n", 0, true},
        {"1\n2", "1\n2\n", 0, true},
        {"1 \n2\t\n\n\n", "1\n2", 0, true},
        {"1\r\n2\r\n", "1\n2\n", 0, true},
        {"", "", 0, true},
        {"\n\n", "", 0, true},
        {"1\n", "1\n2\n", 0, false},
        {"1\n2\n3\n", "1\n2\n", 0, false},
        {"", "1\n", 0, false},
        {"", "\n1\n", 0, false},
        {"1\n", "", 0, false},
        {"1\n\n2\n", "1\n2\n", 0, false},
        {" 1\n", "1\n", 0, false},
        {"1 2", "1  2", 0, false},
        {"1.0", "1", 0, false},
        {"0.3333333", "0.33333334", 1e-6, true},
        {"0.333", "0.33333334", 1e-6, false},
        {"1 2", "1 2 3", 1e-6, false},
        {"nan", "1", 1e-6, false},
        {"0x1", "1", 1e-6, false},
        {"1e400", "inf", 1e-6, false},
        {"yes 1.0000001", "yes 1", 1e-6, true},
        {"1000000.5", "1000000", 1e-6, true},
        {"a\n1", "a 1", 1e-6, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(code_same_output(span_of(rows[i].output), span_of(rows[i].expected),
                                       rows[i].tolerance) == rows[i].same,
                      "row %zu", i);
}
END_TEST

/* An output has no 0 behind it: what is compared ends where memory does. */
START_TEST(outputs_end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(at != MAP_FAILED && mprotect(at + page, page, PROT_NONE) == 0);
    const struct span output = {at + page - 9, 9};
    memcpy(at + page - 9, "1.0 1.001", 9);
    ck_assert(code_same_output(output, span_of("1 1"), 0.01));
    ck_assert(!code_same_output(output, span_of("1 2"), 0.01));
    memcpy(at + page - 9, "1.00 1\0001 ", 9);
    ck_assert(!code_same_output(output, span_of("1 1"), 0.01));
    munmap(at, 2 * page);
}
END_TEST

/* Each value goes through a function that returns it; only the first is right. */
START_TEST(python_values)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "1",
                                         "-1",
                                         "9223372036854775807",
                                         "0.0",
                                         "1.0",
                                         "-1.5",
                                         "1e300",
                                         "5e-324",
                                         "2.2250738585072014e-308",
                                         "0.1",
                                         "1.7976931348623157e308",
                                         "\"\"",
                                         "\"a,b]}:\"",
                                         "\"\\n \\u00e9 \\ud83d\\ude00\"",
                                         "[]",
                                         "[1]",
                                         "[[1, [2.5, null]], \"x\"]",
                                         "{}",
                                         "{\"b\": 1, \"a\": [true]}",
                                         "{\"a\": {\"b\": {}}}",
                                         "[[]]",
                                         "[0]"};
    enum { N = sizeof values / sizeof *values };
    struct sandbox *s = judged_open();
    char *tests = malloc(100000), one[512];
    strcpy(tests, "[");
    for (int i = 0; i < N; i++) {
        snprintf(one, sizeof one, "%s{\"function\": \"f\", \"args\": [%s], \"returns\": %s}",
                 i ? "," : "", values[i], values[i]);
        strcat(tests, one);
    }
    strcat(tests, "]");
    struct code_verdict v = judged(s, &partial, CODE_PYTHON, "def f(x): return x", tests);
    ck_assert_msg(v.end == CODE_RIGHT && v.passed == N, "%d of %d", v.passed, N);
    strcpy(tests, "[");
    for (int i = 0; i < N; i++) {
        snprintf(one, sizeof one, "%s{\"function\": \"f\", \"args\": [%s], \"returns\": %s}",
                 i ? "," : "", values[i], values[(i + 1) % N]);
        strcat(tests, one);
    }
    strcat(tests, "]");
    v = judged(s, &partial, CODE_PYTHON, "def f(x): return x", tests);
    ck_assert_msg(v.end == CODE_WRONG && v.passed == 0, "%d passed", v.passed);
    free(tests);
    sandbox_close(s);
}
END_TEST

#define SUM                                                                                \
    "[{\"stdin\": \"1 2\\n\", \"stdout\": \"3\\n\"}, {\"stdin\": \"5 6\\n\", \"stdout\": " \
    "\"11\\n\"}]"
#define ADD                                                       \
    "[{\"function\": \"add\", \"args\": [1, 2], \"returns\": 3}," \
    " {\"function\": \"add\", \"args\": [5, 6], \"returns\": 11}]"
#define MIXED \
    "[{\"stdin\": \"\", \"stdout\": \"\"}, {\"function\": \"f\", \"args\": [], \"returns\": 1}]"

static const struct row {
    const char *name;
    enum code_language language;
    const char *code, *tests;
    enum code_end end;
    int passed; /* where every test counts */
} rows[] = {
    {"sum", CODE_PYTHON, "a, b = map(int, input().split())\nprint(a + b)", SUM, CODE_RIGHT, 2},
    {"main", CODE_PYTHON,
     "if __name__ == '__main__':\n print(sum(map(int, input().split())))\n exit()", SUM, CODE_RIGHT,
     2},
    {"one of two", CODE_PYTHON, "print(3)", SUM, CODE_WRONG, 1},
    {"no output", CODE_PYTHON, "pass", SUM, CODE_WRONG, 0},
    {"raises", CODE_PYTHON, "print(3)\nraise ValueError", SUM, CODE_CRASH, 0},
    {"no syntax", CODE_PYTHON, "print(3", SUM, CODE_CRASH, 0},
    {"loops", CODE_PYTHON, "print(3, flush=True)\nwhile True: pass", SUM, CODE_TIMEOUT, 0},
    {"waits", CODE_PYTHON, "import time\ntime.sleep(1000)", SUM, CODE_TIMEOUT, 0},
    {"too much", CODE_PYTHON, "while True: print('x' * 1000)", SUM, CODE_OVER_LIMIT, 0},
    {"ten megabytes", CODE_PYTHON, "print('3' + ' ' * 10000000)", SUM, CODE_OVER_LIMIT, 0},
    {"add", CODE_PYTHON, "def add(a, b): return a + b", ADD, CODE_RIGHT, 2},
    {"add prints", CODE_PYTHON, "def add(a, b):\n print('hello')\n return a + b", ADD, CODE_RIGHT,
     2},
    {"another type", CODE_PYTHON, "def add(a, b): return float(a + b)", ADD, CODE_WRONG, 0},
    {"a text", CODE_PYTHON, "def add(a, b): return str(a + b)", ADD, CODE_WRONG, 0},
    {"raises once", CODE_PYTHON, "def add(a, b): return 3 if a == 1 else 1 // 0", ADD, CODE_CRASH,
     1},
    {"no such function", CODE_PYTHON, "def sub(a, b): return a + b", ADD, CODE_CRASH, 0},
    {"leaves", CODE_PYTHON, "import os\nos._exit(0)", ADD, CODE_CRASH, 0},
    {"loops in a call", CODE_PYTHON, "def add(a, b):\n while a: pass", ADD, CODE_TIMEOUT, 0},
    {"both kinds", CODE_PYTHON, "def f(): return 1", MIXED, CODE_RIGHT, 2},
    {"sum", CODE_C,
     "#include <stdio.h>\nint main(void) { int a, b; scanf(\"%d%d\", &a, &b); printf(\"%d\\n\", a "
     "+ b); }",
     SUM, CODE_RIGHT, 2},
    {"dies", CODE_C, "#include <stdlib.h>\nint main(void) { abort(); }", SUM, CODE_CRASH, 0},
    {"null", CODE_C, "int main(void) { return *(volatile int *)0; }", SUM, CODE_CRASH, 0},
    {"no syntax", CODE_C, "int main(void) {", SUM, CODE_NOT_COMPILED, 0},
    {"nothing", CODE_C, "", SUM, CODE_NOT_COMPILED, 0},
    {"loops", CODE_C, "int main(void) { for (volatile int i = 0;; i++); }", SUM, CODE_TIMEOUT, 0},
    {"add", CODE_C, "int add(int a, int b) { return a + b; }", ADD, CODE_RIGHT, 2},
    {"long add", CODE_C, "long add(long a, long b) { return a + b; }", ADD, CODE_RIGHT, 2},
    {"another type", CODE_C, "double add(int a, int b) { return a + b; }", ADD, CODE_WRONG, 0},
    {"with a main", CODE_C, "int add(int a, int b) { return a + b; }\nint main(void) { return 3; }",
     ADD, CODE_RIGHT, 2},
    {"arrays", CODE_C,
     "double f(double *x, int n) { double s = 0; while (n--) s += x[n]; return s; }",
     "[{\"function\": \"f\", \"args\": [[1.5, 2, 3]], \"returns\": 6.5}, {\"function\": \"f\", "
     "\"args\": [[]], \"returns\": 0.0}]",
     CODE_RIGHT, 2},
    {"texts", CODE_C,
     "#include <string.h>\nchar *f(const char *s) { static char t[99]; strcpy(t, s); t[0] = 'J'; "
     "return t; }\n_Bool g(const char *s) { return *s == 'a'; }",
     "[{\"function\": \"f\", \"args\": [\"h\\\"e\\n\"], \"returns\": \"J\\\"e\\n\"}, "
     "{\"function\": \"g\", \"args\": [\"ab\"], \"returns\": true}]",
     CODE_RIGHT, 2},
    {"tests of nothing", CODE_PYTHON, "pass", "[]", CODE_BAD_TESTS, 0},
    {"tests of garbage", CODE_PYTHON, "pass", "[{\"stdin\"", CODE_BAD_TESTS, 0},
    {"no text", CODE_PYTHON, "pass", "[{\"stdin\": 1, \"stdout\": \"\"}]", CODE_BAD_TESTS, 0},
    {"no name", CODE_PYTHON, "pass", "[{\"function\": \"f(), g\", \"args\": [], \"returns\": 1}]",
     CODE_BAD_TESTS, 0},
    {"no list for C", CODE_C, "int x;", "[{\"function\": \"f\", \"args\": [], \"returns\": [1]}]",
     CODE_BAD_TESTS, 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct sandbox *sandbox;
static void open_it(void)
{
    sandbox = judged_open();
}
static void close_it(void)
{
    sandbox_close(sandbox);
}

START_TEST(verdicts)
{
    const struct row *r = &rows[_i];
    struct code_verdict v = judged(sandbox, &partial, r->language, r->code, r->tests);
    ck_assert_msg(v.end == r->end && v.passed == r->passed, "%s: %s, %d of %d passed", r->name,
                  code_end_text(v.end), v.passed, v.tests);
    v = judged(sandbox, &rules, r->language, r->code, r->tests);
    ck_assert_msg(v.end == r->end, "%s, all or nothing: %s", r->name, code_end_text(v.end));
}
END_TEST

/* The generator's own program passes the tests of its problem, one without its conditions does
 * not, nor does another problem's. */
START_TEST(task_of_programs)
{
    enum { MANY = 20 };
    int right = 0, wrong = 0, other = 0;
    for (int i = 0; i < 3 * MANY; i++) {
        const struct task_options o = {.difficulty = 1 + i % 3, .give_up = 1, .seed = 5};
        struct problem p, next;
        char bytes[1024];
        struct text text = {bytes, 0, sizeof bytes, false};
        struct rng_stream rng = {1, {.purpose = RNG_DEMO, .prompt = (uint32_t)i}};
        task_programs.make(&p, &o, SPLIT_TRAIN, (uint32_t)i);
        task_programs.make(&next, &o, SPLIT_TRAIN, (uint32_t)i + 1);
        char answer[512];
        snprintf(answer, sizeof answer, "</think><answer>\n%s\n</answer>", p.answer);
        right += judged_answer(sandbox, &rules, CODE_PYTHON, answer, p.tests).end == CODE_RIGHT;
        other += judged_answer(sandbox, &rules, CODE_PYTHON, answer, next.tests).end == CODE_WRONG;
        task_programs.demonstrate(&text, &p, &o, &rng);
        wrong += judged_answer(sandbox, &rules, CODE_PYTHON, bytes, p.tests).end == CODE_WRONG;
    }
    ck_assert_int_eq(right, 3 * MANY);
    ck_assert_int_ge(wrong, 3 * MANY - 2);
    ck_assert_int_ge(other, 3 * MANY * 3 / 4);
}
END_TEST

/* Through the server: every answer gets the verdict of its own, a cell that dies costs nothing. */
START_TEST(served)
{
    enum { MANY = 60 };
    struct grade_server *s = grade_server_fork();
    const struct code_level level = code_open(s, &rules);
    ck_assert_msg(level.level == SANDBOX_FULL, "%s", level.says);
    struct grade_reply reply;
    int n = 0, right = 0;
    for (int i = 0; i < MANY; i++) {
        char answer[128];
        snprintf(answer, sizeof answer,
                 "</think>\n```python\ndef add(a, b): return a + b + %d\n```", i % 3);
        ck_assert(code_send(s, (uint64_t)i, CODE_PYTHON, true, span_of(answer), span_of(ADD)));
    }
    while (grade_server_poll(s, GRADE_CODE, &reply, 60000)) {
        const struct code_verdict v = code_reply(&reply);
        ck_assert(!reply.lost && (v.end == CODE_RIGHT) == (reply.id % 3 == 0));
        right += v.end == CODE_RIGHT;
        n++;
    }
    ck_assert(n == MANY && right == MANY / 3);
    grade_server_close(s);
}
END_TEST

#define TESTS(X)            \
    X(extraction)           \
    X(outputs)              \
    X(outputs_end)          \
    X(python_values)        \
    X(verdicts, .to = ROWS) \
    X(task_of_programs)     \
    X(served)

UNIT_MAIN("code", .timeout_s = 120, .setup = open_it, .teardown = close_it)
