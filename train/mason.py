#!/usr/bin/env python3
"""Trains models/mason.gguf: a small llama that answers normalised blocks with x86-64 fragments.

The pairs come from train/blocks.py, which has each one accepted by ashcc's verifier: JSON lines
{"question", "answer", "granularity"} in the spelling of src/lego/model_text.h. This file holds the model,
its training and the export, and needs nothing but PyTorch and numpy.

  mason.py train --pairs build/mason/train.jsonl --dir CKPT --minutes 60
  mason.py eval --pairs build/mason/test.jsonl --dir CKPT
  mason.py export --dir CKPT --out models/mason.gguf

Training goes on from CKPT/last.pt where there is one; --minutes is processor time, so that a busy machine
changes only how long it takes. On a machine with CUDA it runs there, unchanged; on a processor with AMX the
step is mason_step.c's where `make train` has built it (several times as fast), and PyTorch's otherwise. The
sizes of a new model are options; a checkpoint keeps its own, and options that differ from them are an error.
"""
import argparse
import collections
import json
import os
import random
import re
import time

import numpy as np
import torch

from gguf import GGUF, byte_letters, interleave
from mason_step import LIBRARY, Step
from muon import Optimizer

Sizes = collections.namedtuple("Sizes", "dim layers heads kv_heads ff", defaults=(128, 6, 4, 1, 352))
HEAD_DIM = 32
EPS = 1e-5
ROPE_BASE = 10000.0
CONTEXT = 2048
WORD = re.compile(r"\n|[^A-Za-z\n][A-Za-z]+")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def words_of(text):
    """The words of a question or an answer; None when something is no word."""
    words = WORD.findall(text)
    return words if sum(map(len, words)) == len(text) else None


class Vocabulary:
    """Tokens: the 256 bytes, the words, two spaces (for the merge list), bos, eos."""

    def __init__(self, words):
        self.words = [w for w in words if len(w) > 1]
        self.tokens = [bytes([b]) for b in range(256)] + [w.encode() for w in self.words] + [b"  "]
        self.of = {w: 256 + i for i, w in enumerate(self.words)}
        self.of["\n"] = 10
        self.bos, self.eos = len(self.tokens), len(self.tokens) + 1
        self.size = len(self.tokens) + 2

    @staticmethod
    def of_pairs(pairs):
        """Every word of the pairs, and every operand that the language has (MAX_OPERANDS in src/lego/model_text.c)."""
        letters = [chr(97 + n % 26) if n < 26 else "a" + chr(97 + n % 26) for n in range(40)]
        words = {sign + name for sign in "@&$>^#!" for name in letters}
        return Vocabulary(sorted(words.union(*(q + a for q, a, _ in pairs))))

    def ids(self, question, answer):
        """(tokens, length of the question with bos); None when a word is unknown."""
        try:
            return ([self.bos] + [self.of[w] for w in question] + [self.of[w] for w in answer]
                    + [self.eos], 1 + len(question))
        except KeyError:
            return None


def read_pairs(path, longest, seen=None):
    """Pairs (question words, answer words, granularity), each once; none whose question is in `seen`, which grows."""
    pairs, seen = [], set() if seen is None else seen
    with open(path) as f:
        for line in f:
            item = json.loads(line)
            if item["question"] in seen:
                continue
            seen.add(item["question"])
            q, a = words_of(item["question"]), words_of(item["answer"])
            if q and a is not None and len(q) + len(a) + 2 <= longest:
                pairs.append((q, a, item.get("granularity", "")))
    return pairs


def read_training(args):
    """The pairs of all files, each as often as its file and its granularity say; the held-out ones are left out."""
    held = read_pairs(args.held, args.longest) if args.held else []
    pairs, seen = [], {"".join(q) for q, _, _ in held}
    for name in args.pairs.split(","):
        path, _, times = name.partition("*")
        for pair in read_pairs(path, args.longest, seen):
            pairs += [pair] * (int(times or 1) * (args.operations if pair[2] == "operation" else 1))
    return pairs, held


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * gain


