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


EXPERTS = {
    "vocab_size": 96,
    "hidden_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 14,
    "max_position_embeddings": 64,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}


def qwen3_moe(**changes: object) -> transformers.PreTrainedModel:
    """A Qwen3-MoE with random weights: 5 experts of 50 columns."""
    sizes = {"num_experts": 5, "moe_intermediate_size": 50, "decoder_sparse_step": 1}
    config = transformers.Qwen3MoeConfig(**(EXPERTS | sizes | changes))
    return _random(transformers.Qwen3MoeForCausalLM, config)


def mixtral(**changes: object) -> transformers.PreTrainedModel:
    """A Mixtral with random weights: 4 experts of 100 columns, other names in files."""
    sizes = {"num_local_experts": 4, "intermediate_size": 100}
    config = transformers.MixtralConfig(**(EXPERTS | sizes | changes))
    return _random(transformers.MixtralForCausalLM, config)


def qwen2_moe(**changes: object) -> transformers.PreTrainedModel:
    """A Qwen2-MoE with random weights: 5 experts, and one that all tokens share."""
    sizes = {"num_experts": 5, "moe_intermediate_size": 50, "decoder_sparse_step": 1}
    sizes |= {"shared_expert_intermediate_size": 40, "intermediate_size": 64}
    config = transformers.Qwen2MoeConfig(**(EXPERTS | sizes | changes))
    return _random(transformers.Qwen2MoeForCausalLM, config)


def _random(kind: type, config: object) -> transformers.PreTrainedModel:
    """Weights of which every part matters to the result, the router's too."""
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return model.eval()
