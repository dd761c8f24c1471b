"""Small models with odd widths: 56 and 100 columns are no whole groups of three."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

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


def llama(seed=0, **changes):
    """A Llama with random weights, and random biases where it has some."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(CONFIG | changes)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval()


def saved(model, path):
    """Save in bfloat16, as published models are."""
    model.to(torch.bfloat16).save_pretrained(path)
    return path


def prompt(batch=1, seed=0):
    """Random token ids int64[batch, 7]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, CONFIG["vocab_size"], (batch, 7), generator=generator)
