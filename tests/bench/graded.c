/* graded [SECONDS]: programs graded in a second, two at once, beside the cost of bare fork and exec
 * of the same interpreter. One line a row: name, in a second, milliseconds each (two at once). */
#define _DEFAULT_SOURCE /* vfork */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "trainer/reward/code/judge.h"

enum { AT_ONCE = 2 };

static double seconds = 5;
static struct sandbox *sandbox;

static void say(const char *name, int n, double spent)
{
    printf("%-44s %8.1f /s %8.2f ms each\n", name, n / spent, 1e3 * AT_ONCE * spent / n);
    fflush(stdout);
}

static void spawn(const char *const *argv)
{
    if (vfork() != 0) return;
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Nothing around it. */
static void bare(const char *name, const char *const *argv)
{
    const double begun = clock_now();
    int n = 0, running = 0;
    while (clock_now() - begun < seconds || running > 0) {
        while (running < AT_ONCE && clock_now() - begun < seconds) {
            spawn(argv);
            running++;
        }
        if (running > 0 && wait(NULL) > 0) running--, n++;
    }
    say(name, n, clock_now() - begun);
}

static void wait_for(const struct sandbox_run *run, int n)
{
    struct pollfd fd[2 * AT_ONCE];
    int fds = 0;
    for (int i = 0; i < n; i++) fds += sandbox_wait(&run[i], fd + fds);
    poll(fd, (nfds_t)fds, -1);
}

static void sandboxed(const char *name, const char *const *argv)
{
    const struct sandbox_job job = {.argv = argv,
                                    .limits = {2000, 2000, 60000, 8, 256 << 20, 4 << 20, 1 << 20}};
    struct sandbox_run run[AT_ONCE];
    const double begun = clock_now();
    int n = 0;
    for (int i = 0; i < AT_ONCE; i++) sandbox_start(sandbox, &run[i], &job);
    while (clock_now() - begun < seconds) {
        wait_for(run, AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++) {
            if (!sandbox_step(&run[i])) continue;
            sandbox_free(&run[i]);
            sandbox_start(sandbox, &run[i], &job);
            n++;
        }
    }
    for (int i = 0; i < AT_ONCE; i++) sandbox_free(&run[i]);
    say(name, n, clock_now() - begun);
}

/* An answer and its tests, start to verdict. */
static void judged(const char *name, enum code_language language, const char *answer,
                   const char *tests)
{
    static const struct code_rules rules = {.cpu_ms = 2000, .memory_mib = 256};
    const struct span text = {answer, strlen(answer)}, json = {tests, strlen(tests)};
    struct judging judging[AT_ONCE];
    const double begun = clock_now();
    int n = 0, right = 0;
    for (int i = 0; i < AT_ONCE; i++) judge_begin(&judging[i], &rules, language, false, text, json);
    while (clock_now() - begun < seconds) {
        struct pollfd fd[2 * AT_ONCE];
        int fds = 0;
        for (int i = 0; i < AT_ONCE; i++) {
            if (judge_step(&judging[i], sandbox)) {
                right += judging[i].verdict.end == CODE_RIGHT;
                n++;
                judge_end(&judging[i]);
                judge_begin(&judging[i], &rules, language, false, text, json);
                judge_step(&judging[i], sandbox);
            }
            fds += judge_wait(&judging[i], fd + fds);
        }
        poll(fd, (nfds_t)fds, -1);
    }
    for (int i = 0; i < AT_ONCE; i++) judge_end(&judging[i]);
    say(name, n, clock_now() - begun);
    if (right != n) printf("%d of %d were right\n", right, n);
}

static const char four_calls[] = "[{\"function\": \"add\", \"args\": [1, 2], \"returns\": 3},"
                                 " {\"function\": \"add\", \"args\": [5, 6], \"returns\": 11},"
                                 " {\"function\": \"add\", \"args\": [0, 0], \"returns\": 0},"
                                 " {\"function\": \"add\", \"args\": [9, -1], \"returns\": 8}]",
                  one_input[] = "[{\"stdin\": \"1 2\\n\", \"stdout\": \"3\\n\"}]";

int main(int argc, char **argv)
{
    static const char *const nothing[] = {"/usr/bin/true", NULL};
    static const char *const python[] = {
        "/usr/bin/python3", "-s", "-S", "-P", "-B", "-c", "pass", NULL};
    enum sandbox_level level;
    char says[256];
    if (argc > 1) seconds = strtod(argv[1], NULL);
    sandbox = sandbox_open(&level, says, sizeof says);
    printf("sandbox: %s: %s\n", level == SANDBOX_FULL ? "FULL" : "less than FULL", says);
    if (!sandbox) return 1;
    bare("fork and exec of true", nothing);
    sandboxed("true in the sandbox", nothing);
    bare("fork and exec of python3", python);
    sandboxed("python3 in the sandbox", python);
    judged("Python, four calls of a function", CODE_PYTHON,
           "```python\ndef add(a, b): return a + b\n```", four_calls);
    judged("Python, one input", CODE_PYTHON,
           "```python\na, b = map(int, input().split())\nprint(a + b)\n```", one_input);
    judged("C, compiled, four calls of a function", CODE_C,
           "```c\nint add(int a, int b) { return a + b; }\n```", four_calls);
    sandbox_close(sandbox);
    return 0;
}
