"""mason.py's training step through libmason_step.so (mason_step.c; `make train`), where processor and tree have it."""
import ctypes
import os

import numpy as np
import torch

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "train", "libmason_step.so")
ORDER = ("embed", "head", "gains", "q", "kv", "out", "ff")   # of mason_step.h
ROWS = 384                                                    # of a micro-batch


class Shape(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int32) for n in
                ("dim", "layers", "heads", "kv_heads", "ff", "vocab", "context")] + [
                    ("eps", ctypes.c_float), ("rope_base", ctypes.c_float)]


class Step:
    """Loss and gradients of a group, and the optimizer's products, for one model."""

    def __init__(self, library, model, sizes, vocab, context, eps, rope_base, rows=ROWS):
        self.library = library
        self.names = ORDER
        self.weights = model.weights
        self.gradients = {n: torch.zeros_like(model.weights[n], requires_grad=False) for n in ORDER}
        shape = Shape(sizes.dim, sizes.layers, sizes.heads, sizes.kv_heads, sizes.ff, vocab, context, eps, rope_base)
        self.handle = ctypes.c_void_p(library.mason_step_new(ctypes.byref(shape), rows))
        if not self.handle:
            raise MemoryError("mason_step_new")

    @staticmethod
    def load(path):
        """The library, or None where it is absent or this processor lacks what it needs."""
        if not path or not os.path.exists(path):
            return None
        library = ctypes.CDLL(path)
        library.mason_step_new.restype = ctypes.c_void_p
        library.mason_step_run.restype = ctypes.c_float
        return library if library.mason_step_usable() else None

    def loss(self, group):
        """Mean loss over the answers' words, like mason.loss_of; sets every weight's grad."""
        tokens = np.concatenate([np.asarray(ids, dtype=np.int32) for ids, _ in group])
        lengths = np.array([len(ids) for ids, _ in group], dtype=np.int32)
        answers = np.array([question for _, question in group], dtype=np.int32)

        def pointers(tensors):
            return (ctypes.c_void_p * len(ORDER))(*(tensors[n].data_ptr() for n in ORDER))
        loss = self.library.mason_step_run(
            self.handle, pointers(self.weights), pointers(self.gradients), ctypes.c_void_p(tokens.ctypes.data),
            ctypes.c_void_p(lengths.ctypes.data), ctypes.c_void_p(answers.ctypes.data), len(group))
        if loss < 0:
            raise ValueError("mason_step_run refused the group")
        for name in ORDER:
            self.weights[name].grad = self.gradients[name]
        return loss

    def orthogonal(self, g):
        """Optimizer.orthogonal; the matrices' sides must be multiples of 32."""
        g = g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        if self.library.mason_orthogonal(ctypes.c_void_p(g.data_ptr()), *g.shape) != 0:
            raise MemoryError("mason_orthogonal")
        return g
