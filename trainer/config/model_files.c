#include "trainer/config/model_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

static const char *default_of(const json_t *v)
{
    const json_t *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(v);
}

char *model_files_template(const struct model_files *f, const char **file)
{
    *file = f->chat_template ? CHAT_TEMPLATE_FILE : TOKENIZER_CONFIG_FILE;
    if (f->chat_template) return memory_copy_text(f->chat_template, "a chat template");
    json_t *config = f->tokenizer_config ? json_loads(f->tokenizer_config, 0, NULL) : NULL;
    char *text =
        memory_copy_text(default_of(json_object_get(config, "chat_template")), "a chat template");
    json_decref(config);
    return text;
}

void model_files_free(struct model_files *f)
{
    free(f->from);
    free(f->tokenizer);
    free(f->chat_template);
    free(f->tokenizer_config);
    free(f->generation_config);
    *f = (struct model_files){.from = NULL};
}
