/* duet plan from its arguments to its words and its exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "trainer/commands/commands.h"
#include "tests/support/check_unit.h"

static char said[1 << 17]; /* both streams */

/* Runs `duet plan` with up to 14 words; their output is in said. */
static int run(const char *line)
{
    char words[320], *argv[16] = {words};
    int argc = 1;
    snprintf(words, sizeof words, "plan%s%s", *line ? " " : "", line);
    for (char *w = strchr(words, ' '); w && argc < 15; w = strchr(w, ' ')) {
        *w++ = '\0';
        argv[argc++] = w;
    }
    FILE *f = tmpfile();
    ck_assert_ptr_nonnull(f);
    fflush(stdout);
    dup2(fileno(f), STDOUT_FILENO);
    dup2(fileno(f), STDERR_FILENO);
    int code = cmd_plan(argc, argv);
    fflush(stdout);
    rewind(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
    return code;
}

static void expect(const char *line, int code, const char *word)
{
    ck_assert_int_eq(run(line), code);
    ck_assert_msg(strstr(said, word) != NULL, "no \"%s\" in: %.3000s", word, said);
}

START_TEST(text)
{
    expect("--schedule dualpipe --stages 8 --micro-batches 20", EXIT_DONE,
           "\nr3  Fa0 Fb0 Fa1 Fb1 Fa2 Fb2 Fa3 Fb3 Fa4 Bb0 [Fb4|Ba0] ");
    ck_assert_ptr_nonnull(strstr(said, "9 micro-batches held until their B"));
    ck_assert_ptr_nonnull(strstr(said, "[F|B] = 3    step 66, worst idle 6 (formula 6)"));
    ck_assert_ptr_nonnull(strstr(said, "[F|B] = 2    step 52, worst idle 3 (formula 3)"));
    expect("--schedule 1f1b --stages=8 --micro-batches=20", EXIT_DONE,
           "step 81, worst idle 21 (formula 21)");
    expect("--schedule zb1p --stages=8 --micro-batches=20", EXIT_DONE,
           "step 67, worst idle 7 (formula 7)");
    expect("--schedule dualpipev --stages=4 --micro-batches=20", EXIT_DONE,
           "[F|B] = 2    step 92, worst idle 3 (formula 3)");
    expect("--schedule auto --stages=8 --micro-batches=20", EXIT_DONE,
           "step 67, worst idle 7, mean idle 7");
    expect("--schedule auto --stages=4 --micro-batches=9 --costs 1,2,1,2", EXIT_DONE, "\nstep ");
    expect("--schedule serial --stages 3 --micro-batches 5 --format timeline", EXIT_DONE,
           "step 45, worst idle 30 (formula 30)");
}
END_TEST

START_TEST(json)
{
    expect("--stages 2 --micro-batches 4 --format json", EXIT_DONE,
           "{\"schedule\": \"dualpipe\", \"stages\": 2, \"micro_batches\": 4, \"ranks\": [");
    ck_assert_ptr_nonnull(strstr(said,
                                 "{\"op\": \"F+B\", \"f\": {\"dir\": 1, \"chunk\": 1, \"mb\": "
                                 "1}, \"b\": {\"dir\": 0, \"chunk\": 0, \"mb\": 0}}"));
}
END_TEST

START_TEST(pictures)
{
    expect("--stages 4 --micro-batches 8 --format svg", EXIT_DONE, "simulated: 26 units");
    ck_assert_int_eq(strncmp(said, "<svg xmlns=", 11), 0);
    expect("--stages 4 --micro-batches 8 --format trace", EXIT_DONE, "\"traceEvents\"");
    expect("--schedule dualpipev --stages 2 --micro-batches 4 --format svg", EXIT_DONE,
           "BW b1, chunk 3");
}
END_TEST

/* The published step of DeepSeek-V3 (docs/lab/planner.md): 16 stages, 120 micro-batches; of the
 * shares only W, a count times 32, is sure to the digit. */
START_TEST(given_costs)
{
    expect("--stages 16 --micro-batches 120 --costs 49,107,32,144 --message 1.17", EXIT_DONE,
           "the formula gives, for the worst rank and free messages, an idle time of 1085");
    ck_assert_ptr_nonnull(strstr(said, "\nrank 0           1127       1981        480      13968"));
    ck_assert_ptr_nonnull(strstr(said, "\nrank 7 "));
    ck_assert_ptr_nonnull(strstr(said, "\nmean "));
    expect("--schedule 1f1b --stages 2 --micro-batches 2 --costs 1,2,1", EXIT_DONE, "\nstep 9;");
}
END_TEST

START_TEST(refused_costs)
{
    expect("--stages 4 --micro-batches 8 --costs 1,2", EXIT_USER, "write F,B,W or F,B,W,PAIR");
    expect("--stages 4 --micro-batches 8 --costs 1,2,-1", EXIT_USER, "write F,B,W");
    expect("--stages 4 --micro-batches 8 --costs 1,2,1,nan", EXIT_USER, "write F,B,W");
    expect("--stages 4 --micro-batches 8 --costs 1,2,1,3,4", EXIT_USER, "write F,B,W");
    expect("--stages 4 --micro-batches 8 --costs 1,2,2", EXIT_USER, "W 2 is part of B 2");
    expect("--stages 4 --micro-batches 8 --costs 1,3,1,2", EXIT_USER, "shorter than one of its");
    expect("--stages 4 --micro-batches 8 --message 1", EXIT_USER, "give --costs too");
}
END_TEST

/* A recipe on clusters that are described: no time here depends on this machine. */
START_TEST(recipe)
{
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml", EXIT_DONE,
           "\nrank 1 (stage 1) ");
    ck_assert_ptr_nonnull(strstr(said, "memory per rank, MiB"));
    ck_assert_ptr_nonnull(strstr(said, "step of phase grpo on two cores: 256 sequences"));
    ck_assert_ptr_nonnull(strstr(said, "dualpipe on a mesh 1 x 2 x 1 x 1 (dp x pp x ep x tp)"));
    ck_assert_ptr_nonnull(strstr(said, "(from FLOPs and bytes)"));
    ck_assert_ptr_nonnull(strstr(said, "MFU "));
    /* a step is an update: one of a rollout's mini-batches */
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml --phase grpo --set "
           "phases.grpo.mini_batches=4",
           EXIT_DONE, ": 64 sequences, ");
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml --format svg "
           "--phase cold_start",
           EXIT_DONE, "<svg xmlns=");
    ck_assert_ptr_nonnull(strstr(said, "phase cold_start, dualpipe, 2 stages"));
}
END_TEST

