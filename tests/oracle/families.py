"""Golden logits and greedy continuations of small random models of every family that can be imported, from transformers.

    python tests/oracle/families.py [NAME...]     writes tests/golden/family_NAME.txt, by default of all

Needs PyTorch and transformers. Nothing here is shared with the C code but the names of tensors and the formulas for
weights and prompts, which tests/unit/model/test_families.c repeats:

    element i of tensor `name` (ours, as shapes() of model.py has it): u = splitmix64(fnv1a(name) + i + (salt << 32)) / 2^63
    - 1, in steps of 2^-23; times 0.3, + 1 for norm gains; times 0.5 for biases; times sqrt(3 / columns) * gain for
    matrices, gain 1.5, of routers 4; as it is for the embedding; then rounded to bf16, so that it is the same in fp32
    prompt: token[t] = splitmix64(t + salt) % V

A file has a section for each configuration: `model NAME`, its dims, and

    scale VALUE           the largest logit (absolute) of the prompt
    logits T FIRST STEP VALUES...   of row T, tokens FIRST, FIRST + STEP, ...: fp32, eager attention
    greedy TOKENS...      128 of them, behind the prompt; at each the best is at least MARGIN * scale above the next
    bf16 ERROR            transformers' error in bf16 on those logits of the prompt, against the model in double, relative
                          to scale: root mean square over the better half of the rows (a row that goes to other experts
                          because two are nearly equal says nothing, and behind it others differ), over eager attention
                          and sdpa
The salt is the first for which greedy has that margin, and by which no row is within GAP of other experts.
"""
import sys

import numpy as np
import torch
import transformers as tf

import model as ours

torch.set_num_threads(1)  # small models: threads only wait for each other
torch.set_default_dtype(torch.float32)  # model.py's is double
MARGIN, GAP, GREEDY, PROMPT, STEP = 1e-4, 3e-6, 128, 40, 4
ORIGINAL = "original_max_position_embeddings"
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **{ORIGINAL: 64})
YARN = dict(rope_type="yarn", factor=4.0, **{ORIGINAL: 64})
BASE = dict(V=61, L=2, C=32, F=48, Hq=4, Hkv=2, D=8, theta=10000.0, eps=1e-5, tied=0, qkv_bias=0, qk_norm=0)
MOE = dict(E=8, K=2, Fe=24, route_norm=1, qk_norm=1, L=3)
LONG = dict(prompt=3000, context=3200, Hq=2, Hkv=1, D=16)
FAMILIES = {
    "llama": ("Llama", {
        "plain": {},
        "heads-alone": dict(Hkv=4),
        "one-key-head": dict(Hkv=1, D=24, tied=1),
        "llama3": dict(rope=LLAMA3, theta=500000.0, Hq=8, Hkv=2),
        "llama3-tied": dict(rope=LLAMA3 | {"factor": 32.0, "low_freq_factor": 0.5, ORIGINAL: 32}, tied=1, D=16),
        "attention-bias": dict(qkv_bias=1, o_bias=1),
        "mlp-bias": dict(mlp_bias=1, Hq=3, Hkv=1, D=20, C=42),
        "all-biases": dict(qkv_bias=1, o_bias=1, mlp_bias=1, tied=1, rope=LLAMA3),
        "yarn": dict(rope=YARN),
        "yarn-given": dict(rope=YARN | {"attention_factor": 0.8, "beta_fast": 4.0, "beta_slow": 1.5}, D=16),
        "yarn-mscale": dict(rope=YARN | {"mscale": 1.0, "mscale_all_dim": 0.5, "factor": 40.0}, D=32, C=64),
        "yarn-exact": dict(rope=YARN | {"truncate": False, ORIGINAL: 50}, D=12),
        "long": LONG | dict(theta=100000.0, L=3),
        "long-llama3": LONG | dict(rope=LLAMA3 | {ORIGINAL: 1024}, theta=500000.0),
    }),
    "qwen2": ("Qwen2", {
        "plain": dict(qkv_bias=1, Hq=7, Hkv=1, C=56, eps=1e-6),
        "tied": dict(qkv_bias=1, tied=1, theta=1000000.0, eps=1e-6),
        "heads-of-six": dict(qkv_bias=1, Hq=6, Hkv=3, C=48, L=4),
        "yarn": dict(qkv_bias=1, theta=1000000.0, rope=YARN, D=16, C=64),
        "long": LONG | dict(qkv_bias=1, theta=1000000.0),
    }),
    "qwen3": ("Qwen3", {
        "plain": dict(qk_norm=1, D=16, eps=1e-6, theta=1000000.0),
        "tied": dict(qk_norm=1, tied=1, D=32, Hq=2, Hkv=1),
        "biases": dict(qk_norm=1, qkv_bias=1, o_bias=1, Hq=8, Hkv=1),
        "yarn": dict(qk_norm=1, rope=YARN, D=16, tied=1),
        "long-yarn": LONG | dict(qk_norm=1, theta=1000000.0, rope=YARN | {ORIGINAL: 2048}),
    }),
    "qwen3moe": ("Qwen3Moe", {
        "plain": MOE,
        "weights-as-they-are": MOE | dict(route_norm=0, D=16),
        "dense-layers": MOE | dict(L=4, dense_layers=[0, 2], tied=1),
        "every-second": MOE | dict(L=4, expert_step=2, E=6, K=3),
        "one-expert": MOE | dict(K=1, Hkv=1),
        "many": MOE | dict(E=16, K=4, Fe=16, route_norm=0, tied=1, qkv_bias=1, o_bias=1),
        "yarn": MOE | dict(L=5, expert_step=2, dense_layers=[3], rope=YARN, D=16),
    }),
    "mistral": ("Mistral", {
        "plain": dict(theta=1000000.0),
        "wide-heads": dict(Hq=6, Hkv=2, D=32, L=3),
        "tied": dict(tied=1, Hkv=1),
        "yarn": dict(rope=YARN, Hq=8, Hkv=2),
    }),
}
ROPE_KEYS = {"factor": "factor", ORIGINAL: "original", "low_freq_factor": "low", "high_freq_factor": "high",
             "beta_fast": "fast", "beta_slow": "slow", "truncate": "whole", "attention_factor": "attention",
             "mscale": "mscale", "mscale_all_dim": "mscale_all"}


