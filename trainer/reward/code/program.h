/* From an answer's code to jobs of the sandbox: a row for each language. */
#ifndef DUET_TRAINER_REWARD_CODE_PROGRAM_H
#define DUET_TRAINER_REWARD_CODE_PROGRAM_H

#include <jansson.h>
#include "trainer/reward/code/code.h"
#include "trainer/reward/sandbox/sandbox.h"

/* Files of a run, at most three, and its standard input; all bytes are on the heap. */
struct program_text {
    char *bytes;
    size_t n;
};

struct program {
    const char *name;
    const char *const *compile; /* argv whose output is what is run; NULL: nothing to compile */
    const char *const *run;     /* argv of a run against an input */
    const char *const *call;    /* argv of the run that calls functions */
    const char *code_file;      /* what the code's file is called, and the main file's beside it */
    const char *main_file;
    /* What stands in the main file of a run against inputs (NULL: nothing does), of the run that
     * calls functions, and on the standard input of that run. `calls`: tests with a function. */
    const char *input_main;
    struct program_text (*call_main)(const json_t *calls);
    struct program_text (*call_input)(const json_t *calls);
    /* Can this test be put to a program? NULL: yes; else why not. */
    const char *(*refuses)(const json_t *call);
};
extern const struct program program_python, program_c;
const struct program *program_of(enum code_language language);

#endif