START_TEST(proposals)
{
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/h100.yaml --propose", EXIT_DONE,
           "\n    4 x  2 x   1 x 1   dualpipe ");
    ck_assert_ptr_nonnull(strstr(said, "\n    2 x  4 x   1 x 1   dualpipev  no: "));
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml --propose "
           "--set data.micro_batch_tokens=1048576",
           EXIT_DONE, "nothing fits");
    ck_assert_ptr_nonnull(strstr(said, "does not fit: "));
    ck_assert_ptr_nonnull(strstr(said, "no: memory: "));
}
END_TEST

static void write_text(const char *path, const char *format, const char *word)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, format, word);
    fclose(f);
}

/* Where nothing fits without, the least of what may be computed again that fits is proposed,
 * whatever the recipe says; what --set asks for stays. */
START_TEST(recompute_is_searched)
{
    static const struct {
        const char *gib, *more, *expected, *never;
    } row[] = {
        {"64", "", "   serial     none ", "no: memory"},
        {"0.35", "", "   serial     products ", "   serial     none "},
        {"0.35", " --set mesh.recompute=selective", "no: memory: needs", "   serial     products "},
        {"0.35", " --set mesh.recompute=full", "   serial     full ", "   serial     products "},
    };
    char folder[] = "/tmp/duet-plan-XXXXXX", model[64], machine[64], line[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(model, sizeof model, "%s/recipe.yaml", folder);
    snprintf(machine, sizeof machine, "%s/machine.yaml", folder);
    write_text(model,
               "model: {layers: 16, hidden: 128, heads: 4, max_context: 8192}\nprecision: bf16\n"
               "mesh: {recompute: %s}\ndata: {task: arithmetic, micro_batch_tokens: 8192}\n"
               "phases: [{kind: sft, steps: 1, batch: 64}]\n",
               "full");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_text(machine,
                   "devices: 2\nmemory_gib: %s\nmemory_gbs: 100\ncompute: {bf16: 1}\n"
                   "inside: {gbs: 3}\n",
                   row[i].gib);
        snprintf(line, sizeof line, "%s --cluster %s --vocabulary 512 --propose%s", model, machine,
                 row[i].more);
        expect(line, EXIT_DONE, row[i].expected);
        ck_assert_msg(!strstr(said, row[i].never), "row %zu: %s", i, said);
    }
    unlink(model);
    unlink(machine);
    rmdir(folder);
}
END_TEST

