"""Tiny Hugging Face folders as transformers writes them, with the log-probabilities that it computes for them.

    python tests/oracle/hf_folder.py [NAME...]    writes tests/golden/hf/NAME/; without names all

Needs PyTorch and transformers. The weights are random; so that a wrong order of heads, pieces or experts shows, they are
large (logits of some units) and all different. logp.jsonl has lines as `duet score` takes them, with the answer's
log-probabilities (in double precision, of the weights as the files hold them) beside.
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers as tf

OUT = pathlib.Path(__file__).parent.parent / "golden" / "hf"
COMMON = dict(vocab_size=104, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=None)
SCALING = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16,
               rope_theta=500.0)
# Eight pairs of channels: the first is kept and the last ones are divided, those between in part.
# Sequences of lines() are longer than the original context.
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=4.0, beta_slow=0.5, rope_theta=500.0)
MODELS = {
    # class, configuration, type, size of a file
    "llama": (tf.LlamaForCausalLM, tf.LlamaConfig(**COMMON, rms_norm_eps=1e-5, rope_parameters=SCALING), torch.bfloat16, "5KB"),
    "qwen2": (tf.Qwen2ForCausalLM, tf.Qwen2Config(**COMMON, tie_word_embeddings=True), torch.float16, "1GB"),
    "qwen3": (tf.Qwen3ForCausalLM, tf.Qwen3Config(**COMMON, head_dim=6, tie_word_embeddings=True), torch.bfloat16, "1GB"),
    "qwen3moe": (tf.Qwen3MoeForCausalLM,
                 tf.Qwen3MoeConfig(**COMMON, head_dim=4, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8,
                                   norm_topk_prob=True, mlp_only_layers=[0]), torch.float32, "1GB"),
    "yarn": (tf.Qwen3ForCausalLM, tf.Qwen3Config(**{**COMMON, "max_position_embeddings": 128}, head_dim=16,
                                                 rope_parameters=YARN), torch.bfloat16, "1GB"),
    "mistral": (tf.MistralForCausalLM, tf.MistralConfig(**COMMON, sliding_window=None, head_dim=4), torch.float32, "1GB"),
}


def tokenizer_json():
    """A token a character: fewer than the vocabulary has rows, and neither <eos> nor <think>."""
    words = ["<unk>", "<end>", "</think>", "<answer>", "</answer>", "\n"] + [chr(c) for c in range(0x20, 0x7f)]
    added = [dict(id=i, content=words[i], single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i in range(5)]
    return dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
                pre_tokenizer=dict(type="Split", pattern=dict(Regex="[\\s\\S]"), behavior="Isolated", invert=False),
                post_processor=None, decoder=dict(type="Fuse"),
                model=dict(type="WordLevel", vocab={w: i for i, w in enumerate(words)}, unk_token="<unk>"))


def lines(model):
    """Log-probabilities of the tokens behind the first three of two sequences."""
    for first, n in ((3, 40), (11, 9)):
        ids = [(first + 7 * t * t + 3 * t) % 104 for t in range(n)]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        logp = torch.log_softmax(logits, -1)
        yield dict(prompt_ids=ids[:3], answer_ids=ids[3:], logp=[float(logp[t - 1, ids[t]]) for t in range(3, n)])


def make(name, cls, config, dtype, shard):
    torch.manual_seed(sum(name.encode()))
    model = cls(config)
    for key, p in model.named_parameters():
        with torch.no_grad():
            p.copy_((1 + 0.2 * torch.randn(p.shape) if "norm" in key else 0.3 * torch.randn(p.shape)).to(dtype).float())
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(), indent=1))
    model = cls.from_pretrained(folder, dtype=torch.float64)  # .to(dtype) has rounded the angles' frequencies, too
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # the others do not take doubles
    with open(folder / "logp.jsonl", "w") as f:
        for line in lines(model.eval()):
            f.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or MODELS:
        make(chosen, *MODELS[chosen])
