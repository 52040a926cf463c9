"""Golden frequencies, cosines and sines of the rotary embedding, from transformers' own functions (fp32 on a CPU).

    python tests/oracle/rope.py             writes tests/golden/rope.txt

Needs PyTorch and transformers. A table begins with `table NAME`, then its dims (`dim KEY VALUE`), then lines
`freq I 0 VALUE` for every pair, and `cos I POSITION VALUE`, `sin I POSITION VALUE` (already times the attention factor)
for positions up to the longest that the model is for. What is not given in a configuration is transformers' default.
"""
import torch
import transformers as tf

ORIGINAL = "original_max_position_embeddings"
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **{ORIGINAL: 8192})
YARN = dict(rope_type="yarn", factor=4.0, **{ORIGINAL: 32768})
# name: theta, head size, longest context, scaling
TABLES = {
    "smollm2": (100000.0, 64, 32768, {}),
    "qwen2": (1000000.0, 128, 32768, {}),
    "r1-distill-qwen": (10000.0, 128, 32768, {}),
    "llama-3.1": (500000.0, 128, 131072, LLAMA3),
    "llama-3.2": (500000.0, 64, 131072, LLAMA3 | {"factor": 32.0}),
    "llama3-other": (10000.0, 24, 512, LLAMA3 | {"factor": 3.0, "low_freq_factor": 1.5, ORIGINAL: 100}),
    "qwen3-yarn": (1000000.0, 128, 131072, YARN),
    "yarn-mscale": (10000.0, 64, 163840, YARN | {"factor": 40.0, ORIGINAL: 4096, "mscale": 1.0, "mscale_all_dim": 0.8}),
    "yarn-given": (10000.0, 16, 1024, YARN | {ORIGINAL: 256, "attention_factor": 0.9, "beta_fast": 8, "beta_slow": 2}),
    "yarn-exact": (150000.0, 32, 4096, YARN | {"factor": 32.0, ORIGINAL: 1024, "truncate": False}),
    "yarn-point": (10000.0, 8, 256, YARN | {ORIGINAL: 64, "beta_fast": 1.01, "beta_slow": 1.0, "truncate": False}),
}
KEYS = {"factor": "factor", ORIGINAL: "original", "low_freq_factor": "low", "high_freq_factor": "high",
        "beta_fast": "fast", "beta_slow": "slow", "truncate": "whole", "attention_factor": "attention",
        "mscale": "mscale", "mscale_all_dim": "mscale_all"}
SCALINGS = {"llama3": 1, "yarn": 2}


def write(f, name, theta, D, context, scaling):
    parameters = {"rope_type": "default", "rope_theta": theta} | scaling
    config = tf.LlamaConfig(hidden_size=2 * D, num_attention_heads=2, head_dim=D, max_position_embeddings=context,
                            rope_parameters=parameters)
    rope = tf.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    f.write(f"table {name}\ndim D {D}\ndim theta {theta:.17g}\ndim context {context}\n")
    f.write(f"dim scaling {SCALINGS.get(scaling.get('rope_type'), 0)}\n")
    for key, value in scaling.items():
        if key in KEYS:
            f.write(f"dim {KEYS[key]} {float(value):.17g}\n")
    for i in range(D // 2):
        f.write(f"freq {i} 0 {rope.inv_freq[i].item():.9g}\n")
    positions = torch.tensor([1, context // 7, context // 2 + 1, context - 1])
    cos, sin = rope(torch.zeros(1), positions[None])
    for k, p in enumerate(positions.tolist()):
        for i in range(k % 3, D // 2, max(1, D // 16)):
            f.write(f"cos {i} {p} {cos[0, k, i].item():.9g}\nsin {i} {p} {sin[0, k, i].item():.9g}\n")


with open("tests/golden/rope.txt", "w") as out:
    out.write("# rotary embeddings: made by tests/oracle/rope.py (meaning of lines there)\n")
    for row in TABLES.items():
        write(out, row[0], *row[1])
