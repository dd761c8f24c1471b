"""Record the weight error of every comparison format, without calibration, on two matrices.

python analysis/measure_formats.py [--model DIRECTORY] [--tensor NAME]

One matrix is normal, 512x4096, the other a real layer. Calibrated errors and perplexity are those
of error_formats.py and error_model.py; GPTQ is left out, for without calibration it does nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import recorded

from amssim import Metrics, formats
from amssim.checkpoint import FloatCheckpoint
from amssim.formats import JointAms, NegativeZero

SHAPE = (512, 4096)
TENSOR = "model.layers.3.mlp.down_proj.weight"
EXTENSIONS = [f(name) for f in (JointAms, NegativeZero) for name in ("fp5.33", "fp4.25")]


def measured(form: formats.Format, matrices: dict[str, np.ndarray]) -> dict:
    """Bits and dB of a format on each matrix."""
    record = {"name": form.name}
    for kind, weights in matrices.items():
        stored = form.quantize(weights)
        error = Metrics.of(weights, stored.dequantize())
        record[kind] = {"bits": float(stored.effective_bits), "db": error.sqnr_db}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    parser.add_argument("--tensor", default=TENSOR)
    args = parser.parse_args()
    normal = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    matrices = {"normal": normal, "real": FloatCheckpoint(args.model)[args.tensor]}
    names = [name for name in formats.format_names() if not name.startswith("gptq")]
    forms = [*(formats.find_format(name) for name in names), *EXTENSIONS]
    records = [measured(form, matrices) for form in forms]
    described = {"tensor": args.tensor, "shape": list(matrices["real"].shape)}
    recorded.save("formats", described | {"records": records})


if __name__ == "__main__":
    main()
