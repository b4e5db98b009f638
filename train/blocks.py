#!/usr/bin/env python3
"""Makes the pairs that train models/mason.gguf: random typed C, through ashcc's own reader and normaliser,
answered by the teacher, each answer accepted by ashcc's verifier.

  blocks.py --ashcc build/ashcc --teacher build/tools/teacher --seconds 600 --out build/mason/pairs.jsonl
  blocks.py ... --sources 'dir/*.c' --out build/mason/real.jsonl     pairs of given programs instead
  blocks.py ... --shapes --out build/mason/shapes.jsonl              every operator, type and place once
  blocks.py ... --model m.gguf --out build/mason/hard.jsonl           only what a model gets wrong: expert iteration
  blocks.py split --out build/mason                                   pairs.jsonl -> train, valid, test

The C is in the distribution of real code: expressions over every arithmetic type, pointers, arrays,
struct members, bit-fields, casts, shifts, divisions, comparisons, conditions. Functions are never run.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import random
import re
import subprocess
import tempfile
import time

INTEGERS = ("int",) * 10 + ("unsigned", "unsigned", "long", "long", "unsigned long", "char", "unsigned char", "short",
            "unsigned short", "signed char", "long long", "_Bool")
FLOATS = ("double", "double", "double", "float")
SIZES = ("operation", "statement", "block")
GRANULARITIES = ("operation", "statement", "statement", "block")  # of random programs, in turn

PREAMBLE = """
struct point { int x, y; };
struct node { int key; struct node *next; struct node *left, *right; double weight; char name[16]; };
struct flags { unsigned a : 3, b : 5, c : 1; int d : 7; unsigned long e : 40; };
struct mixed { char tag; short id; long count; float ratio; struct point at; unsigned char bytes[8];
               struct flags flags; int table[4][4]; };
