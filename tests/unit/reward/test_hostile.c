/* Programs that exhaust, escape and cheat (tests/faults/hostile): none passes, none leaves anything
 * behind, and an honest program that is judged at the same time gets its verdict. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "trainer/data/text.h"
#include "tests/support/judged.h"

#define FOLDER "tests/faults/hostile/"
enum { AT_ONCE = 6, PROGRAMS_MAX = 100 };

static const struct code_rules rules = {.cpu_ms = 300, .memory_mib = 128};

#define ADD                                                       \
    "[{\"function\": \"add\", \"args\": [1, 2], \"returns\": 3}," \
    " {\"function\": \"add\", \"args\": [5, 6], \"returns\": 11}]"
#define SUM                                           \
    "[{\"stdin\": \"1 2\\n\", \"stdout\": \"3\\n\"}," \
    " {\"stdin\": \"5 6\\n\", \"stdout\": \"11\\n\"}]"
#define LINES                                                                          \
    "[{\"stdin\": \"\", \"stdout\": \"1\\n2\\n3\\n\"}, {\"stdin\": \"\", \"stdout\": " \
    "\"\\n2\\n\"}]"
#define PRINTS(word) "[{\"stdin\": \"\", \"stdout\": \"" word "\"}]"
static const char honest[] = "</think>\n```python\ndef add(a, b): return a + b\n```";

/* A verdict by the word that the first line of a program has for it. */
static const char *const words[CODE_ENDS] = {"right",        "no_code",  "wrong",    "crash",
                                             "not_compiled", "time-out", "too_much", "bad_tests"};

struct hostile {
    char name[300];
    char *text; /* the whole file */
    char head[128];
    struct judging judging;
    char *answer;
};

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f, "%s: %s", path, strerror(errno));
    char *text = calloc(1, 65536);
    ck_assert(fread(text, 1, 65535, f) > 0);
    fclose(f);
    return text;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

/* A program goes into a fence of its language, a text stands as it is. */
static void read_program(struct hostile *h, const char *folder, const char *name)
{
    char path[400];
    snprintf(h->name, sizeof h->name, "%s/%s", folder, name);
    snprintf(path, sizeof path, FOLDER "%s/%s", folder, name);
    h->text = read_all(path);
    const size_t n = strcspn(h->text, "\n");
    snprintf(h->head, sizeof h->head, "%.*s", (int)n, h->text);
    h->answer = calloc(1, 66000);
    if (ends_in(name, ".md"))
        snprintf(h->answer, 66000, "%s%s", strstr(h->text, "</think>") ? "" : "thought</think>",
                 h->text + n);
    else
        snprintf(h->answer, 66000, "thought</think>\n```%s\n%s\n```\n",
                 ends_in(name, ".c") ? "c" : "python", h->text);
}

static int read_folder(struct hostile *h, const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, FOLDER "%s", folder);
    DIR *d = opendir(path);
    ck_assert_msg(d, "%s: %s", path, strerror(errno));
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            ck_assert_int_lt(n, PROGRAMS_MAX);
            read_program(&h[n++], folder, e->d_name);
        }
    closedir(d);
    return n;
}

static bool has_word(const char *head, const char *word)
{
    const char *at = strstr(head, word);
    const size_t n = strlen(word);
    return at && (at == head || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' ');
}

/* How many processes of ours there are, besides this one; what lies in /tmp. */
static int children(void)
{
    int n = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    FILE *f = fopen("/proc/thread-self/children", "r");
    int pid;
    while (f && fscanf(f, "%d", &pid) == 1) n++;
    if (f) fclose(f);
    return n;
}

static int lines_of(const char *path)
{
    int n = 0, c;
    FILE *f = fopen(path, "r");
    while (f && (c = getc(f)) != EOF) n += c == '\n';
    if (f) fclose(f);
    return n;
}

static int left_files(void)
{
    static const char *const names[] = {"/tmp/left-for-the-next", "/tmp/left", "/tmp/big",
                                        "/tmp/count"};
    int n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) n += access(names[i], F_OK) == 0;
    return n;
}

static struct sandbox *sandbox;
static int mounts;

static void open_it(void)
{
    mounts = lines_of("/proc/self/mountinfo");
    sandbox = judged_open();
}

static void close_it(void)
{
    sandbox_close(sandbox);
    ck_assert_msg(children() == 0, "processes are left");
    ck_assert_msg(lines_of("/proc/self/mountinfo") == mounts, "mounts are left");
    ck_assert_msg(left_files() == 0, "files are left");
}

static const char *tests_for(const struct hostile *h, const char *printed)
{
    if (printed) return printed;
    if (has_word(h->head, "call")) return ADD;
    return has_word(h->head, "lines") ? LINES : SUM;
}

/* A few at once, an honest one among them. */
static void judge_some(struct hostile *h, int n, const char *printed)
{
    struct judging all[AT_ONCE + 1];
    for (int i = 0; i < n; i++) {
        const enum code_language l = ends_in(h[i].name, ".c") ? CODE_C : CODE_PYTHON;
        judge_begin(&all[i], &rules, l, true, span_of(h[i].answer),
                    span_of(tests_for(&h[i], printed)));
    }
    judge_begin(&all[n], &rules, CODE_PYTHON, true, span_of(honest), span_of(ADD));
    judged_wait(sandbox, all, n + 1);
    for (int i = 0; i < n; i++) h[i].judging = all[i];
    ck_assert_msg(!all[n].failed && all[n].verdict.end == CODE_RIGHT,
                  "an honest program beside %s: %s", h[0].name, code_end_text(all[n].verdict.end));
    judge_end(&all[n]);
}

static int judge_folder(struct hostile *h, const char *folder, const char *printed)
{
    const int n = read_folder(h, folder);
    for (int i = 0; i < n; i += AT_ONCE)
        judge_some(&h[i], n - i < AT_ONCE ? n - i : AT_ONCE, printed);
    return n;
}

static struct hostile programs[PROGRAMS_MAX];

static struct text wrong = {.size = 4096, .at = (char[4096]){0}};

/* All that differ are named. */
static void note(struct hostile *h, bool right)
{
    if (h->judging.failed || !right)
        text_add(&wrong, "\n%s: %s", h->name, words[h->judging.verdict.end]);
    judge_end(&h->judging);
}

/* Each as its first line says. */
static void expect_heads(const char *folder, int least)
{
    const int n = judge_folder(programs, folder, NULL);
    ck_assert_int_ge(n, least);
    for (int i = 0; i < n; i++) {
        const enum code_end end = programs[i].judging.verdict.end;
        note(&programs[i], end != CODE_RIGHT && has_word(programs[i].head, words[end]));
    }
    ck_assert_msg(wrong.n == 0, "%s", wrong.at);
}

START_TEST(exhaust)
{
    expect_heads("exhaust", 20);
}
END_TEST

START_TEST(cheat)
{
    expect_heads("cheat", 30);
}
END_TEST

/* It ran to its end and says so: what it tried has failed. */
START_TEST(escape)
{
    const int n = judge_folder(programs, "escape", PRINTS("contained"));
    ck_assert_int_ge(n, 30);
    for (int i = 0; i < n; i++) note(&programs[i], programs[i].judging.verdict.end == CODE_RIGHT);
    ck_assert_msg(wrong.n == 0, "%s", wrong.at);
}
END_TEST

#define TESTS(X) \
    X(exhaust)   \
    X(escape)    \
    X(cheat)

UNIT_MAIN("hostile", .timeout_s = 240, .setup = open_it, .teardown = close_it)
