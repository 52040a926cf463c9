#include "comm/base/environment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"

extern char **environ;

enum variable_kind {
    WORDS,    /* one of `right` */
    WHOLE,    /* a whole number from low to high */
    REAL,     /* a number from low to high */
    ANY,      /* whatever it holds */
    ELSEWHERE /* launch/run/environment.sh checks it */
};

/* Names and help as in launch/run/environment.sh, which has those of the scripts. */
static const struct variable {
    const char *name;
    enum variable_kind kind;
    const char *right; /* words with '|' between them; else what stands for a value in the help */
    double low, high;
    const char *help;
} variables[] = {
    {"DUET_ISA", WORDS, "plain|base|avx2|avx512|amx", 0, 0,
     "instruction set of the kernels; must be the same on all hosts (default: the best this "
     "machine has)"},
    {"DUET_BF16", WORDS, "native|widen", 0, 0,
     "bf16 products: by bf16 instructions, or widened to fp32 (default: native where the processor "
     "has them)"},
    {"DUET_PACE_US", REAL, "US", 0, 1e6,
     "for trials: each step of a pass sleeps for US microseconds (default: 0)"},
    {"DUET_RANKS_PER_NODE", WHOLE, "N", 1, 1 << 20,
     "for trials: every N consecutive ranks count as one host (default: the real hosts)"},
    {"DUET_TERMINAL", WHOLE, "N", 1, 65535,
     "set by launch/run.sh: the live line as for a terminal of N columns"},
    {"DUET_LAUNCHED", ANY, "NAME", 0, 0,
     "set by launch/run.sh, which waits until the ranks report that they handle signals"},
    {"DUET_TEST_STEPS", WHOLE, "N", 1, 1e6,
     "tests/mpi/test_memory: number of steps of the long run"},
    {"DUET_SSH", ELSEWHERE, "\"ssh -F FILE\"", 0, 0,
     "launch/: the ssh command that reaches other hosts"},
    {"DUET_KEEPALIVE", ELSEWHERE, "\"3 1 6\"", 0, 0, "launch/: when a silent host counts as lost"},
    {"DUET_INTERFACE", ELSEWHERE, "NET", 0, 0, "launch/: the network used between hosts"},
    {"DUET_RAW", ELSEWHERE, "1", 0, 0, "launch/: shows all output of mpirun, unfiltered"},
    {"DUET_TESTBED", ELSEWHERE, "NAME", 0, 0, "launch/testbed: name of a second testbed"},
    {"DUET_AGAIN_ARRAY", ELSEWHERE, "IDS", 0, 0, "internal to launch/slurm"},
    {"DUET_AGAIN_ATTEMPT", ELSEWHERE, "N", 0, 0, "internal to launch/slurm"},
    {"DUET_AGAIN_BEGIN", ELSEWHERE, "TIME", 0, 0, "internal to launch/slurm"},
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
    const char *allowed = v->kind == WHOLE ? "0123456789" : "0123456789.eE+-";
    double x = strtod(value, &end);
    return strspn(value, allowed) == strlen(value) && *end == 0 && isfinite(x) && x >= v->low &&
           x <= v->high;
}

/* A wrong value is refused rather than ignored: a run would compute with other kernels than its
 * user asked for. */
static void check(const struct variable *v, struct problems *p)
{
    const char *value = value_of(v);
    if (!value) return;
    if (v->kind == WORDS && !is_word(v->right, value))
        problems_add(p, NULL, 0,
                     "%s=\"%.60s\" is not valid: set it to one of %s, or leave it unset", v->name,
                     value, v->right);
    if ((v->kind == WHOLE || v->kind == REAL) && !is_number(v, value))
        problems_add(p, NULL, 0,
                     "%s=\"%.60s\" is not valid: set it to a %snumber from %.10g to %.10g, or "
                     "leave it unset",
                     v->name, value, v->kind == WHOLE ? "whole " : "", v->low, v->high);
}

void environment_check(struct problems *p)
{
    for (int i = 0; i < N_VARIABLES; i++) check(&variables[i], p);
}

/* Only a warning: the scripts of launch/ and later versions have variables of their own. */
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
        fprintf(out, "duet: warning: unknown environment variable %s%s%s%s\n", name,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
}

void environment_help(FILE *out)
{
    fputs("environment variables (an invalid value is refused, an empty one counts as unset)\n",
          out);
    for (int i = 0; i < N_VARIABLES; i++) {
        const struct variable *v = &variables[i];
        fprintf(out, "  %s=%s\n      %s", v->name, v->right, v->help);
        if (v->kind == WHOLE || v->kind == REAL) fprintf(out, "; %.10g to %.10g", v->low, v->high);
        fputc('\n', out);
    }
}
