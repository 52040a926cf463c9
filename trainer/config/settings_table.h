/* THE table of settings: name, default, range, unit, the kinds of phase that use it, help. The
 * struct, the YAML reader, --set, the help, the resolved recipe, docs/SETTINGS.md, the shell's
 * completion and the checkpoint's record all follow from it.
 *
 *   X(type, name, default, low, high, unit, help[, change])
 *   X(type, name, default, low, high, unit, kinds, help[, change])      of a phase
 *
 *   type    INT, REAL: numbers in [low, high];  BOOL;
 *           STR: low is STR_LIST when YAML may give it as a list or mapping, STR_JSON when its
 *           text is then JSON; high unused;
 *           ENUM: low is one of the lists of settings_choices.h; high unused
 *   unit    what the number counts or is measured in; "": a pure number
 *   kinds   of phase that use the setting: SFT | GRPO | EVAL | EXPORT | REWARD, LEARN: those that
 *           learn, or EVERY (table.c)
 *   change  CHANGE_..., what another value means when a run is resumed (table.h); left out: as
 *           setting_change has it for the section */
#ifndef DUET_TRAINER_CONFIG_SETTINGS_TABLE_H
#define DUET_TRAINER_CONFIG_SETTINGS_TABLE_H

#include "trainer/config/rewards_table.h"
#include "trainer/config/settings_choices.h"

/* For a STR: its value may be a list; or anything, whose text is then JSON. */
enum { STR_LIST = 1, STR_JSON = 2 };

/* clang-format off: a table reads in columns */
#define RUN_SETTINGS(X)                                                                          \
    X(INT, seed, 1, 0, 2147483647, "", "seed of every random draw", CHANGE_POSITION)             \
    X(STR, out, "", 0, 0, "", "run folder (default: runs/<recipe name>)", CHANGE_NOTHING)        \
    X(ENUM, precision, PRECISION_BF16, PRECISION_CHOICES, 0, "",                                 \
      "format of weights and activations; sums and the optimizer use fp32", CHANGE_ROUNDING)     \
    X(ENUM, device, DEVICE_HOST, DEVICE_CHOICES, 0, "",                                          \
      "what computes: the host's processors, or NVIDIA GPUs, one a rank (ranks_per_gpu)",        \
      CHANGE_ROUNDING)                                                                           \
    X(INT, ranks_per_gpu, 1, 1, 64, "ranks", "ranks of a host that share a GPU", CHANGE_NOTHING) \
    X(ENUM, schedule, SCHEDULE_AUTO, SCHEDULE_CHOICES, 0, "",                                    \
      "pipeline schedule; auto: found by search in the simulator, costs by FLOPs or "            \
      "mesh.cluster",                                                                            \
      CHANGE_BITS)                                                                               \
    X(INT, threads, 1, 1, 256, "threads", "threads of a rank for matrix products", CHANGE_BITS)  \
    X(REAL, watchdog_s, 300, 0, 1e6, "seconds",                                                  \
      "time without progress after which a rank ends the job, at least 0.1; 0: never",           \
      CHANGE_NOTHING)                                                                            \
    X(INT, trace, 0, 0, 2147483647, "",                                                          \
      "training step (counted from 0) whose pipeline timeline is written to trace.json "         \
      "and trace.svg, predicted and measured; 0: none",                                          \
      CHANGE_NOTHING)                                                                            \
    X(ENUM, log, LOG_INFO, LOG_CHOICES, 0, "", "how much is printed", CHANGE_NOTHING)

