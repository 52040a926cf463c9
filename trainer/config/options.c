/* Command lines from a table (options.h). The help is printed from the values that the targets hold
 * before anything is parsed, so a default is written down in one place only: where the variable is
 * initialised. */
#include "trainer/config/options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"

enum { MAX_ROWS = 64 };

static const char *const value_names[] = {
    [OPT_FLAG] = "", [OPT_INT] = "N", [OPT_REAL] = "X", [OPT_STRING] = "TEXT", [OPT_LIST] = "TEXT",
};

bool options_first_rank(void)
{
    /* The first that is set speaks: mpirun's variables also exist below a Slurm allocation, where
     * Slurm's count nodes. */
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *rank = getenv(names[i]);
        if (rank && *rank) return strcmp(rank, "0") == 0;
    }
    return true;
}

static bool read_int(const char *text, int *value)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end || (errno && errno != ERANGE)) return false;
    *value = v < INT_MIN ? INT_MIN : v > INT_MAX ? INT_MAX : (int)v; /* outside of every range */
    return true;
}

static bool read_real(const char *text, double *value)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v)) return false;
    *value = v;
    return true;
}

static void list_add(struct option_list *list, const char *name, const char *text,
                     struct problems *p)
{
    if (list->n < OPTION_LIST_MAX)
        list->at[list->n++] = text;
    else
        problems_add(p, NULL, 0, "--%s is given more than %d times", name, OPTION_LIST_MAX);
}

static bool in_range(const struct option_row *row, double value)
{
    return value >= row->low && value <= row->high;
}

static bool check_range(const struct option_row *row, double value, const char *text,
                        struct problems *p)
{
    if (!in_range(row, value))
        problems_add(p, NULL, 0, "--%s: %.60s is not in the range %.10g to %.10g", row->name, text,
                     row->low, row->high);
    return in_range(row, value);
}

static void assign_int(const struct option_row *row, const char *text, struct problems *p)
{
    int value;
    if (!read_int(text, &value))
        problems_add(p, NULL, 0, "--%s: \"%.100s\" is not a whole number", row->name, text);
    else if (check_range(row, value, text, p))
        *(int *)row->target = value;
}

static void assign_real(const struct option_row *row, const char *text, struct problems *p)
{
    double value;
    if (!read_real(text, &value))
        problems_add(p, NULL, 0, "--%s: \"%.100s\" is not a number", row->name, text);
    else if (check_range(row, value, text, p))
        *(double *)row->target = value;
}

/* What is refused is not kept: `check` would say a second time what follows from it. */
static void assign(const struct option_row *row, const char *text, struct problems *p)
{
    switch (row->type) {
    case OPT_FLAG: *(bool *)row->target = true; break;
    case OPT_INT: assign_int(row, text, p); break;
    case OPT_REAL: assign_real(row, text, p); break;
    case OPT_STRING: *(const char **)row->target = text; break;
    case OPT_LIST: list_add(row->target, row->name, text, p); break;
    }
}

/* The row called by the first n characters of `word`, or NULL. */
static const struct option_row *row_find(const struct options *o, const char *word, size_t n)
{
    for (int i = 0; i < o->n_rows; i++)
        if (strlen(o->rows[i].name) == n && memcmp(o->rows[i].name, word, n) == 0)
            return &o->rows[i];
    return NULL;
}

/* --help counts among the names that a typo may have meant. */
static void unknown_option(const struct options *o, const char *word, size_t n, struct problems *p)
{
    const char *names[MAX_ROWS + 1] = {"help"};
    char name[64];
    INVARIANT(o->n_rows <= MAX_ROWS, "%d option rows", o->n_rows);
    for (int i = 0; i < o->n_rows; i++) names[i + 1] = o->rows[i].name;
    snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), word);
    const char *near = nearest_name(name, names, o->n_rows + 1);
    if (near)
        problems_add(p, NULL, 0, "unknown option --%s; did you mean --%s?", name, near);
    else
        problems_add(p, NULL, 0, "unknown option --%s", name);
}

