/* THE table of subcommands: the usage, `duet help`, the shell's completion and main follow from
 * it. */
#include "trainer/commands/commands.h"
#include "trainer/commands/completion.h"

#include <string.h>

static int cmd_completion(int argc, char **argv)
{
    return completion_run(commands, argc, argv);
}

const struct command commands[COMMANDS_MAX + 1] = {
    {"train", "run a recipe: supervised start, reinforcement learning, evaluation", cmd_train,
     false},
    {"sample", "answer prompts with a trained model", cmd_sample, false},
    {"eval", "pass@1, pass@k and majority vote on held-out problems", cmd_eval, false},
    {"score", "log-probabilities of given tokens, as JSON lines", cmd_score, false},
    {"perplexity", "how well a model predicts a text", cmd_perplexity, false},
    {"import", "a Hugging Face folder as a checkpoint", cmd_import, false},
    {"export", "a checkpoint as a Hugging Face folder, or as a GGUF file", cmd_export, true},
    {"settings", "the resolved recipe, or the values of single settings", cmd_settings, true},
    {"inspect", "list and verify a checkpoint", cmd_inspect, true},
    {"plan", "predict memory, step time and traffic of a recipe; draw and check schedules",
     cmd_plan, true},
    {"pack", "how evenly the answers of a step fill micro-batches", cmd_pack, true},
    {"tokenize", "texts to token ids and back, as JSON lines", cmd_tokenize, true},
    {"grade", "what rewards give to answers, as JSON lines", cmd_grade, true},
    {"grader", "grade with a shared object of your own, as JSON lines", cmd_grader, true},
    {"bench", "measure training, decoding, schedules and networks against their limits, as JSON",
     cmd_bench, false},
    {"completion", "completion script for bash or zsh: commands, options and settings",
     cmd_completion, true},
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}
