/* The tokenizer.json of the tokenizer that comes with the program. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "model/tokenizer.h"

static const char *const builtin_special[] = {"<pad>",    "<eos>",     "<think>", "</think>",
                                              "<answer>", "</answer>", "<unk>"};
enum { SPECIALS = sizeof builtin_special / sizeof *builtin_special };

static json_t *builtin_vocabulary(void)
{
    json_t *vocabulary = json_object();
    int id = 0;
    for (int i = 0; i < SPECIALS; i++)
        json_object_set_new(vocabulary, builtin_special[i], json_integer(id++));
    json_object_set_new(vocabulary, "\n", json_integer(id++));
    for (char c = 0x20; c < 0x7f; c++)
        json_object_set_new(vocabulary, (char[]){c, '\0'}, json_integer(id++));
    return vocabulary;
}

/* A file like any other, so that it is parsed, saved and exported in the same way. */
char *tokenizer_builtin_json(size_t *n)
{
    json_t *added = json_array();
    for (int i = 0; i < SPECIALS; i++)
        json_array_append_new(added, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", i, "content",
                                               builtin_special[i], "single_word", 0, "lstrip", 0,
                                               "rstrip", 0, "normalized", 0, "special", 1));
    json_t *root =
        json_pack("{s:s,s:n,s:n,s:o,s:n,s:{s:s,s:{s:s},s:s,s:b},s:n,s:{s:s},s:{s:s,s:o,s:s}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                  "pre_tokenizer", "type", "Split", "pattern", "Regex", "[\\s\\S]", "behavior",
                  "Isolated", "invert", 0, "post_processor", "decoder", "type", "Fuse", "model",
                  "type", "WordLevel", "vocab", builtin_vocabulary(), "unk_token", "<unk>");
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    SYS_OK(text, "give the job more memory", "no memory for the built-in tokenizer");
    *n = strlen(text);
    return text;
}