union value { int i; unsigned u; float f; double d; char bytes[8]; void *p; };
enum color { RED, GREEN = 5, BLUE };
"""


class Writer:
    """One random function at a time."""

    def __init__(self, rng):
        self.rng = rng

    def scope(self):
        """Variables by kind, with C text of their declarations."""
        rng = self.rng
        self.scalars, self.pointers, self.arrays, self.structs = [], [], [], []
        lines = []
        for n in range(rng.randint(3, 7)):
            kind = rng.choice(FLOATS if rng.random() < 0.15 else INTEGERS)
            self.scalars.append((f"a{n}", kind))
        for n in range(rng.randint(1, 3)):
            kind = rng.choice(FLOATS if rng.random() < 0.15 else INTEGERS[:-1])
            self.pointers.append((f"p{n}", kind))
        parameters = ", ".join([f"{t} {v}" for v, t in self.scalars] + [f"{t} *{v}" for v, t in self.pointers]
                               + ["struct node *n", "struct mixed *m", "char **argv", "int *v", "int len", "char *s"])
        for n in range(rng.randint(1, 4)):
            kind = rng.choice(FLOATS if rng.random() < 0.15 else INTEGERS)
            lines.append(f"    {kind} l{n};")
            self.scalars.append((f"l{n}", kind))
        for n in range(rng.randint(0, 2)):
            kind = rng.choice(INTEGERS)
            self.arrays.append((f"r{n}", kind))
            lines.append(f"    {kind} r{n}[{rng.choice((4, 8, 10, 16, 100))}];")
        lines += ["    struct point q;", "    struct mixed w;", "    union value u;"]
        lines += ["    struct node *t;", "    enum color color;", "    int i0, j0, k0, grid[4][5], out[10];",
                  "    long sum, *long_v, *long_v0;", "    unsigned long size;", "    unsigned hash;",
                  "    unsigned char bytes[20];",
                  f"    {rng.choice(('double', 'double', 'float'))} total, average, *x, reals[8];", "    _Bool flag;",
                  "    long double wide;", "    char **words;", "    int **rows;", "    struct node nodes[6];"]
        return parameters, lines

    def literal(self, kind="int"):
        rng = self.rng
        if kind in FLOATS:
            return rng.choice(("0.0", "1.0", "0.5", "2.0", "-1.0", "100.0", "3.14159", "1e-6"))
        value = rng.choice((0, 0, 1, 1, 2, 3, 4, 7, 8, 10, 16, 31, 63, 100, 255, 256, 1000, 65535, -1, -2,
                            rng.randint(0, 99), rng.randint(-2000, 2000), rng.getrandbits(30)))
        suffix = rng.choice(("", "", "", "", "u", "L", "UL")) if value >= 0 else ""
        if rng.random() < 0.02:
            return f"0x{rng.getrandbits(64):x}UL"
        if rng.random() < 0.08:
            return "'" + rng.choice("abzAZ09 .,") + "'"
        return f"{value}{suffix}" if value >= 0 else f"({value})"

    def integer_index(self):
        rng = self.rng
        choice = [v for v, t in self.scalars if t not in FLOATS]
        if not choice or rng.random() < 0.25:
            return str(rng.randint(0, 3))
        v = rng.choice(choice)
        return rng.choice((v, v, v, f"{v} + 1", f"{v} - 1", f"({v} & 3)"))

    def place(self):
        """An lvalue and its type."""
        rng = self.rng
        r = rng.random()
        if r < 0.5:
            return rng.choice(self.scalars)
        if r < 0.62:
            v, t = rng.choice(self.pointers)
            return rng.choice((f"*{v}", f"{v}[{self.integer_index()}]", f"{v}[{self.integer_index()}]")), t
        if r < 0.72 and self.arrays:
            v, t = rng.choice(self.arrays)
            return f"{v}[{self.integer_index()}]", t
        return rng.choice((
            ("q.x", "int"), ("q.y", "int"), ("n->key", "int"), ("n->weight", "double"),
            ("n->next->key", "int"), (f"n->name[{self.integer_index()}]", "char"), ("m->tag", "char"),
            ("m->id", "short"), ("m->count", "long"), ("m->ratio", "float"), ("m->at.x", "int"),
            (f"m->bytes[{self.integer_index()}]", "unsigned char"), ("m->flags.a", "unsigned"),
            ("m->flags.d", "int"), ("w.flags.b", "unsigned"), ("w.flags.e", "unsigned long"),
            ("w.count", "long"), ("w.at.y", "int"), (f"w.table[{self.integer_index()}][{self.integer_index()}]", "int"),
            ("u.i", "int"), ("u.u", "unsigned"), ("u.d", "double"), ("g0", "int"), ("g1", "unsigned long"),
            ("g2", "double"), (f"table[{self.integer_index()}]", "int"), (f"text[{self.integer_index()}]", "char"),
            ("counter", "long"), ("color", "int"), (f"argv[{self.integer_index()}][0]", "char")))

    def expression(self, depth, kind=None):
        rng = self.rng
        if depth <= 0 or rng.random() < 0.25:
            if rng.random() < 0.3:
                return self.literal(kind)
            return self.place()[0]
        r = rng.random()
        sub = lambda k=kind: self.expression(depth - 1, k)
        if r < 0.42:
            return f"({sub()} {rng.choice(('+', '+', '+', '-', '-', '*', '*'))} {sub()})"
        if r < 0.50:
            return f"(int){self.integer()} {rng.choice(('&', '|', '^'))} (int){self.integer()}" \
                if rng.random() < 0.2 else \
                f"({self.integer(depth - 1)} {rng.choice(('&', '|', '^'))} {self.integer(depth - 1)})"
        if r < 0.57:
            return f"({self.integer(depth - 1)} {rng.choice(('<<', '>>'))} " \
                   f"{rng.choice((str(rng.randint(0, 31)), '(' + self.integer(0) + ' & 7)'))})"
        if r < 0.65:
            return f"({self.integer(depth - 1)} {rng.choice(('/', '%'))} " \
                   f"{rng.choice((self.integer(0), str(rng.randint(1, 100))))})"
        if r < 0.74:
            return f"({sub()} {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {sub()})"
        if r < 0.80:
            return f"({rng.choice(INTEGERS + FLOATS)}){sub()}" if rng.random() < 0.8 else f"-{sub()}"
        if r < 0.84:
            return f"{rng.choice(('-', '!', '!'))}({sub()})" if rng.random() < 0.7 else f"~{self.integer(depth - 1)}"
        if r < 0.89:
            return f"({self.condition(depth - 1)} ? {sub()} : {sub()})"
        if r < 0.93:
            return f"({self.condition(depth - 1)})"
        v, _ = rng.choice(self.pointers)
        return rng.choice((f"(long)({v} + {self.integer_index()})", f"(n == n->next)", f"!{v}",
                           f"({v} != 0)", f"*({v} + {self.integer_index()})", "(t - n)", f"(int)({v} - &{v}[2])"))

    def integer(self, depth=0):
        """An expression of integer type."""
        rng = self.rng
        choice = [v for v, t in self.scalars if t not in FLOATS]
        choice += ["n->key", "m->id", "g0", "w.count", "m->flags.d", "text[1]"]
        if depth <= 0:
            return rng.choice(choice) if rng.random() < 0.75 else str(rng.randint(0, 300))
        return f"({self.integer(depth - 1)} {rng.choice(('+', '-', '*', '&', '|', '^'))} {self.integer(depth - 1)})"

    def real(self, depth):
        """An expression of floating type, with its division."""
        rng = self.rng
        choice = [v for v, t in self.scalars if t in FLOATS]
        choice += ["n->weight", "m->ratio", "g2", "reals[i0]", "*x", "x[i0]"]
        if depth <= 0:
            return rng.choice(choice) if rng.random() < 0.7 else \
                rng.choice((self.literal("double"), self.literal("double"),
                            self.integer(), f"(double){self.integer()}"))
        return f"({self.real(depth - 1)} {rng.choice('+-*/')} {self.real(depth - 1)})"

    def index_of(self):
        """An index as loops have it."""
        return self.rng.choice(("i0", "i0", "i0", "j0", "i0 + 1", "i0 - 1", "len - 1", "len - i0 - 1",
                                "i0 * 2", "i0 + j0",
                                "size", "size - 1", "k0 % 8", "j0++", "i0++", "--j0"))

    def element(self):
        """An element of an array, a string or a matrix."""
        rng, i = self.rng, self.index_of()
        return rng.choice((f"v[{i}]", f"v[{i}]", f"s[{i}]", f"s[{i}]", f"words[{i}]", f"words[{i}][{self.index_of()}]",
                           f"grid[{i}][{self.index_of()}]", f"rows[{i}][{self.index_of()}]", f"nodes[{i}].key",
                           f"nodes[{i}].next", f"nodes[{i}].weight", f"x[{i}]", f"bytes[{i}]",
                           f"n->name[{i}]", "*s", "*v",
                           f"table[{i}]", f"*(v + {i})", f"reals[{i}]", f"long_v[{i}]", f"out[{i}]",
                           "n->next->next->key",
                           f"m->table[{i}][{self.index_of()}]", f"nodes[{i}].name[{self.index_of()}]"))

    def common(self):
        """A statement as people write it."""
        rng, e, i = self.rng, self.element(), self.index_of()
        a, b = self.integer(), self.integer()
        letter = rng.choice(("'a'", "'z'", "'A'", "'0'", "'9'", "' '", "'\\0'", "'\\n'", "'('", "','"))
        return rng.choice((
            f"if ({self.element()} {rng.choice(('>', '<', '==', '!=', '>=', '<='))} "
            f"{self.lvalue()}) k0 = (int){self.integer()};",
            f"if (s[{i}] == {letter}) len++;", f"if (s[{i}] >= 'a' && s[{i}] <= 'z') s[{i}] = s[{i}] - 'a' + 'A';",
            f"while (*s {rng.choice(('!=', '=='))} {letter}) s++;", f"while (i0 < len && s[i0] != {letter}) i0++;",
            f"k0 = s[{i}] - '0';", f"k0 = k0 * 10 + (s[{i}] - '0');", "hash = hash * 31 + (unsigned char)*s++;",
            f"hash ^= bytes[{i}]; hash *= 16777619u;", "hash = (hash << 5) | (hash >> 27);",
            f"hash = (hash << 5) + hash + {e};",
            f"bytes[{i}] = (unsigned char)({a} >> {rng.choice((8, 16, 24))});", f"if ({a} & (1 << {b})) k0 |= 1 << i0;",
            f"sum += {self.element()};", f"sum += (long){self.element()} * {a};", f"total += {self.real(1)};",
            f"total = {self.real(2)};",
            f"average = {self.real(1)} / {rng.choice(('len', 'size', '2', '(double)len', '(float)k0'))};",
            f"if ({self.real(1)} {rng.choice(('<', '>', '<=', '>=', '==', '!='))} "
            f"{self.real(0)}) total -= {self.real(0)};",
            f"x[{i}] {rng.choice(('=', '+=', '-=', '*=', '/='))} {self.real(1)};",
            f"reals[{i}] = {self.real(1)};", f"k0 = (int){self.real(1)};", f"sum = (long){self.real(0)};",
            f"total = total > {self.real(0)} ? total : {self.real(0)};", f"average = -({self.real(0)});",
            f"v[{i}] = v[{self.index_of()}];", f"k0 = v[{i}]; v[{i}] = v[{self.index_of()}]; v[{i}] = k0;",
            f"{self.lvalue()} = {self.element()};", f"{self.lvalue()} {rng.choice(('+=', '-=', '|=', '&='))} {a};",
            f"{self.lvalue()}++;", f"out[size++] = {self.element() if rng.random() < 0.5 else a};",
            f"grid[{i}][{self.index_of()}] += rows[{self.index_of()}][{i}] * v[{i}];",
            f"k0 = {a} % {b} == 0;",
            f"if ({a} % {rng.choice(('2', '3', '10', 'k0'))} == {rng.choice((0, 1))}) "
            f"k0 = {a} / {rng.choice(('2', '10', 'j0'))};",
            f"k0 = {self.element()} > {a} ? {self.element()} : {b};", f"k0 = ({a} + {b}) / 2;",
            f"if (!{rng.choice(('s', 'n', 'v', 'words', 'n->next', 'n->left'))} || {a} <= 0) return 0;",
            "if (n == 0 || n->next == 0) return -1;", "while (n != 0 && n->key != k0) n = n->next;",
            "n = n->next->next;",
            "n->next = n->next->next;", "t->next = n->left; n->left = t;", f"t = &nodes[{i}];",
            f"nodes[{i}].next = &nodes[{self.index_of()}];",
            f"if (n->key {rng.choice(('<', '>', '=='))} k0) n = n->left; else n = n->right;",
            f"nodes[{i}] = nodes[{self.index_of()}];",
            f"words[{i}] = s + {i};", f"s = words[{i}];", f"*s++ = {self.element()};", "*s = '\\0';", f"s += {a};",
            f"size = (unsigned long)len * sizeof(int);", f"v = (int *)take((len + 1) * sizeof(int));",
            f"s = (char *)take(size + {rng.randint(1, 9)});", f"words = (char **)take(len * sizeof(char *));",
            f"give(&k0, s + {i}, {self.real(0)});", f"give(&v[{i}], words[{i}], total);", f"give(nodes, n->name, {a});",
            f"k0 = more({self.element()}, {i}, &nodes[{i}]);",
            f"if (more({a}, {b}, n) < 0) len = 0;", f"total += root({self.real(1)});",
            f"k0 = (k0 {rng.choice(('&', '|', '^', '<<', '>>'))} {rng.choice((1, 2, 3, 7, 'j0'))}) "
            f"{rng.choice(('&', '|', '^', '+', '-'))} {a};",
            f"size = (size + {rng.choice((7, 15, 63))}) & ~{rng.choice((7, 15, 63))}UL;",
            f"k0 = -{a};", f"k0 = !{a};", f"k0 = ~{a};",
            f"k0 = {a} < 0 ? -{a} : {a};", f"sum = sum * {a} % {rng.choice((10, 1000000007, 97))};",
            f"k0 = {a} == {b};",
            f"k0 = {a} && {b};", f"k0 = ({a} < {b}) + ({self.element()} != {i});",
            "wide = wide * 2.0L + total;", "wide = wide / 3;",
            "total = (double)wide;", "wide = (long double)k0;", f"flag = {a} > {b};", "flag = !flag;",
            f"if (flag && {a} > {b}) flag = 0;",
            f"return {self.lvalue()};", f"return {a} + {b};", "return len;", f"return {self.real(0)};",
            "return (int)(long_v - long_v0);",
            f"for (i0 = {rng.choice(('0', '1', 'j0 + 1', 'len - 1'))}; i0 {rng.choice(('<', '<=', '>=', '!='))} "
            f"{rng.choice(('len', 'k0', 'len - 1', '0', '(int)size', 'len / 2'))}; "
            f"i0{rng.choice(('++', '++', '--', ' += 2'))}) {self.lvalue()} = {a};",
            f"for (size = 0; size < {rng.choice(('sizeof(words)', '10', '(unsigned long)len'))}; "
            f"size++) sum += long_v[size];",
            f"do {{ k0 /= 10; len++; }} while (k0 {rng.choice(('>', '!='))} 0);",
            f"switch ({a}) {{ case 1: k0 = 1; break; case 'a': k0 = {a}; break; default: k0 = -1; }}"))

    def lvalue(self):
        """A place that is never a pointer or an expression with effects."""
        return self.rng.choice(("k0", "sum", "len", "v[i0]", "v[i0 + 1]", "table[i0]", "grid[i0][j0]", "rows[i0][j0]",
                                "n->key",
                                "nodes[i0].key", "m->count", "m->id", "bytes[i0]", "s[i0]", "out[j0]", "long_v[i0]",
                                "hash", "size",
                                "counter", "w.at.x", "m->flags.b", "flag"))

    def condition(self, depth):
        rng = self.rng
        if depth > 0 and rng.random() < 0.25:
            return f"{self.condition(depth - 1)} {rng.choice(('&&', '||'))} {self.condition(depth - 1)}"
        return rng.choice((
            f"{self.place()[0]} {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {self.expression(depth - 1)}",
            f"{self.place()[0]} {rng.choice(('<', '>', '==', '!='))} {self.literal()}",
            self.place()[0], f"!{self.place()[0]}", "n != 0", "t != 0", "n->left == n->right"))

    def simple(self):
        rng = self.rng
        v, t = self.place()
        depth = rng.choice((0, 1, 1, 1, 2, 2, 3))
        r = rng.random()
        if r < 0.52:
            return f"{v} = {self.expression(depth, t)};"
        if r < 0.67:
            return f"{v} {rng.choice(('+=', '+=', '-=', '*='))} {self.expression(depth - 1, t)};"
        if r < 0.71 and t not in FLOATS:
            return f"{v} {rng.choice(('&=', '|=', '^='))} {self.integer(depth - 1)};"
        if r < 0.73 and t not in FLOATS:
            return f"{v} {rng.choice(('<<=', '>>='))} {rng.randint(0, 7)};"
        if r < 0.75 and t not in FLOATS:
            return f"{v} {rng.choice(('/=', '%='))} {rng.randint(1, 50)};"
        if r < 0.86:
            return rng.choice((f"{v}++;", f"{v}--;", f"++{v};"))
        p, _ = rng.choice(self.pointers)
        return rng.choice((
            "t = n->next;", "n = n->left;", "t->next = n;", f"{p}++;", f"{p} += {self.integer_index()};",
            f"*{p}++ = {self.expression(depth - 1)};", f"{p} = &{p}[{self.integer_index()}];",
            "q = m->at;", "w.at = q;",
            f"t = &n[{self.integer_index()}];", f"{self.scalars[0][0]} = *{p}++;", "n->right = t;", "color = GREEN;",
            f"{v} = ({self.condition(1)}) ? {self.expression(1)} : {self.expression(1)};", "u.p = n;", "argv++;"))

    def table(self, number):
        """A declaration with an initialiser list, as tests and tables have them."""
        rng = self.rng
        n = rng.randint(1, 12)
        if rng.random() < 0.2:
            words = ", ".join('"' + "".join(rng.choices("abcxyz", k=rng.randint(1, 6))) + '"' for _ in range(n))
            return f"    {rng.choice(('char', 'const char'))} *z{number}[] = {{{words}}};\n"
        kind = rng.choice(FLOATS if rng.random() < 0.3 else INTEGERS)
        values = ", ".join(self.literal(kind) if rng.random() < 0.9 else self.place()[0] for _ in range(n))
        return f"    {kind} z{number}[{rng.choice(('', '', n + 4))}] = {{{values}}};\n"

    def statement(self, depth, indent):
        rng = self.rng
        pad = "    " * indent
        r = rng.random()
        if depth <= 0 or r < 0.62:
            return pad + (self.simple() if rng.random() < 0.45 else self.common()) + "\n"
        body = "".join(self.statement(depth - 1, indent + 1) for _ in range(rng.randint(1, 3)))
        if r < 0.80:
            text = f"{pad}if ({self.condition(2)}) {{\n{body}{pad}}}"
            if rng.random() < 0.35:
                other = "".join(self.statement(depth - 1, indent + 1) for _ in range(rng.randint(1, 2)))
                text += f" else {{\n{other}{pad}}}"
            return text + "\n"
        i = rng.choice([v for v, t in self.scalars if t not in FLOATS] or ["color"])
        if r < 0.92:
            bound = rng.choice((str(rng.randint(1, 100)), self.place()[0], "g0"))
            return f"{pad}for ({i} = 0; {i} < {bound}; {i}++) {{\n{body}{pad}}}\n"
        if r < 0.96:
            return f"{pad}while ({self.condition(1)}) {{\n{body}{pad}}}\n"
        return f"{pad}{i} = call({self.expression(1)}, {self.expression(0)});\n"

    def at_file_scope(self):
        """Everything declared outside the functions, as old programs have it. The declarations."""
        parameters, lines = self.scope()
        names = [part.strip() for part in parameters.split(",")] + [line.strip().rstrip(";") for line in lines]
        return "".join(f"{self.rng.choice(('static ', 'static ', '', 'extern '))}{name};\n" for name in names)

    def function(self, number, shared):
        """A function; shared: its variables are at file scope already."""
        parameters, lines = ("void", []) if shared else self.scope()
        body = "".join(self.statement(2, 1) for _ in range(self.rng.randint(4, 10)))
        body += "".join(self.table(n) for n in range(self.rng.choice((0, 0, 1, 2))))
        body += f"    return {self.expression(1)};\n"
        return f"{self.rng.choice(('int', 'int', 'long', 'double', 'unsigned'))} f{number}({parameters})\n" \
               "{\n" + "\n".join(lines) + "\n" + body + "}\n"


class Records:
    """Records of random members, the pointers and arrays that lead to them, and statements about them: the load and
    store of every type at every offset, through every kind of path."""

    def __init__(self, rng):
        self.rng = rng
        self.types, self.places, lines = [], [], []
        for n in range(3):
            members = [self.member(n, k) for k in range(rng.randint(2, 7))]
            self.types.append(members)
            lines.append(f"struct r{n} {{ {' '.join(text for text, _ in members)} }};")
        for n in range(8):
            record = rng.randrange(3)
            self.places.append((n, record))
            name = f"e{n}"
            lines.append(f"{rng.choice(('static ', '', 'extern '))}" + self.declare(n, record, name) + ";")
        self.file_scope = "\n".join(lines) + "\n"

    def member(self, record, n):
        """The text of a member and the ways to read it: (what follows the record, its type)."""
        rng, kind = self.rng, self.kind()
        r = rng.random()
        if r < 0.5:
            return f"{kind} m{n};", [(f"m{n}", kind)]
        if r < 0.65:
            return f"{kind} *m{n};", [(f"m{n}[{self.index()}]", kind), (f"m{n}[0]", kind), (f"m{n}", "*")]
        if r < 0.85:
            return f"{kind} m{n}[{rng.choice((2, 3, 4, 16, 64))}];", [(f"m{n}[{self.index()}]", kind), (f"m{n}[1]", kind)]
        if r < 0.93 or record == 0:
            return f"struct r{record} *m{n};", [(f"m{n}", "*")]
        first = self.types[0][0][1][0]
        return f"struct r0 m{n}, *n{n};", [(f"m{n}.{first[0]}", first[1]), (f"n{n}->{first[0]}", first[1])]

    def kind(self):
        return self.rng.choice(FLOATS if self.rng.random() < 0.12 else INTEGERS[6:])

    def index(self):
        return self.rng.choice(("i", "i", "j", "i + 1", "u", "w", "0", "1", "2", "i - j", "c"))

    def declare(self, n, record, name):
        shape = n % 4
        return (f"struct r{record} {name}", f"struct r{record} *{name}", f"struct r{record} {name}[8]",
                f"struct r{record} **{name}")[shape]

    def path(self, want=None):
        """A place, and its type; want: only of that type, where one is found soon."""
        rng = self.rng
        for _ in range(12):
            n, record = rng.choice(self.places)
            name = ("e", "l")[rng.random() < 0.6] + str(n)
            before = (f"{name}.", f"{name}->", f"{name}[{self.index()}].", f"{name}[{self.index()}]->")[n % 4]
            ways = rng.choice(self.types[record])[1]
            after, kind = rng.choice(ways)
            if kind == want or (want is None and kind != "*"):
                return before + after, kind
        return rng.choice((("i", "int"), ("j", "int"), ("u", "unsigned"), ("w", "long"), ("si", "int"), ("su", "unsigned"),
                           ("sw", "unsigned long"), ("c", "char"), ("d", "double"), ("h", "unsigned short")))

    def value(self, depth):
        """An integer's expression."""
        rng = self.rng
        if depth <= 0:
            r = rng.random()
            if r < 0.55:
                text, kind = self.path()
                return text if kind not in FLOATS else f"(int){text}"
            return rng.choice(("i", "j", "u", "w", "c", "h", "si", "su", "sw", "1", "2", "7", "255", "-1", "1000"))
        a, b = self.value(depth - 1), self.value(rng.randint(0, depth - 1))
        r = rng.random()
        if r < 0.62:
            return f"({a} {rng.choice('+-*&|^+-')} {b})"
        if r < 0.72:
            return f"({a} {rng.choice(('<<', '>>'))} {rng.choice(('1', '3', '8', '16', '(j & 7)', '(' + b + ' & 15)'))})"
        if r < 0.79:
            return f"({a} {rng.choice('/%')} {rng.choice(('2', '3', '10', b))})"
        if r < 0.88:
            return f"({rng.choice(INTEGERS[8:])}){a}"
        if r < 0.94:
            return f"({self.test(0)} ? {a} : {b})"
        return f"{rng.choice('-~!')}{a}" if a[0] != "-" else f"({a})"

    def real(self, depth):
        rng = self.rng
        if depth <= 0:
            text, kind = self.path(rng.choice(FLOATS))
            return rng.choice((text, text, "d", "f", "x[i]", "0.5", "2.0")) if kind in FLOATS else "d"
        return f"({self.real(depth - 1)} {rng.choice('+-*/')} {self.real(rng.randint(0, depth - 1))})"

    def test(self, depth):
        rng = self.rng
        if depth > 0:
            sides = [self.test(depth - 1) for _ in range(rng.choice((2, 2, 3)))]
            return "(" + rng.choice((" && ", " || ")).join(sides) + ")"
        r = rng.random()
        if r < 0.1:
            return f"({self.path('*')[0]} {rng.choice(('==', '!='))} 0)"
        if r < 0.2:
            return f"({self.real(0)} {rng.choice(('<', '>', '<=', '>=', '==', '!='))} {self.real(0)})"
        if r < 0.3:
            return f"!{self.path()[0]}"
        return f"({self.value(rng.choice((0, 0, 1)))} {rng.choice(('<', '>', '<=', '>=', '==', '!='))} {self.value(0)})"

    def statement(self):
        rng, depth = self.rng, self.rng.choice((0, 0, 1, 1, 1, 2, 2, 3))
        to, kind = self.path()
        r = rng.random()
        if r < 0.07:
            (first, one), (second, other) = self.path("*"), self.path("*")
            return f"{first} = (void *){second};" if one == other == "*" else f"{to} = 0;"
        if r < 0.2:
            source, _ = self.path(kind)
            return f"{to} = {source};"
        if r < 0.38:
            return f"{to} = {self.value(depth) if kind not in FLOATS else self.real(min(depth, 2))};"
        if r < 0.55:
            if kind in FLOATS:
                return f"{to} {rng.choice('+-*/')}= {self.real(min(depth, 1))};"
            return f"{to} {rng.choice(('+', '-', '*', '&', '|', '^', '/', '%'))}= {self.value(min(depth, 1))};"
        if r < 0.62:
            return f"{to}{rng.choice(('++', '--'))};"
        if r < 0.70:
            return f"{rng.choice(('i', 'j', 'u', 'w', 'c', 'h', 'si', 'su', 'sw'))} = {self.value(depth)};"
        if r < 0.74:
            return f"{rng.choice(('d', 'f'))} = {self.real(min(depth, 2))};"
        if r < 0.78:
            return f"{to} = {self.test(0)} ? {self.path(kind)[0]} : {self.path(kind)[0]};"
        body = rng.choice(("i++;", "return i;", "j = i;", f"{to} = 0;"))
        return f"{rng.choice(('if', 'if', 'if', 'while'))} ({self.test(rng.choice((0, 0, 0, 1, 1, 2)))}) {body}"

    def program(self, functions):
        text = self.file_scope + "static int si; unsigned su; static unsigned long sw;\n"
        for n in range(functions):
            own = ", ".join(self.declare(k, r, f"l{k}") for k, r in self.places if k % 4 % 2)
            local = "; ".join(self.declare(k, r, f"l{k}") for k, r in self.places if k % 4 % 2 == 0)
            body = "\n    ".join(self.statement() for _ in range(16))
            text += (f"int f{n}({own}, int i, unsigned u, double *x)\n{{\n    {local};\n    int j; long w; char c; double d;\n"
                     f"    float f; unsigned short h;\n    {body}\n    return j;\n}}\n")
        return text


