"""Golden values of tiny Llama-, Qwen2-, Qwen3- and Qwen3-MoE-like models, straight from the equations, in double precision.

    python tests/oracle/model.py            writes tests/golden/model_*.txt
    python tests/oracle/model.py --check-hf compares this file's logits with Hugging Face's own model classes

Needs PyTorch (and transformers for --check-hf). Nothing here is shared with the C code but the names of the
tensors and the formulas for inputs, which tests/unit/model/test_chunk_golden.c repeats:

    element i of tensor `name`, k = sum of the name's bytes, s = sin(0.1*i*i + 0.3*i + k):
        1 + 0.2*s for norm gains, 0.3*s for everything else, rounded to bf16 (so that it is the same in fp32)
    token[t] = (5*t + 3) % V, target[t] = (7*t + 2) % V, but -1 at every t with t % 6 == 5
    loss = -sum_t w[t]*logp[t] / T,  w[t] = 1 + 0.5*sin(t),  logits divided by 0.8 first
    AdamW, 4th step: lr 0.01, betas 0.9 0.95, eps 1e-8, decay 0.1, gradients times 0.7;
        before it m = 0.01*s, v = 1e-3*(1.5 + s)

A line of a golden file: what, where, value. "gradsum" is sum_i grad[i]*cos(i): every element takes part.
"""
import math
import sys

import torch

torch.set_default_dtype(torch.float64)
LENGTHS = [7, 1, 18, 3]
INV_TEMPERATURE = 1 / 0.8
GAP = 1e-2  # between the probabilities of the last expert chosen and the next
COMMON = dict(V=29, L=2, C=16, F=24, max_context=32)
MODELS = {
    "llama": dict(COMMON, Hq=4, Hkv=2, D=4, rope_theta=500.0, norm_eps=1e-5, qkv_bias=0, qk_norm=0, tied=0),
    "qwen2": dict(COMMON, Hq=4, Hkv=1, D=4, rope_theta=10000.0, norm_eps=1e-6, qkv_bias=1, qk_norm=0, tied=0),
    "qwen3": dict(COMMON, Hq=3, Hkv=3, D=8, rope_theta=1000.0, norm_eps=1e-6, qkv_bias=0, qk_norm=1, tied=1),
    "qwen3moe": dict(COMMON, V=31, Hq=2, Hkv=1, D=6, rope_theta=1000.0, norm_eps=1e-6, qkv_bias=0, qk_norm=1, tied=0,
                     E=3, K=2, Fe=12, first_dense=1, route_norm=1),
}


def wave(name, n):
    k = sum(name.encode())
    return torch.tensor([math.sin(0.1 * i * i + 0.3 * i + k) for i in range(n)])


def has_experts(m, layer):
    step = m.get("expert_step", 1)
    return (m.get("E", 0) > 0 and layer >= m.get("first_dense", 0) and (layer + 1) % step == 0
            and layer not in m.get("dense_layers", []))


def shapes(m):
    """name -> shape, in the order of the C table."""
    nqkv = (m["Hq"] + 2 * m["Hkv"]) * m["D"]
    out = {"embed": (m["V"], m["C"])}
    for l in range(m["L"]):
        layer = {"norm1": (m["C"],), "wqkv": (nqkv, m["C"])}
        if m["qkv_bias"]:
            layer["bqkv"] = (nqkv,)
        if m["qk_norm"]:
            layer["q_norm"] = layer["k_norm"] = (m["D"],)
        layer |= {"wo": (m["C"], m["Hq"] * m["D"]), "norm2": (m["C"],)}
        if m.get("o_bias"):
            layer["bo"] = (m["C"],)
        if has_experts(m, l):
            layer |= {"router": (m["E"], m["C"]), "experts_wgu": (m["E"] * 2 * m["Fe"], m["C"]),
                      "experts_wdown": (m["E"] * m["C"], m["Fe"])}
        else:
            layer |= {"wgu": (2 * m["F"], m["C"]), "wdown": (m["C"], m["F"])}
            if m.get("mlp_bias"):
                layer |= {"bgu": (2 * m["F"],), "bdown": (m["C"],)}
        out |= {f"layers.{l}.{k}": v for k, v in layer.items()}
    out["norm_f"] = (m["C"],)
    if not m["tied"]:
        out["head"] = (m["V"], m["C"])
    return out


def weights(m):
    w = {}
    for name, shape in shapes(m).items():
        s = wave(name, math.prod(shape))
        value = 1 + 0.2 * s if "norm" in name else 0.3 * s
        w[name] = value.float().bfloat16().double().reshape(shape).requires_grad_()
    return w