/* Pipelines that share experts are among the meshes. */
START_TEST(experts)
{
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/h100.yaml --propose --set "
           "model.experts=8",
           EXIT_DONE, "\n    4 x  2 x   2 x 1   dualpipe ");
}
END_TEST

/* The times of operations are measured here; their size is this machine's, so only that there are
 * some. */
START_TEST(measured)
{
    expect("launch/recipes/countdown.yaml --ranks 2 --phase cold_start --set "
           "data.micro_batch_tokens=512",
           EXIT_DONE, "(measured here)");
    ck_assert_ptr_nonnull(strstr(said, "costs: {layer_f: "));
}
END_TEST

/* A hostfile beside a recipe: where ranks are and what crosses, without a time; as JSON for
 * programs. */
START_TEST(hosts)
{
    char path[] = "/tmp/duet-hosts-XXXXXX", line[256];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *f = fdopen(fd, "w");
    fputs("h1 slots=2\nh2 slots=2\n", f);
    fclose(f);
    snprintf(line, sizeof line, "launch/recipes/countdown.yaml --hostfile %s", path);
    expect(line, EXIT_DONE, "\n  h2                              2-3  1.0.0 1.1.0\n");
    ck_assert_ptr_nonnull(strstr(said, "2 groups of 2, each within one host"));
    ck_assert_ptr_nonnull(strstr(said, "1 groups of 4, 1 of them spanning hosts"));
    ck_assert_ptr_nonnull(strstr(said, "traffic of a rollout, MB"));
    ck_assert_ptr_nonnull(strstr(said, "\n  nodes    int8 "));
    ck_assert_ptr_null(strstr(said, "tokens/s"));
    char two[sizeof line + 128];
    snprintf(two, sizeof two, "%s --set mesh.sites=2 --set mesh.dp=1", line);
    expect(two, EXIT_DONE, "\n2 sites, each with this mesh and step time, exchange every ");
    ck_assert_ptr_nonnull(
        strstr(said, "\n  h2                              2-3  2:0.0.0 2:0.1.0\n"));
    ck_assert_ptr_nonnull(strstr(said, "2 groups of 2, 2 of them spanning hosts"));
    expect("launch/recipes/countdown.yaml --ranks 3 --set mesh.sites=2", EXIT_USER,
           "sites 2 does not divide 3 ranks");
    snprintf(two, sizeof two,
             "%s --set mesh.sites=2 --set mesh.dp=1 --set sites.delay=0 --cluster "
             "launch/clusters/h100.yaml",
             line);
    expect(two, EXIT_DONE, "; that takes ");
    strcat(line, " --format json");
    expect(line, EXIT_DONE, "\"stage messages\": [");
    snprintf(line, sizeof line, "launch/recipes/countdown.yaml --hostfile %s --ranks 8", path);
    expect(line, EXIT_USER, "--ranks 8, but its 2 hosts have only 4 slots");
    snprintf(line, sizeof line, "launch/recipes/countdown.yaml --hostfile %s --propose", path);
    expect(line, EXIT_USER, "need --cluster FILE too");
    snprintf(line, sizeof line,
             "launch/recipes/countdown.yaml --hostfile %s --cluster launch/clusters/h100.yaml",
             path);
    expect(line, EXIT_DONE, "gather, ms");
    snprintf(line, sizeof line,
             "launch/recipes/countdown.yaml --hostfile %s --cluster launch/clusters/laptop.yaml",
             path);
    expect(line, EXIT_USER, "there are 2 nodes: set between");
    snprintf(line, sizeof line, "launch/recipes/countdown.yaml --hostfile %s --map experts", path);
    expect(line, EXIT_DONE, "\n  h1                           0 .. 2  0.0.0 1.0.0\n");
    ck_assert_ptr_nonnull(strstr(said, "2 groups of 2, 2 of them spanning hosts"));
    expect("launch/recipes/countdown.yaml --map experts", EXIT_USER, "--map needs hosts");
    unlink(path);
}
END_TEST

