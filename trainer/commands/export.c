/* duet export RUN DIR: a checkpoint as a Hugging Face folder, or as a GGUF file. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/export_gguf.h"
#include "trainer/checkpoint/hf/kept.h"
#include "trainer/commands/commands.h"
#include "trainer/commands/perplexity.h"
#include "trainer/config/options.h"
#include "trainer/config/size.h"
#include "trainer/data/chat.h"
#include "trainer/phases/export.h"
#include "trainer/run/position.h"

struct export_options {
    const char *args[2], *shard_size, *dtype, *format, *matrices, *text;
    uint64_t shard_bytes;
    bool as_source;
    enum st_dtype type;
};

/* The model is opened only when all of these are right: it may take minutes to verify. */
static void check_options(const void *checked, struct problems *p)
{
    static const char *const names[] = {"source", "bf16", "fp16", "fp32"};
    const struct export_options *e = checked;
    uint64_t bytes;
    int i = 0;
    if (!size_parse(e->shard_size, &bytes))
        problems_add(p, NULL, 0, "--shard-size: \"%.40s\" is no size like 5GB or 500MB",
                     e->shard_size);
    while (i < 4 && strcmp(e->dtype, names[i]) != 0) i++;
    if (strcmp(e->format, "hf") != 0 && strcmp(e->format, "gguf") != 0)
        problems_add(p, NULL, 0, "--format: \"%.40s\" is none of hf, gguf", e->format);
    if (e->text && strcmp(e->format, "gguf") != 0)
        problems_add(p, NULL, 0, "--text goes with --format gguf: a folder's weights lose nothing");
    if (e->text && strcmp(e->text, "-") != 0 && access(e->text, R_OK) != 0)
        problems_add(p, NULL, 0, "--text: %.200s cannot be read: %s", e->text, strerror(errno));
    if (!quant_named(e->matrices))
        problems_add(p, NULL, 0, "--type: \"%.40s\" is none of bf16, f16, f32, q8_0, q4_0, q4_1",
                     e->matrices);
    if (i == 4)
        problems_add(p, NULL, 0, "--dtype: \"%.40s\" is none of source, bf16, fp16, fp32",
                     e->dtype);
}

/* size_parse is called again here: the check has said that it succeeds, but could keep nothing. */
static int read_options(struct export_options *e, int argc, char **argv)
{
    *e = (struct export_options){
        .shard_size = "5GB", .dtype = "source", .format = "hf", .matrices = "bf16"};
    const struct option_row rows[] = {
        {"format", OPT_STRING, &e->format, 0, 0,
         "hf: a Hugging Face folder; gguf: one file, which llama.cpp loads"},
        {"text", OPT_STRING, &e->text, 0, 0,
         "gguf: a held-out text, whose perplexity before and after is printed"},
        {"type", OPT_STRING, &e->matrices, 0, 0,
         "gguf: the format of matrices: bf16, f16, f32, q8_0, q4_0, q4_1"},
        {"shard-size", OPT_STRING, &e->shard_size, 0, 0,
         "most data in one safetensors file, e.g. 500MB"},
        {"dtype", OPT_STRING, &e->dtype, 0, 0,
         "type of the weights: bf16, fp16, fp32, or source: those of the imported files; without "
         "such, the precision that the model computes with"},
    };
    struct options o = {
        .command = "export",
        .summary = "Writes a checkpoint as a Hugging Face folder, which AutoModelForCausalLM and\n"
                   "AutoTokenizer load. A model that was imported keeps its config.json, its\n"
                   "generation_config.json, tokenizer files and chat template byte for byte. RUN "
                   "is a\ncheckpoint's folder, a run's folder or its folder of checkpoints (then "
                   "the newest one).",
        .usage = "RUN DIR|FILE.gguf",
        .check = check_options,
        .checked = e,
        .rows = rows,
        .n_rows = 5,
        .args = e->args,
        .min_args = 2,
        .max_args = 2};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    size_parse(e->shard_size, &e->shard_bytes);
    e->as_source = strcmp(e->dtype, "source") == 0;
    e->type = strcmp(e->dtype, "bf16") == 0   ? ST_BF16
              : strcmp(e->dtype, "fp16") == 0 ? ST_F16
                                              : ST_F32;
    return -1;
}

