#!/usr/bin/env python3
"""Policy losses and their gradients in double precision, from the papers' formulas, by automatic
differentiation: tests/golden/policy_losses.txt, which unit/learn/test_policy holds Duet to.

    policy_losses.py [--check] [OUT]

Needs torch. With trl there, too, every loss that it has is held to its own GRPOTrainer on the same
numbers before anything is written; --check compares with what is in OUT and writes nothing.
"""
import math
import random
import sys
import types

import torch

torch.set_default_dtype(torch.float64)
CLIP = {"clip": (0.2, 0.28), "gspo": (3e-2, 4e-2), "cispo": (1, 4), "gmpo": (1 - math.exp(-0.4), math.exp(0.4) - 1),
        "sapo": (0.2, 0.2), "vespo": (0.2, 0.2), "dppo": (0.15, 0.2), "window": (0.2, 0.28)}
GATE = (1.0, 1.05)
VESPO = ((2.0, 3.0), (3.0, 2.0))


def f32(x):
    """The nearest float: Duet's inputs are floats."""
    return torch.tensor(x, dtype=torch.float32).double().tolist()


def answers(kind, rng):
    """(advantage, weight, logp, old, ref) of answers, degenerate ones included."""
    spread = {"near": 0.1, "far": 1.5, "same": 0.0, "extreme": 30.0}[kind]
    out = []
    for length in (1, 3, 9):
        for advantage in (1.3, -0.7, 0.0):
            old = [-abs(rng.gauss(1, 1)) - 1e-3 for _ in range(length)]
            logp = [min(o + rng.gauss(0, 1) * spread, -1e-4) for o in old]
            ref = [l + rng.gauss(0, 0.3) for l in logp]
            out.append((f32(advantage), f32(1 / (7 * length)), f32(logp), f32(old), f32(ref)))
    return out


def kl(estimator, logp, ref, ratio):
    d = ref - logp
    k3 = torch.exp(d) - d - 1
    return {"k1": -d, "k2": d * d / 2, "k3": k3, "unbiased": ratio * k3}[estimator]


def objective(loss, o, logp, old, advantage):
    """J of every token of one answer; a detached factor is the papers' stop-gradient."""
    low, high = f32(CLIP[loss][0]), f32(CLIP[loss][1])
    log_ratio = logp - old
    r = torch.exp(log_ratio)
    A = torch.tensor(advantage)
    if loss in ("clip", "gspo"):
        if loss == "gspo":
            r = torch.exp(log_ratio.mean()).expand_as(logp)
        j = torch.minimum(r * A, torch.clamp(r, 1 - low, 1 + high) * A)
        return torch.maximum(j, o["dual_clip"] * A) if o["dual_clip"] and advantage < 0 else j
    if loss == "cispo":
        return torch.clamp(r, 1 - low, 1 + high).detach() * A * logp
    if loss == "gmpo":
        sign = 1 if advantage > 0 else -1
        bound = math.log1p(high) if advantage > 0 else -math.log1p(-low)
        return (torch.exp((sign * torch.clamp(sign * log_ratio, max=bound)).mean()) * A).expand_as(logp)
    if loss == "sapo":
        tau = f32(GATE[0] if advantage > 0 else GATE[1])
        return 4 / tau * torch.sigmoid(tau * (r - 1)) * A
    if loss == "vespo":
        k, lam = VESPO[0] if advantage >= 0 else VESPO[1]
        w = torch.clamp(torch.clamp(log_ratio, -20, 20).sum(), math.log(1e-8), 20)
        return torch.exp(k * w + lam * (1 - torch.exp(w))).detach() * A * logp
    if loss == "dppo":
        moved = torch.exp(logp) - torch.exp(old)
        keep = ~((moved > high) if advantage > 0 else (moved < -low))
        return torch.where(keep, r * A, torch.zeros_like(r))
    inside = torch.clamp(r, 1 - low, 1 + high)
    return inside * A


def answer(loss, o, a):
    """Loss of one answer and its gradient."""
    advantage, weight, logp, old, ref = a
    logp = torch.tensor(logp, requires_grad=True)
    old, ref = torch.tensor(old), torch.tensor(ref)
    j = objective(loss, o, logp, old, advantage)
    if o["mask"] and advantage < 0 and (old - logp).mean() > f32(o["mask"]):
        j = j * 0
    total = weight * (-j + f32(o["kl"]) * kl(o["estimator"], logp, ref, torch.exp(logp - old)) +
                      f32(o["penalty"]) * (logp - old) ** 2).sum()
    total.backward()
    return total.item(), logp.grad.tolist()


PLAIN = dict(dual_clip=0, kl=0.0, estimator="k3", penalty=0.0, mask=0.0)
CASES = [(loss, kind, PLAIN) for loss in CLIP for kind in ("same", "near", "far", "extreme")]
CASES += [("clip", "far", dict(PLAIN, dual_clip=3)), ("gspo", "far", dict(PLAIN, dual_clip=3))]
CASES += [("clip", "far", dict(PLAIN, kl=0.25, estimator=e)) for e in ("k1", "k2", "k3", "unbiased")]
CASES += [("window", "far", dict(PLAIN, penalty=0.125)), ("dppo", "near", dict(PLAIN, penalty=0.125))]
CASES += [(loss, "far", dict(PLAIN, mask=0.25)) for loss in CLIP]