#define MODEL_SETTINGS(X)                                                                         \
    X(INT, layers, 4, 1, 1024, "layers", "decoder layers (L)")                                    \
    X(INT, hidden, 128, 8, 65536, "channels", "hidden size (C)")                                  \
    X(INT, ffn, 0, 0, 262144, "channels",                                                         \
      "inner size of SwiGLU (F); 0: 8/3 of hidden, rounded up to 8")                              \
    X(INT, experts, 0, 0, 4096, "experts",                                                        \
      "number of experts (E) that replace the FFN of a layer; 0: every layer is dense")           \
    X(INT, experts_active, 2, 1, 64, "experts", "experts per token (K)")                          \
    X(INT, expert_ffn, 0, 0, 262144, "channels",                                                  \
      "inner size of an expert (Fe); 0: ffn / experts_active, rounded up to 8")                   \
    X(INT, first_dense, 0, 0, 1024, "layers", "number of leading dense layers")                   \
    X(INT, expert_step, 1, 1, 1024, "layers",                                                     \
      "of the layers after these, those whose number (from 1) is a multiple of it have experts")  \
    X(STR, dense_layers, "", 0, 0, "",                                                            \
      "additional dense layers, counted from 0, e.g. 3,11; empty: none")                          \
    X(BOOL, route_norm, true, 0, 0, "", "normalise the routing weights of a token to sum to 1")   \
    X(REAL, balance, 0, 0, 10, "", "coefficient of the experts' load-balancing loss; 0: off",     \
      CHANGE_CHOICE)                                                                              \
    X(INT, heads, 4, 1, 1024, "heads", "query heads (Hq)")                                        \
    X(INT, kv_heads, 0, 0, 1024, "heads", "key/value heads (Hkv), a divisor of heads; 0: heads")  \
    X(INT, head_dim, 0, 0, 512, "channels", "size of a head (D), even; 0: hidden / heads")        \
    X(INT, max_context, 256, 16, 1048576, "tokens", "longest sequence, prompt plus answer",       \
      CHANGE_CHOICE)                                                                              \
    X(REAL, rope_theta, 10000, 1, 1e12, "", "base of the rotary embedding")                       \
    X(ENUM, rope_scaling, ROPE_NONE, ROPE_SCALING_CHOICES, 0, "",                                 \
      "scaling of the rotary embedding for long contexts: as in Llama 3.1, or YaRN (arXiv "       \
      "2309.00071)")                                                                              \
    X(REAL, rope_factor, 1, 1, 1e6, "",                                                           \
      "llama3, yarn: divisor of low frequencies (Hugging Face: factor)")                          \
    X(INT, rope_original, 0, 0, 16777216, "tokens",                                               \
      "llama3, yarn: context length before scaling (original_max_position_embeddings)")           \
    X(REAL, rope_low, 1, 1e-6, 1e6, "",                                                           \
      "llama3: wavelengths above rope_original / rope_low are scaled (low_freq_factor)")          \
    X(REAL, rope_high, 4, 1e-6, 1e6, "",                                                          \
      "llama3: wavelengths below rope_original / rope_high are kept (high_freq_factor)")          \
    X(REAL, rope_beta_fast, 32, 1e-6, 1e6, "",                                                    \
      "yarn: pairs with this many rotations in rope_original, or more, are kept (beta_fast)")     \
    X(REAL, rope_beta_slow, 1, 1e-6, 1e6, "",                                                     \
      "yarn: pairs with fewer rotations than this are scaled (beta_slow)")                        \
    X(BOOL, rope_truncate, true, 0, 0, "",                                                        \
      "yarn: round the range between these pairs outwards to whole pairs (truncate)")             \
    X(REAL, rope_attention, 0, 0, 1000, "",                                                       \
      "yarn: factor of cosines and sines (attention_factor); 0: "                                 \
      "0.1 ln(rope_factor) + 1")                                                                  \
    X(ENUM, rope_angles, ROPE_DOUBLE, ROPE_ANGLES_CHOICES, 0, "",                                 \
      "number format of position x frequency. fp32: as in Hugging Face's transformers, off by "   \
      "1e-3 at position 32000, for models that were trained with it",                             \
      CHANGE_ROUNDING)                                                                            \
    X(REAL, norm_eps, 1e-6, 1e-12, 1, "", "epsilon of RMSNorm")                                   \
    X(REAL, init_std, 0.02, 0, 10, "", "standard deviation of initial weights", CHANGE_NOTHING)   \
    X(BOOL, qkv_bias, false, 0, 0, "", "bias in the query, key and value projections (Qwen2)")    \
    X(BOOL, o_bias, false, 0, 0, "", "bias in attention's output projection (Llama)")             \
    X(BOOL, mlp_bias, false, 0, 0, "",                                                            \
      "bias in gate, up and down of dense layers (Llama with mlp_bias)")                          \
    X(BOOL, qk_norm, false, 0, 0, "", "RMSNorm on queries and keys (Qwen3)")                      \
    X(BOOL, tied, false, 0, 0, "", "the output head shares the embedding's weights")              \
    X(INT, vocabulary, 0, 0, 16777216, "tokens",                                                  \
      "rows of embedding and output head (V), at least the size of the tokenizer; 0: as many",    \
      CHANGE_WEIGHTS)                                                                             \
    X(STR, end_tokens, "", 0, 0, "",                                                              \
      "ids of the tokens that end an answer, e.g. 2,7; empty: the tokenizer's <eos>",             \
      CHANGE_CHOICE)                                                                              \
    X(STR, never_tokens, "", 0, 0, "",                                                            \
      "ids of tokens that are never sampled, and have no part in training's probabilities: "      \
      "ranges, e.g. 0,49152-49279; empty: none. Where model.from gives it: rows of the "          \
      "vocabulary without a token, and padding",                                                  \
      CHANGE_CHOICE)                                                                              \
    X(STR, tokenizer, "", 0, 0, "",                                                               \
      "tokenizer.json, relative to the working directory; empty: the built-in character "         \
      "tokenizer. A checkpoint contains its own",                                                 \
      CHANGE_FILE)                                                                                \
    X(STR, from, "", 0, 0, "",                                                                    \
      "checkpoint, Hugging Face folder or GGUF file whose weights to start from; "                \
      "the latter two, and a checkpoint of such a model, also give sizes, tokenizer, end tokens " \
      "and chat template; empty: none",                                                           \
      CHANGE_NOTHING)