def program(seed, functions):
    rng = random.Random(seed)
    if rng.random() < 0.4:
        return Records(rng).program(functions)
    writer = Writer(rng)
    text = PREAMBLE + "extern int g0; unsigned long g1; double g2; int table[64]; char text[256];\n" \
                      "static long counter; int call(int, long); void *take(unsigned long);\n" \
                      "void give(void *, const char *, double); int more(long, int, void *); double root(double);\n"
    shared = rng.random() < 0.3
    if shared:
        text += writer.at_file_scope()
    return text + "\n".join(writer.function(n, shared) for n in range(functions))


ARITHMETIC = ("signed char", "unsigned char", "short", "unsigned short", "int", "unsigned", "long", "unsigned long",
              "float", "double", "long double", "_Bool")


def shapes():
    """One program for each arithmetic type that holds every operator, conversion and place of that type: at the
    granularity of operations, the finest shapes there are."""
    for t in ARITHMETIC:
        real, lines = t in ("float", "double", "long double"), []
        places = ("a", "g", "*p", "p[i]", "s->m", "x.m", "r[i]", "2.5" if real else "3",
                  "2.5" if real else "5000000000", "2.5" if real else "3000000000")
        operators = "+ - * / < <= > >= == != && ||".split() + ([] if real else "% & | ^ << >>".split())
        for op in operators:
            for left in places:
                for right in ("b", "h", "*q", *(("1.5", "3") if real else ("7", "1", "5000000000", "0x80000000"))):
                    lines.append(f"l = {left} {op} {right};")
                    if op in ("<", "<=", ">", ">=", "==", "!=", "&&", "||"):
                        lines.append(f"if ({left} {op} {right}) k++;")
                    elif left[0] not in "23456789":
                        lines.append(f"{left} {op}= {right};")
        for place in places:
            lines += [f"l = -{place};", f"k = !{place};", f"l = {place};", f"if ({place}) k--;"]
            lines += [f"u{n} = {place};" for n in range(len(ARITHMETIC))]
            if place[0] not in "23456789":
                lines += [f"{place} = u{n};" for n in range(len(ARITHMETIC))]
                lines += [f"{place} = {v};" for v in ("0", "1", "-1", "100", "5000000000", "b", "h", "*q")]
                lines += [f"{place}++;", f"--{place};"] + ([] if real or t == "_Bool" else [f"l = ~{place};"])
        lines += ["p = q;", "p++;", "p += i;", "p -= 2;", "k = p == q;", "k = p < q;", "w = p - q;", "if (!p) k = 1;",
                  "p = &q[i];", "p = &r[i];", "p = &a;", "p = &g;", "q = r;", "l = r[k];", "l = p[3];", "s = s + 1;",
                  "t = table;", "t = &g;", "name = \"text\";", "call = f0;", "*v = \"text\";",
                  "v[1] = name;", "v[k] = name;",
                  "s->name = \"name\";", "x.name = name;", "x.call = f0;",
                  "const char *list[3] = {\"a\", \"b\", name};"]
        text = "\n".join(["extern int k; extern long w;"] + [f"{c} u{n};" for n, c in enumerate(ARITHMETIC)]
                         + [f"extern {t} g, h, table[9];",
                            f"struct s {{ int pad; {t} m; const char *name; void (*call)(); }};",
                            f"extern {t} *t; extern const char *name; extern void (*call)(); extern const char **v;",
                            "void f0();"])
        for n in range(0, len(lines), 12):
            body = "\n    ".join(lines[n:n + 12])
            text += (f"\nvoid f{n + 1}({t} a, {t} b, {t} *p, {t} *q, struct s *s, int i)\n{{\n    {t} l, r[8];\n"
                     f"    struct s x;\n    {body}\n}}\n")
        yield text