/* The template may be in a file that has moved since: then the recipe and the tokenizer say what
 * they can. */
static void describe_with(struct hf_export *x, const struct settings *s, const struct tokenizer *t)
{
    struct ends ends = {.n = 0};
    struct problems gone = {0};
    const struct chat_job job = {
        .settings = s, .tokenizer = t, .tokenizer_json = x->from->tokenizer};
    struct chat *chat = chat_new(&job, &gone);
    if (chat)
        ends = chat_ends(chat);
    else
        log_warn("%s; the exported eos_token_id is that of the tokenizer", gone.text[0]);
    export_describe(x, s, t, ends);
    chat_free(chat);
    problems_free(&gone);
}

/* What the checkpoint's recipe and tokenizer say of the model. */
static bool describe(struct hf_export *x, struct problems *p)
{
    struct settings s;
    const struct checkpoint *c = x->from;
    const char *text = c->tokenizer ? c->tokenizer : "";
    settings_defaults(&s);
    bool ok = c->recipe && settings_parse_stored(&s, c->recipe, p) &&
              settings_check(&s, settings_ranks(&s), p);
    if (!c->recipe)
        problems_add(p, c->folder, 0, "has no recipe: it does not say which model it is");
    struct tokenizer *t = ok ? tokenizer_parse(text, strlen(text), c->folder, p) : NULL;
    s.files = hf_kept_files(c);
    if (t) describe_with(x, &s, t);
    tokenizer_free(t);
    settings_free(&s);
    return t != NULL;
}

/* The exit code. */
static int export_or_say(const struct export_options *e, const struct checkpoint *c,
                         struct problems *p)
{
    struct hf_exported done;
    const struct quant *q = strcmp(e->format, "gguf") == 0 ? quant_named(e->matrices) : NULL;
    struct hf_export x = {.from = c,
                          .to = e->args[1],
                          .shard_bytes = e->shard_bytes,
                          .as_source = e->as_source,
                          .dtype = e->type};
    if (!describe(&x, p)) return EXIT_USER;
    if (!(q ? hf_export_gguf(&done, &x, q, p) : hf_export_run(&done, &x, p)))
        return done.broken ? EXIT_WORLD : EXIT_USER;
    printf("%s: %zu tensors of %s (step %ld), %.1f MB in %d file%s\n", e->args[1], done.tensors,
           c->folder, c->step, (double)done.bytes / 1e6, done.files, done.files == 1 ? "" : "s");
    return EXIT_DONE;
}

/* What the format costs: perplexity of a text with the weights as they are and as they were
 * written. Collective. */
static void say_cost(const struct export_options *e, int *argc, char ***argv)
{
    struct world w;
    size_t n;
    const struct option_list none = {0};
    world_up(&w, argc, argv);
    char *text = answer_read(&w, e->text, &n);
    struct perplexity was, is;
    was = perplexity_of(&w, e->args[0], &none, text, n, PERPLEXITY_WINDOW);
    is = perplexity_of(&w, e->args[1], &none, text, n, PERPLEXITY_WINDOW);
    free(text);
    if (w.rank == 0)
        printf(
            "perplexity of %s (%ld tokens in windows of %d): %.4f before, %.4f in %s (%+.2f %%)\n",
            e->text, is.tokens, is.window, was.value, is.value, e->matrices,
            100 * (is.value / was.value - 1));
    world_down(&w);
}

/* Damage of a checkpoint is the world's failure; a path that holds none, or a refused export, the
 * user's mistake. Perplexity needs a world, which the export itself does not. */
int cmd_export(int argc, char **argv)
{
    struct export_options e;
    int code = read_options(&e, argc, argv);
    if (code >= 0) return code;
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is a failed write, after which nothing is left */
    struct problems p = {0};
    struct checkpoint c;
    const struct checkpoint_check check = {position_check, NULL};
    bool opened = checkpoint_open_if(&c, e.args[0], NULL, check, &p);
    if (opened)
        code = export_or_say(&e, &c, &p);
    else
        code = checkpoint_any(e.args[0]) ? EXIT_WORLD : EXIT_USER;
    problems_print(&p);
    problems_free(&p);
    if (opened) checkpoint_close(&c);
    if (code == EXIT_DONE && e.text) say_cost(&e, &argc, &argv);
    return code;
}
