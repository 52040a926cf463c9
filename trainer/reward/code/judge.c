#include "trainer/reward/code/judge.h"

#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/tests.h"
#include "trainer/reward/code/value.h"

static void end_with(struct judging *j, enum code_end end)
{
    if (j->verdict.end == CODE_RIGHT) j->verdict.end = end;
    j->over = true;
}

/* Tests come before the code: where they cannot be read, an answer without code is not to blame. */
void judge_begin(struct judging *j, const struct code_rules *rules, enum code_language language,
                 bool thinks, struct span completion, struct span tests)
{
    *j = (struct judging){.rules = rules, .program = program_of(language)};
    char why[256];
    j->tests = tests_read(tests.at, tests.n, j->program, why, sizeof why);
    if (!j->tests) {
        end_with(j, CODE_BAD_TESTS);
        return;
    }
    j->calls = tests_calls(j->tests);
    j->verdict.tests = (int)json_array_size(j->tests);
    j->code = code_extract(completion, language, thinks);
    j->is_compiled = !j->program->compile;
    j->called = json_array_size(j->calls) == 0;
    if (!j->code.at) end_with(j, CODE_NO_CODE);
}

void judge_end(struct judging *j)
{
    if (j->running) sandbox_free(&j->run);
    json_decref(j->tests);
    json_decref(j->calls);
    free(j->compiled.bytes);
    *j = (struct judging){.over = true};
}

/* A test waits for nothing: what uses no processor time for six seconds, on a machine that may be
 * busy, will not end. */
static struct sandbox_limits limits_of(const struct code_rules *r)
{
    return (struct sandbox_limits){.cpu_ms = r->cpu_ms,
                                   .idle_ms = 6000,
                                   .wall_ms = 20 * r->cpu_ms + 20000,
                                   .processes = 8,
                                   .memory_bytes = (size_t)r->memory_mib << 20,
                                   .disk_bytes = 4 << 20,
                                   .output_bytes = 1 << 20};
}

/* The compiler gets what compilers need, whatever the program may use. The shell that has started
 * it waits, on a busy machine for long. What it prints is the program, for which there must be room
 * in the folder of a run: one that cannot be put there would count as the machine's failure. */
static struct sandbox_limits limits_of_compiler(void)
{
    return (struct sandbox_limits){.cpu_ms = 5000,
                                   .idle_ms = 120000,
                                   .wall_ms = 120000,
                                   .processes = 8,
                                   .memory_bytes = 512 << 20,
                                   .disk_bytes = 16 << 20,
                                   .output_bytes = 3 << 20};
}

/* The next test with an input. */
static const json_t *next_input(struct judging *j)
{
    for (; j->next < json_array_size(j->tests); j->next++) {
        const json_t *test = json_array_get(j->tests, j->next);
        if (!json_object_get(test, "function")) return test;
    }
    return NULL;
}

static void start_compiler(struct judging *j, struct sandbox *s)
{
    const struct program *p = j->program;
    struct program_text main_text = {NULL, 0};
    if (!j->called) main_text = p->call_main(j->calls);
    const struct sandbox_file files[2] = {{p->code_file, j->code.at, j->code.n},
                                          {p->main_file,
                                           j->called ? p->input_main : main_text.bytes,
                                           j->called ? strlen(p->input_main) : main_text.n}};
    const struct sandbox_job job = {
        .argv = p->compile, .file = files, .n_files = 2, .limits = limits_of_compiler()};
    sandbox_start(s, &j->run, &job);
    free(main_text.bytes);
}

/* A run of a compiled program has one file, of an interpreted one two. */
static void start_program(struct judging *j, struct sandbox *s, const char *const *argv,
                          struct program_text main_text, struct program_text input)
{
    const struct program *p = j->program;
    const struct sandbox_file interpreted[2] = {{p->code_file, j->code.at, j->code.n},
                                                {p->main_file, main_text.bytes, main_text.n}};
    const struct sandbox_file compiled = {"program", j->compiled.bytes, j->compiled.n};
    const struct sandbox_job job = {.argv = argv,
                                    .file = p->compile ? &compiled : interpreted,
                                    .n_files = p->compile ? 1 : 2,
                                    .input = input.bytes,
                                    .n_input = input.n,
                                    .limits = limits_of(j->rules)};
    sandbox_start(s, &j->run, &job);
}

static void start_calls(struct judging *j, struct sandbox *s)
{
    const struct program *p = j->program;
    struct program_text main_text = {NULL, 0}, input = p->call_input(j->calls);
    if (!p->compile) main_text = p->call_main(j->calls);
    start_program(j, s, p->call, main_text, input);
    free(main_text.bytes);
    free(input.bytes);
}

