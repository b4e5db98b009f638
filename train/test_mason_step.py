#!/usr/bin/env python3
"""Tests libmason_step.so (`make train`) against PyTorch: the loss and every gradient, and Muon's products.

  python3 train/test_mason_step.py [library]

Gradients are compared by the angle and the length of each matrix: bf16 products leave some hundredths of noise.
"""
import random
import sys

import torch

import mason
from mason_step import LIBRARY, Step
from muon import Optimizer


def compare(library, sizes, lengths, vocab, rows, seed):
    """Raises AssertionError where C and PyTorch differ."""
    rng = random.Random(seed)
    model = mason.Model(vocab, seed, sizes)
    with torch.no_grad():
        model.weights["gains"] += torch.randn_like(model.weights["gains"]) * 0.3
        model.weights["head"] *= 10
        model.weights["out"] *= 10
        model.weights["ff"][2 * sizes.layers:] *= 10
    group = []
    for n in lengths:
        question = rng.randrange(1, n)
        group.append(([rng.randrange(vocab) for _ in range(n)], question))
    loss = mason.loss_of(model, group)
    loss.backward()
    wanted = {n: w.grad.clone() for n, w in model.weights.items()}
    least = 1e-4 * sum(float(w.norm()) for w in wanted.values())   # some gradients are 0 but for rounding
    step = Step(library, model, sizes, vocab, mason.CONTEXT, mason.EPS, mason.ROPE_BASE, rows)
    for _ in range(2):   # the second time round nothing of the first may be left
        got = step.loss(group)
        assert abs(got - float(loss)) < 0.01 * float(loss), (got, float(loss))
        worst = 0.0
        for name, w in wanted.items():
            g = step.gradients[name]
            pieces = zip(w, g) if w.dim() == 3 or name == "gains" else [(w, g)]
            for i, (a, b) in enumerate(pieces):
                off = float((a - b).norm() / (a.norm() + least))
                worst = max(worst, off)
                assert off < 0.08, (sizes, name, i, off)
    print(f"ok {sizes} lengths {lengths[:6]} rows {rows} seed {seed}: "
          f"loss {float(loss):.4f} {got:.4f}, worst {worst:.4f}")


def compare_orthogonal(step, shape):
    g = torch.randn(shape)
    a, b = Optimizer.orthogonal(g), step.orthogonal(g)
    off = float((a - b).norm() / a.norm())
    assert off < 0.03, (shape, off)
    print(f"ok orthogonal {shape}: {off:.4f}")


def main():
    library = Step.load(sys.argv[1] if len(sys.argv) > 1 else LIBRARY)
    if not library:
        print("skipped: no library, or no AMX")
        return
    seed = random.randrange(10 ** 6)
    small = mason.Sizes(64, 2, 2, 1, 96)
    compare(library, small, [2], 50, 32, seed)
    compare(library, small, [33, 32, 31, 2, 64, 65, 5], 61, 64, seed)
    compare(library, mason.Sizes(), [40, 130, 17, 77, 200, 3], 333, 256, seed)
    compare(library, mason.Sizes(192, 3, 6, 2, 512), [300, 10, 90], 500, 128, seed)
    compare(library, mason.Sizes(96, 2, 4, 4, 64), [50] * 20, 20, 512, seed)
    model = mason.Model(40, 1, small)
    step = Step(library, model, small, 40, mason.CONTEXT, mason.EPS, mason.ROPE_BASE)
    for shape in ((3, 128, 352), (2, 128, 32), (2, 192, 192)):
        compare_orthogonal(step, shape)


if __name__ == "__main__":
    main()
