"""test_families.py DUET MODELS [FAMILY...]: small random models of every family by `duet score` against transformers.

The configurations of tests/oracle/families.py but the long ones (their golden values are checked by unit/model/test_families,
as are logits and greedy tokens of all): PEERS_DRAWS (3) times other weights in bf16, with four texts of 200 tokens each.
Log-probabilities in fp32 within 2e-5 of the largest logit of the model in double precision; in bf16 the error against it is
no larger than transformers', mean of eager attention and sdpa. Two measures of a configuration's error: the median, and the
root mean square of the better half, since a row that goes to other experts, where two are nearly equal, is off by anything,
here or there. And the root mean square of all rows, over each family.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from duet import Duet, fail, scratch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle"))
import families  # noqa: E402

DRAWS = int(os.environ.get("PEERS_DRAWS", 3))
TEXTS, TOKENS = 4, 200


def tokenizer_json(size):
    """A token a character; the texts here are ids."""
    words = ["<end>"] + [chr(0x21 + i) for i in range(size - 1)]
    end = dict(id=0, content="<end>", single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    split = dict(type="Split", pattern=dict(Regex="[\\s\\S]"), behavior="Isolated", invert=False)
    return dict(version="1.0", truncation=None, padding=None, added_tokens=[end], normalizer=None, pre_tokenizer=split,
                post_processor=None, decoder=dict(type="Fuse"),
                model=dict(type="WordLevel", vocab={w: i for i, w in enumerate(words)}, unk_token="<end>"))


def texts(m, salt):
    first = np.arange(TEXTS * TOKENS, dtype=np.uint64) + np.uint64((salt + 1) << 32)
    return (families.splitmix64(first) % np.uint64(m["V"])).astype(int).reshape(TEXTS, TOKENS).tolist()


def scored(model, ids):
    """Log-probabilities of the tokens behind the first, all texts in one list; the largest logit."""
    with torch.no_grad():
        logits = model(torch.tensor(ids)).logits.double()
    logp = torch.log_softmax(logits, -1)[:, :-1].gather(2, torch.tensor(ids)[:, 1:, None])
    return logp.flatten().numpy(), float(logits.abs().max())


def errors(duet, kind, m, salt):
    """Of Duet in fp32, relative to the largest logit; in bf16 of Duet, of transformers (eager, sdpa)."""
    ids = texts(m, salt)
    right, scale = scored(families.build(kind, m, salt, torch.float64), ids)
    with scratch() as folder:
        families.build(kind, m, salt, torch.bfloat16).save_pretrained(folder)
        (Path(folder) / "tokenizer.json").write_text(json.dumps(tokenizer_json(m["V"])))
        ours = [np.concatenate(duet.score(folder, [(t[:1], t[1:]) for t in ids], f"precision={p}", f"model.max_context={TOKENS}",
                                          f"data.micro_batch_tokens={TOKENS}")) - right for p in ("fp32", "bf16")]
    theirs = [scored(families.build(kind, m, salt, torch.bfloat16, a), ids)[0] - right for a in ("eager", "sdpa")]
    return np.abs(ours[0]).max() / scale, np.abs(ours[1]), np.abs(np.concatenate(theirs))


def half(error):
    return np.sqrt(np.square(np.sort(error)[: len(error) // 2]).mean())


def check(duet, family, name, kind, m):
    """Errors in bf16, ours and theirs."""
    draws = [errors(duet, kind, m, 1000 + i) for i in range(DRAWS)]
    exact, ours, theirs = max(d[0] for d in draws), np.concatenate([d[1] for d in draws]), np.concatenate([d[2] for d in draws])
    ratios = [f(ours) / f(theirs) for f in (np.median, half)]
    print(f"  {family} {name}: fp32 within {exact:.1e}; bf16 median {np.median(ours):.2e}, {ratios[0]:.2f} of theirs; better half "
          f"{ratios[1]:.2f}", flush=True)
    if exact > 2e-5 or max(ratios) > 1:
        fail(f"{family} {name}")
    return ours, theirs


def main():
    torch.set_num_threads(1)
    tf.logging.set_verbosity_error()
    tf.logging.disable_progress_bar()
    duet = Duet(sys.argv[1])
    for family in sys.argv[3:] or families.FAMILIES:
        kind, models = families.FAMILIES[family]
        errors_of = [check(duet, family, name, kind, families.BASE | changes) for name, changes in models.items()
                     if "prompt" not in changes]
        ours, theirs = (np.sqrt(np.square(np.concatenate(e)).mean()) for e in zip(*errors_of))
        if ours > theirs:
            fail(f"{family}: root mean square of bf16's error {ours:.3e}, theirs {theirs:.3e}")
        print(f"  ok    {family}: {len(errors_of)} configurations; bf16's error over all {ours / theirs:.2f} of theirs", flush=True)


main()