# --- TRL ---

TRL = {"clip": ("grpo", "token"), "gspo": ("grpo", "sequence"), "cispo": ("cispo", "token"),
       "sapo": ("sapo", "token"), "vespo": ("vespo", "token")}


class Trl:
    """GRPOTrainer's own loss, of numbers in place of a model."""

    def __init__(self, cls, loss, o):
        kind, level = TRL[loss]
        self.args = types.SimpleNamespace(
            use_bias_correction_kl=o["estimator"] == "unbiased", loss_type=kind, delta=o["dual_clip"] or None,
            sapo_temperature_pos=f32(GATE[0]), sapo_temperature_neg=f32(GATE[1]), vespo_k_pos=VESPO[0][0],
            vespo_lambda_pos=VESPO[0][1], vespo_k_neg=VESPO[1][0], vespo_lambda_neg=VESPO[1][1],
            steps_per_generation=1)
        self.loss_type, self.importance_sampling_level, self.beta = kind, level, f32(o["kl"])
        self.epsilon_low = f32(CLIP[loss][0])
        self.epsilon_high = f32(CLIP[loss][1]) + (1 if loss == "cispo" else 0)
        self.off_policy_mask_threshold = f32(o["mask"]) if o["mask"] else None
        self.model = types.SimpleNamespace(training=False)
        self.top_entropy_quantile, self.aux_loss_enabled, self.use_vllm = 1.0, False, False
        self.current_gradient_accumulation_steps, self._entropy_bonus_enabled = 1, False
        self.accelerator = types.SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, **_: x)
        self._metrics = {"eval": __import__("collections").defaultdict(list)}
        self.cls = cls
        self.get_gamma_weights, self.get_off_policy_mask = cls.get_gamma_weights, cls.get_off_policy_mask

    def _get_per_token_logps_and_entropies(self, *_, **__):
        return self.logp, torch.zeros_like(self.logp), None

    def loss(self, a):
        """Of one answer whose weight is 1/n a token: the mean over its tokens."""
        advantage, _, logp, old, ref = a
        n = len(logp)
        self.logp = torch.tensor([logp], requires_grad=True)
        ids = torch.zeros((1, n), dtype=torch.long)
        total = self.cls._compute_loss(self, None, dict(
            prompt_ids=ids, prompt_mask=ids + 1, completion_ids=ids, completion_mask=ids + 1,
            advantages=torch.tensor([advantage]), old_per_token_logps=torch.tensor([old]),
            ref_per_token_logps=torch.tensor([ref]), num_items_in_batch=torch.tensor(n)))
        total.backward()
        return total.item(), self.logp.grad[0].tolist()


def against_trl(cases):
    """How many answers were compared; ends with what differs."""
    try:
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError:
        print("policy_losses: no trl: not compared with it", file=sys.stderr)
        return 0
    n = 0
    for loss, kind, o, batch in cases:
        if loss not in TRL or o["estimator"] in ("k1", "k2") or o["penalty"]:
            continue
        trl = Trl(GRPOTrainer, loss, o)
        for a in batch:
            a = (a[0], 1 / len(a[2]), *a[2:])
            ours, theirs = answer(loss, o, a), trl.loss(a)
            for x, y in zip([ours[0], *ours[1]], [theirs[0], *theirs[1]]):
                if not (abs(x - y) <= 1e-9 * (1 + abs(x)) or x == y):
                    sys.exit(f"policy_losses: TRL differs: {loss} {kind} {o} {a}: {ours} {theirs}")
            n += 1
    return n


# --- the file ---

def numbers(x):
    return " ".join(f"{v:.12g}" for v in x)


def main():
    check = "--check" in sys.argv
    out = ([a for a in sys.argv[1:] if a != "--check"] or ["tests/golden/policy_losses.txt"])[0]
    cases = [(loss, kind, o, answers(kind, random.Random(f"{loss} {kind}"))) for loss, kind, o in CASES]
    print(f"policy_losses: {against_trl(cases)} answers compared with TRL")
    text = "# made by tests/oracle/policy_losses.py: case LOSS low high dual kl estimator penalty mask answers;\n"
    text += "# answer n advantage weight loss; then its logp, old, ref, gradient\n"
    for loss, _, o, batch in cases:
        text += f"case {loss} {CLIP[loss][0]:.17g} {CLIP[loss][1]:.17g} {o['dual_clip']} {o['kl']} {o['estimator']} "
        text += f"{o['penalty']} {o['mask']} {len(batch)}\n"
        for a in batch:
            total, gradient = answer(loss, o, a)
            text += f"answer {len(a[2])} {a[0]:.12g} {a[1]:.12g} {total:.12g}\n"
            text += "\n".join(numbers(x) for x in (a[2], a[3], a[4], gradient)) + "\n"
    if check:
        sys.exit(0 if open(out).read() == text else f"policy_losses: {out} differs")
    open(out, "w").write(text)


main()
