#!/usr/bin/env bash
# transformers 5.17.0, torch 2.13.0 on a CPU: a Qwen3-MoE whose hidden size times the bytes of an element is no multiple
# of 16 is built, saved and loaded, and its forward pass raises "strides should be multiple of 16 bytes": the default
# implementation of experts hands their weights to torch's grouped product, which wants rows of whole 16 bytes.
# experts_implementation="eager" computes the same model. Dense models of that width run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 transformers==5.17.0 numpy==2.4.6
cat > "$folder/widths.py" <<'CODE'
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM


def logits(hidden, **options):
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=64, hidden_size=hidden, intermediate_size=64, moe_intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2, **options,
    )
    with torch.no_grad():
        return Qwen3MoeForCausalLM(config).eval()(torch.arange(6)[None]).logits


print("48 columns of float32:", tuple(logits(48).shape))
print("50 columns, eager:    ", tuple(logits(50, experts_implementation="eager").shape))
try:
    logits(50)
    raise SystemExit("50 columns run by default now")
except RuntimeError as error:
    print("50 columns, default:  ", str(error).strip().splitlines()[0])
CODE
"$folder/env/bin/python" "$folder/widths.py"
