"""Write tests/golden/formats_*.json from other people's quantisers; existing files stay.

Needs gguf, torch, bitsandbytes and scikit-learn, which the test suite does not:

    python -m venv /tmp/oracles
    /tmp/oracles/bin/pip install gguf torch bitsandbytes scikit-learn
    /tmp/oracles/bin/python tests/golden/make_formats.py

Weights are float16 numbers, so that the largest of a block is exact in every scale's precision
and only rounding is left to differ.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def weights(shape, seed, degrees=5):
    """Heavy-tailed float16 numbers as float32."""
    rng = np.random.default_rng(seed)
    return (0.05 * rng.standard_t(degrees, shape)).astype(np.float16).astype(np.float32)


def from_gguf():
    """Q4_0 and Q5_0: symmetric integers in blocks of 32."""
    import gguf

    w = weights((6, 96), 1)
    w[1, 32:64] = 0
    cases = []
    for bits, kind in ((4, gguf.GGMLQuantizationType.Q4_0), (5, gguf.GGMLQuantizationType.Q5_0)):
        restored = gguf.dequantize(gguf.quantize(w, kind), kind)
        cases.append({"bits": bits, "group": 32} | arrays(weights=w, restored=restored))
    return "gguf", cases


def from_bitsandbytes():
    """NF4 in blocks of 64 on the CPU."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    w = weights((4, 128), 2)
    packed, state = quantize_4bit(torch.from_numpy(w), blocksize=64, quant_type="nf4")
    restored = dequantize_4bit(packed, state).numpy()
    return "bitsandbytes", [{"bits": 4, "group": 64} | arrays(weights=w, restored=restored)]


def from_torch():
    """Observed ranges and fake quantisation of unsigned 4- and 5-bit integers per row."""
    import torch
    from torch.ao.quantization.observer import PerChannelMinMaxObserver

    cases = []
    for bits in (4, 5):
        top = 2**bits - 1
        w = np.clip(weights((8, 40), 3 + bits), -0.2, 0.2)
        for row, zero in enumerate(range(0, top + 1, top // 7)):  # ranges with exact scales
            w[row] = np.clip(w[row], -zero / 64, (top - zero) / 64)
            w[row, :2] = -zero / 64, (top - zero) / 64
        kind = {"dtype": torch.quint8, "qscheme": torch.per_channel_affine}
        observer = PerChannelMinMaxObserver(quant_min=0, quant_max=top, **kind)
        observer(torch.from_numpy(w))
        scale, zero = observer.calculate_qparams()
        args = (scale, zero.to(torch.int32), 0, 0, top)
        restored = torch.fake_quantize_per_channel_affine(torch.from_numpy(w), *args).numpy()
        cases.append({"bits": bits, "group": 40} | arrays(weights=w, restored=restored))
    return "torch", cases


def from_scikit_learn():
    """Weighted k-means of single rows, best of 20 starts."""
    from sklearn.cluster import KMeans

    cases = []
    for bits in (2, 3, 4):
        w = weights((1, 160), 10 + bits, degrees=3)
        importance = np.exp(np.random.default_rng(bits).standard_normal(160)).astype(np.float32)
        found = KMeans(2**bits, n_init=20, random_state=0, max_iter=300).fit(
            w.T.astype(np.float64), sample_weight=importance.astype(np.float64)
        )
        error = {"bits": bits, "error": float(found.inertia_)}
        cases.append(error | arrays(weights=w, importance=importance))
    return "scikit-learn", cases


def arrays(**named):
    """Shapes, and little-endian float32 bytes in hexadecimal."""
    shape = {"shape": list(named["weights"].shape)}
    return shape | {n: a.astype("<f4").tobytes().hex() for n, a in named.items()}


def main():
    """Write one file per package."""
    for make in (from_gguf, from_bitsandbytes, from_torch, from_scikit_learn):
        package, cases = make()
        path = HERE / f"formats_{package.replace('-', '_')}.json"
        made_by = {
            "package": package,
            "version": version(package),
            "python": sys.version.split()[0],
        }
        if not path.exists():
            path.write_text(json.dumps({"made_by": made_by, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