def rotate(x, cos, sin):
    """RoPE on (B, heads, T, HEAD_DIM) in halves; the export orders the rows in pairs."""
    a, b = x[..., :HEAD_DIM // 2], x[..., HEAD_DIM // 2:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Model:
    """Weights are stacked by shape, as the optimizer wants them; products are x @ w."""

    def __init__(self, vocab_size, seed, sizes=Sizes()):
        torch.manual_seed(seed)
        self.sizes = sizes
        dim, layers, ff = sizes.dim, sizes.layers, sizes.ff
        scale = dim ** -0.5
        q, kv = sizes.heads * HEAD_DIM, sizes.kv_heads * HEAD_DIM
        self.weights = {
            "embed": torch.randn(vocab_size, dim) * 0.5 * scale,
            "head": torch.randn(vocab_size, dim) * 0.1 * scale,
            "gains": torch.ones(2 * layers + 1, dim),
            "q": torch.randn(layers, dim, q) * scale,
            "kv": torch.randn(2 * layers, dim, kv) * scale,
            "out": torch.randn(layers, dim, q) * 0.1 * scale,   # transposed
            "ff": torch.randn(3 * layers, dim, ff) * scale,     # gate, up; down transposed
        }
        self.weights["ff"][2 * layers:] *= 0.1
        for name, w in self.weights.items():
            self.weights[name] = w.to(DEVICE).requires_grad_(True)
        place = torch.arange(CONTEXT, dtype=torch.float64)[:, None]
        turn = ROPE_BASE ** (-torch.arange(HEAD_DIM // 2, dtype=torch.float64) * 2 / HEAD_DIM)
        self.cos = (place * turn).cos().float().to(DEVICE)
        self.sin = (place * turn).sin().float().to(DEVICE)

    def attention(self, x, layer, mask, past):
        """x (B, T, DIM) normalised -> (B, T, DIM). past: None, or the layer's keys and values so far."""
        w, (b, t) = self.layers, x.shape[:2]
        heads, kv_heads = self.sizes.heads, self.sizes.kv_heads
        start = past[0].shape[2] if past and past[0] is not None else 0
        cos, sin = self.cos[start:start + t], self.sin[start:start + t]
        q = rotate((x @ w["q"][layer]).view(b, t, heads, HEAD_DIM).transpose(1, 2), cos, sin)
        k = rotate((x @ w["kv"][layer]).view(b, t, kv_heads, HEAD_DIM).transpose(1, 2), cos, sin)
        v = (x @ w["kv"][self.sizes.layers + layer]).view(b, t, kv_heads, HEAD_DIM).transpose(1, 2)
        if past is not None:
            if past[0] is not None:
                k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
            past[0], past[1] = k, v
        # A head of keys serves several: their queries are rows of one product.
        rows = q.reshape(b, kv_heads, -1, HEAD_DIM)
        s = (rows @ k.transpose(2, 3)).view(b, heads, t, -1) * HEAD_DIM ** -0.5
        if mask is not None:
            s = s + mask
        y = (s.softmax(-1).view(b, kv_heads, rows.shape[2], -1) @ v).view(b, heads, t, HEAD_DIM)
        return y.transpose(1, 2).reshape(b, t, heads * HEAD_DIM) @ w["out"][layer].t()

    def forward(self, tokens, past=None):
        """Hidden states (B, T, DIM) after the last norm."""
        self.layers = w = {n: x.unbind(0) if x.dim() == 3 else x for n, x in self.weights.items()}
        t, layers = tokens.shape[1], self.sizes.layers
        mask = None
        if t > 1:
            mask = torch.full((t, t), -1e9, device=DEVICE).triu(1)
        x = w["embed"][tokens]
        for n in range(layers):
            x = x + self.attention(norm(x, w["gains"][n]), n, mask, past and past[n])
            y = norm(x, w["gains"][layers + n])
            y = torch.nn.functional.silu(y @ w["ff"][n]) * (y @ w["ff"][layers + n])
            x = x + y @ w["ff"][2 * layers + n].t()
        return norm(x, w["gains"][2 * layers])

    def logits(self, hidden):
        return hidden @ self.weights["head"].t()


def sizes_of(args, saved, path):
    """The checkpoint's sizes, or of a new model (saved: None) those asked for. A checkpoint cannot change its own:
    SystemExit where an option says otherwise."""
    asked = {name: getattr(args, name) for name in Sizes._fields if getattr(args, name) is not None}
    if not saved:
        return Sizes(**asked)
    other = [f"--{name.replace('_', '-')} {value}, not {getattr(saved, name)}" for name, value in asked.items()
             if value != getattr(saved, name)]
    if other:
        raise SystemExit(f"mason.py: {path}: a model of other sizes: {'; '.join(other)}. "
                         "Leave the options out, or give another --dir")
    return saved


class Run:
    """What a checkpoint holds: vocabulary, weights, optimizer, and the history for the card."""

    def __init__(self, args, pairs=None):
        """Raises SystemExit where there is nothing to go on from, or only a model of other sizes."""
        self.path = os.path.join(args.dir, "last.pt")
        saved = torch.load(self.path, map_location=DEVICE) if os.path.exists(self.path) else None
        if not saved and not pairs:
            raise SystemExit(f"mason.py: {self.path}: no checkpoint")
        self.vocabulary = Vocabulary(saved["words"]) if saved else Vocabulary.of_pairs(pairs)
        # Checkpoints of before the sizes were options have none.
        self.sizes = sizes_of(args, Sizes(**saved.get("sizes", {})) if saved else None, self.path)
        self.model = Model(self.vocabulary.size, args.seed, self.sizes)
        self.optimizer = Optimizer(self.model.weights)
        self.history = {"steps": 0, "tokens": 0, "minutes": 0.0}
        if saved:
            for name, w in saved["weights"].items():
                self.model.weights[name].data.copy_(w)
                self.optimizer.state[name] = saved["state"][name]
            self.optimizer.steps = saved["optimizer_steps"]
            self.history = saved["history"]
            print("goes on from", self.path, self.history, flush=True)

    def save(self):
        torch.save({"words": self.vocabulary.words, "sizes": self.sizes._asdict(),
                    "weights": {n: w.detach() for n, w in self.model.weights.items()},
                    "state": self.optimizer.state, "optimizer_steps": self.optimizer.steps,
                    "history": self.history}, self.path + ".new")
        os.replace(self.path + ".new", self.path)


def batches(items, tokens_per_batch, rng):
    """Endless batches of pairs of like length, shuffled anew each time round."""
    while True:
        order = sorted(items, key=lambda item: len(item[0]) + rng.random() * 6)
        groups, group = [], []
        for item in order:
            if group and len(item[0]) * (len(group) + 1) > tokens_per_batch:
                groups.append(group)
                group = []
            group.append(item)
        groups.append(group)
        rng.shuffle(groups)
        yield from groups


def loss_of(model, group):
    """Mean loss over the answers' words."""
    longest = max(len(ids) for ids, _ in group)
    tokens = np.zeros((len(group), longest), dtype=np.int64)
    wanted = np.full((len(group), longest), -1, dtype=np.int64)
    for i, (ids, question) in enumerate(group):
        tokens[i, :len(ids)] = ids
        wanted[i, question - 1:len(ids) - 1] = ids[question:]
    wanted = torch.from_numpy(wanted.ravel()).to(DEVICE)
    asked = wanted >= 0
    hidden = model.forward(torch.from_numpy(tokens).to(DEVICE))
    return torch.nn.functional.cross_entropy(model.logits(hidden.flatten(0, 1)[asked]), wanted[asked])


def fast_step(args, run):
    """mason_step.c's step, or None where PyTorch does it."""
    library = Step.load(args.step) if DEVICE == "cpu" else None
    sizes = run.sizes
    if not library or sizes.dim % 32 or sizes.ff % 32:
        return None
    step = Step(library, run.model, sizes, run.vocabulary.size, CONTEXT, EPS, ROPE_BASE)
    run.optimizer.orthogonal = step.orthogonal
    return step


def learning_rate(done, cooldown, steps):
    """The factor of the learning rates: 100 warm-up steps, a straight fall at the end."""
    return min(1.0, (steps + 1) / 100) * max(0.02, min(1.0, (1 - done) / cooldown))


def train(args):
    pairs, held = read_training(args)
    run = Run(args, pairs)
    items, held = ([ids for q, a, _ in some for ids in [run.vocabulary.ids(q, a)] if ids] for some in (pairs, held))
    n_weights = sum(w.numel() for w in run.model.weights.values())
    step = fast_step(args, run)
    print(f"{len(items)} pairs of {len(pairs)}, {len(held)} held out, {run.vocabulary.size} tokens, "
          f"{n_weights} weights, on {DEVICE}{', mason_step' if step else ''}", flush=True)
    stream = batches(items, args.batch, random.Random(args.seed + run.history["steps"]))
    started, told, losses, told_tokens = time.process_time(), time.process_time(), [], 0
    before = run.history["minutes"]
    steps = 0
    while True:
        minutes = (time.process_time() - started) / 60
        if minutes >= args.minutes:
            break
        group = next(stream)
        rate = learning_rate(minutes / args.minutes, args.cooldown, steps)
        if step:
            loss = step.loss(group)
        else:
            loss = loss_of(run.model, group)
            loss.backward()
        run.optimizer.step(args.muon * rate, args.adam * rate)
        losses.append(float(loss))
        steps += 1
        tokens = sum(len(ids) for ids, _ in group)
        run.history["steps"] += 1
        run.history["tokens"] += tokens
        told_tokens += tokens
        run.history["minutes"] = before + minutes
        if time.process_time() - told > 60:
            print(f"{minutes:6.1f} min  steps {run.history['steps']}  loss {np.mean(losses):.4f}  rate {rate:.2f}  "
                  f"{told_tokens / (time.process_time() - told):.0f} tok/s", flush=True)
            losses, told, told_tokens = [], time.process_time(), 0
            run.save()
    run.save()
    if held:
        report(run, held[:args.count])


@torch.no_grad()
def answer(model, vocabulary, question, most=400):
    """The most likely answer's ids."""
    past = [[None, None] for _ in range(model.sizes.layers)]
    tokens = torch.tensor([question], device=DEVICE)
    out = []
    while len(out) < most:
        token = int(model.logits(model.forward(tokens, past)[:, -1]).argmax())
        if token == vocabulary.eos:
            break
        out.append(token)
        tokens = torch.tensor([[token]], device=DEVICE)
    return out


def report(run, items):
    """The share of answers that are the teacher's to the word. (Others may be right too.)"""
    right = sum(answer(run.model, run.vocabulary, ids[:n]) == ids[n:-1] for ids, n in items)
    print(f"exact {right} of {len(items)} ({100 * right / max(1, len(items)):.1f} %)", flush=True)


def evaluate(args):
    run = Run(args)
    pairs = read_pairs(args.pairs, args.longest)
    for granularity in sorted({g for _, _, g in pairs}):
        items = [run.vocabulary.ids(q, a) for q, a, g in pairs if g == granularity]
        known = [ids for ids in items if ids]
        print(granularity or "all", f"{len(items) - len(known)} with unknown words;", end=" ")
        report(run, known[:args.count])


def add_metadata(g, v, sizes):
    for key, value in (("architecture", "llama"), ("name", "Ashlar mason"), ("license", "mit"),
                       ("description", "Translates normalised C blocks to x86-64 assembly")):
        g.add("general." + key, g.STRING, value)
    g.add("general.file_type", g.U32, 1)
    g.add("general.alignment", g.U32, g.ALIGN)
    for key, value in (("block_count", sizes.layers), ("context_length", CONTEXT),
                       ("embedding_length", sizes.dim), ("feed_forward_length", sizes.ff),
                       ("attention.head_count", sizes.heads), ("attention.head_count_kv", sizes.kv_heads),
                       ("attention.key_length", HEAD_DIM), ("attention.value_length", HEAD_DIM),
                       ("rope.dimension_count", HEAD_DIM), ("vocab_size", v.size)):
        g.add("llama." + key, g.U32, value)
    g.add("llama.rope.freq_base", g.F32, ROPE_BASE)
    g.add("llama.attention.layer_norm_rms_epsilon", g.F32, EPS)
    letters = byte_letters()
    spelled = ["".join(letters[b] for b in token) for token in v.tokens]
    g.add("tokenizer.ggml.model", g.STRING, "gpt2")
    g.add("tokenizer.ggml.pre", g.STRING, "llama-bpe")
    g.add_array("tokenizer.ggml.tokens", g.STRING, spelled + ["<bos>", "<eos>"])
    g.add_array("tokenizer.ggml.token_type", g.I32, [1] * len(spelled) + [3, 3])
    # Words are taken whole, so no merge is needed; readers of the format want a list all the same.
    g.add_array("tokenizer.ggml.merges", g.STRING, [letters[32] + " " + letters[32]])
    g.add("tokenizer.ggml.bos_token_id", g.U32, v.bos)
    g.add("tokenizer.ggml.eos_token_id", g.U32, v.eos)
    g.add("tokenizer.ggml.add_bos_token", g.BOOL, True)
    g.add("tokenizer.ggml.add_eos_token", g.BOOL, False)


def export(args):
    run = Run(args)
    w = {n: t.detach().cpu() for n, t in run.model.weights.items()}
    if args.other:
        other = torch.load(os.path.join(args.other, "last.pt"), map_location="cpu")["weights"]
        w = {n: t * (1 - args.share) + other[n] * args.share for n, t in w.items()}
    w = {n: t.numpy() for n, t in w.items()}
    layers, heads, kv_heads = run.sizes.layers, run.sizes.heads, run.sizes.kv_heads
    g = GGUF()
    add_metadata(g, run.vocabulary, run.sizes)
    g.add_tensor("token_embd.weight", w["embed"])
    g.add_tensor("output.weight", w["head"])
    for n in range(layers):
        blk = f"blk.{n}."
        g.add_tensor(blk + "attn_norm.weight", w["gains"][n])
        g.add_tensor(blk + "attn_q.weight", interleave(w["q"][n].T, heads, HEAD_DIM))
        g.add_tensor(blk + "attn_k.weight", interleave(w["kv"][n].T, kv_heads, HEAD_DIM))
        g.add_tensor(blk + "attn_v.weight", w["kv"][layers + n].T)
        g.add_tensor(blk + "attn_output.weight", w["out"][n])
        g.add_tensor(blk + "ffn_norm.weight", w["gains"][layers + n])
        g.add_tensor(blk + "ffn_gate.weight", w["ff"][n].T)
        g.add_tensor(blk + "ffn_up.weight", w["ff"][layers + n].T)
        g.add_tensor(blk + "ffn_down.weight", w["ff"][2 * layers + n])
    g.add_tensor("output_norm.weight", w["gains"][2 * layers])
    g.write(args.out)
    print(args.out, os.path.getsize(args.out), "bytes,", sum(a.size for a in w.values()), "weights,",
          run.history)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("verb", choices=("train", "eval", "export"))
    p.add_argument("--pairs", default="build/mason/train.jsonl",
                   help="FILE[*N][,FILE...]: each pair N times; train only, eval takes one file")
    p.add_argument("--held", help="pairs to score when training ends")
    p.add_argument("--dir", default="build/mason", help="folder of the checkpoint")
    p.add_argument("--minutes", type=float, default=60, help="of processor time")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--batch", type=int, default=4096, help="tokens per step, padding included")
    for name, value in Sizes()._asdict().items():
        p.add_argument("--" + name.replace("_", "-"), type=int, help=f"of a new model ({value})")
    p.add_argument("--step", default=LIBRARY, help="libmason_step.so; '' for PyTorch's step")
    p.add_argument("--longest", type=int, default=512, help="tokens of a pair; longer ones are left out")
    p.add_argument("--operations", type=int, default=1, help="times that an operation's pair is shown")
    p.add_argument("--muon", type=float, default=0.012)
    p.add_argument("--adam", type=float, default=0.002)
    p.add_argument("--cooldown", type=float, default=0.4)
    p.add_argument("--count", type=int, default=500, help="pairs scored")
    p.add_argument("--other", help="export: folder of a later or earlier checkpoint of the same run, to average with")
    p.add_argument("--share", type=float, default=0.5, help="the other's share in the average")
    p.add_argument("--out", default="models/mason.gguf")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    os.makedirs(args.dir, exist_ok=True)
    {"train": train, "eval": evaluate, "export": export}[args.verb](args)


if __name__ == "__main__":
    main()
