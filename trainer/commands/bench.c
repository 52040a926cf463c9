/* duet bench: how fast, beside what the machine could do. What is measured is in trainer/bench/. */
#include <stdio.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/bench/bench.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/commands/commands.h"
#include "trainer/commands/model.h"

struct bench {
    const char *name;
    void (*run)(const struct bench_options *o, struct run *r);
    struct extent (*extent)(const struct bench_options *o);
};

static const struct bench benches[] = {
    {"train", bench_train, bench_train_extent},
    {"decode", bench_decode, bench_decode_extent},
    {"pipeline", NULL, NULL}, /* no model, no run */
    {"network", NULL, NULL},
    {"reduce", NULL, NULL},
    {"exactness", NULL, NULL},
};

/* Which needs a model. */
static bool runs_model(const struct bench *b)
{
    return b->run != NULL;
}

static const struct bench *bench_find(const char *name)
{
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (strcmp(name, benches[i].name) == 0) return &benches[i];
    return NULL;
}

/* --- options --- */

/* A MODEL has sizes of its own. */
static void check_model_options(const struct bench_options *o, struct problems *p)
{
    const struct {
        const char *name;
        bool given;
    } size[] = {{"layers", o->layers > 0},
                {"hidden", o->hidden > 0},
                {"ffn", o->ffn > 0},
                {"heads", o->heads > 0},
                {"kv-heads", o->kv_heads >= 0}};
    const struct bench *b = bench_find(o->args[0]);
    if (!o->args[1]) return;
    if (b && !runs_model(b))
        problems_add(p, NULL, 0, "%s needs no model: leave out %.200s", b->name, o->args[1]);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].given)
            problems_add(p, NULL, 0,
                         "--%s is of a synthetic model: the sizes of %.200s are its own",
                         size[i].name, o->args[1]);
}