def splitmix64(x):
    x = (x + np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fnv1a(name):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = (h ^ c) * 0x100000001B3 % 2**64
    return h


def tensor(name, shape, salt):
    n = int(np.prod(shape))
    first = np.uint64((fnv1a(name) + (salt << 32)) % 2**64)
    u = (splitmix64(np.arange(n, dtype=np.uint64) + first) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1
    last = name.split(".")[-1]
    if "norm" in last:
        x = 1 + 0.3 * u
    elif last.startswith("b"):
        x = 0.5 * u
    elif last == "embed":
        x = u
    else:
        x = np.sqrt(3 / shape[-1]) * (4 if last == "router" else 1.5) * u
    return torch.from_numpy(x).float().bfloat16().float().reshape(shape)


def config_of(kind, m, attention):
    experts = {} if "E" not in m else dict(
        num_experts=m["E"], num_experts_per_tok=m["K"], moe_intermediate_size=m["Fe"],
        norm_topk_prob=bool(m["route_norm"]), mlp_only_layers=m.get("dense_layers", []),
        decoder_sparse_step=m.get("expert_step", 1), experts_implementation="eager")
    biases = {} if kind in ("Qwen2", "Mistral") else {"attention_bias": bool(m.get("o_bias"))}
    if kind == "Llama":
        biases["mlp_bias"] = bool(m.get("mlp_bias"))
    window = {"sliding_window": None} if kind == "Mistral" else {}
    return getattr(tf, kind + "Config")(
        vocab_size=m["V"], hidden_size=m["C"], intermediate_size=m["F"], num_hidden_layers=m["L"],
        num_attention_heads=m["Hq"], num_key_value_heads=m["Hkv"], head_dim=m["D"], rms_norm_eps=m["eps"],
        max_position_embeddings=m.get("context", 256), tie_word_embeddings=bool(m["tied"]),
        rope_parameters={"rope_type": "default", "rope_theta": m["theta"]} | m.get("rope", {}),
        attn_implementation=attention, pad_token_id=0, bos_token_id=0, eos_token_id=0, **experts, **biases, **window)


def build(kind, m, salt, dtype=torch.float32, attention="eager"):
    w = {name: tensor(name, shape, salt) for name, shape in ours.shapes(m).items()}
    model = getattr(tf, kind + "ForCausalLM")(config_of(kind, m, attention))
    model.load_state_dict(ours.hf_state(m, w), strict=True)
    return model.to(dtype).eval()


def prompt_of(m, salt):
    n = m.get("prompt", PROMPT)
    return torch.from_numpy((splitmix64(np.arange(n, dtype=np.uint64) + np.uint64(salt)) % np.uint64(m["V"]))
                            .astype(np.int64))


def greedy(model, token):
    """The continuation, the smallest margin, and the logits of the last row."""
    out, least, cache, step = [], float("inf"), None, token[None]
    for _ in range(GREEDY):
        r = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
        row, cache = r.logits[0, -1], r.past_key_values
        best = row.topk(2).values
        least = min(least, (best[0] - best[1]).item())
        out.append(row.argmax().item())
        step = torch.tensor([[out[-1]]])
    return out, least, row


def router_gap(model, m, token):
    """The smallest difference between the probabilities of the last expert chosen and the next."""
    least = [float("inf")]

    def see(module, args, output):
        logits = output[0] if isinstance(output, tuple) else output
        if logits.shape[-1] != m["E"]:
            logits = torch.nn.functional.linear(args[0].reshape(-1, m["C"]), module.weight)
        p = torch.softmax(logits.reshape(-1, m["E"]).float(), -1).sort(-1, descending=True).values
        least[0] = min(least[0], (p[:, m["K"] - 1] - p[:, m["K"]]).min().item())

    hooks = [layer.mlp.gate.register_forward_hook(see) for layer in model.model.layers if hasattr(layer.mlp, "gate")]
    model(token[None])
    for h in hooks:
        h.remove()
    return least[0]


def attempt(kind, m, salt):
    model, token = build(kind, m, salt), prompt_of(m, salt)
    logits = model(token[None]).logits[0]
    scale = logits.abs().max().item()
    chosen, margin, last = greedy(model, token)
    if margin < MARGIN * scale:
        return None
    if "E" in m and router_gap(model, m, torch.cat([token, torch.tensor(chosen)])) < GAP:
        return None
    return logits, scale, chosen, last


def bf16_error(kind, m, salt, rows):
    token = prompt_of(m, salt)
    right = build(kind, m, salt, torch.float64)(token[None]).logits[0]
    scale, squares = right[rows].abs().max(), 0
    for attention in ("eager", "sdpa"):
        error = (build(kind, m, salt, torch.bfloat16, attention)(token[None]).logits[0].double() - right) / scale
        each = torch.stack([error[t, t % STEP::STEP].square().mean() for t in rows])
        squares += each.sort().values[: len(rows) // 2].mean().item() / 2
    return squares ** 0.5


def write_dims(f, m, salt):
    f.write(f"dim salt {salt}\ndim prompt {m.get('prompt', PROMPT)}\ndim context {m.get('context', 256)}\n")
    for key, value in m.items():
        if key in ("prompt", "context", "rope"):
            continue
        for v in value if isinstance(value, list) else [value]:
            f.write(f"dim {key} {v:.9g}\n")
    rope = m.get("rope", {})
    f.write(f"dim scaling {['', 'llama3', 'yarn'].index(rope.get('rope_type', ''))}\n")
    for key, value in rope.items():
        if key in ROPE_KEYS:
            f.write(f"dim {ROPE_KEYS[key]} {float(value):.17g}\n")


def write(f, name, kind, m):
    salt = 0
    while not (r := attempt(kind, m, salt)):
        salt += 1
    logits, scale, chosen, last = r
    T = len(logits)
    rows = list(range(T - PROMPT, T))
    f.write(f"model {name}\n")
    write_dims(f, m, salt)
    f.write(f"scale {scale:.9g}\n")
    for t in rows + [T + GREEDY - 2]:  # the row that the last greedy token is from
        row = (logits[t] if t < T else last)[t % STEP::STEP].tolist()
        f.write(f"logits {t} {t % STEP} {STEP} " + " ".join(f"{x:.7g}" for x in row) + "\n")
    f.write("greedy " + " ".join(map(str, chosen)) + "\n")
    error = bf16_error(kind, m, salt, rows)
    f.write(f"bf16 {error:.4g}\n")
    print(f"{kind} {name}: salt {salt}, scale {scale:.3g}, bf16 {error:.3g}", flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        for family in sys.argv[1:] or FAMILIES:
            kind, models = FAMILIES[family]
            with open(f"tests/golden/family_{family}.txt", "w") as out:
                out.write(f"# small random {kind} models: made by tests/oracle/families.py (meaning of lines there)\n")
                for name, changes in models.items():
                    write(out, name, kind, BASE | changes)
