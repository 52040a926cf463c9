#include "trainer/data/model_template.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
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

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    SYS_OK(copy || !text, "give the job more memory", "no memory for a chat template");
    return copy;
}

/* A file of the folder; NULL: there is none that can be read. */
static char *read_beside(const char *folder, const char *name, char path[PATH_BYTES])
{
    char why[FILE_WHY];
    size_t n;
    int length = snprintf(path, PATH_BYTES, "%s%s", folder, name);
    if (length < 0 || length >= PATH_BYTES) return NULL;
    return file_read(path, FILE_REGULAR, FILE_MOST, &n, why);
}

static json_t *json_beside(const char *folder, const char *name)
{
    char path[PATH_BYTES], *bytes = read_beside(folder, name, path);
    json_t *root = bytes ? json_loads(bytes, 0, NULL) : NULL;
    free(bytes);
    return root;
}

/* tokenizer_config.json in a GGUF file. */
static json_t *json_in(const char *gguf, struct problems *p)
{
    char *text = gguf_file_tokenizer_config(gguf, p);
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return root;
}

/* "</s>", or {"content": "</s>", ...} */
static char *token_text(const json_t *config, const char *name)
{
    const json_t *v = json_object_get(config, name);
    return copy_of(json_string_value(json_is_object(v) ? json_object_get(v, "content") : v));
}

/* A text, or a list of {"name", "template"}, of which the one called default. */
static char *template_text(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template"), *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return copy_of(json_string_value(json_object_get(one, "template")));
    }
    return copy_of(json_string_value(v));
}

static void read_ends(struct ends *e, const json_t *generation)
{
    const json_t *v = json_object_get(generation, "eos_token_id"), *one;
    size_t i;
    if (json_is_integer(v)) ends_add(e, (int)json_integer_value(v));
    json_array_foreach(v, i, one) if (json_is_integer(one))
        ends_add(e, (int)json_integer_value(one));
}

/* What was looked for, and the way out. */
static void say_none(const char *named, const char *gguf, const char *folder, struct problems *p)
{
    static const char fix[] = "set data.template to a template with {user} and {assistant}";
    if (named)
        problems_add(p, named, 0, "cannot read this chat template (data.template)");
    else if (gguf)
        problems_add(p, gguf, 0,
                     "data.template is model, but the file has no tokenizer.chat_template: %s",
                     fix);
    else
        problems_add(p, NULL, 0,
                     "data.template is model, but %s has neither a chat_template.jinja nor a "
                     "tokenizer_config.json with a chat_template: %s",
                     *folder ? folder : "the folder of model.tokenizer", fix);
}

/* chat_template.jinja counts before the member of tokenizer_config.json, as in Transformers. */
bool model_template_read(struct model_template *t, const struct settings *s, struct problems *p)
{
    const char *named = is_jinja(s->data.template) ? s->data.template : NULL;
    const char *beside = named ? named : s->model.tokenizer, *slash = strrchr(beside, '/');
    const char *gguf = !named && gguf_is_file(beside) ? beside : NULL;
    char folder[PATH_BYTES], path[PATH_BYTES] = "";
    *t = (struct model_template){.text = NULL};
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - beside) : 0, beside);
    json_t *config = gguf ? json_in(gguf, p) : json_beside(folder, "tokenizer_config.json"),
           *generation = gguf ? NULL : json_beside(folder, "generation_config.json");
    if (named)
        t->text = read_beside("", named, path);
    else if (!gguf)
        t->text = read_beside(folder, "chat_template.jinja", path);
    if (!t->text && !named) t->text = template_text(config);
    t->path = copy_of(gguf ? gguf : path);
    t->bos = token_text(config, "bos_token");
    t->eos = token_text(config, "eos_token");
    read_ends(&t->ends, generation);
    json_decref(config);
    json_decref(generation);
    if (!t->text) say_none(named, gguf, folder, p);
    return t->text != NULL;
}

void model_template_free(struct model_template *t)
{
    free(t->text);
    free(t->bos);
    free(t->eos);
    free(t->path);
    *t = (struct model_template){.text = NULL};
}
