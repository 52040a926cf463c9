#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/pattern.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/pattern_translate.h"

enum { PATTERN_MOST = 4096, STACK_LEAST = 32 << 10, STACK_MOST = 8 << 20 };

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    bool jit;
};

/* Newline is LF alone, as in Oniguruma: it is what a dot does not match. */
static struct pattern *compile(const char *regex, uint32_t options, char *why, size_t size)
{
    int error = 0;
    size_t where = 0;
    pcre2_compile_context *how = pcre2_compile_context_create(NULL);
    SYS_OK(how, "give the job more memory", "no memory for a tokenizer");
    pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)regex, strlen(regex), options, &error, &where, how);
    pcre2_compile_context_free(how);
    if (!code) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(error, text, sizeof text);
        snprintf(why, size, "%s", (const char *)text);
        return NULL;
    }
    struct pattern *q = memory_take(1, sizeof *q, "a tokenizer");
    q->code = code;
    q->match = pcre2_match_data_create(1, NULL);
    q->context = pcre2_match_context_create(NULL);
    SYS_OK(q->match && q->context, "give the job more memory", "no memory for a tokenizer");
    q->jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
    if (q->jit) q->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
    if (q->stack) pcre2_jit_stack_assign(q->context, NULL, q->stack);
    return q;
}

static bool matches_nothing(const struct pattern *q)
{
    uint32_t empty = 1;
    pcre2_pattern_info(q->code, PCRE2_INFO_MATCHEMPTY, &empty);
    return empty != 0;
}

/* A pattern that matches nothing at all would not advance in the text. */
struct pattern *pattern_new(struct parse *p, const char *place, const char *regex)
{
    char why[192] = "must not match the empty text:";
    if (!regex || strlen(regex) > PATTERN_MOST) {
        refuse(p, place, "must be a Regex of at most 4096 bytes", NULL);
        return NULL;
    }
    char *text = pattern_translate(p, place, regex);
    if (!text) return NULL;
    struct pattern *q =
        compile(text, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, why, sizeof why);
    free(text);
    if (q && !matches_nothing(q)) return q;
    pattern_free(q);
    refuse(p, place, why, regex);
    return NULL;
}

struct pattern *pattern_of_text(const char *text)
{
    char why[192] = "";
    struct pattern *q = compile(text, PCRE2_UTF | PCRE2_LITERAL, why, sizeof why);
    INVARIANT(q, "%s: %s", text, why);
    return q;
}

void pattern_free(struct pattern *q)
{
    if (!q) return;
    pcre2_code_free(q->code);
    pcre2_match_data_free(q->match);
    pcre2_match_context_free(q->context);
    pcre2_jit_stack_free(q->stack);
    free(q);
}

/* Writes into q->match: one thread at a time (the lock of bpe_encode). The text is valid UTF-8,
 * which is therefore not checked again at each match. */
bool pattern_next(const struct pattern *q, const char *s, size_t n, size_t from, size_t *start,
                  size_t *stop)
{
    PCRE2_SPTR text = (PCRE2_SPTR)s;
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (q->jit) found = pcre2_jit_match(q->code, text, n, from, 0, q->match, q->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the slow way works on the heap */
        found = pcre2_match(q->code, text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, q->match,
                            q->context);
    if (found == PCRE2_ERROR_NOMATCH) return false;
    SYS_OK(found >= 0, "use a tokenizer.json with the splitting pattern of a known family",
           "a tokenizer's splitting pattern cannot be run on a text of %zu bytes (PCRE2 error %d)",
           n, found);
    const size_t *at = pcre2_get_ovector_pointer(q->match);
    *start = at[0];
    *stop = at[1];
    return true;
}

bool pattern_is_space(unsigned c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}
