"""GGUF files and their number formats, made by llama.cpp's own Python package (needed: pip install gguf, which brings numpy).

Writes tests/golden/gguf_quants.txt: for each format 12 rows of 32 floats (as the bits of fp32), the block that the package
makes of them and the floats that it reads from the block. And tests/golden/tiny.gguf, a file with a key of every kind, arrays,
and a tensor of every format that Duet reads; its values are in tests/unit/gguf/test_gguf.c. And tests/golden/
tiny_llama.gguf, a model of one layer whose numbers say where they belong in the Hugging Face folder: tensor number times 1000
plus their place in it, query and key rows reordered as llama.cpp's converter does. Seed 1; exact.
"""
from pathlib import Path

import gguf
import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TYPES = ["F32", "F16", "Q4_0", "Q4_1", "Q8_0", "BF16"]


def rows():
    rng = np.random.default_rng(1)
    out = [rng.standard_normal(32) * scale for scale in (1, 0.02, 300, 1e-6, 1e-9)]
    out.append(np.zeros(32))
    out.append(np.full(32, -1.5))
    out.append(np.linspace(-8, 7, 32))
    out.append(np.arange(32) / 64 + 3)
    out.append(np.concatenate([[1.0, -1.0], np.zeros(30)]))  # of equally large ones the first decides
    out.append(-np.abs(rng.standard_normal(32)))
    out.append(np.abs(rng.standard_normal(32)) + 1e-8)
    return np.array(out, dtype=np.float32)


def hex_bits(x):
    return " ".join(f"{v:08x}" for v in np.asarray(x, np.float32).view(np.uint32).ravel())


def main():
    with open(GOLDEN / "gguf_quants.txt", "w") as f:
        f.write("# tests/oracle/gguf_files.py: format; 32 floats; the block of each in bytes; the floats read from it\n")
        for name in TYPES:
            t = gguf.GGMLQuantizationType[name]
            for row in rows():
                block = np.asarray(gguf.quants.quantize(row, t))
                back = gguf.quants.dequantize(block, t)
                f.write(f"{name.lower()}\n{hex_bits(row)}\n{block.tobytes().hex()}\n{hex_bits(back)}\n")
    w = gguf.GGUFWriter(GOLDEN / "tiny.gguf", "llama")
    w.add_uint8("k.u8", 200)
    w.add_int8("k.i8", -100)
    w.add_uint16("k.u16", 60000)
    w.add_int16("k.i16", -30000)
    w.add_uint32("k.u32", 4000000000)
    w.add_int32("k.i32", -2000000000)
    w.add_float32("k.f32", 0.5)
    w.add_bool("k.yes", True)
    w.add_bool("k.no", False)
    w.add_string("k.text", "größe")
    w.add_uint64("k.u64", 1 << 40)
    w.add_int64("k.i64", -(1 << 40))
    w.add_float64("k.f64", 1e-300)
    w.add_array("k.texts", ["", "a", "long enough"])
    w.add_array("k.numbers", [3, -1, 2])
    base = (np.arange(64) - 31).reshape(2, 32).astype(np.float32) / 4
    for name in TYPES:
        t = gguf.GGMLQuantizationType[name]
        data = np.asarray(gguf.quants.quantize(base, t))
        w.add_tensor(f"t.{name.lower()}", data, raw_dtype=t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


HEADS, KV, D, C, F = 4, 2, 4, 8, 32
SHAPES = {
    "token_embd.weight": (262, C), "output_norm.weight": (C,), "blk.0.attn_norm.weight": (C,), "blk.0.ffn_norm.weight": (C,),
    "blk.0.attn_q.weight": (HEADS * D, C), "blk.0.attn_k.weight": (KV * D, C), "blk.0.attn_v.weight": (KV * D, C),
    "blk.0.attn_q.bias": (HEADS * D,), "blk.0.attn_k.bias": (KV * D,), "blk.0.attn_v.bias": (KV * D,),
    "blk.0.attn_output.bias": (C,), "blk.0.attn_output.weight": (C, HEADS * D), "blk.0.ffn_gate.weight": (F, C),
    "blk.0.ffn_up.weight": (F, C), "blk.0.ffn_down.weight": (C, F),
}


def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def byte_letters():
    """The characters that stand for bytes in byte-level BPE."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = iter(range(0x100, 0x200))
    return [chr(b if b in plain else next(other)) for b in range(256)]


def llama():
    w = gguf.GGUFWriter(GOLDEN / "tiny_llama.gguf", "llama")
    w.add_block_count(1)
    w.add_context_length(512)
    w.add_embedding_length(C)
    w.add_feed_forward_length(F)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV)
    w.add_key_length(D)
    w.add_rope_freq_base(5e5)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe")
    tokens = byte_letters() + ["th", "the", "\u0120the", "<|begin|>", "<|end|>", "<tool>"]
    w.add_token_list(tokens)
    w.add_token_types([1] * 259 + [3, 3, 4])
    w.add_token_merges(["t h", "th e", "\u0120 the"])
    w.add_bos_token_id(259)
    w.add_eos_token_id(260)
    w.add_add_bos_token(True)
    w.add_chat_template("{{ messages }}")
    for number, (name, shape) in enumerate(SHAPES.items()):
        data = (number * 1000 + np.arange(np.prod(shape))).astype(np.float32).reshape(shape)
        if ".attn_q." in name:
            data = permute(data, HEADS)
        if ".attn_k." in name:
            data = permute(data, KV)
        w.add_tensor(name, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main()
llama()
