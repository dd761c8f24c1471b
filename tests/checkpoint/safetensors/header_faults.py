"""Headers as text, right or with one or two faults of any kind: what Hypothesis draws."""

import json

from hypothesis import strategies as st

from checkpoint.builders import raw_file

BITS = {"F4": 4, "F6_E2M3": 6, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "BF16": 16, "F32": 32, "I64": 64,
        "C64": 64}  # fmt: skip
NUMBERS = ["0", "1", "2", "3", "8", "-0", "-1", "1.0", "2e0", "01", "+1", "0x1", "1e999", "NaN",
           "9" * 19, "281474976710655", "281474976710656", "18446744073709551615",
           "18446744073709551616", "9" * 4400, "true", "null", '"1"', "[1]", "{}"]  # fmt: skip
NAMES = ["", "a", "b", "model.layers.0.weight", "é", "\U0001f600", "a b", "\x7f", "__metadata__",
         "n" * 4096, "n" * 4097, 'q"', "back\\slash", "\t", "}", "{", "a/../b"]  # fmt: skip
VALUES = ["1", "-0", "1e999", "NaN", '""', '"x"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"',
          "null", "true", "[]", "[[[[[[]]]]]]", "[" * 9 + "]" * 9, "{}", '{"a": 1}', '"}"',
          "[1,]", "tru", '"a\nb"', '"' + "x" * 5000 + '"', ""]  # fmt: skip
SPACES = ["", "", "", " ", "\n", "\t\r\n ", "\x0b", "\xa0"]
GARBAGE = ["\0", " ", "x", "}", "{}", ",", "\ufeff"]


def spelled(text: str, draw) -> str:
    """A text of JSON: plain, in escapes or as UTF-8; raw is wrong where it needs escapes."""
    how = draw(st.sampled_from(["plain", "plain", "escapes", "utf-8", "raw"]))
    if how == "raw":
        return f'"{text}"'
    if how == "escapes":
        return '"' + "".join(f"\\u{ord(c):04X}" if ord(c) < 2**16 else c for c in text) + '"'
    return json.dumps(text, ensure_ascii=how == "plain")


@st.composite
def valid(draw):
    """Tensors in their places as (name, dtype, shape, start, stop), and the number of bytes."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=0, max_size=3, unique=True))
    tensors, end = [], 0
    for name in names:
        dtype = draw(st.sampled_from(sorted(BITS)))
        shape = draw(st.lists(st.sampled_from([0, 1, 2, 4]), max_size=3))
        count = 1
        for size in shape:
            count *= size
        stop = end + -(-BITS[dtype] * count // 8)
        tensors.append([name, dtype, [str(size) for size in shape], str(end), str(stop)])
        end = stop
    return tensors, end


FAULTS = ("offset", "size", "dtype", "field gone", "field twice", "field more", "entry", "twice",
          "garbage", "surplus", "metadata", "space", "rank")  # fmt: skip


@st.composite
def files(draw):
    """A file: its header valid, or with one or two of `FAULTS`."""
    tensors, nbytes = draw(valid())
    faults = draw(st.lists(st.sampled_from(FAULTS), max_size=2))
    for tensor in tensors[:1]:
        if "offset" in faults:
            tensor[draw(st.sampled_from([3, 4]))] = draw(st.sampled_from(NUMBERS))
        if "size" in faults:
            tensor[2] = draw(st.lists(st.sampled_from(NUMBERS), max_size=3))
        if "rank" in faults:
            tensor[2] = tensor[2] + ["1"] * draw(st.integers(4, 9))
        if "dtype" in faults:
            tensor[1] = draw(st.sampled_from(["F4", "F32", "bf16", "F8_E9", "", "Q7"]))
    members = [(spelled(t[0], draw), _entry(t, faults, draw)) for t in tensors]
    if draw(st.booleans()) or "metadata" in faults:
        members.insert(draw(st.integers(0, len(members))), _metadata(faults, draw))
    if "twice" in faults and members:
        members.append(draw(st.sampled_from(members)))
    space = draw(st.sampled_from(SPACES[: 8 if "space" in faults else 6]))
    text = _joined(members, space)
    if "garbage" in faults:
        at = draw(st.sampled_from([0, 1, len(text) - 1, len(text)]))
        text = text[:at] + draw(st.sampled_from(GARBAGE)) + text[at:]
    surplus = draw(st.integers(-2, 2)) if "surplus" in faults else 0
    raw = raw_file(text.encode(), bytes(range(256)) * (nbytes // 256 + 1))
    return raw[: 8 + len(text.encode()) + max(nbytes + surplus, 0)]


def _entry(tensor, faults, draw) -> str:
    _, dtype, shape, start, stop = tensor
    fields = [
        ('"dtype"', json.dumps(dtype)),
        ('"shape"', "[" + ",".join(shape) + "]"),
        ('"data_offsets"', f"[{start},{stop}]"),
    ]
    fields = draw(st.sampled_from([fields, fields, fields[::-1]]))
    if "field gone" in faults:
        fields = fields[:2]
    if "field twice" in faults:
        fields = [*fields, draw(st.sampled_from(fields))]
    if "field more" in faults:
        fields = [*fields, ('"more"', draw(st.sampled_from(VALUES)))]
    if "entry" in faults:
        return draw(st.sampled_from(VALUES))
    return _joined(fields, draw(st.sampled_from(SPACES[:6])))


def _metadata(faults, draw) -> tuple[str, str]:
    texts = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES), max_size=2))
    members = [(spelled(key, draw), spelled(value, draw)) for key, value in texts.items()]
    if "metadata" in faults:
        members.append(('"key"', draw(st.sampled_from(VALUES))))
    if "entry" in faults:
        return '"__metadata__"', draw(st.sampled_from(VALUES))
    return '"__metadata__"', _joined(members, "")


def _joined(members, space: str) -> str:
    inner = f"{space},{space}".join(f"{key}{space}:{space}{value}" for key, value in members)
    return "{" + space + inner + space + "}" + space.strip("\x0b\xa0")
