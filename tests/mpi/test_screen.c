/* ranks: 1 2 3 4 */
/* Problems looked at by ranks together, each its part: what is said of them and what is left is
 * what one alone finds. */
#include "tests/support/check_mpi.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/data/screen.h"

enum { N = 600, CONTEXT = 32, TOLD = 16384 };

static char nothing[] = "";
static struct tokenizer *built_in;

/* Kinds of trouble, at places all over the file; the first of a kind is not the worst. */
static const struct {
    int from, every;
    const char *line;
} troubles[] = {
    {7, 97, "{\"prompt\":\"0123456789012345678901234567890123456789\",\"answer\":\"1\"}"},
    {412, 203, "{\"prompt\":\"01234567890123456789012345678901234567890123\",\"answer\":\"1\"}"},
    {20, 41, "{\"prompt\":\"q\",\"answer\":\"1\"}"},
    {451, 150,
     "{\"prompt\":\"01234567890123456789012345\",\"answer\":\"1\",\"demonstration\":\"a\"}"},
    {207, 170,
     "{\"prompt\":\"0123456789012345678901234\",\"answer\":\"1\",\"demonstration\":\"a\"}"},
    {5, 77, "{\"prompt\":\"2\\u00d73\",\"answer\":\"6\",\"demonstration\":\"2\\u00f73\\u00d7\"}"},
    {300, 55, "{\"prompt\":\"\\u20ac\",\"answer\":\"6\",\"demonstration\":\"so\"}"},
    {400, 65, "{\"prompt\":\"q\",\"answer\":\"\\u20ac\",\"demonstration\":\"so\"}"},
    {50, 300,
     "{\"prompt\":\"q\",\"answer\":\"1\",\"demonstration\":\"012345678901234567890123456789\"}"},
};

static const char *trouble_at(int i, bool answers)
{
    for (size_t t = 0; t < sizeof troubles / sizeof *troubles; t++)
        if (i >= troubles[t].from && (i - troubles[t].from) % troubles[t].every == 0 &&
            (answers || !strstr(troubles[t].line, "\"answer\":\"\\u20ac\"")))
            return troubles[t].line;
    return NULL;
}

static void write_lines(const char *path, bool answers)
{
    FILE *f = fopen(path, "w");
    for (int i = 0; i < N; i++) {
        const char *line = trouble_at(i, answers);
        if (line)
            fprintf(f, "%s\n", line);
        else
            fprintf(f, "{\"prompt\":\"q%d\",\"answer\":\"%d\",\"demonstration\":\"so\"}\n", i, i);
    }
    fclose(f);
}

static struct source *open_lines(char *path)
{
    struct problems p = {0};
    struct settings set = {.run = {.seed = 4}};
    set.data = (struct data_settings){.task = TASK_FILE, .file = path, .heldout_file = nothing};
    struct source *s = source_open(&set, (struct source_needs){SPLITS_BOTH, 1}, NULL, &p);
    if (!s) fprintf(stderr, "%s\n", p.text[0]);
    return s;
}

/* What is said of it on stderr, and the problems. */
static void told(char out[TOLD], struct source *s, const struct screen *how)
{
    char name[] = "/tmp/duet-told-XXXXXX";
    struct problems p = {0};
    int to = mkstemp(name), kept = dup(STDERR_FILENO);
    dup2(to, STDERR_FILENO);
    source_screen(s, how, &p);
    dup2(kept, STDERR_FILENO);
    ssize_t n = pread(to, out, TOLD - 1, 0);
    out[n < 0 ? 0 : n] = '\0';
    close(to);
    close(kept);
    unlink(name);
    for (int i = 0; i < p.n; i++) strncat(out, p.text[i], TOLD - 1 - strlen(out));
    problems_free(&p);
}

/* Log lines begin with a time. */
static void without_times(char *text)
{
    for (char *c; (c = strchr(text, '[')) && strchr(c, ']');)
        memmove(c, strchr(c, ']') + 1, strlen(strchr(c, ']') + 1) + 1);
}

/* Each rank has a file of its own. */
static void without_name(char *text, const char *name)
{
    for (char *c; (c = strstr(text, name));)
        memmove(c, c + strlen(name), strlen(c + strlen(name)) + 1);
}

static bool same_problems(const struct source *a, const struct source *b)
{
    bool same = true;
    for (int k = 0; k < 2; k++) {
        enum split split = (enum split)k;
        same = same && source_count(a, split) == source_count(b, split);
        for (int i = 0; same && i < source_count(a, split); i++) {
            struct problem p, q;
            source_look(a, split, i, &p);
            source_look(b, split, i, &q);
            same = p.record == q.record;
        }
    }
    return same;
}

static void check_same(bool answers, double leave_out)
{
    static char together[TOLD], alone[TOLD];
    char path[] = "/tmp/duet-screen-XXXXXX";
    close(mkstemp(path));
    struct screen how = {.tokenizer = built_in,
                         .max_context = CONTEXT,
                         .leave_out = leave_out,
                         .splits = SPLITS_BOTH,
                         .demonstrations = true,
                         .max_new = {8, 8},
                         .speaks = true,
                         .world = &ck_world};
    write_lines(path, answers);
    struct source *a = open_lines(path), *b = open_lines(path);
    ck_all(a && b, "a file that cannot be opened");
    told(together, a, &how);
    how.world = NULL;
    told(alone, b, &how);
    without_times(together);
    without_times(alone);
    without_name(together, path);
    without_name(alone, path);
    ck_all(strlen(alone) > 100, "only \"%.100s\" is said", alone);
    if (strcmp(together, alone) != 0) fprintf(stderr, "%s\nis not\n%s\n", together, alone);
    ck_all(strcmp(together, alone) == 0, "other things are said");
    ck_all(same_problems(a, b), "other problems are left");
    source_free(a);
    source_free(b);
    unlink(path);
}

START_TEST(together_as_alone)
{
    struct problems p = {0};
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    built_in = tokenizer_parse(json, n, "built-in", &p);
    free(json);
    ck_all(built_in != NULL, "no tokenizer");
    check_same(false, 0.9);  /* warnings; some are left out */
    check_same(true, 0.9);   /* answers that cannot be written: refused */
    check_same(false, 0.01); /* too many: refused */
    tokenizer_free(built_in);
}
END_TEST

#define TESTS(X) X(together_as_alone)

MPI_MAIN("screen")
