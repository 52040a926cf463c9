#include "trainer/checkpoint/hf/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/hf/config.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/kept.h"
#include "trainer/checkpoint/hf/never.h"

typedef bool apply_fn(struct settings *s, const void *json, size_t n, const char *file,
                      struct problems *p);

static bool apply_file_of(const char *folder, struct settings *s, const char *name, apply_fn *apply,
                          struct problems *p)
{
    char path[PATH_BYTES], why[FILE_WHY];
    size_t n;
    path_make(path, "%s/%s", folder, name);
    char *bytes = file_read(path, FILE_REGULAR, HF_MOST_CONFIG, &n, why);
    if (!bytes) problems_add(p, path, 0, "cannot be read: %s", why);
    bool ok = bytes && apply(s, bytes, n, path, p);
    free(bytes);
    return ok;
}

static bool apply_file(struct settings *s, const char *name, apply_fn *apply, struct problems *p)
{
    return apply_file_of(s->model.from, s, name, apply, p);
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    path_make(path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* A tokenizer that the user names is left as it is: hf_take_text only compares. */
static void take_tokenizer(struct settings *s, struct problems *p)
{
    char path[PATH_BYTES];
    if (gguf_is_file(s->model.from)) { /* the tokenizer is in it */
        hf_take_text(s, "tokenizer", s->model.from, s->model.from, p);
        return;
    }
    path_make(path, "%s/tokenizer.json", s->model.from);
    if (access(path, F_OK) == 0)
        hf_take_text(s, "tokenizer", path, s->model.from, p);
    else if (s->lines.model.tokenizer == 0)
        problems_add(p, s->model.from, 0,
                     "has no tokenizer.json: write one with "
                     "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR), or give "
                     "model.tokenizer");
}

/* A file of the folder that may be missing; NULL. */
static char *read_if_there(const char *folder, const char *name, struct problems *p)
{
    char path[PATH_BYTES], why[FILE_WHY];
    size_t n;
    if (!has(folder, name)) return NULL;
    path_make(path, "%s/%s", folder, name);
    char *text = file_read(path, FILE_REGULAR, HF_MOST_CONFIG, &n, why);
    if (!text) problems_add(p, path, 0, "cannot be read: %s", why);
    return text;
}

static void take_files(struct settings *s, struct problems *p)
{
    const char *from = s->model.from;
    model_files_free(&s->files);
    s->files =
        (struct model_files){.from = memory_copy_text(from, "a path"),
                             .chat_template = read_if_there(from, CHAT_TEMPLATE_FILE, p),
                             .tokenizer_config = read_if_there(from, TOKENIZER_CONFIG_FILE, p),
                             .generation_config = read_if_there(from, GENERATION_CONFIG_FILE, p)};
    SYS_OK(s->files.from, "free memory", "no memory for a path");
}

/* A GGUF file has what the folder's files say among its keys. */
static bool apply_gguf(struct settings *s, struct problems *p)
{
    struct gguf_file f;
    bool ok = gguf_file_open(&f, s->model.from, p);
    char *text = ok ? gguf_config_text(f.g, s->model.from, p) : NULL;
    if (ok) s->files.tokenizer_config = gguf_tokenizer_config_text(f.g);
    ok = text && hf_config_apply(s, text, strlen(text), s->model.from, p);
    free(text);
    gguf_file_close(&f);
    return ok;
}

static bool apply_config(struct settings *s, struct problems *p)
{
    take_files(s, p);
    if (gguf_is_file(s->model.from)) return apply_gguf(s, p);
    return apply_file(s, "config.json", hf_config_apply, p);
}

/* A model that has a template for conversations is spoken to through it, unless the recipe says how
 * (an empty data.template: bare). */
static void take_template(struct settings *s)
{
    const char *file;
    char *text = s->lines.data.template == 0 ? model_files_template(&s->files, &file) : NULL;
    if (!text) return;
    free(text);
    free(s->data.template);
    s->data.template = memory_copy_text("model", "a setting");
}

/* Numbers of rows are ints. */
static bool can_be(const struct settings *s, struct problems *p)
{
    const struct model_settings *m = &s->model;
    if (2.0 * m->experts * m->expert_ffn < 0x1p31) return true;
    problems_add(p, m->from, 0, "%d experts of %d channels are too many", m->experts,
                 m->expert_ffn);
    return false;
}

/* Tensors are held only against sizes that were accepted: one wrong size would be reported once for
 * every tensor. */
bool hf_settings_apply(struct settings *s, struct problems *p)
{
    struct hf_folder f = {0};
    int before = p->n;
    if (!*s->model.from) return true;
    if (!hf_is_folder(s->model.from)) {
        hf_kept_apply(s, s->model.from, NULL);
        return true;
    }
    if (has(s->model.from, "generation_config.json"))
        apply_file(s, "generation_config.json", hf_generation_apply, p);
    bool sized = apply_config(s, p);
    take_tokenizer(s, p);
    take_template(s);
    if (sized) hf_never_apply(s, p);
    if (hf_folder_open(&f, s->model.from, p) && sized && can_be(s, p)) {
        struct dims d = settings_dims(s, 0);
        hf_folder_check(&f, &d, p);
    }
    hf_folder_close(&f);
    return p->n == before;
}

bool hf_settings_shape(struct settings *s, const char *path, struct problems *p)
{
    char file[PATH_BYTES];
    path_make(file, "%s/tokenizer.json", path);
    if (access(file, F_OK) == 0) hf_take_text(s, "tokenizer", file, path, p);
    return apply_file_of(path, s, "config.json", hf_config_apply, p);
}

bool hf_settings_from_there(const struct settings *s, struct problems *p)
{
    int line = s->lines.model.from;
    if (!*s->model.from || access(s->model.from, F_OK) == 0) return true;
    problems_add(p, line == LINE_SET ? "--set" : s->file, line > 0 ? line : 0,
                 "model.from: there is no %s, seen from the folder that the command is started in: "
                 "put the model there, or name another with --set model.from=FOLDER",
                 s->model.from);
    return false;
}

/* "..." with what YAML would read otherwise escaped. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) fprintf(f, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    fputc('"', f);
}

/* The model is spoken to as its makers do. */
static bool load_folder(struct settings *s, const char *path, const char *phases,
                        struct problems *p)
{
    char *yaml = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&yaml, &n);
    SYS_OK(f, "free memory", "no memory for a recipe");
    fprintf(f, "model: {from: ");
    put_quoted(f, path);
    fprintf(f, "}\ndata: {think: false}\nphases: %s\n", phases);
    SYS_OK(fclose(f) == 0, "free memory", "no memory for a recipe");
    bool ok = settings_parse(s, yaml, n, path, p);
    free(yaml);
    return ok;
}

/* Phases that nobody wrote ask for no answer that the model has no room for. */
static void leave_room(struct settings *s)
{
    int half = s->model.max_context / 2;
    for (int i = 0; i < s->n_phases; i++)
        if (s->lines.phases[i].max_new == 0 && s->phases[i].max_new > half)
            s->phases[i].max_new = half;
}

bool hf_settings_load(struct settings *s, const char *path, const char *phases,
                      const char *const *sets, int n_sets, struct problems *p)
{
    int before = p->n;
    bool folder = phases && hf_is_folder(path);
    if (!folder) {
        settings_load(s, path, sets, n_sets, p);
    } else if (load_folder(s, path, phases, p)) {
        for (int i = 0; i < n_sets; i++) settings_set(s, sets[i], p);
    }
    if (p->n == before) hf_settings_apply(s, p);
    if (folder && p->n == before) leave_room(s);
    return p->n == before;
}
