#include "trainer/reward/code/ask.h"

#include <math.h>
#include <string.h>

struct code_rules code_rules_of(const struct phase_settings *k)
{
    return (struct code_rules){.cpu_ms = (int)lround(1000 * k->code_time),
                               .memory_mib = k->code_memory_mib,
                               .partial = k->code_partial,
                               .reduced = k->code_sandbox == CODE_SANDBOX_REDUCED};
}

/* What the one server of this process was told last. */
static struct code_rules told;

static bool same_rules(const struct code_rules *a, const struct code_rules *b)
{
    return a->cpu_ms == b->cpu_ms && a->memory_mib == b->memory_mib && a->partial == b->partial &&
           a->reduced == b->reduced;
}

void code_tell(struct grade_server *s, const struct code_rules *rules)
{
    if (same_rules(rules, &told)) return;
    told = *rules;
    grade_server_configure(s, GRADE_CODE, rules, sizeof *rules);
}

struct code_level code_open(struct grade_server *s, const struct code_rules *rules)
{
    const struct code_request head = {.what = CODE_ASK_LEVEL};
    struct code_level level = {.level = SANDBOX_REFUSED,
                               .says = "the grader server does not answer"};
    struct grade_reply reply;
    code_tell(s, rules);
    const bool sent = grade_server_send(s, GRADE_CODE, 0, &head, sizeof head);
    if (sent && grade_server_poll(s, GRADE_CODE, &reply, -1) && !reply.lost &&
        reply.n == sizeof level)
        memcpy(&level, reply.bytes, sizeof level);
    return level;
}

bool code_send(struct grade_server *s, uint64_t id, enum code_language language, bool thinks,
               struct span completion, struct span tests)
{
    const struct code_request head = {CODE_ASK_VERDICT, (uint32_t)language, thinks,
                                      (uint32_t)tests.n};
    const struct iovec piece[3] = {{(void *)(uintptr_t)&head, sizeof head},
                                   {(void *)(uintptr_t)tests.at, tests.n},
                                   {(void *)(uintptr_t)completion.at, completion.n}};
    return grade_server_send_pieces(s, GRADE_CODE, id, piece, 3);
}

struct code_verdict code_reply(const struct grade_reply *reply)
{
    struct code_verdict v = {.end = CODE_WRONG};
    if (!reply->lost && reply->n == sizeof v) memcpy(&v, reply->bytes, sizeof v);
    return v;
}
