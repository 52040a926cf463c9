/* C. Calls are written out in a main of ours, behind the answer's text: arguments are no secret,
 * expected values are not in it. An array is handed over as a pointer and a length. */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/program.h"

/* The linker needs a PATH; what is printed is the program. */
static const char *const compile[] = {
    "/bin/sh", "-c",
    "PATH=/usr/bin; export PATH; gcc -std=gnu17 -O1 -w -o program main.c -lm && cat program", NULL};
static const char *const run[] = {"/tmp/program", NULL};

static const char input_main[] = "#include \"answer.c\"\n";

/* Values as value.h has them; what is no number, truth or text is x. */
static const char head[] =
    "#define main answer_main\n"
    "#include \"answer.c\"\n"
    "#undef main\n"
    "#include <stdio.h>\n"
    "#include <string.h>\n"
    "#include <unistd.h>\n"
    "#include <fcntl.h>\n"
    "static void duet_b(int fd, _Bool x) { dprintf(fd, x ? \"t\\n\" : \"f\\n\"); }\n"
    "static void duet_i(int fd, long long x) { dprintf(fd, \"i%lld\\n\", x); }\n"
    "static void duet_u(int fd, unsigned long long x) { dprintf(fd, \"i%llu\\n\", x); }\n"
    "static void duet_d(int fd, double x)\n"
    "{\n"
    "    unsigned long long bits;\n"
    "    if (x == 0) x = 0;\n"
    "    memcpy(&bits, &x, 8);\n"
    "    dprintf(fd, \"d%016llx\\n\", bits);\n"
    "}\n"
    "static void duet_s(int fd, const char *x)\n"
    "{\n"
    "    dprintf(fd, x ? \"s\" : \"n\");\n"
    "    for (; x && *x; x++) dprintf(fd, \"%02x\", (unsigned char)*x);\n"
    "    dprintf(fd, \"\\n\");\n"
    "}\n"
    "#define DUET_SAY(x) _Generic((x), _Bool: duet_b, char: duet_i, signed char: duet_i, \\\n"
    "    short: duet_i, int: duet_i, long: duet_i, long long: duet_i, unsigned char: duet_u, \\\n"
    "    unsigned short: duet_u, unsigned: duet_u, unsigned long: duet_u, \\\n"
    "    unsigned long long: duet_u, float: duet_d, double: duet_d, char *: duet_s, \\\n"
    "    const char *: duet_s)(duet_out, x)\n"
    "int main(void)\n"
    "{\n"
    "    const int duet_out = dup(1), duet_null = open(\"/dev/null\", O_RDWR);\n"
    "    dup2(duet_null, 0), dup2(duet_null, 1);\n";

static void write_text(FILE *f, const json_t *v)
{
    const char *s = json_string_value(v);
    fputc('"', f);
    for (size_t i = 0; i < json_string_length(v); i++) fprintf(f, "\\%03o", (unsigned char)s[i]);
    fputc('"', f);
}

static bool is_long(const json_t *v)
{
    const json_int_t x = json_integer_value(v);
    return x > INT_MAX || x < -INT_MAX;
}

static void write_scalar(FILE *f, const json_t *v)
{
    if (json_is_string(v))
        write_text(f, v);
    else if (json_is_real(v))
        fprintf(f, "%a", json_real_value(v));
    else if (json_is_boolean(v))
        fputs(json_is_true(v) ? "(_Bool)1" : "(_Bool)0", f);
    else if (json_integer_value(v) == INT64_MIN)
        fputs("(-9223372036854775807LL - 1)", f);
    else
        fprintf(f, "%" JSON_INTEGER_FORMAT "%s", json_integer_value(v), is_long(v) ? "LL" : "");
}

/* What all elements fit. */
static const char *element_type(const json_t *array)
{
    const char *type = "int";
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *v = json_array_get(array, i);
        if (json_is_string(v)) return "const char *";
        if (json_is_real(v)) return "double";
        if (json_is_integer(v) && is_long(v)) type = "long long";
    }
    return type;
}

static void write_argument(FILE *f, const json_t *v)
{
    if (!json_is_array(v)) {
        write_scalar(f, v);
        return;
    }
    fprintf(f, "(%s[%zu]){", element_type(v), json_array_size(v) + 1);
    for (size_t i = 0; i < json_array_size(v); i++) {
        write_scalar(f, json_array_get(v, i));
        fputs(", ", f);
    }
    fprintf(f, "0}, %zu", json_array_size(v));
}

/* One program for all calls, since compiling is what costs. A call that crashes takes those behind
 * it along. */
static struct program_text call_main(const json_t *calls)
{
    struct program_text t = {NULL, 0};
    FILE *f = open_memstream(&t.bytes, &t.n);
    if (!f) return t;
    fputs(head, f);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *args = json_object_get(call, "args");
        fprintf(f, "    DUET_SAY(%s(", json_string_value(json_object_get(call, "function")));
        for (size_t k = 0; k < json_array_size(args); k++) {
            if (k > 0) fputs(", ", f);
            write_argument(f, json_array_get(args, k));
        }
        fputs("));\n", f);
    }
    fputs("    return 0;\n}\n", f);
    fclose(f);
    return t;
}

static struct program_text call_input(const json_t *calls)
{
    (void)calls;
    return (struct program_text){NULL, 0};
}

static bool is_scalar(const json_t *v)
{
    return json_is_string(v) || json_is_number(v) || json_is_boolean(v);
}

/* All numbers, or all texts. */
static bool is_flat(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *v = json_array_get(array, i);
        if (!is_scalar(v) || json_is_string(v) != json_is_string(json_array_get(array, 0)))
            return false;
    }
    return true;
}

static const char *refuses(const json_t *call)
{
    const json_t *args = json_object_get(call, "args"), *returns = json_object_get(call, "returns");
    if (!is_scalar(returns) && !json_is_null(returns))
        return "a function of C returns a number, a truth value or a text";
    for (size_t i = 0; i < json_array_size(args); i++) {
        const json_t *v = json_array_get(args, i);
        if (!is_scalar(v) && !(json_is_array(v) && is_flat(v)))
            return "a function of C takes numbers, truth values, texts and arrays of one of them";
    }
    return NULL;
}

const struct program program_c = {.name = "c",
                                  .compile = compile,
                                  .run = run,
                                  .call = run,
                                  .code_file = "answer.c",
                                  .main_file = "main.c",
                                  .input_main = input_main,
                                  .call_main = call_main,
                                  .call_input = call_input,
                                  .refuses = refuses};
