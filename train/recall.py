#!/usr/bin/env python3
"""Trains models/recall.gguf: a llama of about a million weights that reads records and answers.

The records come from tools/mkrecords (the same generator as `ashlar eval recall`); this file holds
the model, its training and the GGUF writer, and needs nothing but PyTorch and numpy.

  recall.py train --mkrecords build/tools/mkrecords --dir CKPT --stages 72:1,128:2,256:1.5
  recall.py eval --dir CKPT --lengths 512,2048
  recall.py export --dir CKPT --out models/recall.gguf

A stage is LENGTH:MINUTES of processor time, so that a busy machine changes only how long it takes.
Training goes on from CKPT/last.pt where there is one.
"""
import argparse
import json
import math
import os
import random
import subprocess
import time

import numpy as np
import torch

from gguf import GGUF, byte_letters, interleave
from muon import Optimizer

DIM, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FF = 128, 4, 4, 2, 64, 352
EPS = 1e-5
# Half of a head's pairs turn by less than a tenth of a radian in a thousand tokens, so they can
# match words at any distance; the fast pairs point to the word before.
ROPE_BASE = 1e8
GROUP = HEADS // KV_HEADS
LENGTHS = (72, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)  # of mixed-in records
BLOCK, KEYS = 128, 512  # queries and keys that attention handles at a time


class Vocabulary:
    """Tokens: the 256 bytes, the generator's words, two spaces (for the merge list), bos, eos."""

    def __init__(self, mkrecords):
        out = subprocess.run([mkrecords, "--vocab"], stdout=subprocess.PIPE, check=True).stdout
        words = [json.loads(line) for line in out.decode().splitlines()]
        self.tokens = [bytes([b]) for b in range(256)]
        self.of_word = np.zeros(len(words), dtype=np.int64)
        for i, word in enumerate(words):
            text = word.encode()
            if len(text) == 1:
                self.of_word[i] = text[0]
            else:
                self.of_word[i] = len(self.tokens)
                self.tokens.append(text)
        self.tokens.append(b"  ")
        self.bos, self.eos = len(self.tokens), len(self.tokens) + 1
        self.size = len(self.tokens) + 2
        self.line_end = int(self.of_word[words.index(".\n")])


