"""Writes GGUF files: metadata, a byte-level vocabulary, tensors in F16 and F32."""
import os
import struct

import numpy as np


def byte_letters():
    """The letters that byte-level BPE writes for bytes (as GPT-2 chose them)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {b: chr(b) for b in plain}, 256
    for b in range(256):
        if b not in letters:
            letters[b] = chr(extra)
            extra += 1
    return letters


class GGUF:
    """Collects metadata and tensors, then writes them; see the format's specification."""
    U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
    ALIGN = 32

    def __init__(self):
        self.pairs, self.tensors = [], []

    @staticmethod
    def text(s):
        raw = s.encode()
        return struct.pack("<Q", len(raw)) + raw

    def scalar(self, kind, value):
        if kind == self.STRING:
            return self.text(value)
        return struct.pack({self.U32: "<I", self.I32: "<i", self.F32: "<f", self.BOOL: "<?"}[kind],
                           value)

    def add(self, key, kind, value):
        self.pairs.append(self.text(key) + struct.pack("<I", kind) + self.scalar(kind, value))

    def add_array(self, key, kind, values):
        head = self.text(key) + struct.pack("<IIQ", self.ARRAY, kind, len(values))
        self.pairs.append(head + b"".join(self.scalar(kind, v) for v in values))

    def add_tensor(self, name, array):
        """Matrices as F16, vectors as F32; shape (rows, columns) as numpy has it."""
        self.tensors.append((name, array.astype(np.float16 if array.ndim == 2 else np.float32)))

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs))
        head += b"".join(self.pairs)
        offset, data = 0, []
        for name, array in self.tensors:
            kind = 1 if array.dtype == np.float16 else 0
            head += self.text(name) + struct.pack("<I", array.ndim)
            head += b"".join(struct.pack("<Q", n) for n in reversed(array.shape))
            head += struct.pack("<IQ", kind, offset)
            raw = array.tobytes()
            raw += bytes(-len(raw) % self.ALIGN)
            data.append(raw)
            offset += len(raw)
        with open(path + ".new", "wb") as f:
            f.write(head + bytes(-len(head) % self.ALIGN) + b"".join(data))
        os.replace(path + ".new", path)


def interleave(w, heads, head_dim):
    """Rows of each head from halves to pairs: GGUF's llama turns neighbours together."""
    w = w.reshape(heads, 2, head_dim // 2, -1)
    return w.transpose(0, 2, 1, 3).reshape(heads * head_dim, -1)
