/* Programs as answers: an answer's code is run in the sandbox against the tests of its problem.
 *
 * The judge and the judged are two processes. The judged gets inputs and arguments; what is
 * expected never leaves the judge, who compares what comes back, byte for byte. So whatever a
 * program prints, exits with, imports, patches or overloads, it passes a test only with the right
 * result. */
#ifndef DUET_TRAINER_REWARD_CODE_CODE_H
#define DUET_TRAINER_REWARD_CODE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "comm/base/problems.h"
#include "trainer/data/completion.h"

enum code_language { CODE_PYTHON, CODE_C, CODE_LANGUAGES };
/* The language among the words of a problem's `language` ("en python"); NULL or none: Python. */
enum code_language code_language_of(const char *words);

/* How an answer fared; where tests differ, as the first that did not pass. */
enum code_end {
    CODE_RIGHT,        /* all tests passed */
    CODE_NO_CODE,      /* no fenced block of the language behind </think> */
    CODE_WRONG,        /* another result */
    CODE_CRASH,        /* ended by a signal, an exception, an exit code that is not 0 */
    CODE_NOT_COMPILED, /* C */
    CODE_TIMEOUT,      /* too much processor time, or it waited for nothing */
    CODE_OVER_LIMIT,   /* printed too much */
    CODE_BAD_TESTS,    /* the problem's: nothing is said about the answer (UNDECIDED) */
    CODE_ENDS
};
/* "right", "wrong result", ...: for people. */
const char *code_end_text(enum code_end end);

struct code_verdict {
    enum code_end end;
    int passed, tests;
    int64_t cpu_us; /* of all runs */
};

/* What holds for all answers of a phase. */
struct code_rules {
    int cpu_ms; /* processor time for each test */
    int memory_mib;
    bool partial; /* run all tests, also behind one that did not pass */
    bool reduced; /* a REDUCED sandbox will do */
};

/* The last fenced block of the language behind the last </think>; at = NULL: there is none.
 * Without </think> there is none either (thinks: the prompt has opened one). Local, any bytes. */
struct span code_extract(struct span completion, enum code_language language, bool thinks);

/* Is the output what a test expects? All lines, and as many of them, but for white space at the
 * ends of lines and empty lines at the end. tolerance > 0: else word by word, numbers to that
 * relative difference. Local, any bytes. */
bool code_same_output(struct span output, struct span expected, double tolerance);

/* Tests of a problem: a JSON array of {"stdin": TEXT, "stdout": TEXT[, "tolerance": REAL]} and
 * {"function": NAME, "args": [...], "returns": VALUE}. Says what is wrong with them. Local. */
bool code_check_tests(const char *json, size_t n, enum code_language language, char *why,
                      size_t size);

#endif
