/* duet: finds the subcommand (trainer/commands/commands.c) and calls it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/environment.h"
#include "comm/base/die.h"
#include "comm/base/problems.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/config/presets.h"
#include "trainer/config/settings.h"
#include "trainer/data/task.h"
#include "trainer/reward/server/server.h"

/* Commands come from the table; the rest has none. */
static void print_usage(FILE *out)
{
    fputs("usage: duet COMMAND [arguments]\n"
          "       mpirun -np RANKS duet COMMAND [arguments]\n\ncommands\n",
          out);
    for (const struct command *c = commands; c->name; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->help);
    fputs(
        "\nduet help COMMAND      its arguments and options (also: duet COMMAND --help)\n"
        "duet help settings     every setting of a recipe (--markdown: as docs/SETTINGS.md has "
        "them)\n"
        "duet help tasks        the tasks that generate problems, and their difficulties\nduet "
        "help algorithms   algorithms of reinforcement learning by name, and their settings\nduet "
        "help environment  the DUET_* environment variables\n"
        "duet --version\n",
        out);
}

static int unknown_word(const char *word, bool topic)
{
    const char *names[4 + COMMANDS_MAX] = {"tasks", "environment", "algorithms", "help"};
    const char *const *from = topic ? names : names + 3;
    int n = 4;
    for (const struct command *c = commands; c->name; c++) names[n++] = c->name;
    const char *near = nearest_name(word, from, n - (topic ? 0 : 3));
    if (options_first_rank())
        fprintf(stderr, "unknown command %.60s%s%s%s\nsee: duet --help\n", word,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return EXIT_USER;
}

/* duet help [COMMAND | tasks | algorithms | environment | settings --markdown]; the help of
 * settings lists them all */
static int help(const char *topic, const char *how)
{
    if (!topic) {
        if (options_first_rank()) print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(topic, "tasks") == 0) {
        if (options_first_rank()) tasks_help();
        return EXIT_DONE;
    }
    if (strcmp(topic, "algorithms") == 0) {
        if (options_first_rank()) presets_help();
        return EXIT_DONE;
    }
    if (strcmp(topic, "environment") == 0) {
        if (options_first_rank()) environment_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(topic, "settings") == 0 && how && strcmp(how, "--markdown") == 0) {
        if (options_first_rank()) settings_markdown();
        return EXIT_DONE;
    }
    const struct command *command = command_find(topic);
    if (!command) return unknown_word(topic, true);
    char name[32], flag[] = "--help";
    snprintf(name, sizeof name, "%s", command->name);
    char *argv[] = {name, flag, NULL};
    return command->run(2, argv);
}

/* A descriptor that was closed before us would be given to the next file that is opened: logs and
 * results would go into a checkpoint. Results then cannot be written, which is an error; what else
 * is said goes nowhere. */
static void open_standard_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_WORLD);
}

/* The reason of a write that failed long ago is gone: the next one fails for it, too. 0: it does
 * not. */
static int ask_again(void)
{
    clearerr(stdout);
    errno = 0;
    return putchar('\n') == EOF || fflush(stdout) != 0 ? errno : 0;
}

/* Whatever was printed has arrived, or the exit code says that it has not. A reader that has seen
 * enough (`duet plan ... | head`) is no failure of ours: then we end as quietly as other tools do.
 */
static int results_end(int code)
{
    errno = 0;
    const bool failed = fflush(stdout) != 0 || ferror(stdout);
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    const bool nobody_reads =
        failed && (errno == EPIPE || (poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0));
    int why = failed ? errno : 0;
    if (failed && why == 0 && !nobody_reads) why = ask_again();
    const bool closed = fclose(stdout) == 0;
    if (!failed && closed) return code;
    if (why == 0) why = errno;
    if (!nobody_reads)
        die_fmt(__FILE__, __LINE__, EXIT_WORLD, "writing to standard output",
                "free space where the output is written, then run the command again",
                "the results are incomplete: %s", why ? strerror(why) : "a write failed");
    return code == EXIT_DONE ? EXIT_WORLD : code;
}

/* The variables of a command that starts no world, which would check them. */
static int check_environment(void)
{
    struct problems p = {0};
    environment_check(&p);
    if (options_first_rank()) problems_print(&p);
    if (options_first_rank() && p.n == 0) environment_warn(stderr);
    int code = p.n > 0 ? EXIT_USER : -1;
    problems_free(&p);
    return code;
}

/* Commands that start alone check the environment here; the others do after MPI is up, once a job.
 * */
static int run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        if (options_first_rank()) print_usage(stderr);
        return EXIT_USER;
    }
    if (strcmp(word, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return help(NULL, NULL);
    if (strcmp(word, "--version") == 0) {
        if (options_first_rank()) printf("duet %s, commit %s\n", DUET_VERSION, duet_commit);
        return EXIT_DONE;
    }
    const struct command *command = command_find(word);
    if (!command) return unknown_word(word, false);
    int code = command->alone ? check_environment() : -1;
    return code >= 0 ? code : command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    open_standard_streams();
    if (grade_server_wanted(argc, argv)) grade_server_fork();
    const int code = run(argc, argv);
    grade_server_close(grade_server());
    return results_end(code);
}
