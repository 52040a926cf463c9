/* The choices of settings that are a word: enumerator, its name in a recipe. The settings are in
 * settings_table.h. */
#ifndef DUET_TRAINER_CONFIG_SETTINGS_CHOICES_H
#define DUET_TRAINER_CONFIG_SETTINGS_CHOICES_H

/* clang-format off: a table reads in columns */
#define SCHEDULE_CHOICES(X)          \
    X(SCHEDULE_AUTO, "auto")         \
    X(SCHEDULE_SERIAL, "serial")     \
    X(SCHEDULE_1F1B, "1f1b")         \
    X(SCHEDULE_ZB1P, "zb1p")         \
    X(SCHEDULE_DUALPIPE, "dualpipe") \
    X(SCHEDULE_DUALPIPEV, "dualpipev")

#define TASK_CHOICES(X)                          \
    X(TASK_COUNTDOWN, "countdown")               \
    X(TASK_ARITHMETIC, "arithmetic")             \
    X(TASK_EQUATIONS, "equations")               \
    X(TASK_ARITHMETIC_WORDS, "arithmetic_words") \
    X(TASK_CALCULATION, "calculation")           \
    X(TASK_PROGRAMS, "programs")                 \
    X(TASK_FILE, "file")

#define VERIFIER_CHOICES(X)    \
    X(VERIFIER_EXACT, "exact") \
    X(VERIFIER_MATH, "math")

#define BAD_LINES_CHOICES(X)      \
    X(BAD_LINES_REFUSE, "refuse") \
    X(BAD_LINES_SKIP, "skip")

#define PHASE_KIND_CHOICES(X) \
    X(PHASE_SFT, "sft")       \
    X(PHASE_GRPO, "grpo")     \
    X(PHASE_EVAL, "eval")     \
    X(PHASE_EXPORT, "export") \
    X(PHASE_REWARD_MODEL, "reward_model")

#define EXPORT_FORMAT_CHOICES(X) \
    X(EXPORT_HF, "hf")           \
    X(EXPORT_GGUF, "gguf")

#define CODE_SANDBOX_CHOICES(X)  \
    X(CODE_SANDBOX_FULL, "full") \
    X(CODE_SANDBOX_REDUCED, "reduced")

/* Types of tensors in safetensors files. */
#define EXPORT_DTYPE_CHOICES(X)     \
    X(EXPORT_AS_IMPORTED, "source") \
    X(EXPORT_BF16, "bf16")          \
    X(EXPORT_FP16, "fp16")          \
    X(EXPORT_FP32, "fp32")

/* Formats of matrices in a GGUF file, as trainer/gguf/quant.h calls them. */
#define EXPORT_TYPE_CHOICES(X)  \
    X(EXPORT_TYPE_BF16, "bf16") \
    X(EXPORT_TYPE_F16, "f16")   \
    X(EXPORT_TYPE_F32, "f32")   \
    X(EXPORT_TYPE_Q8_0, "q8_0") \
    X(EXPORT_TYPE_Q4_0, "q4_0") \
    X(EXPORT_TYPE_Q4_1, "q4_1")

#define LR_DECAY_CHOICES(X)    \
    X(LR_CONSTANT, "constant") \
    X(LR_LINEAR, "linear")     \
    X(LR_COSINE, "cosine")

/* Rows of trainer/config/presets.c. */
#define ALGORITHM_CHOICES(X)              \
    X(ALGORITHM_GRPO, "grpo")             \
    X(ALGORITHM_R1, "r1")                 \
    X(ALGORITHM_DR_GRPO, "dr_grpo")       \
    X(ALGORITHM_DAPO, "dapo")             \
    X(ALGORITHM_GSPO, "gspo")             \
    X(ALGORITHM_CISPO, "cispo")           \
    X(ALGORITHM_GMPO, "gmpo")             \
    X(ALGORITHM_SAPO, "sapo")             \
    X(ALGORITHM_LUSPO, "luspo")           \
    X(ALGORITHM_VESPO, "vespo")           \
    X(ALGORITHM_MAXRL, "maxrl")           \
    X(ALGORITHM_DPPO, "dppo")             \
    X(ALGORITHM_REINFORCE, "reinforce++") \
    X(ALGORITHM_RLOO, "rloo")             \
    X(ALGORITHM_SCALERL, "scalerl")       \
    X(ALGORITHM_LITEPPO, "liteppo")       \
    X(ALGORITHM_V3_2, "v3.2")             \
    X(ALGORITHM_PRIME, "prime-rl")        \
    X(ALGORITHM_KIMI, "kimi")             \
    X(ALGORITHM_GDPO, "gdpo")