def addresses(seed):
    """One program that stores, compares and moves addresses of places inside of objects."""
    rng = random.Random(seed)
    places = ("&a &b[0] &b[3] &b[7] &x &x.r[1] &x.q &y.m &ga &gb[0] &gb[4] &gb[8] &gx &gx.r[2] &gx.q &gy.m").split()
    targets = "x.p x.q x.r[0] x.r[3] gx.p gx.r[1] pp[0] pp[2] gp[0] gp[3] p gq *pv pv[2]".split()
    lines = [f"{t} = (void *){s};" for t in targets for s in (*places, "b", "gb", "0", "p", "gq")]
    for place in places:
        for p in ("p", "gq", "x.p", "gx.q", "*pv"):
            for op in ("==", "!=", "<", ">="):
                lines += [f"k = (void *){p} {op} (void *){place};", f"if ((void *){place} {op} (void *){p}) k++;"]
    lines += [f"{t} = (void *)({s} {i});" for s in ("b", "gb", "&b[2]", "&gb[3]", "&x.r[1]", "&gx.r[1]")
              for i in ("+ i", "- u", "+ 3", "- (i + 1)") for t in ("p", "gq", "pv", "x.p")]
    rng.shuffle(lines)
    text = ("struct sx { long pad; char *p; int *q; void *r[4]; }; struct sy { int z; short m; };\n"
            "int ga, gb[9]; struct sx gx; struct sy gy; int *gp[5]; static void *gq; void *use(void *);\n")
    for n in range(0, len(lines), 14):
        body = "\n    ".join(lines[n:n + 14])
        text += (f"void f{n}(void **pv, int i, unsigned u)\n{{\n    int a = 0, b[9], k = 0, *pp[5];\n    struct sx x;\n"
                 f"    struct sy y;\n    void *p = pv;\n    use(&a); use(b); use(&x); use(&y); use(pp);\n    {body}\n}}\n")
    return text


