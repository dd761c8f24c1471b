"""JSON that is not trusted: what json reads we read alike, save for what is ambiguous."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import FormatError
from amssim.checkpoint.safetensors.strict_json import canonical_json, parse_json

text = st.text(st.characters(codec="utf-8"), max_size=6)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
finite = st.none() | st.booleans() | st.integers() | text
values = st.recursive(
    scalars.filter(lambda v: not isinstance(v, float) or math.isfinite(v)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_every_json_value_is_read_as_json_reads_it(value, ascii_only, indent):
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse_json(raw, "x") == json.loads(raw) == value


@given(values)
def test_canonical_text_is_ascii_and_reads_back(value):
    written = canonical_json(value)
    assert written.isascii() and parse_json(written.encode(), "x") == value
    assert canonical_json(parse_json(written.encode(), "x")) == written


@given(st.dictionaries(text, finite, min_size=2), st.randoms())
def test_canonical_text_does_not_depend_on_the_order_of_keys(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert canonical_json({key: value[key] for key in keys}) == canonical_json(value)


@given(text, values, values, st.integers(0, 3))
def test_a_key_that_stands_twice_is_an_error_at_every_depth(key, first, second, depth):
    name = json.dumps(key)
    inner = f"{{{name}: {json.dumps(first)}, {name}: {json.dumps(second)}}}"
    raw = f'{"[" * depth}{{"outer": {inner}}}{"]" * depth}'.encode()
    with pytest.raises(FormatError) as refused:
        parse_json(raw, "x.json")
    assert str(refused.value) == f"x.json holds the key {key!r} twice"


@given(st.binary(max_size=30))
def test_any_bytes_are_read_as_json_reads_them_or_are_one_of_our_errors(raw):
    try:
        value = parse_json(raw, "x.json", config=True)
    except FormatError as error:
        assert str(error).startswith("x.json ") and "\n" not in str(error)
    else:
        assert repr(value) == repr(json.loads(raw.decode()))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "x is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "x is not JSON: Expecting property name enclosed in double quotes"),
        (b'{"a": 1,}', "x is not JSON: "),
        (b"[1] [2]", "x is not JSON: Extra data"),
        (b"\xff", "x is not UTF-8 at byte 0"),
        (b'{"a": "\xe2\x82"}', "x is not UTF-8 at byte 7"),
        (b'{"\\udc00": 1}', "x holds text that is not Unicode: '\\udc00'"),
        (b'{"a": "\\ud800"}', "x holds text that is not Unicode: '\\ud800'"),
        (b'{"a": [["b"], ["c", "\\uD800"]]}', "x holds text that is not Unicode: '\\ud800'"),
        (b'"\\udbff\\ud800"', "x holds text that is not Unicode: '\\udbff\\ud800'"),
        (b'{"a": 1e999}', "x holds 1e999, which is beyond the range of numbers"),
        (b"[-1e400]", "x holds -1e400, which is beyond the range of numbers"),
        (b'{"a": NaN}', "x holds the constant NaN, which JSON does not have"),
        (b"[Infinity]", "x holds the constant Infinity, which JSON does not have"),
        (b"[-Infinity]", "x holds the constant -Infinity, which JSON does not have"),
        (b"[" * 100_000, "x is nested too deeply"),
        (b"1" * 5000, "x is not JSON: Exceeds the limit"),
    ],
)
def test_what_is_refused_and_how(raw, sentence):
    with pytest.raises(FormatError) as refused:
        parse_json(raw, "x")
    assert str(refused.value).startswith(sentence)


def test_constants_are_read_where_they_are_admitted():
    value = parse_json(b"[NaN, Infinity, -Infinity]", "x", config=True)
    assert math.isnan(value[0]) and value[1:] == [math.inf, -math.inf]
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)