/* Rows of trainer/learn/policy.c. */
#define POLICY_CHOICES(X)    \
    X(POLICY_CLIP, "clip")   \
    X(POLICY_GSPO, "gspo")   \
    X(POLICY_CISPO, "cispo") \
    X(POLICY_GMPO, "gmpo")   \
    X(POLICY_SAPO, "sapo")   \
    X(POLICY_VESPO, "vespo") \
    X(POLICY_DPPO, "dppo")   \
    X(POLICY_WINDOW, "window")

#define KL_CHOICES(X) \
    X(KL_K3, "k3")    \
    X(KL_K1, "k1")    \
    X(KL_K2, "k2")    \
    X(KL_UNBIASED, "unbiased")

/* Rows of trainer/learn/advantage.c. */
#define ADVANTAGE_CHOICES(X)                \
    X(ADVANTAGE_STD, "std")                 \
    X(ADVANTAGE_MEAN, "mean")               \
    X(ADVANTAGE_BATCH_STD, "batch_std")     \
    X(ADVANTAGE_BATCH, "batch")             \
    X(ADVANTAGE_LEAVE_ONE, "leave_one_out") \
    X(ADVANTAGE_MAX_RL, "max_rl")           \
    X(ADVANTAGE_GDPO, "gdpo")

#define AGGREGATE_CHOICES(X)               \
    X(AGGREGATE_TOKEN, "token_mean")       \
    X(AGGREGATE_SEQUENCE, "sequence_mean") \
    X(AGGREGATE_CONSTANT, "constant")      \
    X(AGGREGATE_SUM, "sequence_sum")       \
    X(AGGREGATE_PROMPT, "prompt_mean")

#define ZERO_SPREAD_CHOICES(X)  \
    X(ZERO_SPREAD_KEEP, "keep") \
    X(ZERO_SPREAD_DROP, "drop")

/* Enumerators of comm and model. */
#define PRECISION_CHOICES(X)               \
    X(PRECISION_FP32, PRECISION_NAME_FP32) \
    X(PRECISION_BF16, PRECISION_NAME_BF16)

#define ROPE_SCALING_CHOICES(X) \
    X(ROPE_NONE, "none")        \
    X(ROPE_LLAMA3, "llama3")    \
    X(ROPE_YARN, "yarn")

#define ROPE_ANGLES_CHOICES(X) \
    X(ROPE_DOUBLE, "double")   \
    X(ROPE_FP32, "fp32")

#define RECOMPUTE_CHOICES(X)            \
    X(RECOMPUTE_NONE, "none")           \
    X(RECOMPUTE_SELECTIVE, "selective") \
    X(RECOMPUTE_PRODUCTS, "products")   \
    X(RECOMPUTE_FULL, "full")

#define SEQUENCE_PARALLEL_CHOICES(X)  \
    X(SEQUENCE_PARALLEL_AUTO, "auto") \
    X(SEQUENCE_PARALLEL_ON, "on")     \
    X(SEQUENCE_PARALLEL_OFF, "off")

#define LOG_CHOICES(X)    \
    X(LOG_QUIET, "quiet") \
    X(LOG_INFO, "info")   \
    X(LOG_DEBUG, "debug")

#define CODEC_CHOICES(X)  \
    X(CODEC_FP32, "fp32") \
    X(CODEC_BF16, "bf16") \
    X(CODEC_INT8, "int8")

#define DEVICE_CHOICES(X)  \
    X(DEVICE_HOST, "host") \
    X(DEVICE_CUDA, "cuda")

#define PATH_CHOICES(X)    \
    X(REDUCE_AUTO, "auto") \
    X(REDUCE_FLAT, "flat") \
    X(REDUCE_NODES, "nodes")
/* clang-format on */

#endif
