/* The ways of splitting text that this program and llama.cpp have in common. */
#include "trainer/gguf/describe.h"

/* The patterns of Llama 3 and Qwen 2 differ in how many digits stay together. */
#define BEFORE_DIGITS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define BEHIND_DIGITS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define DEEPSEEK_WORDS                                       \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" \
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "            \
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"

const struct gguf_split gguf_splits[GGUF_SPLITS] = {
    {{"gpt-2", "gpt2"}, {0}, true, false, false},
    {{"smollm"}, {"\\p{N}"}, true, false, false},
    {{"llama-bpe", "llama3", "llama-v3"},
     {BEFORE_DIGITS "\\p{N}{1,3}" BEHIND_DIGITS},
     false,
     false,
     true},
    {{"qwen2", "deepseek-r1-qwen"}, {BEFORE_DIGITS "\\p{N}" BEHIND_DIGITS}, false, true, false},
    {{"deepseek-v3"},
     {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_WORDS},
     false,
     false,
     false},
};
