#include "trainer/checkpoint/hf/never.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "comm/base/memory.h"
#include "model/tokenizer.h"
#include "trainer/checkpoint/hf/config.h"
#include "trainer/config/never.h"
#include "trainer/gguf/file.h"

enum { TOKENIZER_MOST = 1 << 30 };

static struct tokenizer *open_tokenizer(const char *path)
{
    struct problems ignored = {0};
    char why[FILE_WHY];
    size_t n = 0;
    char *json = gguf_is_file(path) ? gguf_file_tokenizer(path, &n, &ignored)
                                    : file_read(path, FILE_REGULAR, TOKENIZER_MOST, &n, why);
    struct tokenizer *t = json ? tokenizer_parse(json, n, path, &ignored) : NULL;
    free(json);
    problems_free(&ignored);
    return t;
}

/* "<pad>", or {"content": "<pad>", ...}; "" */
static const char *token_text(const json_t *config, const char *name)
{
    const json_t *v = json_object_get(config, name);
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    return text ? text : "";
}

static bool ends_answers(const struct settings *s, int id)
{
    int end[END_TOKENS_MOST], n = settings_end_tokens(s, end, END_TOKENS_MOST);
    for (int i = 0; i < n && i < END_TOKENS_MOST; i++)
        if (end[i] == id) return true;
    return false;
}

static bool in_template(const struct settings *s, const char *text)
{
    const char *file;
    char *whole = model_files_template(&s->files, &file);
    bool found = whole && strstr(whole, text);
    free(whole);
    return found;
}

/* The padding token's id; -1: there is none, or it is also something else: masked, that could not
 * be learned or sampled any more. */
static int padding(const struct settings *s, const struct tokenizer *t)
{
    static const char *const others[] = {"eos_token", "bos_token", "unk_token"};
    json_t *config =
        s->files.tokenizer_config ? json_loads(s->files.tokenizer_config, 0, NULL) : NULL;
    const char *pad = token_text(config, "pad_token");
    int id = *pad ? tokenizer_find(t, pad) : -1;
    for (int i = 0; i < 3 && id >= 0; i++)
        if (strcmp(token_text(config, others[i]), pad) == 0) id = -1;
    if (id >= 0 && (ends_answers(s, id) || in_template(s, pad))) id = -1;
    json_decref(config);
    return id;
}

/* What the user gives is left alone. Without model.vocabulary no row is without a token. */
void hf_never_apply(struct settings *s, struct problems *p)
{
    enum { MOST_TEXT = 4096 }; /* of a setting */
    int rows = s->model.vocabulary;
    struct tokenizer *t = NULL;
    if (s->lines.model.never_tokens == 0 && rows > 0) t = open_tokenizer(s->model.tokenizer);
    if (!t) return;
    unsigned char *masked = memory_take((size_t)rows, 1, "tokens that are not sampled");
    for (int i = 0; i < rows; i++) masked[i] = !tokenizer_has(t, i) && !ends_answers(s, i);
    int pad = padding(s, t);
    if (pad >= 0 && pad < rows) masked[pad] = 1;
    char *text = never_text(masked, rows);
    if (strlen(text) < MOST_TEXT)
        hf_take_text(s, "never_tokens", text, s->model.from, p);
    else
        problems_add(p, s->model.tokenizer, 0,
                     "its ids have too many gaps to be listed: give model.never_tokens, the ids "
                     "that are never to be sampled, or an empty text for none");
    free(text);
    free(masked);
    tokenizer_free(t);
}
