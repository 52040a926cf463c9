#include "trainer/reward/code/tests.h"

const char *code_end_text(enum code_end end)
{
    static const char *const texts[CODE_ENDS] = {"right",
                                                 "no code",
                                                 "wrong result",
                                                 "crash",
                                                 "does not compile",
                                                 "time-out",
                                                 "too much output",
                                                 "tests that cannot be read"};
    return texts[end];
}

const struct program *program_of(enum code_language language)
{
    return language == CODE_C ? &program_c : &program_python;
}

bool code_check_tests(const char *json, size_t n, enum code_language language, char *why,
                      size_t size)
{
    json_t *tests = tests_read(json, n, program_of(language), why, size);
    json_decref(tests);
    return tests != NULL;
}
