#include "trainer/run/served.h"

#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/reward/code/ask.h"

/* The first phase that has programs judged: by its reward, or by its task. */
static const struct phase_settings *judged_phase(const struct run *r)
{
    const struct settings *s = &r->settings;
    const struct task *task = r->source ? source_task(r->source) : NULL;
    for (int i = 0; i < s->n_phases; i++) {
        const struct phase_settings *k = &s->phases[i];
        const bool reward = k->kind == PHASE_GRPO && k->reward_code != 0;
        const bool counted = task && task->by_tests && k->kind != PHASE_EXPORT;
        if (reward || counted) return k;
    }
    return NULL;
}

/* Never silently less than the recipe wants. */
static void check_level(const struct code_level *level, bool reduced, struct problems *p)
{
    if (level->level == SANDBOX_REFUSED)
        problems_add(
            p, NULL, 0,
            "no sandbox for the programs that the tests judge: %s. Allow unprivileged user "
            "namespaces on this host (docs/TROUBLE.md), or choose another task and reward",
            level->says);
    else if (level->level == SANDBOX_REDUCED && !reduced)
        problems_add(p, NULL, 0,
                     "the sandbox for the programs that the tests judge is REDUCED: %s. Allow "
                     "them on this host (docs/TROUBLE.md), or accept it with code_sandbox: reduced",
                     level->says);
}

/* Hosts may differ in what their kernels let us do: all ranks agree before any goes on. The early
 * return is the same everywhere, since all read one recipe. */
void served_check(const struct run *r)
{
    const struct phase_settings *k = judged_phase(r);
    struct problems p = {0};
    if (!k) return;
    const struct code_rules rules = code_rules_of(k);
    struct grade_server *s = grade_server();
    const struct code_level level =
        s ? code_open(s, &rules)
          : (struct code_level){SANDBOX_REFUSED, "the recipe named no reward of the grader server "
                                                 "when this rank started"};
    check_level(&level, rules.reduced, &p);
    world_agree_problems(r->world, &p, EXIT_WORLD);
    if (level.level == SANDBOX_REDUCED) log_warn("sandbox: REDUCED: %s", level.says);
    if (world_all(r->world, level.level == SANDBOX_FULL)) log_info("sandbox: FULL: %s", level.says);
}