def run(command, seconds, **kwargs):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, **kwargs)
    except subprocess.TimeoutExpired:
        return None


def failures(args, common, source, folder):
    """Blocks that args.model gets wrong at the first answer: key -> a later answer that was accepted, as a line of a
    transcript, or None; and how many were asked."""
    report = os.path.join(folder, "report.json")
    run([*common, f"--model={args.model}", "--samples=8", "--repairs=0", "--fallback=cc", "--quiet", f"--report={report}",
         f"--vectors={args.vectors}", "-c", "-o", "/dev/null", source], 300)
    if not os.path.exists(report):
        return {}, 0
    with open(report) as f:
        blocks = [b for file in json.load(f)["files"] for b in file["blocks"] if b["outcome"] != "skipped"]
    os.remove(report)
    failed = {}
    for b in blocks:
        right = b["outcome"] == "accepted"
        if not right or b["samples"] > 1:
            answer = {"key": b["key"], "block": b["block"], "fragment": b["fragment"], "sample": 0}
            failed[b["key"]] = json.dumps(answer) + "\n" if right else None
    return failed, len(blocks)


STRICTER = {"l": "le", "g": "ge", "b": "be", "a": "nb"}
TOGGLED = {**STRICTER, **{loose: strict for strict, loose in STRICTER.items()}, "ae": "a"}


