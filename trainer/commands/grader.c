/* duet grader FILE.so: a shared object as a command that speaks JSON Lines. The grader server runs
 * it, and whoever writes one tries it. */
#include <stdio.h>
#include <unistd.h>
#include "comm/base/die.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/reward/plugin/library.h"

/* Replies alone go to stdout: what a grader prints there goes to stderr. */
static FILE *replies_open(void)
{
    int fd = dup(STDOUT_FILENO);
    FILE *out = fd >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 ? fdopen(fd, "w") : NULL;
    SYS_OK(out, "close some files", "no descriptor for replies");
    return out;
}

/* What is wrong with a library is one line, the last on stderr: the line that a run repeats when a
 * grader of its recipe ends. */
int cmd_grader(int argc, char **argv)
{
    const char *path;
    char why[LIBRARY_WHY];
    struct options o = {
        .command = "grader",
        .summary = "Grades with a shared object of duet_grader.h: reads JSON Lines {\"id\", "
                   "\"answer\", \"expected\", \"prompt\", \"tests\", \"language\"}, writes "
                   "{\"id\", \"reward\"} or {\"id\", \"error\"} for each. This is how a "
                   "recipe's graders with a library are run.",
        .usage = "FILE.so",
        .args = &path,
        .min_args = 1,
        .max_args = 1};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    FILE *out = replies_open(); /* first: what a library prints as it is opened is no reply */
    const struct duet_grader *g = library_load(path, why);
    if (!g) {
        fprintf(stderr, "%s\n", why);
        return EXIT_USER;
    }
    library_serve(g, stdin, out);
    return fclose(out) == 0 ? EXIT_DONE : EXIT_WORLD;
}