/* All mistakes in one go, as in a recipe; what depends on the number of ranks is checked later. */
static void check_bench_options(const void *checked, struct problems *p)
{
    const struct bench_options *o = checked;
    if (!bench_find(o->args[0])) {
        const char *const names[] = {"train",   "decode", "pipeline",
                                     "network", "reduce", "exactness"};
        const char *near = nearest_name(o->args[0], names, 6);
        problems_add(p, NULL, 0,
                     "unknown benchmark %.60s: choose train, decode, pipeline, network, reduce or "
                     "exactness%s%s%s",
                     o->args[0], near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    check_model_options(o, p);
    if (o->precision && strcmp(o->precision, "bf16") != 0 && strcmp(o->precision, "fp32") != 0)
        problems_add(p, NULL, 0, "--precision: \"%.60s\" is neither bf16 nor fp32", o->precision);
    if (o->chunk_layers % 2 != 0)
        problems_add(p, NULL, 0, "--chunk-layers: %d is odd, but a layer has two exchanges",
                     o->chunk_layers);
    if (o->samples > 0 && o->slots % o->samples != 0)
        problems_add(p, NULL, 0, "--samples: %d answers per question do not divide %d slots",
                     o->samples, o->slots);
}

static const struct bench_options DEFAULTS = {.kv_heads = -1,
                                              .tokens = 2048,
                                              .sequence = 256,
                                              .slots = 64,
                                              .samples = 8,
                                              .prompt = 16,
                                              .answer = 128,
                                              .steps = 3,
                                              .stages = "2,4,8,16",
                                              .chunk_layers = 4,
                                              .pass_ms = 10,
                                              .exchange = 1,
                                              .members = 2,
                                              .mib = 64};

static const char SUMMARY[] =
    "Times training steps (train; any number of ranks) or decoding (decode; one rank) of\nMODEL, a "
    "checkpoint or run folder, a Hugging Face folder or a GGUF file, or of a\nsynthetic model, by "
    "default with 40 million parameters, alternating with its matrix\nproducts alone, which are "
    "the "
    "upper bound. Of a folder with a config.json and no\nweights it takes the shape, and draws "
    "weights. Or (pipeline) runs every schedule\non a device whose passes take given times, with "
    "real messages and exchanges, and\ncompares it with its simulation. Or (network) measures "
    "messages between all pairs\nof hosts, one rank each, and names the slow ones. Or (reduce) "
    "sums "
    "an array over\nall ranks on each path with each rounding, and compares the bytes sent with "
    "the\nprediction. Or (exactness) times what is slower for the sake of equal bits beside\na "
    "version that is free. Prints one JSON object; figures with min, median and max.";

/* The defaults come first: rows point into o, and what is not given stays. */
static int read_bench_options(struct bench_options *o, int argc, char **argv)
{
    *o = DEFAULTS;
    const struct option_row rows[] = {
        {"layers", OPT_INT, &o->layers, 1, 1024,
         "decoder layers (default: 10; of a MODEL its own, as are the next ones)"},
        {"hidden", OPT_INT, &o->hidden, 8, 65536, "hidden size (default: 576)"},
        {"ffn", OPT_INT, &o->ffn, 8, 262144, "inner size of SwiGLU (default: 1536)"},
        {"heads", OPT_INT, &o->heads, 1, 1024, "query heads (default: 9)"},
        {"kv-heads", OPT_INT, &o->kv_heads, 0, 1024,
         "key/value heads; 0: as many as query heads (default: 0)"},
        {"precision", OPT_STRING, &o->precision, 0, 0,
         "bf16 or fp32 (default: bf16, or as MODEL has it)"},
        {"tokens", OPT_INT, &o->tokens, 1, 1 << 24, "train: tokens per step, of the whole job"},
        {"sequence", OPT_INT, &o->sequence, 1, 1 << 20, "train: tokens per sequence"},
        {"slots", OPT_INT, &o->slots, 1, 65536, "decode: sequences decoded at once"},
        {"samples", OPT_INT, &o->samples, 1, 65536, "decode: answers that share a prompt"},
        {"prompt", OPT_INT, &o->prompt, 1, 1 << 19, "decode: tokens of a prompt"},
        {"answer", OPT_INT, &o->answer, 1, 1 << 19, "decode: tokens of an answer"},
        {"steps", OPT_INT, &o->steps, 1, MOST_STEPS,
         "number of steps (rollouts) timed, after one warm-up"},
        {"profile", OPT_FLAG, &o->profile, 0, 0,
         "train, decode: also times by operation, beside the machine's limits; with --text as a "
         "table alone"},
        {"stages", OPT_STRING, &o->stages, 0, 0,
         "pipeline: numbers of stages to try, up to the number of ranks"},
        {"schedules", OPT_STRING, &o->schedules, 0, 0,
         "pipeline: schedules to run, e.g. 1f1b,dualpipe (default: all)"},
        {"micro-batches", OPT_INT, &o->micro_batches, 0, 4096,
         "pipeline: micro-batches per step; 0: five for every two stages"},
        {"pass-ms", OPT_REAL, &o->pass_ms, 0.001, 10000,
         "pipeline: milliseconds that a stage takes for each of F, B and W"},
        {"exchange", OPT_REAL, &o->exchange, 0, 100,
         "pipeline: time of the exchanges of an F or B as a multiple of its compute time; 0: none"},
        {"members", OPT_INT, &o->members, 1, 64,
         "pipeline: ranks per stage, which exchange with each other"},
        {"chunk-layers", OPT_INT, &o->chunk_layers, 2, 128,
         "pipeline: layers per stage, with two exchanges each"},
        {"shares", OPT_STRING, &o->shares, 0, 0,
         "pipeline: relative costs of equal parts of the model, e.g. 2,1,1,1,1,1,1,3"},
        {"text", OPT_FLAG, &o->text, 0, 0,
         "pipeline, network, reduce, exactness, or with --profile: print a table instead of JSON"},
        {"mib", OPT_INT, &o->mib, 1, 4096, "reduce, exactness: size of the array"},
        {"ways", OPT_STRING, &o->ways, 0, 0,
         "reduce: paths and formats to try, e.g. flat,nodes-int8 (default: all)"},
        {"node-ranks", OPT_INT, &o->node_ranks, 0, 65536,
         "reduce: number of ranks treated as one node; 0: those of a host"},
        {"cluster", OPT_STRING, &o->cluster, 0, 0, "network: cluster file with the expected rates"},
        {"set", OPT_LIST, &o->sets, 0, 0, "KEY=VALUE: any setting, e.g. mesh.pp=2"},
    };
    struct options options = {.command = "bench",
                              .summary = SUMMARY,
                              .usage = "train|decode [MODEL] | pipeline|network|reduce|exactness",
                              .check = check_bench_options,
                              .checked = o,
                              .rows = rows,
                              .n_rows = sizeof rows / sizeof *rows,
                              .args = o->args,
                              .min_args = 1,
                              .max_args = 2};
    return options_parse(&options, argc, argv);
}

/* --- settings --- */

static void set_number(struct settings *s, const char *name, int value, struct problems *p)
{
    char text[64];
    snprintf(text, sizeof text, "%s=%d", name, value);
    settings_set(s, text, p);
}

static void set_model(struct settings *s, const struct bench_options *o, struct problems *p)
{
    char precision[64];
    snprintf(precision, sizeof precision, "precision=%.40s", o->precision ? o->precision : "bf16");
    settings_set(s, precision, p);
    set_number(s, "model.layers", o->layers > 0 ? o->layers : 10, p);
    set_number(s, "model.hidden", o->hidden > 0 ? o->hidden : 576, p);
    set_number(s, "model.ffn", o->ffn > 0 ? o->ffn : 1536, p);
    set_number(s, "model.heads", o->heads > 0 ? o->heads : 9, p);
    set_number(s, "model.kv_heads", o->kv_heads > 0 ? o->kv_heads : 0, p);
}

static bool is_train(const struct bench_options *o)
{
    return strcmp(o->args[0], "train") == 0;
}

/* Tokens that a sequence may have. */
static int context_of(const struct bench_options *o)
{
    return is_train(o) ? o->sequence + 1 : o->prompt + o->answer;
}

/* Room for the sequences, no more: a train step's micro-batches hold 1024 tokens, or one sequence
 * when that is longer. */
struct bench_room {
    int context, rows;
};
static struct bench_room room_of(const struct bench_options *o)
{
    int context = context_of(o);
    int rows = is_train(o) ? 1024 : context + o->slots + o->slots / o->samples * o->prompt;
    if (context < 16) context = 16; /* the least that the setting allows */
    return (struct bench_room){context, rows > context ? rows : context};
}

static void set_sizes(struct settings *s, const struct bench_options *o, struct problems *p)
{
    struct bench_room room = room_of(o);
    set_number(s, "model.max_context", room.context, p);
    set_number(s, "data.micro_batch_tokens", room.rows, p);
    set_number(s, "mesh.decode_slots", o->slots, p);
}

/* Sizes come from options; a --set that contradicts them is refused. */
static void check_sizes(const struct settings *s, const struct bench_options *o, int ranks,
                        struct problems *p)
{
    bool train = is_train(o);
    int context = context_of(o);
    if (!train && ranks > 1)
        problems_add(p, NULL, 0, "decode measures one rank, not %d: run it without mpirun", ranks);
    if (s->model.max_context < context)
        problems_add(p, NULL, 0, "model.max_context %d is too short for %d tokens",
                     s->model.max_context, context);
    if (!train && s->mesh.decode_slots != o->slots)
        problems_add(p, NULL, 0, "use --slots instead of mesh.decode_slots");
}

/* The sizes that are given, or those of a folder that has no weights. */
static void set_shape(struct settings *s, const struct bench_options *o, struct problems *p)
{
    if (!o->args[1]) {
        set_model(s, o, p);
        return;
    }
    char text[64];
    snprintf(text, sizeof text, "precision=%.40s", o->precision ? o->precision : "bf16");
    settings_set(s, text, p);
}

/* Without a pipeline one sum of gradients, as other programs have: two are for the bits of
 * schedules that run in both directions. */
static void set_directions(struct settings *s, const struct bench_options *o, struct problems *p)
{
    static const char name[] = "mesh.directions=";
    bool said = false;
    for (int i = 0; i < o->sets.n; i++) said |= strncmp(o->sets.at[i], name, sizeof name - 1) == 0;
    if (s->mesh.pp == 1 && !said) set_number(s, "mesh.directions", 1, p);
}

/* A recipe in memory, checked as a user's. A folder's sizes come last, where nothing else is said.
 */
static void bench_settings(struct settings *s, const struct bench_options *o, int ranks,
                           struct problems *p)
{
    static const char phases[] = "phases: [{kind: sft, steps: 1}]\n";
    settings_defaults(s);
    settings_parse(s, phases, sizeof phases - 1, "bench", p);
    set_shape(s, o, p);
    set_sizes(s, o, p);
    for (int i = 0; i < o->sets.n; i++) settings_set(s, o->sets.at[i], p);
    set_directions(s, o, p);
    if (o->args[1]) hf_settings_shape(s, o->args[1], p);
    if (s->mesh.sites > 1) problems_add(p, "--set", 0, "mesh.sites: bench measures one site");
    if (p->n > 0) return;
    settings_check(s, ranks, p);
    check_sizes(s, o, ranks, p);
}

static void run_pipeline(struct bench_options *o, const struct world *w)
{
    struct problems p = {0};
    bench_pipeline_check(o, w->size, &p);
    problems_end_if_any(&p);
    watchdog_start(300);
    bench_pipeline(o, w);
}

static void run_network(struct bench_options *o, const struct world *w)
{
    struct problems p = {0};
    bench_network_check(o, w, &p);
    world_agree_problems(w, &p, EXIT_USER); /* not every host may see the cluster file */
    watchdog_start(120);
    bench_network(o, w);
}

/* A layer of the sizes that are given, or of the synthetic model's. */
static void run_exactness(struct bench_options *o, const struct world *w)
{
    struct problems p = {0};
    o->hidden = o->hidden > 0 ? o->hidden : 576;
    o->ffn = o->ffn > 0 ? o->ffn : 1536;
    o->heads = o->heads > 0 ? o->heads : 9;
    o->kv_heads = o->kv_heads > 0 ? o->kv_heads : o->heads;
    if (o->hidden % o->heads != 0)
        problems_add(&p, NULL, 0, "--heads: %d do not divide the hidden size of %d", o->heads,
                     o->hidden);
    problems_end_if_any(&p);
    watchdog_start(600);
    bench_exactness(o, w);
}

static void run_reduce(struct bench_options *o, const struct world *w)
{
    struct problems p = {0};
    bench_reduce_check(o, w, &p);
    problems_end_if_any(&p);
    watchdog_start(300);
    bench_reduce(o, w);
}

/* --- a model --- */

/* A synthetic one, or the shape of a folder: weights are drawn. */
static void open_synthetic(struct run *r, struct world *w, const struct bench_options *o)
{
    struct settings s;
    struct problems p = {0};
    bench_settings(&s, o, w->size, &p);
    problems_end_if_any(&p);
    watchdog_start(s.run.watchdog_s);
    run_open(r, w, s, NULL, bench_find(o->args[0])->extent(o));
    optimizer_init(&r->optimizer, (uint64_t)r->settings.run.seed);
}

/* MODEL with the options' sizes, and the user's --set behind them. No text is made of its tokens,
 * so that no template is needed. Decoding needs weights only. */
static void open_model(struct run *r, struct world *w, const struct bench_options *o)
{
    struct problems p = {0};
    struct option_list sets = {.at = {"data.template="}, .n = 1};
    struct bench_room room = room_of(o);
    char text[4][64];
    snprintf(text[0], sizeof text[0], "model.max_context=%d", room.context);
    snprintf(text[1], sizeof text[1], "data.micro_batch_tokens=%d", room.rows);
    snprintf(text[2], sizeof text[2], "mesh.decode_slots=%d", o->slots);
    snprintf(text[3], sizeof text[3], "precision=%.40s", o->precision ? o->precision : "");
    for (int i = 0; i < (o->precision ? 4 : 3); i++) sets.at[sets.n++] = text[i];
    for (int i = 0; i < o->sets.n && sets.n < OPTION_LIST_MAX; i++)
        sets.at[sets.n++] = o->sets.at[i];
    struct answer_job job = {.path = o->args[1],
                             .sets = &sets,
                             .phases = "[{kind: sft, steps: 1}]",
                             .extent = bench_find(o->args[0])->extent(o)};
    if (!is_train(o)) {
        job.extent.keep = KEEP_WEIGHTS;
        job.extent.sequences = 0;
        job.extent.lower = "--answer";
    }
    answer_enter_as(r, w, &job);
    check_sizes(&r->settings, o, w->size, &p);
    problems_end_if_any(&p);
}

/* Pipeline, network and reduce need no model and no recipe; train and decode open a run as `duet
 * train` does, so that they measure what it does. */
int cmd_bench(int argc, char **argv)
{
    struct bench_options o;
    int code = read_bench_options(&o, argc, argv);
    if (code >= 0) return code;
    struct world w;
    world_end_on_signals();
    world_up(&w, &argc, &argv);
    log_set(LOG_QUIET, w.rank);
    static const struct {
        const char *name;
        void (*run)(struct bench_options *o, const struct world *w);
    } plain[] = {{"pipeline", run_pipeline},
                 {"network", run_network},
                 {"reduce", run_reduce},
                 {"exactness", run_exactness}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(o.args[0], plain[i].name) != 0) continue;
        plain[i].run(&o, &w);
        world_down(&w);
        return EXIT_DONE;
    }
    struct run r;
    bool drawn = !o.args[1] || hf_is_shape(o.args[1]);
    (drawn ? open_synthetic : open_model)(&r, &w, &o);
    bench_find(o.args[0])->run(&o, &r);
    run_close(&r);
    world_down(&w);
    return EXIT_DONE;
}
