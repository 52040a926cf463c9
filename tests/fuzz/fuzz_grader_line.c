/* Any bytes as a plug-in grader's reply, where jansson is the oracle of what is a verdict; and as
 * an answer, whose line must read back. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/plugin/line.h"

static const char own[] = "0123456789abcdef";

/* A reward is given to this id by an object, and to nothing else. */
static void check_reply(const char *line, size_t n)
{
    struct line_reply r;
    line_read(&r, 0x0123456789abcdef, (struct span){line, n});
    if (r.kind < 0 || r.kind >= LINE_KINDS || strlen(r.why) >= sizeof r.why) abort();
    if (r.kind != LINE_REWARD && r.kind != LINE_ERROR) return;
    json_t *json = json_loadb(line, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    const char *id = json_string_value(json_object_get(json, "id"));
    if (json && (!id || strcmp(id, own) != 0)) abort();
    if (r.kind == LINE_REWARD && !isfinite(r.reward)) abort();
    const json_t *reward = json_object_get(json, "reward");
    if (r.kind == LINE_REWARD && json_is_real(reward) && json_real_value(reward) != r.reward)
        abort();
    json_decref(json);
}

static void check_request(const char *text, size_t n)
{
    struct line_request r = {.answer = {text, n}, .prompt = {text, n / 2}};
    size_t bytes = line_write(NULL, 0, &r);
    char *line = malloc(bytes);
    if (!line || line_write(line, bytes, &r) != bytes) abort();
    if (bytes > 9 * n + 64 || memchr(line, '\n', bytes) != line + bytes - 1) abort();
    json_t *json = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
    if (!json || !json_is_string(json_object_get(json, "answer"))) abort();
    json_decref(json);
    free(line);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    check_reply((const char *)bytes, n);
    check_request((const char *)bytes, n);
    return 0;
}