#define MESH_SETTINGS(X)                                                                          \
    X(INT, sites, 1, 1, 1024, "sites",                                                            \
      "groups of ranks, each with its own mesh, that train independently and exchange "           \
      "weights from time to time (see sites)")                                                    \
    X(INT, dp, 0, 0, 65536, "pipelines", "data-parallel pipelines; 0: ranks / (pp * tp)")         \
    X(INT, pp, 1, 1, 1024, "stages", "pipeline stages")                                           \
    X(INT, tp, 1, 1, 64, "ranks",                                                                 \
      "tensor parallelism: ranks that share every layer (heads, FFN, vocabulary)")                \
    X(INT, ep, 1, 1, 65536, "pipelines",                                                          \
      "expert parallelism: pipelines, a divisor of dp, that share the experts of a layer")        \
    X(REAL, expert_room, 2, 0, 1024, "shares",                                                    \
      "rows that the experts of a rank have room for at once, in multiples of the even share; "   \
      "what a router sends beyond is worked off in further rounds, slower, to the same bits. "    \
      "0: for all rows of all ep pipelines",                                                      \
      CHANGE_NOTHING)                                                                             \
    X(INT, directions, 2, 1, 2, "",                                                               \
      "separate gradient sums per direction, so that every schedule gives the same bits; "        \
      "1 saves memory with serial and 1f1b")                                                      \
    X(STR, split, "", 0, 0, "",                                                                   \
      "layers of each chunk from the embedding on, e.g. 3,2,2,1; empty: balanced by cost")        \
    X(REAL, flops_per_byte, 10, 0, 1e6, "FLOP/byte",                                              \
      "schedule auto: operations a rank performs in the time that it takes to send a byte; "      \
      "the cost of messages and of the exchanges of tp and ep follows from it")                   \
    X(STR, cluster, "", 0, 0, "",                                                                 \
      "cluster file (docs/PLANNER.md), path relative to the working directory: schedule auto "    \
      "searches with its costs, and duet plan predicts for it; empty: auto uses flops_per_byte",  \
      CHANGE_FILE)                                                                                \
    X(ENUM, recompute, RECOMPUTE_NONE, RECOMPUTE_CHOICES, 0, "",                                  \
      "what the backward pass computes again, to the same bits, instead of keeping it: "          \
      "selective: "                                                                               \
      "norms, rotations, activation functions; products: also matrix products; full: all of a "   \
      "layer but its input. Then weight gradients do not wait for idle time",                     \
      CHANGE_CHOICE)                                                                              \
    X(ENUM, sequence_parallel, SEQUENCE_PARALLEL_AUTO, SEQUENCE_PARALLEL_CHOICES, 0, "",          \
      "with tp: of what lies between matrix products (residual stream, norms) each of its ranks " \
      "has the rows of its share of a micro-batch, to the same bits; off: each has all rows. "    \
      "auto: on where a micro-batch's rows times the hidden size are more than 131072",           \
      CHANGE_NOTHING)                                                                             \
    X(INT, micro_batches, 0, 0, 65536, "micro-batches",                                           \
      "smallest number of micro-batches per pipeline and step; 0: as the schedule needs")         \
    X(INT, decode_slots, 64, 1, 65536, "answers", "answers that a pipeline decodes concurrently") \
    X(INT, decode_waves, 0, 0, 1024, "batches",                                                   \
      "decode batches per direction into which the slots are split; 0: enough to keep all "       \
      "stages busy")                                                                              \
    X(INT, cache_tokens, 0, 0, 2147483647, "tokens",                                              \
      "size of a pipeline's KV cache; when it is full, the youngest answers wait. 0: enough for " \
      "all slots at model.max_context, at most 2 GiB per rank",                                   \
      CHANGE_NOTHING)

