"""Small models with odd widths: 56 and 100 columns are no whole groups of three."""

from pathlib import Path

import torch
import transformers

CONFIG = {
    "vocab_size": 96,
    "hidden_size": 56,
    "intermediate_size": 100,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 14,
    "max_position_embeddings": 64,
    "attention_bias": True,
    "mlp_bias": True,
    "tie_word_embeddings": False,
}


def llama(seed: int = 0, **changes: object) -> transformers.PreTrainedModel:
    """A Llama with random weights, and random biases where it has some."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(CONFIG | changes)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval()


def saved(model: transformers.PreTrainedModel, path: Path) -> Path:
    """Save in bfloat16, as published models are."""
    model.to(torch.bfloat16).save_pretrained(path)
    return path


def prompt(batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Random token ids int64[batch, 7]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, CONFIG["vocab_size"], (batch, 7), generator=generator)
