"""Write the golden vectors that do not exist yet; those that do are never touched.

python tests/golden/make_vectors.py
"""

import json
from pathlib import Path

import numpy as np

from amssim import reference, scheme
from amssim.rules import SEARCH_RULES

HERE = Path(__file__).parent
NAMES = ["fp5.33-e2m3", "fp4.25-e2m2", "fp6-e2m3", "fp5-e2m2", "fp4-e2m1", "fp5.33-e3m2"]
NAMES += ["fp4.5-e2m2", "fp5.125-e2m3", "ams-e4m3-k2", "ams-e1m4-k3", "ams-e3m1-k7"]
OPTIONS = [{"search": rule} for rule in SEARCH_RULES]
OPTIONS += [{"scale": "mse"}, {"scale_block": 24}, {"scale": "mse", "scale_block": 20}]


def weights(shape, seed):
    """Heavy-tailed rows, one of exact values and ties, one of zeros and specials."""
    rng = np.random.default_rng(seed)
    w = (0.02 * rng.standard_t(4, shape)).astype(np.float32)
    w[1] = rng.integers(-60, 61, shape[1]) / 16
    w[2] = rng.choice(np.float32([0, -0.0, 1e-45, -1e-39, 1e-30]), shape[1])
    return w


def case(name, options, seed):
    """One golden vector: all arrays as little-endian bytes in hexadecimal."""
    columns = [70, 64, 1, 129][seed % 4]
    w, s = weights((3, columns), seed), scheme(name)
    words, scales = reference.quantize(w, s, **options)
    restored = reference.dequantize(words, scales, s, columns, options.get("scale_block"))
    arrays = {"weights": w, "words": words, "scales": scales, "restored": restored}
    return {"scheme": name, "shape": w.shape, "options": options} | {
        key: array.astype(array.dtype.newbyteorder("<")).tobytes().hex()
        for key, array in arrays.items()
    }


def main():
    """Write one file per scheme."""
    for n, name in enumerate(NAMES):
        path = HERE / f"{name}.json"
        options = OPTIONS if n < 2 else [OPTIONS[0], OPTIONS[5 + n % 3]]
        cases = [case(name, o, 10 * n + i) for i, o in enumerate(options)]
        if not path.exists():
            path.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
