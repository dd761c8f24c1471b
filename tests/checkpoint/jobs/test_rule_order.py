"""Rules: the first that matches decides, obstacles win, and an idle rule is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, SchemeError, scheme
from amssim.checkpoint.jobs.rules import decide, parse_rule
from amssim.checkpoint.safetensors.header import TensorInfo

DEFAULT = scheme("fp5.33")
NAMES = [f"layers.{i}.{part}.weight" for i in range(3) for part in ("up_proj", "down_proj", "norm")]
TARGETS = ["keep", "fp4.25", "fp6-e2m3", "fp5.33"]

expressions = st.sampled_from([r"layers\.0", r"layers\.[12]", "up", "down|norm", "proj", ".", "^l"])
rule_texts = st.builds("{}={}".format, expressions, st.sampled_from(TARGETS))


def info(name, shape=(4, 4), dtype="BF16"):
    return TensorInfo(name, dtype, shape, 0, 0)


def by_hand(name: str, rules: list[str]):
    """What the first matching rule says, or the default without one."""
    for text in rules:
        expression, _, target = text.rpartition("=")
        if re.search(expression, name):
            return (None if target == "keep" else scheme(target)), f"rule {text}"
    return (None, "norm") if "norm" in name else (DEFAULT, "default")


@given(st.lists(rule_texts, max_size=4), st.randoms())
def test_the_first_rule_that_matches_decides_and_one_that_decides_nothing_is_named(rules, random):
    tensors = [info(name) for name in NAMES]
    random.shuffle(tensors)
    expected = {name: by_hand(name, rules) for name in NAMES}
    reasons = {reason for _, reason in expected.values()}
    idle = [text for text in rules if f"rule {text}" not in reasons]
    if idle:
        with pytest.raises(InputError) as refused:
            decide(tensors, [parse_rule(text) for text in rules], DEFAULT)
        assert str(refused.value).startswith(f"rule {idle[0]!r} is never reached: ")
    else:
        decisions = decide(tensors, [parse_rule(text) for text in rules], DEFAULT)
        assert {name: (d.scheme, d.reason) for name, d in decisions.items()} == expected


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            ["zz=keep"],
            "rule 'zz=keep' matches no tensor: expressions are searched for anywhere in a",
        ),
        (["b=keep", "b=fp4.25"], "rule 'b=fp4.25' is never reached: 'b=keep' comes first for 'b'"),
        (["vector=fp4.25"], "rule 'vector=fp4.25' matches nothing that can be quantised: 'vector'"),
        (["index=fp4.25"], "matches nothing that can be quantised: 'index' is I64 is not BF16"),
        (["empty=fp4.25"], "matches nothing that can be quantised: 'empty' is empty"),
    ],
)
def test_a_rule_that_decides_nothing(rules, sentence):
    tensors = [info("b"), info("vector", (4,)), info("index", dtype="I64"), info("empty", (0, 4))]
    with pytest.raises(InputError) as refused:
        decide(tensors, [parse_rule(text) for text in rules], DEFAULT)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "rule '' must read REGEX=SCHEME or REGEX=keep"),
        ("keep", "rule 'keep' must read REGEX=SCHEME or REGEX=keep"),
        (3, "rule 3 must read REGEX=SCHEME or REGEX=keep"),
        ("=keep", "rule '=keep' must read REGEX=SCHEME or REGEX=keep"),
        ("(=keep", "rule '(=keep' is no regular expression: missing ), unterminated subpattern"),
        ("a=", "unknown scheme ''"),
        ("a=KEEP", "'KEEP'"),
    ],
)
def test_a_rule_that_cannot_be_read(text, sentence):
    with pytest.raises(SchemeError) as refused:
        parse_rule(text)
    assert sentence in str(refused.value)


def test_a_rule_that_keeps_what_is_kept_anyway_is_not_idle():
    decisions = decide([info("a"), info("norm.weight")], [parse_rule("norm=keep")], DEFAULT)
    assert decisions["norm.weight"].reason == "rule norm=keep"


def test_a_rule_may_hold_tensors_that_cannot_be_quantised_beside_some_that_can():
    tensors = [info("l.weight"), info("l.bias", (4,))]
    decisions = decide(tensors, [parse_rule("l=fp4.25")], DEFAULT)
    assert decisions["l.weight"].scheme == scheme("fp4.25")
    assert (decisions["l.bias"].scheme, decisions["l.bias"].reason) == (None, "1-D")
