#include "comm/base/environment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"

extern char **environ;

enum kind {
    WORDS,    /* one of `right` */
    WHOLE,    /* a whole number from low to high */
    REAL,     /* a number from low to high */
    ANY,      /* whatever it holds */
    ELSEWHERE /* launch/run/environment.sh checks it */
};

/* Names and help as in launch/run/environment.sh, which has those of the scripts. */
static const struct variable {
    const char *name;
    enum kind kind;
    const char *right; /* words with '|' between them; else what stands for a value in the help */
    double low, high;
    const char *help;
} variables[] = {
    {"DUET_ISA", WORDS, "plain|base|avx2|avx512", 0, 0,
     "kernels for this instruction set, on all hosts the same (default: the machine's best)"},
    {"DUET_BF16", WORDS, "native|widen", 0, 0,
     "products of bf16 by bf16 instructions, or widened to fp32 (default: native where there are)"},
    {"DUET_PACE_US", REAL, "US", 0, 1e6,
     "for trials: each step of a pass sleeps for US microseconds (default: 0)"},
    {"DUET_RANKS_PER_NODE", WHOLE, "N", 1, 1 << 20,
     "for trials: N ranks pretend to share a host (default: those that do)"},
    {"DUET_TERMINAL", WHOLE, "N", 1, 65535,
     "progress as on a terminal of N columns; launch/run.sh sets it"},
    {"DUET_LAUNCHED", ANY, "NAME", 0, 0,
     "launch/run.sh sets it: to wait for the first word of the ranks"},
    {"DUET_TEST_STEPS", WHOLE, "N", 1, 1e6, "tests/mpi/test_memory: steps of its long run"},
    {"DUET_SSH", ELSEWHERE, "\"ssh -F FILE\"", 0, 0, "launch/: how other hosts are reached"},
    {"DUET_KEEPALIVE", ELSEWHERE, "\"3 1 6\"", 0, 0, "launch/: when a silent host is lost"},
    {"DUET_INTERFACE", ELSEWHERE, "NET", 0, 0, "launch/: the network between hosts"},
    {"DUET_RAW", ELSEWHERE, "1", 0, 0, "launch/: all that mpirun says"},
    {"DUET_TESTBED", ELSEWHERE, "NAME", 0, 0, "launch/testbed: a second testbed"},
    {"DUET_AGAIN_ARRAY", ELSEWHERE, "IDS", 0, 0, "launch/slurm sets it for itself"},
    {"DUET_AGAIN_ATTEMPT", ELSEWHERE, "N", 0, 0, "launch/slurm sets it for itself"},
    {"DUET_AGAIN_BEGIN", ELSEWHERE, "TIME", 0, 0, "launch/slurm sets it for itself"},
};
enum { N_VARIABLES = sizeof variables / sizeof *variables };

static const struct variable *variable_find(const char *name, size_t n)
{
    for (int i = 0; i < N_VARIABLES; i++)
        if (strlen(variables[i].name) == n && memcmp(variables[i].name, name, n) == 0)
            return &variables[i];
    return NULL;
}

static const char *value_of(const struct variable *v)
{
    const char *value = getenv(v->name);
    return value && *value ? value : NULL;
}

const char *environment_text(const char *name)
{
    const struct variable *v = variable_find(name, strlen(name));
    INVARIANT(v, "%s is not in the table of variables", name);
    return value_of(v);
}

double environment_number(const char *name, double otherwise)
{
    const char *value = environment_text(name);
    return value ? strtod(value, NULL) : otherwise;
}

static bool is_word(const char *words, const char *value)
{
    size_t n = strlen(value);
    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strcspn(at, "|") == n && memcmp(at, value, n) == 0) return true;
    return false;
}

/* Digits, a point, an exponent: strtod takes blanks, hexadecimal numbers and "inf", too. */
static bool is_number(const struct variable *v, const char *value)
{
    char *end;
    const char *letters = v->kind == WHOLE ? "0123456789" : "0123456789.eE+-";
    double x = strtod(value, &end);
    return strspn(value, letters) == strlen(value) && *end == 0 && isfinite(x) && x >= v->low &&
           x <= v->high;
}

static void check(const struct variable *v, struct problems *p)
{
    const char *value = value_of(v);
    if (!value) return;
    if (v->kind == WORDS && !is_word(v->right, value))
        problems_add(p, NULL, 0, "%s=\"%.60s\" is not what it takes: one of %s, or nothing",
                     v->name, value, v->right);
    if ((v->kind == WHOLE || v->kind == REAL) && !is_number(v, value))
        problems_add(
            p, NULL, 0,
            "%s=\"%.60s\" is not what it takes: a %snumber from %.10g to %.10g, or nothing",
            v->name, value, v->kind == WHOLE ? "whole " : "", v->low, v->high);
}

void environment_check(struct problems *p)
{
    for (int i = 0; i < N_VARIABLES; i++) check(&variables[i], p);
}

void environment_warn(FILE *out)
{
    const char *names[N_VARIABLES];
    for (int i = 0; i < N_VARIABLES; i++) names[i] = variables[i].name;
    for (char **at = environ; at && *at; at++) {
        size_t n = strcspn(*at, "=");
        char name[64];
        if (strncmp(*at, "DUET_", 5) != 0 || variable_find(*at, n)) continue;
        snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), *at);
        const char *near = nearest_name(name, names, N_VARIABLES);
        fprintf(out, "duet: warning: nothing reads the variable %s%s%s%s\n", name,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
}

void environment_help(FILE *out)
{
    fputs("environment: a wrong value of ours is refused, an empty one counts as none\n", out);
    for (int i = 0; i < N_VARIABLES; i++) {
        const struct variable *v = &variables[i];
        fprintf(out, "  %s=%s\n      %s", v->name, v->right, v->help);
        if (v->kind == WHOLE || v->kind == REAL) fprintf(out, "; %.10g to %.10g", v->low, v->high);
        fputc('\n', out);
    }
}