def rmsnorm(x, gain, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * gain


def rope(x, theta):
    """x (T, heads, D): i pairs with i + D/2."""
    T, _, D = x.shape
    angle = torch.arange(T)[:, None] * theta ** (-2 * torch.arange(D // 2) / D)
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    a, b = x[..., : D // 2], x[..., D // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def attention(m, w, x):
    T, (hq, hkv, D) = len(x), (m["Hq"], m["Hkv"], m["D"])
    y = x @ w["wqkv"].T + (w["bqkv"] if m["qkv_bias"] else 0)
    q, k, v = (t.reshape(T, -1, D) for t in y.split([hq * D, hkv * D, hkv * D], -1))
    if m["qk_norm"]:
        q, k = rmsnorm(q, w["q_norm"], m["norm_eps"]), rmsnorm(k, w["k_norm"], m["norm_eps"])
    q, k = rope(q, m["rope_theta"]), rope(k, m["rope_theta"])
    heads = []
    for h in range(hq):
        g = h // (hq // hkv)
        score = q[:, h] @ k[:, g].T / math.sqrt(D)
        score = score.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
        heads.append(torch.softmax(score, -1) @ v[:, g])
    return torch.cat(heads, -1) @ w["wo"].T


def swiglu(gu, down, x):
    gate, up = (x @ gu.T).chunk(2, -1)
    return (gate * torch.sigmoid(gate) * up) @ down.T


def moe(m, w, x):
    prob = torch.softmax(x @ w["router"].T, -1)
    gu = w["experts_wgu"].reshape(m["E"], 2 * m["Fe"], m["C"])
    down = w["experts_wdown"].reshape(m["E"], m["C"], m["Fe"])
    rows = []
    for row, p in zip(x, prob):
        chosen = sorted(range(m["E"]), key=lambda e: (-p[e].item(), e))
        # a choice that rounding could turn would test nothing
        assert p[chosen[m["K"] - 1]] - p[chosen[m["K"]]] > GAP, (p[chosen[m["K"] - 1]] - p[chosen[m["K"]]]).item()
        weight = p[chosen[:m["K"]]]
        if m["route_norm"]:
            weight = weight / weight.sum()
        rows.append(sum(g * swiglu(gu[e], down[e], row) for g, e in zip(weight, chosen)))
    return torch.stack(rows)


def ffn(m, w, x):
    return moe(m, w, x) if "router" in w else swiglu(w["wgu"], w["wdown"], x)


def logits_of(m, w, token):
    x = w["embed"][token]
    for l in range(m["L"]):
        layer = {k.split(".", 2)[2]: v for k, v in w.items() if k.startswith(f"layers.{l}.")}
        x = x + attention(m, layer, rmsnorm(x, layer["norm1"], m["norm_eps"]))
        x = x + ffn(m, layer, rmsnorm(x, layer["norm2"], m["norm_eps"]))
    return rmsnorm(x, w["norm_f"], m["norm_eps"]) @ (w["embed"] if m["tied"] else w["head"]).T


def batch(m):
    t = torch.arange(sum(LENGTHS))
    target = torch.where(t % 6 == 5, -1, (7 * t + 2) % m["V"])
    return (5 * t + 3) % m["V"], target, 1 + 0.5 * torch.sin(t.double())


def adamw(w):
    """One step by torch's own optimizer, begun in the middle."""
    for p in w.values():
        p.grad *= 0.7
    opt = torch.optim.AdamW(w.values(), lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for name, p in w.items():
        s = wave(name, p.numel()).reshape(p.shape)
        opt.state[p] = {"step": torch.tensor(3.0), "exp_avg": (0.01 * s).float().double(),
                        "exp_avg_sq": (1e-3 * (1.5 + s)).float().double()}
    opt.step()


def write(name, m):
    w, (token, target, weight) = weights(m), batch(m)
    logits = torch.cat([logits_of(m, w, part) for part in token.split(LENGTHS)])
    logp_all = torch.log_softmax(logits * INV_TEMPERATURE, -1)
    real = target >= 0
    logp = torch.where(real, logp_all.gather(-1, target.clamp(min=0)[:, None])[:, 0], 0)
    entropy = torch.where(real, -(logp_all.exp() * logp_all).sum(-1), 0)
    loss = -(weight * logp).sum() / len(token)
    loss.backward()
    with open(f"tests/golden/model_{name}.txt", "w") as f:
        f.write(f"# {name}-like model: made by tests/oracle/model.py (equations, inputs, meaning of lines there)\n")
        for key, value in m.items():
            f.write(f"dim {key} {value:g}\n")
        f.write(f"loss - 0 {loss.item():.12g}\n")
        for t in range(len(token)):
            f.write(f"logp - {t} {logp[t].item():.12g}\nentropy - {t} {entropy[t].item():.12g}\n")
            for v in range(t % 5, m["V"], 5):
                f.write(f"logits - {t * m['V'] + v} {logits[t, v].item():.12g}\n")
        for key, p in w.items():
            g = p.grad.flatten()
            f.write(f"gradmax {key} 0 {g.abs().max().item():.12g}\n")
            f.write(f"gradsum {key} 0 {(g * torch.arange(len(g)).cos()).sum().item():.12g}\n")
            for i in range(0, len(g), max(1, len(g) // 16)):
                f.write(f"grad {key} {i} {g[i].item():.12g}\n")
        adamw(w)
        for key, p in w.items():
            for i in range(0, p.numel(), max(1, p.numel() // 16)):
                f.write(f"adamw {key} {i} {p.flatten()[i].item():.12g}\n")


def hf_state(m, w):
    """Our fused tensors under Hugging Face's names: theirs has q, k, v and gate, up apart."""
    q, kv = m["Hq"] * m["D"], m["Hkv"] * m["D"]
    out = {"model.embed_tokens.weight": w["embed"], "model.norm.weight": w["norm_f"],
           "lm_head.weight": w["embed"] if m["tied"] else w["head"]}
    for l in range(m["L"]):
        a, b = f"model.layers.{l}.", f"layers.{l}."
        for x, part in zip("qkv", w[b + "wqkv"].split([q, kv, kv])):
            out[a + f"self_attn.{x}_proj.weight"] = part
        if m["qkv_bias"]:
            for x, part in zip("qkv", w[b + "bqkv"].split([q, kv, kv])):
                out[a + f"self_attn.{x}_proj.bias"] = part
        if m["qk_norm"]:
            out[a + "self_attn.q_norm.weight"] = w[b + "q_norm"]
            out[a + "self_attn.k_norm.weight"] = w[b + "k_norm"]
        if has_experts(m, l):
            out |= {a + "mlp.gate.weight": w[b + "router"],
                    a + "mlp.experts.gate_up_proj": w[b + "experts_wgu"].reshape(m["E"], 2 * m["Fe"], m["C"]),
                    a + "mlp.experts.down_proj": w[b + "experts_wdown"].reshape(m["E"], m["C"], m["Fe"])}
        else:
            gate, up = w[b + "wgu"].split(m["F"])
            out |= {a + "mlp.gate_proj.weight": gate, a + "mlp.up_proj.weight": up,
                    a + "mlp.down_proj.weight": w[b + "wdown"]}
            if m.get("mlp_bias"):
                gate, up = w[b + "bgu"].split(m["F"])
                out |= {a + "mlp.gate_proj.bias": gate, a + "mlp.up_proj.bias": up,
                        a + "mlp.down_proj.bias": w[b + "bdown"]}
        if m.get("o_bias"):
            out[a + "self_attn.o_proj.bias"] = w[b + "bo"]
        out |= {a + "self_attn.o_proj.weight": w[b + "wo"], a + "input_layernorm.weight": w[b + "norm1"],
                a + "post_attention_layernorm.weight": w[b + "norm2"]}
    return {k: v.detach() for k, v in out.items()}


def check_hf(name, m):
    import transformers as tf
    kind = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "qwen3moe": "Qwen3Moe"}[name]
    experts = {} if "E" not in m else dict(
        num_experts=m["E"], num_experts_per_tok=m["K"], moe_intermediate_size=m["Fe"],
        norm_topk_prob=bool(m["route_norm"]), mlp_only_layers=list(range(m["first_dense"])),
        experts_implementation="eager")
    config = getattr(tf, kind + "Config")(
        vocab_size=m["V"], hidden_size=m["C"], intermediate_size=m["F"], num_hidden_layers=m["L"],
        num_attention_heads=m["Hq"], num_key_value_heads=m["Hkv"], head_dim=m["D"], rms_norm_eps=m["norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": m["rope_theta"]}, max_position_embeddings=m["max_context"],
        tie_word_embeddings=bool(m["tied"]), attn_implementation="eager",
        **experts)
    model, w = getattr(tf, kind + "ForCausalLM")(config).double(), weights(m)
    model.load_state_dict(hf_state(m, w), strict=True)
    worst = 0
    with torch.no_grad():
        for part in batch(m)[0].split(LENGTHS):
            a, b = model(part[None]).logits[0], logits_of(m, w, part)
            worst = max(worst, (a - b).abs().max().item() / b.abs().max().item())
    print(f"{name}: largest relative difference from transformers {tf.__version__}: {worst:.2g}")
    # their softmax, norms and angles are float even in a double model
    assert worst < 1e-5


if __name__ == "__main__":
    for model_name, dims in MODELS.items():
        (check_hf if "--check-hf" in sys.argv else write)(model_name, dims)
