/* The settings of rewards in a phase: a part of settings_table.h. What each reward gives stands in
 * docs/REWARDS.md. */
#ifndef DUET_TRAINER_CONFIG_REWARDS_TABLE_H
#define DUET_TRAINER_CONFIG_REWARDS_TABLE_H

#define REWARD_PRESET_CHOICES(X) \
    X(REWARDS_R1, "r1")          \
    X(REWARDS_COMPOSITE, "composite")

/* Rows of trainer/reward/language.c. */
#define LANGUAGE_CHOICES(X)  \
    X(LANGUAGE_DATA, "data") \
    X(LANGUAGE_EN, "en")     \
    X(LANGUAGE_ZH, "zh")     \
    X(LANGUAGE_JA, "ja")     \
    X(LANGUAGE_KO, "ko")     \
    X(LANGUAGE_RU, "ru")     \
    X(LANGUAGE_EL, "el")     \
    X(LANGUAGE_AR, "ar")     \
    X(LANGUAGE_HE, "he")     \
    X(LANGUAGE_HI, "hi")     \
    X(LANGUAGE_TH, "th")

#define LENGTH_CHOICES(X)          \
    X(LENGTH_OVERLONG, "overlong") \
    X(LENGTH_COSINE, "cosine")

/* clang-format off */
#define REWARD_SETTINGS(X)                                                                         \
    X(REAL, reward_accuracy, 1, 0, 100, "", GRPO, "weight of the accuracy reward")                 \
    X(REAL, reward_format, 0.0, 0, 100, "", GRPO, "weight of the format reward")                   \
    X(REAL, reward_model, 0.0, 0, 100, "", GRPO,                                                   \
      "weight of the score that the reward model gives, which an earlier phase of kind "           \
      "reward_model has trained")                                                                  \
    X(ENUM, reward_preset, REWARDS_R1, REWARD_PRESET_CHOICES, 0, "", GRPO,                         \
      "weights that the recipe does not give. r1: accuracy 1; composite: accuracy 0.6, "           \
      "consistency 0.3, efficiency 0.1")                                                           \
    X(REAL, reward_language, 0.0, 0, 100, "", GRPO,                                                \
      "weight of language consistency: the share of the reasoning's words in the wanted language") \
    X(ENUM, target_language, LANGUAGE_DATA, LANGUAGE_CHOICES, 0, "", GRPO,                         \
      "language of the reasoning, for reward_language; data: as the record says in its field "     \
      "language")                                                                                  \
    X(REAL, reward_length, 0.0, 0, 100, "", GRPO, "weight of the length reward")                   \
    X(ENUM, length_shape, LENGTH_OVERLONG, LENGTH_CHOICES, 0, "", GRPO,                            \
      "overlong: 0, falling to -1 over the last length_cache tokens before max_new (DAPO); "       \
      "cosine: right answers 1 to 0.5, wrong ones -1 to -0.5, from the shortest to the longest")   \
    X(INT, length_cache, 0, 0, 1048576, "tokens", GRPO,                                            \
      "tokens before max_new where overlong begins; 0: a fifth of max_new")                        \
    X(REAL, reward_repetition, 0.0, 0, 100, "", GRPO,                                              \
      "weight of the repetition penalty: minus the share of n-grams that were there before")       \
    X(INT, repetition_ngram, 3, 1, 16, "words", GRPO, "length of those n-grams")                   \
    X(REAL, reward_efficiency, 0.0, 0, 100, "", GRPO,                                              \
      "weight of efficiency: of a right answer the share of FLOPs that it saved")                  \
    X(REAL, reward_consistency, 0.0, 0, 100, "", GRPO,                                             \
      "weight of logical consistency: 1 - the rate of false arithmetic in the reasoning")          \
    X(REAL, reward_novelty, 0.0, 0, 100, "", GRPO,                                                 \
      "weight of novelty: how unlike a right answer is to the others of its group")                \
    X(REAL, reward_diversity, 0.0, 0, 100, "", GRPO,                                               \
      "weight of diversity: 1 / answers of the group that are the same")                           \
    X(REAL, reward_rank, 0.0, 0, 100, "", GRPO,                                                    \
      "weight of the rank in the group by all other rewards")
/* clang-format on */

#endif
