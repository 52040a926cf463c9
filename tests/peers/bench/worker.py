"""worker.py KIND JOB: one contender of a comparison, in a process of its own: makes its model, warms up, says "ready", and for
every line that it reads does the work once and answers with a line of JSON: seconds, processor seconds, and what it measured.

KIND: train, decode (transformers), llama (llama.cpp), grpo (TRL), start. JOB is JSON; see each function.
"""
import json
import os
import sys
import time


def serve(work, note="", turns=1):
    """Warms up with some turns."""
    for _ in range(turns):
        work()
    print(json.dumps(dict(ready=True, note=note)), flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        more = work() or {}
        seconds = time.perf_counter() - start
        print(json.dumps(dict(dict(seconds=seconds, processor=time.process_time() - used), **more)), flush=True)


def make_model(job, keep=True):
    import torch
    import transformers as tf
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    config = tf.AutoConfig.from_pretrained(job["shape"])
    config._attn_implementation = "sdpa"
    dtype = getattr(torch, job["dtype"])
    return torch, tf, tf.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")


def isa(torch):
    amx = ", AMX in oneDNN" if getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16") else ""
    return f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}{amx}"


def block_loss(torch, model, hidden, target, rows=1024):
    """Mean loss of all rows, and its gradient with regard to `hidden`, by blocks of rows: no logits of a whole sequence are kept."""
    h = hidden.detach().requires_grad_(True)
    flat, total = h.reshape(-1, h.shape[-1]), 0.0
    for i in range(0, flat.shape[0], rows):
        logits = model.lm_head(flat[i:i + rows]).float()
        loss = torch.nn.functional.cross_entropy(logits, target[i:i + rows], reduction="sum") / flat.shape[0]
        loss.backward(retain_graph=True)
        total += loss.item()
    hidden.backward(h.grad)
    return total


def train(job):
    """A training step: forward, backward, clipping, AdamW (fused), of `tokens` tokens in sequences of `sequence`, in micro-batches
    of `micro` tokens. compile: torch.compile; recompute: gradient checkpointing; blocks: the head by blocks of rows."""
    torch, _, model = make_model(job)
    model.train()
    if job.get("recompute"):
        model.gradient_checkpointing_enable(dict(use_reentrant=False))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = torch.compile(model) if job.get("compile") else model
    n = max(1, job["tokens"] // job["sequence"])
    each = max(1, job["micro"] // job["sequence"])
    ids = torch.randint(0, model.config.vocab_size, (n, job["sequence"] + 1))

    def work():
        total = 0.0
        for i in range(0, n, each):
            part = ids[i:i + each]
            if job.get("blocks"):
                hidden = run.model(part[:, :-1]).last_hidden_state
                total += block_loss(torch, model, hidden, part[:, 1:].reshape(-1)) * len(part) / n
            else:
                logits = run(part[:, :-1]).logits.float()
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].reshape(-1)) * len(part) / n
                loss.backward()
                total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
        return dict(tokens=n * job["sequence"], loss=total)

    serve(work, isa(torch), turns=2 if job["tokens"] < 8192 else 1)  # the second still takes up to half as long again


def decode(job):
    """transformers generate: `batch` prompts of `prompt` tokens, `answer` tokens each, sampled at temperature 1."""
    torch, tf, model = make_model(job)
    model.eval()
    ids = torch.randint(1, model.config.vocab_size, (job["batch"], job["prompt"]))
    how = tf.GenerationConfig(max_new_tokens=job["answer"], min_new_tokens=job["answer"], do_sample=True, top_k=0, pad_token_id=0)

    def work():
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=how)
        return dict(tokens=job["batch"] * (out.shape[1] - job["prompt"]))

    serve(work, isa(torch))


