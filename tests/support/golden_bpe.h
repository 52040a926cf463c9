/* The small BPE tokenizers of tests/golden (tests/oracle/bpe.py). */
#ifndef DUET_TESTS_SUPPORT_GOLDEN_BPE_H
#define DUET_TESTS_SUPPORT_GOLDEN_BPE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "model/tokenizer.h"
#include "tests/support/check_unit.h"

static const char *const families[] = {"gpt2", "llama3", "qwen", "deepseek", "llama2"};
enum { FAMILIES = sizeof families / sizeof *families };

static inline json_t *golden_json(const char *name)
{
    char path[96];
    json_error_t error;
    snprintf(path, sizeof path, "tests/golden/bpe_%s.json", name);
    json_t *json = json_load_file(path, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", path, error.text);
    return json;
}

static inline struct tokenizer *parse_json(const json_t *json)
{
    struct problems p = {0};
    char *text = json_dumps(json, 0);
    struct tokenizer *t = tokenizer_parse(text, strlen(text), "t.json", &p);
    ck_assert_msg(t != NULL, "%s", p.n ? p.text[0] : "no problem");
    ck_assert_int_eq(p.n, 0);
    free(text);
    return t;
}

#endif