WIDE = {"%eax": "%rax", "%ebx": "%rbx", "%ecx": "%rcx", "%edx": "%rdx", "%esi": "%rsi", "%edi": "%rdi"}


def in_own_numbers(block, fragment):
    """A block's large numbers as the model can say them. gcc turns x >= K into x > K - 1 and x - K into x + -K, numbers
    that the block does not have: here they are as they were. And it picks the shortest of movl, movq and movabsq,
    which the question does not show: here every number of 64 bits takes movabsq. The verifier decides whether that was
    right."""
    own = {int(n) for n in re.findall(r"\d{10,}", block)}
    own |= {n - (1 << 64) for n in own if n >= 1 << 63} | {-n for n in own}
    wide = {int(n) for n in re.findall(r"(\d{10,})U?L", block)}
    lines, toggle, negated = [], False, False
    for line in fragment.split("\n"):
        number = re.search(r"\$(-?\d{10,})", line)
        if number and int(number[1]) not in own:
            near = [n for n in (int(number[1]) + 1, int(number[1]) - 1) if n in own]
            if near:
                line, toggle = line.replace(number[0], f"${near[0]}"), True
        negative = re.match(r"\tmovabsq\t\$(-?\d{10,}), ", line)
        if negative and -int(negative[1]) in wide and int(negative[1]) not in wide:
            line, negated = line.replace(negative[1], str(-int(negative[1]))), True
        elif negated and line.startswith("\taddq\t"):
            line, negated = line.replace("addq", "subq"), False
        load = re.match(r"\tmov[lq]\t\$(-?\d{10,}), (%\w+)$", line)
        if load and abs(int(load[1])) in wide:
            line = f"\tmovabsq\t${load[1]}, {WIDE.get(load[2], load[2])}"
        condition = re.match(r"\t(set|j)(ae|nb|be|le|ge|l|g|b|a)\t", line)
        if condition and toggle:
            line = f"\t{condition[1]}{TOGGLED[condition[2]]}\t" + line[condition.end():]
            toggle = False
        lines.append(line)
    return "\n".join(lines)