#define SITES_SETTINGS(X)                                                                     \
    X(INT, every, 50, 1, 1000000000, "updates", "updates between exchanges (H)")              \
    X(INT, delay, 1, 0, 1000000000, "updates",                                                \
      "updates made while an exchange is in progress: it is applied that many updates later") \
    X(ENUM, wire, CODEC_FP32, CODEC_CHOICES, 0, "",                                           \
      "number format of the exchanged differences; rounding errors carry over to the next")   \
    X(REAL, outer_lr, 1, 0, 10, "",                                                           \
      "learning rate of the outer optimizer; 1 with outer_momentum 0 is the mean of the "     \
      "sites. The papers' 0.7 with 0.9 is for long runs",                                     \
      CHANGE_CHOICE)                                                                          \
    X(REAL, outer_momentum, 0, 0, 0.9999999, "", "Nesterov momentum of outer_lr's steps",     \
      CHANGE_CHOICE)

#define DATA_SETTINGS(X)                                                                           \
    X(ENUM, task, TASK_COUNTDOWN, TASK_CHOICES, 0, "", "where problems come from")                 \
    X(INT, difficulty, 3, 1, 10, "", "difficulty of the generated problems (`duet help tasks`)")   \
    X(REAL, give_up, 0.3, 0, 1, "", "demonstrations: probability of giving up after a failed try", \
      CHANGE_CHOICE)                                                                               \
    X(STR, file, "", STR_LIST, 0, "",                                                              \
      "task file: JSON Lines of problems, or a list of such files, each a name or {path: NAME, "   \
      "weight: W}: training problems are drawn in proportion to the weights; without weights the " \
      "files count as one. Names are relative to the working directory",                           \
      CHANGE_FILE)                                                                                 \
    X(STR, heldout_file, "", STR_LIST, 0, "",                                                      \
      "task file: held-out problems, a file or a list; empty: a tenth of file, by hash; relative " \
      "to "                                                                                        \
      "the working directory",                                                                     \
      CHANGE_FILE)                                                                                 \
    X(STR, fields, "auto", STR_LIST, 0, "",                                                        \
      "which members of a line are what: auto (by the members it has), duet, gsm8k, math, aime, "  \
      "verl, messages, completion, text, or a mapping of prompt, answer, demonstration, "          \
      "completion, "                                                                               \
      "messages, text to names, as {prompt: question, answer: 'final[boxed]'}")                    \
    X(STR, preferences, "", STR_LIST, 0, "",                                                       \
      "what phases of kind reward_model learn from: JSON Lines of pairs {prompt, chosen, "         \
      "rejected} or of labelled answers {prompt, completion, score: 0 to 1}, a file or a list; a " \
      "tenth by hash is held out. Empty: the records of data.file; of a generated task right and " \
      "wrong demonstrations",                                                                      \
      CHANGE_FILE)                                                                                 \
    X(STR, template, "", 0, 0, "",                                                                 \
      "how prompts and conversations become text. model: by the model's own chat template, "       \
      "which is the default where model.from has one; FILE.jinja: by that one; or a piece for "    \
      "each role with {/} between them, as "                                                       \
      "[{system}]\\n{/}Q: {user}\\n{/}A: {assistant}<eos>; empty: prompt, answer, <eos>",          \
      CHANGE_FILE)                                                                                 \
    X(STR, system, "", 0, 0, "",                                                                   \
      "what the system says before each prompt and each conversation that has no system turn; "    \
      "r1: the "                                                                                   \
      "prompt of R1-Zero, which asks for <think> and <answer>")                                    \
    X(BOOL, think, true, 0, 0, "",                                                                 \
      "a question ends in <think>, also where the template does not put it there, and the answer " \
      "goes on behind it, as R1's; false: as the template has it. A Hugging Face folder that is "  \
      "asked as it is: false")                                                                     \
    X(ENUM, verifier, VERIFIER_EXACT, VERIFIER_CHOICES, 0, "",                                     \
      "task file: what accuracy and evaluations take for right. exact: the line's answer as it "   \
      "is written, or the same decimal number; math: the same value (docs/REWARDS.md)")            \
    X(ENUM, bad_lines, BAD_LINES_REFUSE, BAD_LINES_CHOICES, 0, "",                                 \
      "a line that cannot be read ends the job, with up to 20 named; skip: it is left out, named " \
      "and "                                                                                       \
      "counted",                                                                                   \
      CHANGE_NOTHING)                                                                              \
    X(REAL, leave_out, 0.01, 0, 1, "",                                                             \
      "largest fraction of a split's prompts, or of a file's demonstrations, that may be "         \
      "left out, with a warning, because they do not fit model.max_context; more is an "           \
      "error; 0: none, 1: all but one",                                                            \
      CHANGE_NOTHING)                                                                              \
    X(INT, micro_batch_tokens, 2048, 16, 16777216, "tokens",                                       \
      "size of a micro-batch, and so of every message between stages", CHANGE_BITS)

