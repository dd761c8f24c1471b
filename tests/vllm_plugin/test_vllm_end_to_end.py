"""vLLM itself on the CPU: its tokens are those of transformers. Minutes; run where vLLM is.

VLLM_CPU_OMP_THREADS_BIND=nobind pytest -m vllm tests/vllm_plugin
"""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import amssim  # noqa: E402
import amssim.torch  # noqa: E402

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not find_spec("vllm"), reason="vLLM is not installed"),
]

PROMPT = [319, 1739, 8, 597, 315, 260]  # "def mean(values):"
TOKENS = 24
GENERATE = """
import json, sys
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    path, ranks, prompt, tokens = sys.argv[1], *map(json.loads, sys.argv[2:])
    llm = LLM(path, dtype="float32", tensor_parallel_size=ranks, enforce_eager=True,
              skip_tokenizer_init=True, kv_cache_memory_bytes=1 << 28, max_model_len=256)
    greedy = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, detokenize=False)
    (answer,) = llm.generate([{"prompt_token_ids": prompt}], greedy)
    print("tokens", json.dumps(answer.outputs[0].token_ids))
"""


def tokens_of_vllm(path, ranks, folder):
    script = folder / "generate.py"  # a file: the processes of the ranks import it again
    script.write_text(GENERATE)
    told = [str(path), *map(json.dumps, (ranks, PROMPT, TOKENS))]
    done = subprocess.run(
        [sys.executable, str(script), *told], capture_output=True, text=True, timeout=1200
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("tokens ")]
    assert lines, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return json.loads(lines[-1].removeprefix("tokens "))


def tokens_of_transformers(path):
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    made = model.generate(
        torch.tensor([PROMPT]), max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1
    )
    return made[0, len(PROMPT) :].tolist()


@pytest.mark.parametrize(("scheme", "ranks"), [("fp5.33", 1), ("fp5.33", 2), ("fp4.25", 2)])
def test_tokens_are_those_of_transformers(scheme, ranks, reference_model, tmp_path):
    """Half of 512 columns is no whole number of groups of three: the ranks use covers."""
    path = tmp_path / "packed"
    amssim.quantize_checkpoint(reference_model, path, scheme)
    assert tokens_of_vllm(path, ranks, tmp_path) == tokens_of_transformers(path)