static void start_input(struct judging *j, struct sandbox *s, const json_t *test)
{
    const json_t *input = json_object_get(test, "stdin");
    const char *main_text = j->program->input_main;
    start_program(j, s, j->program->run,
                  (struct program_text){(char *)(uintptr_t)main_text, strlen(main_text)},
                  (struct program_text){(char *)(uintptr_t)json_string_value(input),
                                        json_string_length(input)});
}

/* How a run ended, if not well. The output decides what is right; an exit code of 0 says nothing,
 * another one that the program itself has failed. */
static enum code_end end_of(const struct sandbox_run *r)
{
    switch (r->end) {
    case SANDBOX_EXIT: return r->code == 0 ? CODE_RIGHT : CODE_CRASH;
    case SANDBOX_CPU:
    case SANDBOX_IDLE:
    case SANDBOX_WALL: return CODE_TIMEOUT;
    case SANDBOX_OUTPUT: return CODE_OVER_LIMIT;
    default: return CODE_CRASH;
    }
}

/* Counts a test; one that did not pass ends the answer, unless each counts. */
static void count(struct judging *j, enum code_end end)
{
    if (end == CODE_RIGHT) {
        j->verdict.passed++;
        return;
    }
    if (j->verdict.end == CODE_RIGHT) j->verdict.end = end;
    if (!j->rules->partial) j->over = true;
}

/* Line by line what was expected, and not a line more: one that is forged stands for no test. */
static void judge_calls(struct judging *j)
{
    const enum code_end end = end_of(&j->run);
    struct span out = {j->run.output, j->run.n_output};
    size_t lines = 0;
    for (size_t i = 0; i < out.n; i++) lines += out.at[i] == '\n';
    const size_t n = json_array_size(j->calls);
    for (size_t i = 0; i < n && !j->over; i++) {
        const struct span line = span_take(&out, '\n');
        const bool right =
            lines <= n && i < lines && tests_returned(json_array_get(j->calls, i), line);
        const bool broken = line.n == 1 && line.at[0] == 'e';
        count(j, right                             ? (i + 1 < n ? CODE_RIGHT : end)
                 : i >= lines && end != CODE_RIGHT ? end
                 : broken || i >= lines            ? CODE_CRASH
                                                   : CODE_WRONG);
    }
    j->called = true;
}

static void judge_input(struct judging *j)
{
    const json_t *test = json_array_get(j->tests, j->next++);
    const json_t *expected = json_object_get(test, "stdout");
    const bool same =
        code_same_output((struct span){j->run.output, j->run.n_output},
                         (struct span){json_string_value(expected), json_string_length(expected)},
                         json_number_value(json_object_get(test, "tolerance")));
    const enum code_end end = end_of(&j->run);
    count(j, end == CODE_RIGHT && !same ? CODE_WRONG : end);
}

static void judge_compiler(struct judging *j)
{
    const enum code_end end = end_of(&j->run);
    if (end != CODE_RIGHT || j->run.n_output == 0) {
        end_with(j, end == CODE_TIMEOUT || end == CODE_OVER_LIMIT ? end : CODE_NOT_COMPILED);
        return;
    }
    j->compiled = (struct program_text){j->run.output, j->run.n_output};
    j->run.output = NULL;
    j->is_compiled = true;
}

static void judge_run(struct judging *j)
{
    j->verdict.cpu_us += j->run.cpu_us;
    if (j->run.end == SANDBOX_FAILED)
        j->failed = j->over = true;
    else if (!j->is_compiled)
        judge_compiler(j);
    else if (!j->called)
        judge_calls(j);
    else
        judge_input(j);
    sandbox_free(&j->run);
    j->running = false;
}

/* false: there is nothing left to run. */
static bool start_next(struct judging *j, struct sandbox *s)
{
    const json_t *test = NULL;
    if (!j->is_compiled)
        start_compiler(j, s);
    else if (!j->called)
        start_calls(j, s);
    else if ((test = next_input(j)))
        start_input(j, s, test);
    else
        return false;
    return j->running = true;
}

bool judge_step(struct judging *j, struct sandbox *s)
{
    while (!j->over) {
        if (!j->running && !start_next(j, s))
            j->over = true;
        else if (j->running && !sandbox_step(&j->run))
            return false;
        else if (j->running)
            judge_run(j);
    }
    return true;
}

int judge_wait(const struct judging *j, struct pollfd *fd)
{
    return j->running ? sandbox_wait(&j->run, fd) : 0;
}
