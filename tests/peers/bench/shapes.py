"""The models that are compared: real shapes, weights drawn. A shape is a folder with a config.json, which both sides read."""
import json
from pathlib import Path

COMMON = dict(attention_bias=False, attention_dropout=0.0, bos_token_id=0, eos_token_id=0, hidden_act="silu", initializer_range=0.02,
              pad_token_id=0, rms_norm_eps=1e-5, tie_word_embeddings=True, use_cache=True)
LLAMA = dict(COMMON, architectures=["LlamaForCausalLM"], model_type="llama", mlp_bias=False, rope_theta=100000.0, rope_scaling=None)
QWEN2 = dict(COMMON, architectures=["Qwen2ForCausalLM"], model_type="qwen2", rms_norm_eps=1e-6, rope_theta=1000000.0,
             use_sliding_window=False, sliding_window=None, max_window_layers=24)
QWEN2.pop("attention_bias")


def shape(base, layers, hidden, ffn, heads, kv_heads, vocabulary, context):
    return dict(base, num_hidden_layers=layers, hidden_size=hidden, intermediate_size=ffn, num_attention_heads=heads,
                num_key_value_heads=kv_heads, vocab_size=vocabulary, max_position_embeddings=context)


SHAPES = {
    "135m": shape(LLAMA, 30, 576, 1536, 9, 3, 49152, 8192),     # SmolLM2-135M
    "05b": shape(QWEN2, 24, 896, 4864, 14, 2, 151936, 32768),   # Qwen2.5-0.5B
    "long": shape(LLAMA, 10, 576, 1536, 9, 3, 49152, 65536),
    "demo": shape(LLAMA, 4, 128, 384, 4, 4, 104, 512),          # launch/recipes/countdown.yaml
}


TINY = dict(num_hidden_layers=2, hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2)


def make(folder, name, scale):
    """The folder of a shape; with scale < 1 it has fewer layers, of the same width. Below 0.02 it is tiny, to try the scripts."""
    config = dict(SHAPES[name])
    if scale < 0.02:
        config.update(TINY, vocab_size=min(512, config["vocab_size"]))
    else:
        config["num_hidden_layers"] = max(1, round(config["num_hidden_layers"] * scale))
    path = Path(folder) / f"{name}-{config['num_hidden_layers']}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config, indent=2))
    return path


def describe(path):
    c = json.loads((Path(path) / "config.json").read_text())
    return f"{c['num_hidden_layers']} x {c['hidden_size']}, ffn {c['intermediate_size']}, heads {c['num_attention_heads']}/" \
           f"{c['num_key_value_heads']}, {c['vocab_size']} tokens"


def write_gguf(path, folder, kind):
    """The shape as a GGUF file of drawn weights, "f32" or "bf16"; it has no tokenizer."""
    import gguf
    import numpy as np
    c = json.loads((Path(folder) / "config.json").read_text())
    C, F, V, D = c["hidden_size"], c["intermediate_size"], c["vocab_size"], c["hidden_size"] // c["num_attention_heads"]
    q, kv = c["num_attention_heads"] * D, c["num_key_value_heads"] * D
    rng = np.random.default_rng(1)
    w = gguf.GGUFWriter(str(path), c["model_type"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(C)
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(F)
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_dimension_count(D)
    w.add_rope_freq_base(c["rope_theta"])
    w.add_vocab_size(V)
    w.add_tokenizer_model("no_vocab")

    def matrix(name, n, k):
        x = rng.standard_normal((n, k), np.float32) * np.float32(0.02)
        if kind == "bf16":
            t = gguf.GGMLQuantizationType.BF16
            w.add_tensor(name, gguf.quants.quantize(x, t), raw_dtype=t)
        else:
            w.add_tensor(name, x)

    matrix("token_embd.weight", V, C)
    for i in range(c["num_hidden_layers"]):
        for name, n, k in [("attn_q", q, C), ("attn_k", kv, C), ("attn_v", kv, C), ("attn_output", C, q), ("ffn_gate", F, C),
                           ("ffn_up", F, C), ("ffn_down", C, F)]:
            matrix(f"blk.{i}.{name}.weight", n, k)
        if c["model_type"] == "qwen2":
            for name, n in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)]:
                w.add_tensor(f"blk.{i}.{name}.bias", np.zeros(n, np.float32))
        for name in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"blk.{i}.{name}.weight", np.ones(C, np.float32))
    w.add_tensor("output_norm.weight", np.ones(C, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
