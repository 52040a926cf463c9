/* duet import DIR OUT: a Hugging Face folder as a checkpoint, written by as many ranks as there
 * are. */
#include <stdio.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/files.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/commands/commands.h"
#include "trainer/commands/model.h"
#include "trainer/run/folder.h"

static void check_paths(const char *const *args, struct problems *p)
{
    struct failure f = {0};
    if (!hf_is_folder(args[0]))
        problems_add(p, args[0], 0, "is no Hugging Face folder: it has no config.json");
    enum path_kind kind = path_look(args[1], &f);
    if (kind != PATH_ABSENT)
        problems_add(p, args[1], 0,
                     "is there already: give another folder (nothing is overwritten)");
}

/* The masters alone: there are no moments yet. */
static void open_writer(struct run *r, const char *out)
{
    char path[PATH_BYTES];
    path_make(path, "%s/checkpoints", out);
    int n = optimizer_slices(&r->optimizer, NULL, SLICES_SAVE_MODEL);
    struct slice *slices = memory_take((size_t)n + 1, sizeof *slices, "slices");
    optimizer_slices(&r->optimizer, slices, SLICES_SAVE_MODEL);
    r->writer = checkpoint_writer_new(r->world, path, slices, n, 1, false);
    checkpoint_writer_attach(r->writer, &r->files);
    free(slices);
}

static void make_folder(const struct world *w, const char *out, const char *recipe)
{
    struct failure f = {0};
    bool ok = w->rank != 0 || folder_make(out, &f);
    SYS_OK(ok, "choose a folder that you may write to", "%s: %s", f.what, f.why);
    if (w->rank == 0) folder_write_recipe(out, recipe);
    MPI_OK(MPI_Barrier(w->comm));
}

/* Paths are checked by rank 0 and agreed on before anything is read: OUT must not exist yet, and
 * the model may take minutes. */
int cmd_import(int argc, char **argv)
{
    struct option_list sets = {0};
    const char *args[2];
    const struct option_row rows[] = {
        {"set", OPT_LIST, &sets, 0, 0, "KEY=VALUE: a setting, e.g. --set mesh.pp=2"},
    };
    struct options o = {
        .command = "import",
        .summary = "Reads a Hugging Face folder (config.json, tokenizer.json, safetensors) "
                   "and writes it\nas a run folder OUT with one checkpoint. A recipe's "
                   "model.from and the MODEL of sample,\neval and score take such a "
                   "folder as it is, too.",
        .usage = "DIR OUT",
        .rows = rows,
        .n_rows = 1,
        .args = args,
        .min_args = 2,
        .max_args = 2};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    struct problems p = {0};
    struct run r;
    struct world w;
    struct extent extent = {.keep = KEEP_MASTERS, .answers = 1, .questions = 1, .max_new = 1};
    world_up(&w, &argc, &argv);
    if (w.rank == 0) check_paths(args, &p);
    world_agree_problems(&w, &p, EXIT_USER);
    answer_enter(&r, &w, args[0], &sets, extent);
    make_folder(&w, args[1], r.recipe);
    open_writer(&r, args[1]);
    run_save(&r, true);
    if (w.rank == 0)
        printf("%s/checkpoints: %zu parameters of %s\n", args[1], params_count(&r.stage.dims),
               args[0]);
    answer_close(&r, &w);
    return EXIT_DONE;
}