class Records:
    """A stream of records of one length from mkrecords, as (tokens, marks)."""

    def __init__(self, mkrecords, vocabulary, length, questions, tasks, seed, side="train"):
        command = [mkrecords, "--ids", "--tokens", str(length - 1), "--questions", str(questions),
                   "--tasks", tasks, "--seed", str(seed), "--side", side, "--count", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.vocabulary, self.length = vocabulary, length

    def draw(self, count):
        """tokens (count, length) and labels (count, length), -1 where nothing is asked."""
        n, v = self.length - 1, self.vocabulary
        raw = self.process.stdout.read(3 * n * count)
        raw = np.frombuffer(raw, dtype=np.uint8).reshape(count, 3 * n)
        words = np.ascontiguousarray(raw[:, :2 * n]).view(np.uint16).astype(np.int64)
        marks = np.zeros((count, self.length), dtype=np.uint8)
        marks[:, 1:] = raw[:, 2 * n:]
        tokens = np.full((count, self.length), v.bos, dtype=np.int64)
        tokens[:, 1:] = v.of_word[words]
        tokens[marks == 3] = v.eos
        labels = np.full((count, self.length), -1, dtype=np.int64)
        answer = (marks[:, 1:] == 1) | (marks[:, 1:] == 2)
        labels[:, :-1][answer] = tokens[:, 1:][answer]
        labels[marks == 2] = v.eos
        return tokens, labels

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def positions(tokens, labels, line_end, furthest, rng):
    """Positions with gaps between lines: short records then teach far distances."""
    count, length = tokens.shape
    out = np.tile(np.arange(length, dtype=np.int64), (count, 1))
    for row in range(count):
        spare = furthest - length
        if spare <= 0 or rng.random() < 0.4:
            continue
        first = np.flatnonzero(labels[row] >= 0)
        ends = np.flatnonzero(tokens[row][:first[0] if len(first) else length] == line_end)
        if len(ends) == 0:
            continue
        total = int(rng.random() ** 2 * spare)  # all distances, the near ones more often
        chosen = rng.sample(list(ends), min(len(ends), rng.randint(1, 6)))
        cuts = sorted(rng.randint(0, total) for _ in range(len(chosen) - 1))
        sizes = np.diff([0] + cuts + [total])
        for at, size in zip(chosen, sizes):
            out[row, at + 1:] += int(size)
    return out


# ---- the model ----

SCRATCH = {}


def scratch(name, shape):
    """A view of a buffer that stays: fresh pages cost more than the arithmetic on them."""
    need = math.prod(shape)
    if name not in SCRATCH or SCRATCH[name].numel() < need:
        SCRATCH[name] = torch.empty(need)
    return SCRATCH[name][:need].view(shape)


class Attention(torch.autograd.Function):
    """Causal attention by tiles of queries and keys that stay in the processor's cache.

    q (N, GROUP, R, HEAD_DIM) for the positions `rows` (N, R), rising, or all when it is None;
    k and v (N, T, HEAD_DIM); N is batch times KV heads.  Keeps the logarithm of each row's sum and
    computes the scores again on the way back.
    """

    @staticmethod
    def tiles(q, rows, length):
        """Tiles (first query, end, first key, end) in the order of the queries, then the keys."""
        for start in range(0, q.shape[2], BLOCK):
            stop = min(start + BLOCK, q.shape[2])
            end = stop if rows is None else int(rows[:, start:stop].max()) + 1
            yield start, stop, [(at, min(at + KEYS, end)) for at in range(0, end, KEYS)]

    @staticmethod
    def scores(block, k, rows, start, stop, at, end):
        """Scores (N, GROUP * queries, keys) of one tile, in a buffer that the next one reuses."""
        n = block.shape[0]
        s = scratch("s", (n, block.shape[1], end - at))
        torch.bmm(block, k[:, at:end].transpose(1, 2), out=s)
        first = start if rows is None else int(rows[:, start:stop].min())
        if end - 1 > first:
            here = torch.arange(start, stop)[None] if rows is None else rows[:, start:stop]
            hidden = torch.arange(at, end) > here[..., None]
            s.view(n, GROUP, stop - start, end - at).masked_fill_(hidden[:, None], -1e30)
        return s

    @staticmethod
    def forward(ctx, q, k, v, rows):
        q = q * HEAD_DIM ** -0.5
        n, out, logs = q.shape[0], torch.empty_like(q), torch.empty(q.shape[:3])
        for start, stop, keys in Attention.tiles(q, rows, k.shape[1]):
            block = q[:, :, start:stop].reshape(n, -1, HEAD_DIM)
            top = torch.full((n, block.shape[1], 1), -1e30)
            total, sums = torch.zeros_like(top), torch.zeros_like(block)
            for at, end in keys:
                s = Attention.scores(block, k, rows, start, stop, at, end)
                new = torch.maximum(top, s.amax(-1, keepdim=True))
                s.sub_(new).exp_()
                shrink = (top - new).exp_()
                total.mul_(shrink).add_(s.sum(-1, keepdim=True))
                sums.mul_(shrink).baddbmm_(s, v[:, at:end])
                top = new
            shape = (n, GROUP, stop - start, -1)
            out[:, :, start:stop] = sums.div_(total).view(shape)
            logs[:, :, start:stop] = total.log_().add_(top).view(shape[:3])
        ctx.save_for_backward(q, k, v, out, logs)
        ctx.rows = rows
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, logs = ctx.saved_tensors
        rows, n = ctx.rows, q.shape[0]
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        delta = (grad * out).sum(-1)
        for start, stop, keys in Attention.tiles(q, rows, k.shape[1]):
            block, g = (x[:, :, start:stop].reshape(n, -1, HEAD_DIM) for x in (q, grad))
            log, mean = (x[:, :, start:stop].reshape(n, -1, 1) for x in (logs, delta))
            part = torch.zeros_like(block)
            for at, end in keys:
                s = Attention.scores(block, k, rows, start, stop, at, end)
                s.sub_(log).exp_()
                dv[:, at:end].baddbmm_(s.transpose(1, 2), g)
                ds = scratch("ds", s.shape)
                torch.bmm(g, v[:, at:end].transpose(1, 2), out=ds)
                ds.sub_(mean).mul_(s)
                part.baddbmm_(ds, k[:, at:end])
                dk[:, at:end].baddbmm_(ds.transpose(1, 2), block)
            part.mul_(HEAD_DIM ** -0.5)
            dq[:, :, start:stop] = part.view(n, GROUP, stop - start, HEAD_DIM)
        return dq, dk, dv, None


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * gain


def rotate(x, cos, sin):
    """RoPE on (B, T, heads, HEAD_DIM) in halves; the export orders the rows in pairs."""
    a, b = x[..., :HEAD_DIM // 2], x[..., HEAD_DIM // 2:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


FREQUENCIES = ROPE_BASE ** (-torch.arange(HEAD_DIM // 2, dtype=torch.float64) * 2 / HEAD_DIM)


def orthogonal_columns():
    """(DIM, HEAD_DIM) with orthonormal columns that do not see dimension 0."""
    columns = torch.randn(DIM, HEAD_DIM)
    columns[0] = 0
    return torch.linalg.qr(columns)[0]


def head_columns(head):
    return slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)


class Model:
    """Weights are stacked by shape, short side first, as the optimizer wants them."""

    def __init__(self, vocab_size, seed=1):
        torch.manual_seed(seed)
        self.vocab_size = vocab_size
        self.weights = {
            "embed": torch.randn(vocab_size, DIM) * DIM ** -0.5,
            "gains": torch.ones(2 * LAYERS + 1, DIM),
            "wide": torch.zeros(2 * LAYERS, DIM, HEADS * HEAD_DIM),  # q transposed, o
            "square": torch.zeros(2 * LAYERS, DIM, KV_HEADS * HEAD_DIM),  # k and v transposed
            "ff": torch.randn(3 * LAYERS, DIM, FF) * 0.5 * DIM ** -0.5,  # gate, up transposed; down
        }
        self.weights["ff"][2 * LAYERS:] *= 0.1
        self.start_near_lookup()
        for w in self.weights.values():
            w.requires_grad_(True)

    def start_near_lookup(self):
        """Starts with the look-up circuit in rough shape.

        A look-up takes two layers that are useless apart, which is slow to find by gradient: layer
        0 writes what the word before was, layer 1 looks for a word that was preceded by this one.
        Elsewhere queries are like keys and outputs like values transposed.
        """
        wide, square, embed = (self.weights[n] for n in ("wide", "square", "embed"))
        embed[:, 0] = 0.3  # a direction that all words share, for heads that look by place alone
        for layer in range(LAYERS):
            for kv in range(KV_HEADS):
                k, v = orthogonal_columns(), orthogonal_columns()
                square[layer, :, head_columns(kv)] = k
                square[LAYERS + layer, :, head_columns(kv)] = 0.3 * v
                for h in range(kv * GROUP, (kv + 1) * GROUP):
                    wide[layer, :, head_columns(h)] = k + 0.05 * torch.randn(DIM, HEAD_DIM)
                    wide[LAYERS + layer, :, head_columns(h)] = 0.2 * v
        now, one_back, two_back = (orthogonal_columns() for _ in range(3))
        self.start_places(now, one_back, two_back)
        self.start_matches(now, one_back, two_back)

    def start_places(self, now, one_back, two_back):
        """Layer 0: heads 0 and 1 copy the words one and two back into spaces of their own."""
        wide, square = self.weights["wide"], self.weights["square"]
        fast = 14
        angle = FREQUENCIES[:fast].float()
        first = head_columns(0)
        square[0, :, first] *= 0.05
        square[0, 0, first.start:first.start + fast] = 2.0
        square[LAYERS, :, first] = 0.6 * now
        for h, back, space in ((0, 1, one_back), (1, 2, two_back)):
            at, half = h * HEAD_DIM, h * HEAD_DIM + HEAD_DIM // 2
            wide[0, :, head_columns(h)] *= 0.05
            wide[0, 0, at:at + fast] = 2.5 * torch.cos(angle * back)
            wide[0, 0, half:half + fast] = -2.5 * torch.sin(angle * back)
            wide[LAYERS, :, head_columns(h)] = 0.25 * space

    def start_matches(self, now, one_back, two_back):
        """Layers 1 and 2: this word against the word before, alone and with the one before it.

        The match sits in the slow pairs of RoPE, which distance hardly turns.
        """
        wide, square = self.weights["wide"], self.weights["square"]
        slow = torch.where(torch.arange(HEAD_DIM) % (HEAD_DIM // 2) < 14, 0.1, 2.0)
        odd = torch.arange(HEAD_DIM) % 2 == 1
        for layer in (1, 2):
            square[layer, :, head_columns(0)] = one_back * slow
            square[layer, :, head_columns(1)] = torch.where(odd, two_back, one_back) * slow
            for h in range(HEADS):
                q = now if h < GROUP else torch.where(odd, one_back, now)
                wide[layer, :, head_columns(h)] = q * slow + 0.03 * torch.randn(DIM, HEAD_DIM)

    def attention(self, x, layer, cos, sin, rows):
        """x (B, T, DIM) normalised -> (B, R, DIM); rows (B, R) or None for all."""
        q_t, o = self.wide[layer], self.wide[LAYERS + layer]
        k_t, v_t = self.square[layer], self.square[LAYERS + layer]
        b, t = x.shape[:2]
        k = rotate((x @ k_t).view(b, t, KV_HEADS, HEAD_DIM), cos, sin)
        v = (x @ v_t).view(b, t, KV_HEADS, HEAD_DIM)
        if rows is not None:
            x = x.gather(1, rows[..., None].expand(-1, -1, DIM))
            pick = rows[..., None, None].expand(-1, -1, 1, HEAD_DIM // 2)
            cos, sin = (y.expand(b, -1, -1, -1).gather(1, pick) for y in (cos, sin))
        r = x.shape[1]
        q = rotate((x @ q_t).view(b, r, HEADS, HEAD_DIM), cos, sin)
        q = q.view(b, r, KV_HEADS, GROUP, HEAD_DIM).permute(0, 2, 3, 1, 4)
        q = q.reshape(b * KV_HEADS, GROUP, r, HEAD_DIM)
        k, v = (y.permute(0, 2, 1, 3).reshape(b * KV_HEADS, t, HEAD_DIM) for y in (k, v))
        if rows is not None:
            rows = rows.repeat_interleave(KV_HEADS, 0)
        out = Attention.apply(q, k, v, rows)
        out = out.view(b, KV_HEADS, GROUP, r, HEAD_DIM).permute(0, 3, 1, 2, 4)
        return out.reshape(b, r, HEADS * HEAD_DIM) @ o.t()

    def forward(self, tokens, place, rows):
        """Logits (B, R, vocab) at the positions rows (B, R); the last layer computes no others."""
        self.wide, self.square = self.weights["wide"].unbind(0), self.weights["square"].unbind(0)
        ff, gains = self.weights["ff"].unbind(0), self.weights["gains"].unbind(0)
        angle = (place[..., None].double() * FREQUENCIES).float()[:, :, None]
        cos, sin = angle.cos(), angle.sin()
        x = self.weights["embed"][tokens]
        for layer in range(LAYERS):
            here = rows if layer == LAYERS - 1 else None
            y = self.attention(norm(x, gains[layer]), layer, cos, sin, here)
            if here is not None:
                x = x.gather(1, rows[..., None].expand(-1, -1, DIM))
            x = x + y
            y = norm(x, gains[LAYERS + layer])
            y = torch.nn.functional.silu(y @ ff[layer]) * (y @ ff[LAYERS + layer])
            x = x + y @ ff[2 * LAYERS + layer].t()
        return norm(x, gains[2 * LAYERS]) @ self.weights["embed"].t()


def asked_rows(labels):
    """Rows (B, R) where labels are, padded with the last one, and their labels (B, R), -1 there."""
    where = [np.flatnonzero(row >= 0) for row in labels]
    longest = max(len(w) for w in where)
    rows = np.stack([np.pad(w, (0, longest - len(w)), mode="edge") for w in where])
    wanted = np.take_along_axis(labels, rows, 1)
    for i, w in enumerate(where):
        wanted[i, len(w):] = -1
    return torch.from_numpy(rows), torch.from_numpy(wanted)


# ---- training ----

def question_count(length):
    """A short record holds few facts; beyond 40 questions a record teaches little more."""
    return max(2, min(40, length // 48))


def loss_of(model, tokens, labels, place):
    rows, wanted = asked_rows(labels)
    logits = model.forward(torch.from_numpy(tokens), torch.from_numpy(place), rows)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(),
                                             ignore_index=-1)


@torch.no_grad()
def measure(model, mkrecords, vocabulary, length, task, questions, seed=77):
    """The share of questions with every word of the answer right, and of words."""
    asked = 1 if task == "needle" and length > 256 else min(16, question_count(length))
    records = Records(mkrecords, vocabulary, length, asked, task, seed, "eval")
    exact, words = [], []
    while len(exact) < questions:
        tokens, labels = records.draw(max(1, min(16, 4096 // length)))
        rows, wanted = asked_rows(labels)
        place = torch.arange(length)[None]
        logits = model.forward(torch.from_numpy(tokens), place, rows)
        right = (logits.argmax(-1) == wanted).numpy()
        for r in range(len(tokens)):
            hits, last = [], wanted[r].numpy() == vocabulary.eos
            for i in range(right.shape[1]):
                if wanted[r, i] < 0:
                    break
                hits.append(right[r, i])
                if last[i]:
                    exact.append(all(hits))
                    words += hits
                    hits = []
    records.close()
    return sum(exact) / len(exact), sum(words) / len(words), len(exact)


def report(model, args, vocabulary, lengths, questions=48):
    for length in lengths:
        line = []
        for task in ("needle", "keyvalue", "chain", "multivalue"):
            exact, words, n = measure(model, args.mkrecords, vocabulary, length, task, questions)
            line.append(f"{task} {exact:.3f} ({words:.3f}, {n})")
        print(f"  eval {length}: " + "  ".join(line), flush=True)


def parse_stages(text):
    return [(int(length), float(minutes) * 60)
            for length, minutes in (stage.split(":") for stage in text.split(","))]


class Run:
    """What a checkpoint holds: weights, optimizer, and the history for the card."""

    def __init__(self, args, vocabulary):
        self.model = Model(vocabulary.size, args.seed)
        self.optimizer = Optimizer(self.model.weights)
        # stages: [length, minutes of processor time]
        self.history = {"steps": 0, "tokens": 0, "stages": []}
        self.path = os.path.join(args.dir, "last.pt")
        source = args.start or self.path
        if os.path.exists(source):
            saved = torch.load(source)
            for name, w in saved["weights"].items():
                self.model.weights[name].data.copy_(w)
                self.optimizer.state[name] = saved["state"][name]
            self.optimizer.steps = saved["optimizer_steps"]
            self.history = saved["history"]
            print("goes on from", source, self.history, flush=True)

    def save(self, path=None):
        saved = {"weights": {n: w.detach() for n, w in self.model.weights.items()},
                 "state": self.optimizer.state, "optimizer_steps": self.optimizer.steps,
                 "history": self.history}
        torch.save(saved, self.path + ".new")
        os.replace(self.path + ".new", path or self.path)


class Clock:
    """Processor seconds since the start, and how far the whole run is."""

    def __init__(self, stages):
        self.start, self.total = time.process_time(), sum(seconds for _, seconds in stages)

    def seconds(self):
        return time.process_time() - self.start

    def rate(self, cooldown, stage_steps):
        """The learning rate's factor: a short rise in each stage, a fall at the end of the run."""
        left = 1.0 - min(1.0, self.seconds() / self.total)
        fall = min(1.0, left / cooldown) if cooldown else 1.0
        return max(0.03, fall) * min(1.0, (stage_steps + 1) / 20)


class Streams:
    """A stream of records for each length, opened when it is first wanted."""

    def __init__(self, args, vocabulary, rng):
        self.args, self.vocabulary, self.rng, self.open = args, vocabulary, rng, {}

    def draw(self, longest):
        """A step's records: of the stage's length, or of a shorter one."""
        args, length = self.args, longest
        if self.rng.random() < args.mix:
            length = self.rng.choice([n for n in LENGTHS if n <= longest])
        if length not in self.open:
            self.open[length] = Records(args.mkrecords, self.vocabulary, length,
                                        question_count(length), args.tasks,
                                        self.rng.getrandbits(62))
        tokens, labels = self.open[length].draw(max(1, min(args.batch // length, 64)))
        place = positions(tokens, labels, self.vocabulary.line_end, args.furthest, self.rng)
        return tokens, labels, place

    def close(self):
        for records in self.open.values():
            records.close()


def train_stage(args, run, streams, clock, length, until):
    """Steps until the clock shows `until` seconds; tells every 20 seconds and saves then."""
    history, losses, steps, told, tokens_told = run.history, [], 0, clock.seconds(), 0
    began, stage = told, [length, 0.0]
    history["stages"].append(stage)
    while clock.seconds() < until:
        rate = clock.rate(args.cooldown, steps)
        tokens, labels, place = streams.draw(length)
        loss = loss_of(run.model, tokens, labels, place)
        loss.backward()
        run.optimizer.step(args.muon * rate, args.adam * rate)
        losses.append(float(loss))
        steps += 1
        history["steps"] += 1
        history["tokens"] += tokens.size
        tokens_told += tokens.size
        stage[1] = (clock.seconds() - began) / 60
        if clock.seconds() - told > 20:
            print(f"{clock.seconds():6.0f} s  length {length}  steps {history['steps']}  "
                  f"loss {sum(losses) / len(losses):.4f}  rate {rate:.2f}  "
                  f"{tokens_told / (clock.seconds() - told):.0f} tok/s", flush=True)
            losses, told, tokens_told = [], clock.seconds(), 0
            run.save()
    run.save()


def train(args):
    vocabulary = Vocabulary(args.mkrecords)
    run = Run(args, vocabulary)
    rng = random.Random(args.seed + run.history["steps"])
    stages = parse_stages(args.stages)
    streams, clock = Streams(args, vocabulary, rng), Clock(stages)
    until = 0.0
    for length, seconds in stages:
        until += seconds
        train_stage(args, run, streams, clock, length, until)
        run.save(os.path.join(args.dir, f"stage-{length}.pt"))
    streams.close()
    report(run.model, args, vocabulary, sorted({length for length, _ in stages}), 32)


# ---- GGUF ----

def add_metadata(g, vocabulary, context):
    add = g.add
    add("general.architecture", g.STRING, "llama")
    add("general.name", g.STRING, "Ashlar recall")
    add("general.description", g.STRING, "Reads synthetic records and answers questions about them")
    add("general.license", g.STRING, "mit")
    add("general.file_type", g.U32, 1)
    add("general.alignment", g.U32, g.ALIGN)
    for key, value in (("block_count", LAYERS), ("context_length", context),
                       ("embedding_length", DIM), ("feed_forward_length", FF),
                       ("attention.head_count", HEADS), ("attention.head_count_kv", KV_HEADS),
                       ("attention.key_length", HEAD_DIM), ("attention.value_length", HEAD_DIM),
                       ("rope.dimension_count", HEAD_DIM), ("vocab_size", vocabulary.size)):
        add("llama." + key, g.U32, value)
    add("llama.rope.freq_base", g.F32, ROPE_BASE)
    add("llama.attention.layer_norm_rms_epsilon", g.F32, EPS)
    letters = byte_letters()
    spelled = ["".join(letters[b] for b in token) for token in vocabulary.tokens]
    add("tokenizer.ggml.model", g.STRING, "gpt2")
    add("tokenizer.ggml.pre", g.STRING, "llama-bpe")
    g.add_array("tokenizer.ggml.tokens", g.STRING, spelled + ["<bos>", "<eos>"])
    g.add_array("tokenizer.ggml.token_type", g.I32, [1] * len(spelled) + [3, 3])
    # Words are taken whole, so no merge is needed; readers of the format want a list all the same.
    g.add_array("tokenizer.ggml.merges", g.STRING, [letters[32] + " " + letters[32]])
    add("tokenizer.ggml.bos_token_id", g.U32, vocabulary.bos)
    add("tokenizer.ggml.eos_token_id", g.U32, vocabulary.eos)
    add("tokenizer.ggml.add_bos_token", g.BOOL, True)
    add("tokenizer.ggml.add_eos_token", g.BOOL, False)


def export(args):
    vocabulary = Vocabulary(args.mkrecords)
    run = Run(args, vocabulary)
    w = {n: t.detach().numpy() for n, t in run.model.weights.items()}
    wide, square, ff, gains = w["wide"], w["square"], w["ff"], w["gains"]
    g = GGUF()
    add_metadata(g, vocabulary, args.context)
    g.add_tensor("token_embd.weight", w["embed"])
    for n in range(LAYERS):
        blk = f"blk.{n}."
        g.add_tensor(blk + "attn_norm.weight", gains[n])
        g.add_tensor(blk + "attn_q.weight", interleave(wide[n].T, HEADS, HEAD_DIM))
        g.add_tensor(blk + "attn_k.weight", interleave(square[n].T, KV_HEADS, HEAD_DIM))
        g.add_tensor(blk + "attn_v.weight", square[LAYERS + n].T)
        g.add_tensor(blk + "attn_output.weight", wide[LAYERS + n])
        g.add_tensor(blk + "ffn_norm.weight", gains[LAYERS + n])
        g.add_tensor(blk + "ffn_gate.weight", ff[n].T)
        g.add_tensor(blk + "ffn_up.weight", ff[LAYERS + n].T)
        g.add_tensor(blk + "ffn_down.weight", ff[2 * LAYERS + n])
    g.add_tensor("output_norm.weight", gains[2 * LAYERS])
    g.write(args.out)
    print(args.out, os.path.getsize(args.out), "bytes,", sum(a.size for a in w.values()), "weights")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("verb", choices=("train", "eval", "export"))
    p.add_argument("--mkrecords", default="build/tools/mkrecords")
    p.add_argument("--dir", default="build/recall", help="folder of the checkpoints")
    p.add_argument("--start", help="checkpoint to start from instead of the folder's last")
    p.add_argument("--stages", default="72:1,128:1.5,256:1.5,512:2,1024:3,2048:4,4096:7")
    p.add_argument("--tasks", default="keyvalue,chain,multivalue,mixed,needle,chain")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--batch", type=int, default=4096, help="tokens per step")
    p.add_argument("--mix", type=float, default=0.4, help="share of steps at shorter lengths")
    p.add_argument("--muon", type=float, default=0.012)
    p.add_argument("--adam", type=float, default=0.002)
    p.add_argument("--cooldown", type=float, default=0.4)
    p.add_argument("--furthest", type=int, default=40960, help="largest position with gaps")
    p.add_argument("--lengths", default="512,2048")
    p.add_argument("--questions", type=int, default=96)
    p.add_argument("--out", default="models/recall.gguf")
    p.add_argument("--context", type=int, default=32768)
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # sharp attention is full of them; products go four times slower
    os.makedirs(args.dir, exist_ok=True)
    if args.verb == "train":
        train(args)
    elif args.verb == "export":
        export(args)
    else:
        vocabulary = Vocabulary(args.mkrecords)
        report(Run(args, vocabulary).model, args, vocabulary,
               [int(n) for n in args.lengths.split(",")], args.questions)


if __name__ == "__main__":
    main()