def llama(job):
    """llama.cpp: the same prompts as one batch, then one row a sequence and step; the token is the likeliest."""
    import ctypes
    import llama_cpp as L
    import numpy as np
    quiet = L.llama_log_callback(lambda level, text, data: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    mp = L.llama_model_default_params()
    mp.use_extra_bufts = False  # no use to BF16 and F32; with rows of 576 its repacked Q8_0 for AMX crashes (0.3.36)
    model = L.llama_model_load_from_file(job["gguf"].encode(), mp)
    batch_size, prompt, answer = job["batch"], job["prompt"], job["answer"]
    cp = L.llama_context_default_params()
    cp.n_ctx, cp.n_seq_max = batch_size * max(256, (prompt + answer + 255) // 256 * 256), batch_size
    cp.n_batch = cp.n_ubatch = max(512, batch_size * prompt)
    cp.n_threads = cp.n_threads_batch = job["threads"]
    if hasattr(cp, "kv_unified"):
        cp.kv_unified = False
    context = L.llama_init_from_model(model, cp)
    if not context:
        sys.exit("llama.cpp made no context")
    vocabulary = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    tokens = np.random.default_rng(2).integers(1, vocabulary, (batch_size, prompt))
    rows = L.llama_batch_init(batch_size * prompt, 0, 1)

    def fill(i, token, position, sequence, logits):
        rows.token[i], rows.pos[i], rows.n_seq_id[i], rows.seq_id[i][0], rows.logits[i] = token, position, 1, sequence, logits

    def call():
        if L.llama_decode(context, rows):
            sys.exit("llama_decode failed")

    def next_tokens():
        logits = [np.ctypeslib.as_array(L.llama_get_logits_ith(context, i), (vocabulary,)) for i in outputs]
        return [int(z.argmax()) for z in logits]

    outputs = []

    def work():
        L.llama_memory_clear(L.llama_get_memory(context), True)
        rows.n_tokens = batch_size * prompt
        for s in range(batch_size):
            for t in range(prompt):
                fill(s * prompt + t, int(tokens[s, t]), t, s, t == prompt - 1)
        outputs[:] = [s * prompt + prompt - 1 for s in range(batch_size)]
        call()
        last = next_tokens()
        outputs[:] = range(batch_size)
        for t in range(answer - 1):
            rows.n_tokens = batch_size
            for s in range(batch_size):
                fill(s, last[s], prompt + t, s, True)
            call()
            last = next_tokens()
        return dict(tokens=batch_size * answer)

    info = L.llama_print_system_info().decode()
    sets = [w for w in ("AVX2", "F16C", "FMA", "AVX512", "AVX512_BF16", "AMX_INT8", "REPACK") if f"{w} = 1" in info]
    serve(work, f"llama-cpp-python {L.__version__}, {' '.join(sets)}")


def grpo(job):
    """A step of TRL's GRPO: `prompts` prompts, `samples` answers of `answer` tokens to each, sampled and learned from."""
    import warnings
    warnings.filterwarnings("ignore")
    import tempfile
    torch, tf, model = make_model(job)
    import trl
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    V = model.config.vocab_size
    t = Tokenizer(models.WordLevel({f"t{i}": i for i in range(V)}, unk_token="t1"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="t0", eos_token="t0", unk_token="t1", padding_side="left")
    ids = torch.randint(1, V, (job["prompts"], job["prompt"])).tolist()
    data = Dataset.from_dict(dict(prompt=[" ".join(f"t{i}" for i in p) for p in ids]))
    saved = tempfile.mkdtemp()  # TRL reads the reference from where the model came from
    model.save_pretrained(saved)
    model.config._name_or_path = saved
    note = f"TRL {trl.__version__}, {isa(torch)}"

    class Turns(tf.TrainerCallback):
        """A step is a reading; the first warms up. Between steps it waits for its turn."""

        def __init__(self):
            self.first, self.out = True, os.fdopen(os.dup(1), "w")

        def on_step_end(self, *_, **__):
            reading = dict(seconds=time.perf_counter() - self.start[0] if not self.first else 0,
                           processor=time.process_time() - self.start[1] if not self.first else 0, tokens=answers * job["answer"])
            print(json.dumps(dict(ready=True, note=note) if self.first else reading), file=self.out, flush=True)
            self.first = False
            if not sys.stdin.readline():
                os._exit(0)
            self.start = time.perf_counter(), time.process_time()

    answers = job["prompts"] * job["samples"]
    how = trl.GRPOConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=min(answers, job["micro_answers"]),
                         gradient_accumulation_steps=max(1, answers // job["micro_answers"]), num_generations=job["samples"],
                         max_completion_length=job["answer"], max_steps=1000, beta=0.001, learning_rate=1e-6, logging_steps=1,
                         save_strategy="no", report_to=[], use_cpu=True, bf16=job["dtype"] == "bfloat16", fp16=False,
                         gradient_checkpointing=False, shuffle_dataset=False, disable_tqdm=True,
                         generation_kwargs=dict(min_new_tokens=job["answer"]))
    reward = lambda completions, **_: [float(len(c) % 2) for c in completions]
    trainer = trl.GRPOTrainer(model=model, reward_funcs=reward, args=how, train_dataset=data, processing_class=tokenizer,
                              callbacks=[Turns()])
    os.dup2(2, 1)  # what TRL prints is not for the caller
    trainer.train()


def start(job):
    """From the start of the process (born, by the caller's clock) to the end of the first step."""
    torch, _, model = make_model(job)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    made = time.time() - job["born"]
    ids = torch.randint(0, model.config.vocab_size, (1, job["sequence"] + 1))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).logits.float().flatten(0, 1), ids[0, 1:])
    loss.backward()
    adam.step()
    print(json.dumps(dict(ready=True, note=isa(torch))), flush=True)
    print(json.dumps(dict(seconds=time.time() - job["born"], made=made, processor=time.process_time())), flush=True)


def main():
    kinds = dict(train=train, decode=decode, llama=llama, grpo=grpo, start=start)
    if len(sys.argv) != 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    kinds[sys.argv[1]](json.loads(sys.argv[2]))


main()
