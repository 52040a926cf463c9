#include "trainer/data/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include "trainer/data/input.h"

/* A checkpoint's tokenizer (`given`) wins over the recipe's file: its ids are those of the weights.
 */
struct tokenizer *vocabulary_open(const struct settings *s, const char *given, char **json,
                                  struct problems *p)
{
    const char *path = s->model.tokenizer;
    size_t n = 0;
    if (given) {
        n = strlen(given);
        *json = strdup(given);
    } else {
        const struct input in = {path, "model.tokenizer", s->file};
        *json = path[0] ? input_read(&in, &n, p) : tokenizer_builtin_json(&n);
    }
    if (!*json) return NULL;
    const char *name = path[0] ? path : "tokenizer.json";
    struct tokenizer *t = tokenizer_parse(*json, n, name, p);
    if (!t) return NULL;
    bool think = tokenizer_find(t, TOKEN_THINK) >= 0;
    if (!think || tokenizer_find(t, TOKEN_EOS) < 0)
        problems_add(p, name, 0, "has no token %s; duet's prompts need <think> and " TOKEN_EOS,
                     !think ? TOKEN_THINK : TOKEN_EOS);
    return t;
}