/* What is searched for is predicted itself: never slower than the named plan of the same mesh. */
START_TEST(searched)
{
    double step[2] = {0};
    for (int i = 0; i < 2; i++) {
        char line[256];
        snprintf(line, sizeof line,
                 "launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml --set "
                 "schedule=%s --set model.layers=7 --phase cold_start",
                 i ? "auto" : "dualpipe");
        expect(line, EXIT_DONE, i ? "; auto on a mesh 1 x 2" : "; dualpipe on a mesh 1 x 2");
        const char *at = strstr(said, "\nstep ");
        at = at ? strstr(at + 1, "\nstep ") : NULL;
        ck_assert_ptr_nonnull(at);
        step[i] = strtod(at + 6, NULL);
    }
    ck_assert_double_gt(step[1], 0);
    ck_assert_double_le(step[1], 1.005 * step[0]);
}
END_TEST

START_TEST(refused_recipe)
{
    expect("launch/recipes/countdown.yaml --stages 4", EXIT_USER, "draw a schedule without a");
    expect("--propose", EXIT_USER, "need a recipe: duet plan RECIPE");
    expect("launch/recipes/countdown.yaml --phase cold_stat", EXIT_USER,
           "did you mean cold_start?");
    expect("launch/recipes/countdown.yaml --schedule 1f1b", EXIT_USER, "--set schedule=1f1b");
    expect("launch/recipes/countdown.yaml --cluster launch/recipes/countdown.yaml", EXIT_USER,
           "unknown setting seed");
    expect("launch/recipes/countdown.yaml --cluster launch/clusters/laptop.yaml --ranks 4",
           EXIT_USER, "nodes 1 x devices 2 is only 2");
    expect("launch/recipes/countdown.yaml --ranks 3", EXIT_USER, "pp 2 does not divide 3 ranks");
    expect("launch/recipes/countdown.yaml --ranks 2 --vocabulary 16777216", EXIT_USER,
           "too large to measure on this machine");
    expect("--scaling", EXIT_USER, "--scaling needs --cluster FILE");
    expect("nowhere.yaml", EXIT_USER, "cannot read the recipe");
}
END_TEST

START_TEST(refused)
{
    expect("--stages 5 --micro-batches 20", EXIT_USER, "5 stages; the number must be even");
    ck_assert_ptr_nonnull(strstr(said, "4 stages with 20 micro-batches"));
    expect("--stages 8 --micro-batches 10", EXIT_USER, "8 stages with 16 micro-batches");
    expect("--schedule dualpip --format jso", EXIT_USER, "did you mean dualpipe?");
    ck_assert_ptr_nonnull(strstr(said, "did you mean json?"));
    expect("", EXIT_USER, "0 stages, must be 1 to");
    expect("--stages 7 --micro-batches 20", EXIT_USER, "nearest valid");
    expect("--stages 2147483647 --micro-batches -2147483648", EXIT_USER, "is not in the range");
    expect("--help", EXIT_DONE, "--micro-batches");
}
END_TEST

#define TESTS(X)             \
    X(text)                  \
    X(json)                  \
    X(pictures)              \
    X(given_costs)           \
    X(refused_costs)         \
    X(recipe)                \
    X(proposals)             \
    X(recompute_is_searched) \
    X(experts)               \
    X(hosts)                 \
    X(searched)              \
    X(measured)              \
    X(refused_recipe)        \
    X(refused)

UNIT_MAIN("plan command", .timeout_s = 60)