#define REDUCTION_SETTINGS(X)                                                              \
    X(BOOL, overlap, true, 0, 0, "",                                                       \
      "sum gradients over replicas during the backward pass, each bucket as soon as its "  \
      "layers are done; the same bits either way",                                         \
      CHANGE_CHOICE)                                                                       \
    X(REAL, bucket_mib, 4, 0, 65536, "MiB",                                                \
      "size of gradients up to which layers are summed together; 0: one layer at a time")  \
    X(ENUM, path, REDUCE_AUTO, PATH_CHOICES, 0, "",                                        \
      "flat: all pairs of replicas exchange; nodes: within each host first, so that data " \
      "crosses between hosts once; auto: by size and hosts")                               \
    X(ENUM, wire, CODEC_FP32, CODEC_CHOICES, 0, "",                                        \
      "number format of gradients between hosts with path nodes; rounding errors carry "   \
      "over to the next step",                                                             \
      CHANGE_ROUNDING)

#define CHECKPOINT_SETTINGS(X)                                                                    \
    X(INT, every, 100, 0, 1000000000, "steps",                                                    \
      "steps between checkpoints; 0: only at the end of a phase")                                 \
    X(INT, keep, 3, 1, 1000000, "checkpoints", "checkpoints kept besides the last of each phase") \
    X(BOOL, async, true, 0, 0, "", "write in the background while training continues")

/* One entry of `phases`. Giving a setting to a kind of phase that does not use it is a mistake.
 * max_new is for all that answer, an sft phase with them, since it may evaluate too. */
