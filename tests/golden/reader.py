"""Reads golden vectors and packed files with the standard library alone: no amssim, no numpy.

Written from docs/FORMAT.md; it shares no line with the package, so a bit that moves is seen.
"""

import json
import re
import struct
from pathlib import Path


def parse(name):
    """Scheme name -> (exponent bits, mantissa bits, k)."""
    bits, x, y, k = re.fullmatch(r"(?:fp([\d.]+)|ams)-e(\d)m(\d)(?:-k(\d+))?", name).groups()
    x, y = int(x), int(y)
    return x, y, int(k) if k else round(1 / (float(bits) - x - y))


def value(code, x, y):
    """The number a code stands for."""
    m, e, sign = code % 2**y, (code >> y) % 2**x, code >> (x + y)
    bias = 2 ** (x - 1) - 1
    size = 2.0 ** (e - bias) * (1 + m / 2**y) if e else 2.0 ** (1 - bias) * m / 2**y
    return -size if sign else size


def row_codes(words, columns, x, y, k):
    """The codes of one packed row of 16-bit words."""
    t, fused = x + y, k > 1 and (x + y) * k + 1 == 16
    groups = 1 if fused else 16
    width = t + 1 if k == 1 else t
    block_words = (groups * k * width + (groups if k > 1 else 0)) // 16
    codes = []
    for start in range(0, len(words), block_words):
        stream = sum(w << (16 * i) for i, w in enumerate(words[start : start + block_words]))
        for j in range(groups * k):
            field = stream >> (width * j) & (2**width - 1)
            shared = stream >> (width * groups * k + j // k) & 1
            codes.append(field if k == 1 else 2 * field + shared)
    return codes[:columns]


def restore(words, scales, shape, scheme, block=None):
    """Flat words and scales -> rows of float32 weights, as Python floats."""
    x, y, k = parse(scheme)
    rows, columns = shape
    per_row, blocks = len(words) // rows, len(scales) // rows
    restored = []
    for r in range(rows):
        codes = row_codes(words[r * per_row : (r + 1) * per_row], columns, x, y, k)
        mine = scales[r * blocks : (r + 1) * blocks]
        exact = [value(c, x, y) * mine[j // (block or columns)] for j, c in enumerate(codes)]
        restored.append([struct.unpack("<f", struct.pack("<f", v))[0] for v in exact])
    return restored


def read_safetensors(path):
    """File -> (metadata, {name: (dtype, shape, numbers)}) for F32, U16 and I64 tensors."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata, body = header.pop("__metadata__", {}), data[8 + length :]
    tensors = {}
    for name, info in header.items():
        start, stop = info["data_offsets"]
        letter, size = {"F32": ("f", 4), "U16": ("H", 2), "I64": ("q", 8)}[info["dtype"]]
        numbers = struct.unpack(f"<{(stop - start) // size}{letter}", body[start:stop])
        tensors[name] = info["dtype"], info["shape"], numbers
    return metadata, tensors