def taught(answers):
    """The teacher's transcript, line by line."""
    for line in answers.splitlines():
        item = json.loads(line)
        item["fragment"] = in_own_numbers(item["block"], item["fragment"])
        yield json.dumps(item) + "\n"


def pairs_of(args, source, granularity, folder, counts):
    """The accepted pairs of one C file at one granularity, as JSON lines. With a model: of its failures only, with its
    own later answer where one was accepted (expert iteration), else the teacher's."""
    common = [args.ashcc, f"--granularity={granularity}", "--cache=off", "-w"]
    failed = None
    if args.model:
        failed, asked = failures(args, common, source, folder)
        counts["asked"] += asked
        counts["failed"] += len(failed)
        counts["mended"] += sum(answer is not None for answer in failed.values())
        if not failed:
            return []
    blocks = run([*common, "--dump=blocks", source], 120)
    if blocks is None or blocks.returncode:
        return []
    transcript = os.path.join(folder, "transcript.jsonl")
    answers = run([args.teacher], 120, input=blocks.stdout)
    if answers is None or not answers.stdout:
        return []
    with open(transcript, "w") as f:
        if failed is None:
            f.writelines(taught(answers.stdout.decode()))
        else:
            f.writelines(line for line in failed.values() if line)
            f.writelines(line for line in taught(answers.stdout.decode())
                         if failed.get(json.loads(line)["key"], "") is None)
    out = run([*common, "--dump=pairs", f"--translator=replay:{transcript}", "--samples=1", "--repairs=0",
               f"--vectors={args.vectors}", source], 300)
    return out.stdout.decode().splitlines() if out else []