/* One option at argv[i]; returns how many words it took. */
static int read_option(struct options *o, int i, int argc, char **argv, struct problems *p)
{
    const char *word = argv[i] + 2;
    size_t n = strcspn(word, "=");
    const char *value = word[n] == '=' ? word + n + 1 : NULL;
    const struct option_row *row = row_find(o, word, n);
    if (!row) {
        unknown_option(o, word, n, p);
        return 1;
    }
    if (row->type == OPT_FLAG) {
        if (value) problems_add(p, NULL, 0, "--%s takes no value", row->name);
        assign(row, "", p);
        return 1;
    }
    if (value) {
        assign(row, value, p);
        return 1;
    }
    if (i + 1 >= argc || strncmp(argv[i + 1], "--", 2) == 0) {
        problems_add(p, NULL, 0, "--%s needs a value: --%s %s", row->name, row->name,
                     value_names[row->type]);
        return 1;
    }
    assign(row, argv[i + 1], p);
    return 2;
}

static void add_argument(struct options *o, const char *text, struct problems *p)
{
    if (o->n_args < o->max_args)
        o->args[o->n_args++] = text;
    else
        problems_add(p, NULL, 0, "unexpected argument \"%.100s\"; duet %s takes %s", text,
                     o->command, o->max_args ? o->usage : "none");
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* Goes on after a mistake, so that all are reported. What comes after -- is never an option. */
void options_read(struct options *o, int argc, char **argv, bool *help, struct problems *p)
{
    bool ended = false;
    o->n_args = 0;
    *help = wants_help(argc, argv);
    if (*help) return;
    for (int i = 1; i < argc;) {
        const char *word = argv[i];
        if (ended || word[0] != '-' || word[1] == '\0') {
            add_argument(o, word, p);
            i++;
        } else if (strcmp(word, "--") == 0) {
            ended = true;
            i++;
        } else if (word[1] != '-') {
            problems_add(p, NULL, 0, "unknown option %.60s; options are written --name", word);
            i++;
        } else {
            i += read_option(o, i, argc, argv, p);
        }
    }
    if (o->n_args < o->min_args)
        problems_add(p, NULL, 0, "missing argument: duet %s %s", o->command, o->usage);
    else if (o->check)
        o->check(o->checked, p);
}

/* Range and default. A default outside the range stands for "not given": what it means is in the
 * help text. */
static void print_default(const struct option_row *row)
{
    const char *text = row->type == OPT_STRING ? *(const char **)row->target : NULL;
    bool real = row->type == OPT_REAL, number = real || row->type == OPT_INT;
    if (text && *text) printf(" (default: %s)", text);
    if (!number) return;
    double value = real ? *(double *)row->target : *(int *)row->target;
    printf(" (%.10g to %.10g", row->low, row->high);
    if (in_range(row, value)) printf("; default: %.10g", value);
    printf(")");
}

/* `more_help` prints what a command has beyond its options (tasks, examples). */
void options_help(const struct options *o)
{
    printf("usage: duet %s%s%s%s\n\n%s\n", o->command, o->n_rows ? " [options]" : "",
           *o->usage ? " " : "", o->usage, o->summary);
    if (o->n_rows) printf("\noptions\n");
    for (int i = 0; i < o->n_rows; i++) {
        const struct option_row *row = &o->rows[i];
        char left[80];
        snprintf(left, sizeof left, "--%s %s", row->name, value_names[row->type]);
        printf("  %-24s %s", left, row->help);
        print_default(row);
        printf("%s\n", row->type == OPT_LIST ? "; may be repeated" : "");
    }
    if (o->more_help) {
        putchar('\n');
        o->more_help();
    }
}

/* Every rank parses; one speaks, and all exit with the same code. */
int options_parse(struct options *o, int argc, char **argv)
{
    struct problems p = {0};
    bool help;
    if (argc == 2 && strcmp(argv[1], OPTIONS_LIST) == 0) {
        for (int i = 0; i < o->n_rows; i++) printf("--%s ", o->rows[i].name);
        return EXIT_DONE;
    }
    options_read(o, argc, argv, &help, &p);
    if (help) {
        if (options_first_rank()) options_help(o);
        return EXIT_DONE;
    }
    bool wrong = p.n > 0;
    if (wrong && options_first_rank()) {
        problems_print(&p);
        fprintf(stderr, "see: duet %s --help\n", o->command);
    }
    problems_free(&p);
    return wrong ? EXIT_USER : -1;
}
