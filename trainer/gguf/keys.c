#include "trainer/gguf/keys.h"

#include <stdio.h>
#include <string.h>

bool gguf_text_is(struct gguf_text t, const char *s)
{
    return t.n == strlen(s) && memcmp(t.at, s, t.n) == 0;
}

struct gguf_text gguf_key_text(const struct gguf *g, const char *key)
{
    const struct gguf_value *v = gguf_find(g, key);
    struct gguf_text text = {"", 0};
    const unsigned char *cursor = v ? v->at : NULL;
    if (v && !v->array) gguf_text(v, &cursor, &text);
    return text;
}

bool gguf_is(const struct gguf *g, const char *architecture)
{
    return gguf_text_is(gguf_key_text(g, "general.architecture"), architecture);
}

const struct gguf_value *gguf_model_key(const struct gguf *g, const char *name)
{
    char key[128];
    struct gguf_text is = gguf_key_text(g, "general.architecture");
    if (is.n == 0 || is.n > 32) return NULL;
    snprintf(key, sizeof key, "%.*s.%s", (int)is.n, is.at, name);
    return gguf_find(g, key);
}

int gguf_model_whole(const struct gguf *g, const char *name, int otherwise)
{
    const struct gguf_value *v = gguf_model_key(g, name);
    int64_t value;
    if (!v || v->array || !gguf_whole(v, 0, &value) || value < 0 || value > INT32_MAX)
        return otherwise;
    return (int)value;
}

int gguf_head_size(const struct gguf *g)
{
    int heads = gguf_model_whole(g, "attention.head_count", 0);
    int hidden = gguf_model_whole(g, "embedding_length", 0);
    return gguf_model_whole(g, "attention.key_length", heads > 0 ? hidden / heads : 0);
}
