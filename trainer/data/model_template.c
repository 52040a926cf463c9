#include "trainer/data/model_template.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "comm/base/memory.h"
#include "trainer/gguf/file.h"

enum { FILE_MOST = 4 << 20 };

static bool is_jinja(const char *name)
{
    size_t n = strlen(name);
    return n > 6 && strcmp(name + n - 6, ".jinja") == 0;
}

bool model_template_wanted(const struct settings *s)
{
    const char *name = s->data.template;
    return name && (strcmp(name, "model") == 0 || is_jinja(name));
}

/* A file of the folder; NULL: there is none that can be read. */
static char *read_beside(const char *folder, const char *name)
{
    char why[FILE_WHY], path[PATH_BYTES];
    size_t n;
    int length = snprintf(path, sizeof path, "%s%s", folder, name);
    if (length < 0 || length >= PATH_BYTES) return NULL;
    return file_read(path, FILE_REGULAR, FILE_MOST, &n, why);
}

/* What a GGUF file says is in its keys. */
static struct model_files files_in(const char *gguf, struct problems *p)
{
    return (struct model_files){.from = memory_copy_text(gguf, "a path"),
                                .tokenizer_config = gguf_file_tokenizer_config(gguf, p)};
}

/* folder: with the slash behind it, or "". */
static struct model_files files_beside(const char *folder, bool named)
{
    return (struct model_files){.from = memory_copy_text(folder, "a path"),
                                .chat_template =
                                    named ? NULL : read_beside(folder, CHAT_TEMPLATE_FILE),
                                .tokenizer_config = read_beside(folder, TOKENIZER_CONFIG_FILE),
                                .generation_config = read_beside(folder, GENERATION_CONFIG_FILE)};
}

static json_t *json_of(const char *text)
{
    return text ? json_loads(text, 0, NULL) : NULL;
}

/* "</s>", or {"content": "</s>", ...} */
static char *token_text(const json_t *config, const char *name)
{
    const json_t *v = json_object_get(config, name);
    return memory_copy_text(
        json_string_value(json_is_object(v) ? json_object_get(v, "content") : v),
        "a chat template");
}

static void read_ends(struct ends *e, const json_t *generation)
{
    const json_t *v = json_object_get(generation, "eos_token_id"), *one;
    size_t i;
    if (json_is_integer(v)) ends_add(e, (int)json_integer_value(v));
    json_array_foreach(v, i, one) if (json_is_integer(one))
        ends_add(e, (int)json_integer_value(one));
}

/* What the files say but for the template. */
static void take_tokens(struct model_template *t, const struct model_files *f)
{
    json_t *config = json_of(f->tokenizer_config), *generation = json_of(f->generation_config);
    t->bos = token_text(config, "bos_token");
    t->eos = token_text(config, "eos_token");
    read_ends(&t->ends, generation);
    json_decref(config);
    json_decref(generation);
}

/* "folder/name"; from may end in a slash, or be empty. */
static char *path_of(const char *from, const char *name)
{
    size_t n = strlen(from);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", from, n > 0 && from[n - 1] != '/' ? "/" : "", name);
    return memory_copy_text(path, "a path");
}

static bool take_files(struct model_template *t, const struct model_files *f)
{
    const char *file, *from = f->from ? f->from : "";
    t->text = model_files_template(f, &file);
    if (!t->text) return false;
    t->path = gguf_is_file(from) ? memory_copy_text(from, "a path") : path_of(from, file);
    take_tokens(t, f);
    return true;
}

static void folder_of(char folder[PATH_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_BYTES, "%.*s", slash ? (int)(slash + 1 - path) : 0, path);
}

static bool read_named(struct model_template *t, const char *path, struct problems *p)
{
    char folder[PATH_BYTES];
    folder_of(folder, path);
    struct model_files f = files_beside(folder, true);
    t->text = read_beside("", path);
    t->path = memory_copy_text(path, "a path");
    if (t->text)
        take_tokens(t, &f);
    else
        problems_add(p, path, 0, "cannot read this chat template (data.template)");
    model_files_free(&f);
    return t->text != NULL;
}

/* What was looked for, and the way out. */
static void say_none(const char *gguf, const char *folder, struct problems *p)
{
    static const char fix[] = "set data.template to a template with {user} and {assistant}";
    if (gguf)
        problems_add(p, gguf, 0,
                     "data.template is model, but the file has no tokenizer.chat_template: %s",
                     fix);
    else
        problems_add(p, NULL, 0,
                     "data.template is model, but %s has neither a chat_template.jinja nor a "
                     "tokenizer_config.json with a chat_template: %s",
                     *folder ? folder : "the folder of model.tokenizer", fix);
}

/* The model's own files count before those that lie beside a tokenizer: these may have moved. */
bool model_template_read(struct model_template *t, const struct settings *s, struct problems *p)
{
    const char *beside = s->model.tokenizer, *gguf = gguf_is_file(beside) ? beside : NULL;
    char folder[PATH_BYTES];
    *t = (struct model_template){.text = NULL};
    if (is_jinja(s->data.template)) return read_named(t, s->data.template, p);
    if (take_files(t, &s->files)) return true;
    folder_of(folder, beside);
    struct model_files f = gguf ? files_in(gguf, p) : files_beside(folder, false);
    bool ok = take_files(t, &f);
    model_files_free(&f);
    if (!ok) say_none(gguf, folder, p);
    return ok;
}

void model_template_free(struct model_template *t)
{
    free(t->text);
    free(t->bos);
    free(t->eos);
    free(t->path);
    *t = (struct model_template){.text = NULL};
}
