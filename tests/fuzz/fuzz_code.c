/* Any bytes as the tests of a problem, as an answer with a program in it, as what a program has
 * printed and what it has returned. */
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/judge.h"
#include "trainer/reward/code/tests.h"

/* A test that is taken can be put to a program, and nothing is the value of two calls at once. */
static void read_tests(const char *json, size_t n, enum code_language language, struct span line)
{
    char why[128];
    const struct program *p = program_of(language);
    json_t *tests = tests_read(json, n, p, why, sizeof why);
    if (!tests) {
        if (!memchr(why, '\0', sizeof why)) abort();
        return;
    }
    json_t *calls = tests_calls(tests);
    if (json_array_size(calls) > 0) {
        free(p->call_main(calls).bytes);
        if (p->call_input) free(p->call_input(calls).bytes);
    }
    for (size_t i = 0; i < json_array_size(calls); i++)
        tests_returned(json_array_get(calls, i), line);
    json_decref(calls);
    json_decref(tests);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    if (n < 3) return 0;
    const enum code_language language = bytes[0] & 1 ? CODE_C : CODE_PYTHON;
    const char *text = (const char *)bytes + 3;
    n -= 3;
    const size_t cut = ((size_t)bytes[1] << 8 | bytes[2]) % (n + 1);
    const struct span first = {text, cut}, second = {text + cut, n - cut};
    const struct span code = code_extract((struct span){text, n}, language, bytes[0] & 2);
    if (code.at && (code.at < text || code.at + code.n > text + n)) abort();
    read_tests(first.at, first.n, language, second);
    if (!code_same_output(first, first, bytes[0] & 4 ? 1e-6 : 0)) abort();
    code_same_output(first, second, bytes[0] & 4 ? 1e-6 : 0);
    return 0;
}
