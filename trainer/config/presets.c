#include "trainer/config/presets.h"

#include <stdio.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/problems.h"

/* A published value that a paper leaves open is marked in docs/ALGORITHMS.md. Rows keep the
 * defaults that they do not name. */
static const struct preset presets[ALGORITHMS] = {
    [ALGORITHM_GRPO] = {"GRPO with Duet's defaults (DeepSeekMath, arXiv 2402.03300)", ""},
    [ALGORITHM_R1] =
        {"DeepSeek-R1 as published (arXiv 2501.12948; Nature 645, supplement)",
         "aggregate=sequence_mean clip_low=1 clip_high=10 kl=0.001 lr=3e-6 prompts=512 "
         "samples=16 "
         "mini_batches=16 ref_every=25 temperature=1"},
    [ALGORITHM_DR_GRPO] = {"Dr. GRPO (arXiv 2503.20783)", "advantage=mean aggregate=constant"},
    [ALGORITHM_DAPO] = {"DAPO (arXiv 2503.14476), without refilling groups",
                        "aggregate=token_mean clip_low=0.2 clip_high=0.28 zero_spread=drop "
                        "samples=16"},
    [ALGORITHM_GSPO] = {"GSPO (arXiv 2507.18071)",
                        "policy_loss=gspo aggregate=sequence_mean clip_low=3e-4 clip_high=4e-4 "
                        "mini_batches=4"},
    [ALGORITHM_CISPO] = {"CISPO (MiniMax-M1, arXiv 2506.13585)",
                         "policy_loss=cispo aggregate=token_mean clip_low=1 clip_high=4"},
    [ALGORITHM_GMPO] = {"GMPO (arXiv 2507.20673)",
                        "policy_loss=gmpo aggregate=sequence_mean clip_low=0.3296799539643607 "
                        "clip_high=0.4918246976412703"},
    [ALGORITHM_SAPO] = {"SAPO (arXiv 2511.20347)", "policy_loss=sapo aggregate=sequence_mean"},
    [ALGORITHM_LUSPO] = {"LUSPO (arXiv 2602.05261)",
                         "policy_loss=gspo aggregate=sequence_sum clip_low=2e-3 clip_high=2.5e-3"},
    [ALGORITHM_VESPO] = {"VESPO (arXiv 2602.10693)", "policy_loss=vespo aggregate=token_mean"},
    [ALGORITHM_MAXRL] = {"MaxRL (arXiv 2602.02710)", "advantage=max_rl"},
    [ALGORITHM_DPPO] = {"DPPO, binary total variation (arXiv 2602.04879)",
                        "policy_loss=dppo clip_low=0.2 clip_high=0.2"},
    [ALGORITHM_REINFORCE] = {"REINFORCE++ (arXiv 2501.03262)", "advantage=batch"},
    [ALGORITHM_RLOO] = {"RLOO (arXiv 2402.14740)",
                        "advantage=leave_one_out aggregate=sequence_sum"},
    [ALGORITHM_SCALERL] = {"ScaleRL's loss (arXiv 2510.13786)",
                           "policy_loss=cispo advantage=batch_std aggregate=prompt_mean clip_low=1 "
                           "clip_high=4 zero_spread=drop samples=16 prompts=48"},
    [ALGORITHM_LITEPPO] = {"LitePPO (arXiv 2508.08221)",
                           "advantage=batch_std aggregate=token_mean"},
    [ALGORITHM_V3_2] = {"DeepSeek-V3.2 (arXiv 2512.02556 3.1), without routing and sampling masks",
                        "advantage=mean aggregate=sequence_mean kl=0.001 kl_estimator=unbiased "
                        "off_policy_mask=0.5"},
    [ALGORITHM_PRIME] = {"prime-rl's default (its configs/trainer.py)",
                         "policy_loss=dppo advantage=mean aggregate=token_mean clip_low=0.2 "
                         "clip_high=0.2 ratio_penalty=1e-3"},
    [ALGORITHM_KIMI] = {"Kimi K2.5 (arXiv 2602.02276); bounds and penalty are not published",
                        "policy_loss=window advantage=mean clip_low=0.2 clip_high=0.2 "
                        "ratio_penalty=1e-3"},
    [ALGORITHM_GDPO] = {"GDPO (arXiv 2601.05242)", "advantage=gdpo"},
};

const struct preset *preset_of(int algorithm)
{
    return &presets[algorithm];
}

enum { PAIR = 64 };

/* Takes one pair; a mistake in the table is ours. What was given stays. */
static void put(const struct place *phase, const char *pair, size_t n)
{
    char name[PAIR], value[PAIR];
    struct problems p = {0};
    size_t name_n = strcspn(pair, "=");
    INVARIANT(n < sizeof name && name_n < n, "a preset has %.*s", (int)n, pair);
    snprintf(name, sizeof name, "%.*s", (int)name_n, pair);
    snprintf(value, sizeof value, "%.*s", (int)(n - name_n - 1), pair + name_n + 1);
    const struct setting *k = setting_find(phase->section, name);
    INVARIANT(k, "a preset has the setting %s", name);
    if (*setting_line(phase, k) != 0) return;
    bool done = setting_assign(phase, k, value, strlen(value), (struct origin){0}, &p);
    INVARIANT(done, "a preset has %.*s", (int)n, pair);
    *setting_line(phase, k) = 0;
    problems_free(&p);
}

void preset_apply(const struct place *phase)
{
    const struct phase_settings *k = phase->values;
    if (k->kind != PHASE_GRPO) return;
    for (const char *at = preset_of(k->algorithm)->sets; *at;) {
        size_t n = strcspn(at, " ");
        put(phase, at, n);
        at += n + strspn(at + n, " ");
    }
}

void presets_help(void)
{
    const struct setting *k = setting_find(&sections[SECTION_PHASE], "algorithm");
    puts("algorithm: NAME of a grpo phase gives these settings their values; each can be given\n"
         "another one beside it\n");
    for (const struct choice *c = k->choices; c->name; c++)
        printf("%-12s %s\n%s%s%s", c->name, presets[c->value].source,
               *presets[c->value].sets ? "             " : "", presets[c->value].sets,
               *presets[c->value].sets ? "\n" : "");
}
