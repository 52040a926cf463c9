#include "trainer/data/vocabulary.h"

#include <string.h>
#include "comm/base/memory.h"
#include "trainer/data/input.h"
#include "trainer/gguf/file.h"

int vocabulary_rows(const struct settings *s, const struct tokenizer *t)
{
    return s->model.vocabulary > 0 ? s->model.vocabulary : tokenizer_size(t);
}

struct never_tokens vocabulary_never(const struct settings *s, const struct tokenizer *t,
                                     struct problems *p)
{
    struct never_tokens never;
    const char *text = s->model.never_tokens ? s->model.never_tokens : "";
    never_parse(&never, text, vocabulary_rows(s, t), s->file, p);
    return never;
}

int vocabulary_end(const struct settings *s, const struct tokenizer *t)
{
    int first;
    return settings_end_tokens(s, &first, 1) > 0 ? first : tokenizer_find(t, TOKEN_EOS);
}

/* "2,7": numbers of rows that there are. */
static void check_ends(const struct settings *s, int rows, struct problems *p)
{
    int end[END_TOKENS_MOST], n = settings_end_tokens(s, end, END_TOKENS_MOST);
    bool ok = n >= 0 && n <= END_TOKENS_MOST;
    for (int i = 0; ok && i < n; i++) ok = end[i] < rows;
    if (!ok)
        problems_add(p, s->file, 0,
                     "model.end_tokens %.60s is not a list of token ids like 2,7 below %d",
                     s->model.end_tokens, rows);
}

/* A model's own tokenizer may lack <think>: that counts only for the prompts of this program. */
static void check_vocabulary(const struct settings *s, const struct tokenizer *t, const char *name,
                             struct problems *p)
{
    int rows = vocabulary_rows(s, t);
    bool think = !s->data.think || tokenizer_find(t, TOKEN_THINK) >= 0;
    if (rows < tokenizer_size(t))
        problems_add(p, name, 0, "has %d tokens, but the model's vocabulary has %d rows",
                     tokenizer_size(t), rows);
    check_ends(s, rows, p);
    struct never_tokens never = vocabulary_never(s, t, p);
    never_free(&never);
    bool own = s->data.template && *s->data.template; /* a template says itself what it needs */
    if (!own && *s->model.end_tokens == 0 && (!think || tokenizer_find(t, TOKEN_EOS) < 0))
        problems_add(p, name, 0, "has no token %s; duet's prompts need %s" TOKEN_EOS,
                     !think ? TOKEN_THINK : TOKEN_EOS, s->data.think ? TOKEN_THINK " and " : "");
}

/* As a file has it; none is named: the program's own. */
static char *read_json(const struct settings *s, size_t *n, struct problems *p)
{
    const char *path = s->model.tokenizer;
    const struct input in = {path, "model.tokenizer", s->file};
    if (!path[0]) return tokenizer_builtin_json(n);
    return gguf_is_file(path) ? gguf_file_tokenizer(path, n, p) : input_read(&in, n, p);
}

/* A checkpoint's tokenizer (`given`) wins over the recipe's file: its ids are those of the weights.
 */
struct tokenizer *vocabulary_open(const struct settings *s, const char *given, char **json,
                                  struct problems *p)
{
    const char *path = s->model.tokenizer;
    size_t n = 0;
    if (!given) given = s->files.tokenizer;
    if (given) {
        n = strlen(given);
        *json = memory_copy_text(given, "a tokenizer");
    } else {
        *json = read_json(s, &n, p);
    }
    if (!*json) return NULL;
    const char *name = path[0] ? path : "tokenizer.json";
    struct tokenizer *t = tokenizer_parse(*json, n, name, p);
    if (t) check_vocabulary(s, t, name, p);
    return t;
}
