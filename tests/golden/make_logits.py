"""Write tests/golden/logits_transformers.json: the last logits of tiny models, by transformers.

Needs torch and transformers, which the test suite does not:

    python -m venv /tmp/oracles
    /tmp/oracles/bin/pip install torch transformers
    /tmp/oracles/bin/python tests/golden/make_logits.py
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lm"))

from llama_variants import TOKENS, VARIANTS  # noqa: E402

import tiny_llama  # noqa: E402


def logits(changed: dict) -> list[list[float]]:
    """float[sequences, vocabulary] after the last token."""
    import torch
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        tiny_llama.write(Path(folder), **changed)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            found = model.eval()(torch.from_numpy(TOKENS)).logits[:, -1]
    return [[round(float(v), 6) for v in row] for row in found]


if __name__ == "__main__":
    made_by = f"transformers {version('transformers')}, torch {version('torch')}"
    cases = {name: logits(changed) for name, changed in VARIANTS.items()}
    path = HERE / "logits_transformers.json"
    path.write_text(json.dumps({"made_by": made_by, "logits": cases}) + "\n")