#define PHASE_SETTINGS(X)                                                                          \
    X(ENUM, kind, PHASE_SFT, PHASE_KIND_CHOICES, 0, "", EVERY, "what the phase does",              \
      CHANGE_POSITION)                                                                             \
    X(STR, name, "", 0, 0, "", EVERY, "name in logs and in --set (default: the kind)",             \
      CHANGE_POSITION)                                                                             \
    X(INT, steps, 100, 0, 1000000000, "steps", LEARN,                                              \
      "optimizer steps (sft) or rollout steps (grpo)")                                             \
    X(INT, batch, 96, 1, 1048576, "demonstrations", SFT | REWARD,                                  \
      "demonstrations, or preferences, per step", CHANGE_POSITION)                                 \
    X(INT, prompts, 24, 1, 1048576, "problems", GRPO | EVAL, "problems per step", CHANGE_POSITION) \
    X(INT, samples, 8, 1, 4096, "answers", GRPO | EVAL, "answers sampled per problem (G)")         \
    X(INT, max_new, 128, 1, 1048576, "tokens", SFT | GRPO | EVAL,                                  \
      "longest answer; sft: in its evaluations")                                                   \
    X(REAL, temperature, 1, 0, 100, "", GRPO | EVAL,                                               \
      "sampling temperature; 0: greedy, else at least 0.001")                                      \
    X(INT, top_k, 0, 0, 1048576, "tokens", GRPO | EVAL,                                            \
      "sample from the k most likely tokens; 0: off")                                              \
    X(REAL, top_p, 1, 1e-6, 1, "", GRPO | EVAL,                                                    \
      "sample from the most likely tokens with this total probability; 1: off")                    \
    X(REAL, lr, 1e-3, 0, 10, "", LEARN, "learning rate")                                           \
    X(ENUM, lr_decay, LR_CONSTANT, LR_DECAY_CHOICES, 0, "", LEARN,                                 \
      "shape of the learning rate after warm-up")                                                  \
    X(REAL, lr_final, 0.1, 0, 1, "", LEARN,                                                        \
      "final learning rate as a fraction of lr (linear, cosine)")                                  \
    X(INT, warmup, 0, 0, 1000000000, "steps", LEARN,                                               \
      "linear warm-up of lr, which rises with every update of these steps")                        \
    X(REAL, beta1, 0.9, 0, 0.9999999, "", LEARN, "AdamW beta1")                                    \
    X(REAL, beta2, 0.95, 0, 0.9999999, "", LEARN, "AdamW beta2")                                   \
    X(REAL, adam_eps, 1e-8, 1e-20, 1, "", LEARN, "AdamW epsilon")                                  \
    X(REAL, weight_decay, 0.0, 0, 10, "", LEARN, "decoupled weight decay, of matrices only")       \
    X(REAL, grad_clip, 1.0, 0, 1e9, "", LEARN,                                                     \
      "largest global gradient norm, at least 1e-6; 0: no clipping")                               \
    X(INT, max_skips, 10, 0, 1000000000, "updates", LEARN,                                         \
      "end the run (exit code 1) after this many updates in a row were skipped because "           \
      "their gradients are not finite; 0: never")                                                  \
    X(ENUM, algorithm, ALGORITHM_GRPO, ALGORITHM_CHOICES, 0, "", GRPO,                             \
      "algorithm of reinforcement learning by its name: values for the settings below, each of "   \
      "which may be given another (duet help algorithms)")                                         \
    X(ENUM, policy_loss, POLICY_CLIP, POLICY_CHOICES, 0, "", GRPO,                                 \
      "what an update makes larger: the clipped ratio times the advantage (clip), or the form of " \
      "the paper of that name; window: clip without a gradient outside (Kimi)")                    \
    X(ENUM, advantage, ADVANTAGE_STD, ADVANTAGE_CHOICES, 0, "", GRPO,                              \
      "(r - mean)/std of the group; r - mean (Dr. GRPO); the same over the std of all rewards of " \
      "the step (batch_std); mean and std of the step (batch: REINFORCE++); r - mean of the "      \
      "others (RLOO); (r - mean)/mean (MaxRL); gdpo: (r - mean)/std of the group for each "        \
      "reward, their "                                                                             \
      "weighed sum, (sum - mean)/std of the step")                                                 \
    X(ENUM, aggregate, AGGREGATE_TOKEN, AGGREGATE_CHOICES, 0, "", GRPO,                            \
      "an update's loss: sum over tokens / tokens (DAPO); mean over answers of the mean over "     \
      "their tokens (R1); sum over tokens / (answers * max_new) (Dr. GRPO); mean over answers of " \
      "the sum over their tokens (LUSPO); mean over prompts of the mean over the tokens of their " \
      "answers (ScaleRL). Which answers and tokens count: see zero_spread, mask_truncated")        \
    X(ENUM, zero_spread, ZERO_SPREAD_KEEP, ZERO_SPREAD_CHOICES, 0, "", GRPO,                       \
      "answers of groups whose rewards are all equal. keep: aggregate and kl count them, as "      \
      "published; drop: neither does, as if they had not been sampled (DAPO), so that the "        \
      "gradient is larger. Without kl they have no gradient and are not computed: entropy, "       \
      "clip_fraction and ratio/max_deviation are over the others")                                 \
    X(REAL, clip_low, 0.2, 0, 1, "", GRPO, "lower bound of the ratio is 1 - clip_low")             \
    X(REAL, clip_high, 0.2, 0, 100, "", GRPO, "upper bound of the ratio is 1 + clip_high")         \
    X(REAL, dual_clip, 0, 0, 1000, "", GRPO,                                                       \
      "bound of the ratio for negative advantages (>1); 0: off")                                   \
    X(REAL, ratio_penalty, 0, 0, 100, "", GRPO,                                                    \
      "weight of the square of the log ratio in the loss (prime-rl, Kimi); 0: off")                \
    X(REAL, off_policy_mask, 0, 0, 100, "", GRPO,                                                  \
      "leave out answers with a negative advantage whose tokens have become less likely by more "  \
      "than this, in the mean of their logs (DeepSeek-V3.2); 0: off")                              \
    X(REAL, gate_pos, 1.0, 0.01, 100, "", GRPO,                                                    \
      "sapo: temperature of the gate, advantages above 0")                                         \
    X(REAL, gate_neg, 1.05, 0.01, 100, "", GRPO, "sapo: the same of the others")                   \
    X(REAL, vespo_k_pos, 2, 0, 100, "", GRPO, "vespo: k of advantages of 0 and above")             \
    X(REAL, vespo_lambda_pos, 3, 0, 100, "", GRPO, "vespo: lambda of them")                        \
    X(REAL, vespo_k_neg, 3, 0, 100, "", GRPO, "vespo: k of negative advantages")                   \
    X(REAL, vespo_lambda_neg, 2, 0, 100, "", GRPO, "vespo: lambda of them")                        \
    X(REAL, kl, 0, 0, 100, "", GRPO,                                                               \
      "weight of the KL penalty to the reference; 0: no reference is kept")                        \
    X(ENUM, kl_estimator, KL_K3, KL_CHOICES, 0, "", GRPO,                                          \
      "estimate of that KL: k3 (GRPO), k1, k2, or k3 times the ratio (DeepSeek-V3.2)")             \
    X(INT, ref_every, 0, 0, 1000000000, "steps", GRPO,                                             \
      "steps between updates of the reference to the current policy; 0: never")                    \
    X(INT, mini_batches, 1, 1, 4096, "updates", GRPO,                                              \
      "optimizer steps per rollout and epoch, each on a part of its prompts")                      \
    X(INT, epochs, 1, 1, 64, "", GRPO, "passes over a rollout")                                    \
    X(BOOL, mask_truncated, false, 0, 0, "", GRPO,                                                 \
      "leave answers cut at max_new out of the loss, of what aggregate counts and of kl; "         \
      "their rewards still count in the mean and std of their group")                              \
    REWARD_SETTINGS(X)                                                                             \
    X(REAL, reward_math, 0.0, 0, 100, "", GRPO,                                                    \
      "weight of the math reward: answers of the value that the file gives")                       \
    X(REAL, reward_code, 0.0, 0, 100, "", GRPO,                                                    \
      "weight of the code reward: programs that pass the tests of their problem")                  \
    X(REAL, code_time, 2, 0.05, 3600, "seconds", SFT | GRPO | EVAL,                                \
      "processor time that a program may use for a test (for all calls of functions together)")    \
    X(INT, code_memory_mib, 256, 16, 65536, "MiB", SFT | GRPO | EVAL,                              \
      "address space that a program may use")                                                      \
    X(BOOL, code_partial, false, 0, 0, "", GRPO,                                                   \
      "the code reward is the fraction of the tests that are passed; false: 1 if all are, else 0") \
    X(ENUM, code_sandbox, CODE_SANDBOX_FULL, CODE_SANDBOX_CHOICES, 0, "", SFT | GRPO | EVAL,       \
      "full: the job ends where the kernel refuses a part of the sandbox; reduced: programs run "  \
      "also without namespaces of net, ipc or uts, whose calls seccomp refuses",                   \
      CHANGE_NOTHING)                                                                              \
    X(STR, environment, "", 0, 0, "", SFT | GRPO | EVAL,                                           \
      "what answers the turns of an answer; calculator: works out the expression before an "       \
      "\"=\"; "                                                                                    \
      "empty: none, an answer has one turn. sft: for its evaluations, and what demonstrations "    \
      "show of its observations is not learned")                                                   \
    X(INT, environment_turns, 8, 1, 65535, "turns", SFT | GRPO | EVAL,                             \
      "most turns of an answer: at the end of the last it is cut (truncated)")                     \
    X(STR, environment_stop, "", 0, 0, "", SFT | GRPO | EVAL,                                      \
      "text behind which a turn ends, at most 16 bytes; empty: the environment's own")             \
    X(STR, environment_wrap, "{observation}", 0, 0, "", SFT | GRPO | EVAL,                         \
      "how an observation is put into the answer: text around {observation}, in which special "    \
      "tokens count")                                                                              \
    X(INT, environment_bytes, 1024, 1, 65536, "bytes", SFT | GRPO | EVAL,                          \
      "longest observation; what is longer is cut")                                                \
    X(STR, graders, "", STR_JSON, 0, "", GRPO,                                                     \
      "rewards by programs of your own (docs/REWARDS.md): a list of {name, command or library, "   \
      "weight: 1, workers: 1, timeout: 10, start: 10, retries: 2}; empty: none")                   \
    X(INT, eval_every, 0, 0, 1000000000, "steps", LEARN,                                           \
      "steps between evaluations on held-out problems; 0: never")                                  \
    X(INT, eval_prompts, 128, 1, 1048576, "problems", LEARN,                                       \
      "problems per evaluation, with one answer each")                                             \
    X(BOOL, save_tokens, false, 0, 0, "", GRPO,                                                    \
      "write token ids and their log-probabilities to samples.jsonl too")                          \
    X(INT, save_samples, 8, 0, 1048576, "answers", GRPO, "answers per step in samples.jsonl")      \
    X(STR, dir, "", 0, 0, "", EXPORT,                                                              \
      "what is written: a Hugging Face folder, or with format gguf a file; empty: the name of "    \
      "the "                                                                                       \
      "phase in exports/ of the run folder")                                                       \
    X(ENUM, format, EXPORT_HF, EXPORT_FORMAT_CHOICES, 0, "", EXPORT,                               \
      "hf: a Hugging Face folder; gguf: one file, which llama.cpp loads")                          \
    X(ENUM, dtype, EXPORT_AS_IMPORTED, EXPORT_DTYPE_CHOICES, 0, "", EXPORT,                        \
      "hf: type of the weights; source: as they were imported, of a model that was not as it "     \
      "computes (precision)")                                                                      \
    X(STR, shard_size, "5GB", 0, 0, "", EXPORT,                                                    \
      "hf: most data in one safetensors file, e.g. 500MB")                                         \
    X(ENUM, type, EXPORT_TYPE_BF16, EXPORT_TYPE_CHOICES, 0, "", EXPORT,                            \
      "gguf: format of matrices; vectors and routers stay F32")
/* clang-format on */

#endif
