"""Which tensors are quantised by default, and what rules do."""

import time

import pytest

from amssim import InputError, SchemeError, scheme
from amssim.checkpoint.jobs.rules import decide, parse_rule
from amssim.checkpoint.safetensors.header import TensorInfo

DEFAULT = scheme("fp5.33")


def tensor(name, shape=(8, 8), dtype="BF16"):
    return TensorInfo(name, dtype, tuple(shape), 0, 0)


def choice(name, shape=(8, 8), dtype="BF16"):
    return decide([tensor(name, shape, dtype)], [], DEFAULT)[name]


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.11.mlp.gate_proj.weight",
        "model.layers.0.mlp.experts.7.down_proj.weight",
        "model.layers.0.mlp.shared_expert.up_proj.weight",
        "transformer.h.0.attn.c_attn.weight",
        "encoder.layer.0.attention.output.dense.weight",
        "w.weight",
    ],
)
def test_linear_layers_are_quantised(name):
    assert choice(name).scheme == DEFAULT


@pytest.mark.parametrize("name", ["l.0.experts.gate_up_proj", "l.0.experts.w1.weight", "experts"])
def test_31_experts_of_three_dimensions_are_quantised(name):
    assert choice(name, (4, 8, 8)).scheme == DEFAULT


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "reason"),
    [
        ("model.embed_tokens.weight", (8, 8), "BF16", "embedding"),
        ("bert.embeddings.word_embeddings.weight", (8, 8), "F32", "embedding"),
        ("transformer.wte.weight", (8, 8), "F16", "embedding"),
        ("shared.weight", (8, 8), "F16", "embedding"),
        ("lm_head.weight", (8, 8), "BF16", "output head"),
        ("model.lm_head.weight", (8, 8), "BF16", "output head"),
        ("output.weight", (8, 8), "BF16", "output head"),
        ("embed_out.weight", (8, 8), "BF16", "output head"),
        ("model.layers.0.mlp.gate.weight", (8, 8), "BF16", "router"),
        ("model.layers.0.block_sparse_moe.gate.weight", (8, 8), "BF16", "router"),
        ("model.layers.0.mlp.router.weight", (8, 8), "BF16", "router"),
        ("model.layers.0.mlp.shared_expert_gate.weight", (1, 8), "BF16", "router"),
        ("model.layers.0.self_attn.q_norm.weight", (8, 8), "BF16", "norm"),
        ("transformer.h.0.ln_1.weight", (8, 8), "BF16", "norm"),
        ("model.layers.0.input_layernorm.weight", (8,), "BF16", "1-D"),
        ("model.layers.0.mlp.up_proj.bias", (8,), "BF16", "1-D"),
        ("scale", (), "F32", "0-D"),
        ("conv.weight", (8, 8, 3, 3), "BF16", "4-D"),
        ("mixer.conv1d.weight", (8, 1, 4), "BF16", "3-D, not experts"),
        ("pos_table", (8, 8), "BF16", "not named *.weight"),
        ("a.weight", (0, 8), "BF16", "empty"),
        ("a.weight", (8, 8), "I32", "I32 is not BF16, F16, F32"),
        ("a.weight", (8, 8), "F64", "F64 is not BF16, F16, F32"),
    ],
)
def test_11_13_31_what_is_kept_and_why(name, shape, dtype, reason):
    assert choice(name, shape, dtype) == (None, reason, None)


def chosen(*rules, tensors):
    choices = decide([tensor(*t) for t in tensors], [parse_rule(r) for r in rules], DEFAULT)
    return {name: c.scheme and c.scheme.name for name, c in choices.items()}


TENSORS = [("a.0.weight",), ("a.1.weight",), ("lm_head.weight",), ("norm.weight", (8,))]


def test_the_first_rule_that_matches_decides():
    found = chosen(r"a\.0=fp4.25", r"a\.=fp6-e2m3", "lm_head=keep", tensors=TENSORS)
    assert list(found.values()) == ["fp4.25-e2m2", "fp6-e2m3", None, None]


def test_a_rule_quantises_what_is_kept_by_default_but_not_what_cannot_be():
    found = chosen(".*=fp4.25", tensors=TENSORS)
    assert list(found.values()) == ["fp4.25-e2m2"] * 3 + [None]


def test_an_expression_may_hold_an_equals_sign():
    assert chosen("a=b=keep", tensors=[("x.a=b.weight",), ("y.weight",)]) == {
        "x.a=b.weight": None,
        "y.weight": "fp5.33-e2m3",
    }


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (["q_proj=fp4.25"], "rule 'q_proj=fp4.25' matches no tensor"),
        (["a=keep", "a.0=fp4.25"], "is never reached: 'a=keep' comes first for 'a.0.weight'"),
        (["norm=fp4.25"], "matches nothing that can be quantised: 'norm.weight' is 1-D"),
    ],
)
def test_a_rule_that_decides_nothing(rules, sentence):
    with pytest.raises(InputError) as found:
        chosen(*rules, tensors=TENSORS)
    assert sentence in str(found.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("q_proj", "must read REGEX=SCHEME or REGEX=keep"),
        ("=keep", "must read REGEX=SCHEME or REGEX=keep"),
        ("(=keep", "is no regular expression"),
        ("q_proj=fp9", "9 bits: choose one of"),
        ("q_proj=", "unknown scheme ''"),
    ],
)
def test_a_rule_that_is_misspelled(text, sentence):
    with pytest.raises(SchemeError, match=sentence):
        parse_rule(text)


@pytest.mark.parametrize("unit", ["embed", "norm", "ln_", "embed.", "ln_.", ".", "gate.", "1", "é"])
def test_a_long_name_takes_no_time(unit):
    """Whatever it repeats: nothing is searched for by expressions that try again and again."""
    name = (unit * 4096).encode()[:4096].decode()
    seconds = []
    for _ in range(5):
        start = time.process_time()
        choice(name), choice(name, (8, 8, 8))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.001