def make(args):
    seen, started, seed, n_read, counts = set(), time.time(), args.seed, 0, collections.Counter()
    with open(args.out, "a") as out, tempfile.TemporaryDirectory() as folder:
        sources = sorted(glob.glob(args.sources)) if args.sources else None
        if args.shapes:
            texts = [*shapes(), addresses(args.seed)]
            sources = [os.path.join(folder, f"shapes{n}.c") for n in range(len(texts))]
            for source, text in zip(sources, texts):
                with open(source, "w") as f:
                    f.write(text)
        while time.time() - started < args.seconds:
            if sources is not None:
                if n_read == len(sources) * 3:
                    break
                source, granularity = sources[n_read // 3], SIZES[n_read % 3]
            else:
                granularity = GRANULARITIES[seed % len(GRANULARITIES)]
                source = os.path.join(folder, "random.c")
                with open(source, "w") as f:
                    f.write(program(seed, args.functions))
            n_read += 1
            seed += 1
            for line in pairs_of(args, source, granularity, folder, counts):
                key = hashlib.sha1(json.loads(line)["question"].encode()).digest()[:10]
                if key not in seen:
                    seen.add(key)
                    out.write(line + "\n")
            out.flush()
            print(f"{time.time() - started:6.0f} s  {n_read} files  {len(seen)} pairs",
                  *(f" {name} {count}" for name, count in counts.items()), flush=True)


def split(args):
    """One pair in fifty is kept for tests, one for validation, by the question's hash."""
    names = ("test", "valid", "train")
    files = [open(os.path.join(args.out, f"{n}.jsonl"), "w") for n in names]
    seen, counts = set(), [0, 0, 0]
    with open(os.path.join(args.out, "pairs.jsonl")) as f:
        for line in f:
            key = hashlib.sha1(json.loads(line)["question"].encode()).digest()
            if key in seen:
                continue
            seen.add(key)
            part = min(key[0] * 256 + key[1], 65535) * 50 // 65536
            part = part if part < 2 else 2
            files[part].write(line)
            counts[part] += 1
    print(", ".join(f"{n} {c}" for n, c in zip(names, counts)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("verb", nargs="?", default="make", choices=("make", "split", "print"))
    p.add_argument("--ashcc", default="build/ashcc")
    p.add_argument("--teacher", default="build/tools/teacher")
    p.add_argument("--shapes", action="store_true", help="every operator, conversion and place, once")
    p.add_argument("--sources", help="files of C to take blocks from")
    p.add_argument("--model", help="take only what this model gets wrong at its first answer")
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--functions", type=int, default=40, help="per file")
    p.add_argument("--vectors", type=int, default=60, help="entry states that each answer must pass")
    p.add_argument("--out", default="build/mason/pairs.jsonl")
    args = p.parse_args()
    if args.verb == "print":
        print(program(args.seed, args.functions))
    elif args.verb == "split":
        split(args)
    else:
        make(args)


if __name__ == "__main__":
    main()
