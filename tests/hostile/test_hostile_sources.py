"""Sources that contradict themselves, lead elsewhere or hold what cannot be quantised."""

import json
import os

import ml_dtypes
import numpy as np
import pytest

from checkpoint.builders import INDEX, raw_file, split, write_tensors
from hostile.world import CONFIG, ONE, TWO, change_header, change_json

WEIGHT = "model.layers.0.up.weight"


def put_name(name):
    def change(world):
        change_json(world.model / INDEX, lambda i: i["weight_map"].update({WEIGHT: name}))

    return change


def index(change):
    return lambda world: change_json(world.model / INDEX, change)


def config(text):
    return lambda world: (world.model / "config.json").write_text(text)


def removed(*names):
    return lambda world: [(world.model / name).unlink() for name in names]


def replaced_by_link(name, to):
    def change(world):
        (world.model / name).unlink()
        (world.model / name).symlink_to(to)

    return change


def replaced_by(name, make):
    def change(world):
        (world.model / name).unlink()
        make(world.model / name)

    return change


def add_text(name, end):
    """Put another end to a JSON object."""

    def change(world):
        path = world.model / name
        value = {key: v for key, v in json.loads(path.read_text()).items() if key != "metadata"}
        path.write_text(json.dumps(value)[:-1] + end)

    return change


def a_lone_shard(world):
    removed(TWO, INDEX)(world)


def a_dangling_index(world):
    (world.model / TWO).unlink()
    replaced_by_link(INDEX, "nowhere.json")(world)


def a_tensor_in_two_shards(world):
    array = np.ones((5, 12), ml_dtypes.bfloat16)
    write_tensors(world.model / TWO, {WEIGHT: array})
    names = {WEIGHT: ONE, "model.embed_tokens.weight": ONE, "model.layers.0.norm.weight": ONE}
    index(lambda i: i.update(weight_map=names | {"x": TWO}))(world)


def a_third_shard(world):
    write_tensors(world.model / "model-00003-of-00003.safetensors", {"x.weight": np.ones((2, 2))})


NESTED = '{"a": ' * 50 + "1" + "}" * 50

#: What is done to the source, the exit code of quantize, and words of its sentence.
SOURCES = {
    **{
        f"33 shard name {name!r}": (put_name(name), 3, "names the shard")
        for name in (
            "../precious/model-00001-of-00002.safetensors", "/etc/passwd", "a/b.safetensors",
            "..", "", "C:x.safetensors", "a\\b.safetensors", "a\x00.safetensors", "-x.safetensors",
            ".safetensors", "model.bin", 7, None, "\x1b[2J.safetensors",
        )
    },
    "33 other case": (put_name(ONE.upper().replace("SAFETENSORS", "safetensors")), 3, "case"),
    "33 surrogate": (put_name("\ud800.safetensors"), 3, "Unicode"),
    "35 missing shard": (removed(TWO), 3, "missing"),
    "35 missing tensor": (index(lambda i: i["weight_map"].update(x=TWO)), 3, "does not hold"),
    "35 unlisted tensor": (index(lambda i: i["weight_map"].pop(WEIGHT) and None), 3, "not list"),
    "35 tensor in two shards": (a_tensor_in_two_shards, 3, ""),
    "35 shard not named": (a_third_shard, 3, "does not name"),
    "35 lone shard": (a_lone_shard, 3, ONE),
    "34 index leads nowhere": (a_dangling_index, 3, INDEX),
    "34 config leads nowhere": (replaced_by_link("config.json", "nowhere"), 3, "config.json"),
    "34 shard leads nowhere": (replaced_by_link(ONE, "nowhere"), 3, ONE),
    "34 tokenizer leads nowhere": (replaced_by_link("tokenizer.json", "no"), 3, "tokenizer.json"),
    "34 shard leads to itself": (replaced_by_link(ONE, ONE), 3, ONE),
    "34 shard is a pipe": (replaced_by(ONE, os.mkfifo), 3, "not a regular file"),
    "34 shard is a directory": (replaced_by(ONE, os.mkdir), 3, "not a regular file"),
    "34 index is a pipe": (replaced_by(INDEX, os.mkfifo), 3, "not a regular file"),
    "34 config is a device": (replaced_by_link("config.json", "/dev/zero"), 3, "regular file"),
    "34 shard is a device": (replaced_by_link(ONE, "/dev/zero"), 3, "regular file"),
    "35 index no object": (lambda w: (w.model / INDEX).write_text("[]"), 3, "weight_map"),
    "35 index empty": (lambda w: (w.model / INDEX).write_text(""), 3, INDEX),
    "35 index without tensors": (index(lambda i: {"weight_map": {}}), 3, "weight_map"),
    "35 index metadata no object": (index(lambda i: i | {"metadata": 3}), 3, INDEX),
    "35 index with 1e999": (add_text(INDEX, ', "x": 1e999}'), 3, INDEX),
    "35 index metadata with 1e999": (add_text(INDEX, ', "metadata": {"x": 1e999}}'), 3, INDEX),
    "39 config no object": (config("[]"), 3, "config.json"),
    "39 config not JSON": (config("{"), 3, "config.json"),
    "39 config not UTF-8": (
        lambda w: (w.model / "config.json").write_bytes(b'{"a": "\xff"}'), 3, "UTF-8",
    ),
    "39 config nested": (config(NESTED), 3, "config.json"),
    "39 config very nested": (config('{"a":' * 100_000), 3, "config.json"),
    "39 config key twice": (config('{"a": 1, "a": 2}'), 3, "twice"),
    "39 config surrogate": (config('{"architectures": ["\\ud800"]}'), 3, "config.json"),
    "39 config of 5000 digits": (config('{"a": ' + "9" * 5000 + "}"), 3, "config.json"),
    "32 GPTQ": (config(json.dumps({"quantization_config": {"quant_method": "gptq"}})), 3, "gptq"),
    "39 pickles only": (
        lambda w: [p.rename(p.with_suffix(".bin")) for p in w.model.glob("*.safetensors")]
        and (w.model / INDEX).unlink(), 3, "pickled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCES)
def test_a_source_that_contradicts_itself_is_refused(world, case):
    change, code, words = SOURCES[case]
    change(world)
    world.fails(code, words, "quantize", "model", "out")


NO_CODE = {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True}

#: What is done to the source, and what `inspect` remarks of it, if anything.
GOOD = {
    "35 wrong total_size": (index(lambda i: i["metadata"].update(total_size=1)), "total_size"),
    "35 total_size is text": (index(lambda i: i["metadata"].update(total_size="1")), "total_size"),
    "35 other metadata": (index(lambda i: i["metadata"].update(a=[1, None], b=0.5)), ""),
    "33 leading dots": (lambda w: (w.model / "..x").mkdir(), ""),
    "39 code is data": (config(json.dumps(CONFIG | NO_CODE)), ""),
    "39 Infinity": (config('{"a": [Infinity, -Infinity, NaN]}'), ""),
    "39 no config": (removed("config.json"), ""),
    "35 another file": (lambda w: write_tensors(w.model / "x.safetensors", {}), "x.safetensors"),
    "34 linked shard": (lambda w: moved_behind_a_link(w, ONE), ""),
    "34 linked index": (lambda w: moved_behind_a_link(w, INDEX), ""),
    "34 hidden link that leads nowhere": (lambda w: (w.model / ".x").symlink_to("nowhere"), ""),
}


def moved_behind_a_link(world, name):
    """As in a cache of the Hub."""
    blobs = world.folder / "blobs"
    blobs.mkdir(exist_ok=True)
    (world.model / name).rename(blobs / name)
    (world.model / name).symlink_to(f"../blobs/{name}")


@pytest.mark.parametrize("case", GOOD)
def test_a_source_as_people_have_them_is_taken(world, case):
    change, remark = GOOD[case]
    change(world)
    assert remark in world.works("inspect", "model").out
    out = world.quantize()
    assert "evil" not in {p.name for p in out.iterdir()}


def with_weights(world, array, name="w.weight"):
    return write_tensors(world.folder / "s.safetensors", {name: array})


def floats(**places):
    array = np.random.default_rng(1).standard_normal((6, 40)).astype(np.float32)
    for value, place in places.values():
        array[place] = value
    return array


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 17), (5, 39)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_22_23_weights_that_are_not_finite(world, bad, place, dtype):
    with_weights(world, floats(one=(bad, place)).astype(dtype))
    words = f"'w.weight' holds 1 NaN or Inf, the first at {list(place)}"
    world.fails(3, words, "quantize", "s.safetensors", "q.safetensors")
    world.fails(3, f"the first at {list(place)}", "error", "s.safetensors")


FINE = {
    "24 zeros": np.zeros((4, 40), np.float32),
    "24 one zero row": floats(row=(0, 2)),
    "25 subnormal": floats() * np.float32(1e-42),
    "25 a tiny row": floats(row=(1e-45, 2)),
    "26 largest": floats(one=(np.finfo(np.float32).max, (0, 0))),
    "26 largest of float16": floats(one=(65504, (0, 0))).astype(np.float16),
    "27 minus zero": floats(one=(-0.0, (1, 1))),
    "28 constant": np.full((3, 7), 0.25, np.float32),
    "28 one outlier": floats(one=(1e20, (1, 1))),
    **{f"28 {n} columns": floats()[:, :n].copy() for n in (1, 2, 3, 4, 5, 16, 17)},
    "28 one weight": np.ones((1, 1), np.float32),
    "31 stack of one": np.ones((1, 2, 5), np.float32),
}


@pytest.mark.parametrize("case", FINE)
def test_weights_at_the_edges_are_quantised_and_come_back(world, case):
    array = FINE[case]
    with_weights(world, array, "experts.weight")
    for scheme in ("fp5.33", "fp4.25"):
        out, back = f"{scheme}.safetensors", f"back-{scheme}.safetensors"
        world.quantize("--scheme", scheme, src="s.safetensors", dst=out)
        world.works("verify", out, "--source", "s.safetensors")
        path = world.folder / back
        world.works("dequantize", out, back, "--dtype", "float32", new=[path])
        from safetensors.numpy import load_file

        restored = load_file(path)["experts.weight"]
        assert restored.shape == array.shape and np.isfinite(restored).all()
        assert not restored[(array == 0).all(-1)].any()


@pytest.mark.parametrize("name", [ONE, INDEX, "config.json", "tokenizer.json"])
def test_34_links_are_not_followed_if_one_says_so(world, name):
    out = world.quantize()
    moved_behind_a_link(world, name)
    (world.folder / "direct").symlink_to("model")
    (world.folder / "packed").symlink_to("out")
    refused = [["quantize", "model", "new"], ["quantize", "direct", "new"], ["inspect", "direct"]]
    refused += [["verify", "packed"], ["dequantize", "packed", "new"]]
    refused += (
        []
        if name == "tokenizer.json"
        else [["inspect", "model"], ["verify", out, "--source", "model"]]
    )
    for argv in refused:
        world.fails(3, "link", *argv, "--no-follow-symlinks")
    world.works("quantize", "model", "new", new=[world.folder / "new"])


@pytest.mark.parametrize("threads", [1, 2])
def test_22_a_tensor_that_is_not_finite_is_kept_if_one_says_so(world, threads):
    header, data = split(world.model / TWO)
    first = header["model.layers.1.down.weight"]["data_offsets"][0]
    bad = data[: first + 8] + np.float32(np.nan).tobytes() + data[first + 12 :]
    (world.model / TWO).write_bytes(raw_file(header, bad))
    world.fails(3, "--on-nan keep", "quantize", "model", "out")
    plan = world.works("quantize", "model", "out", "--on-nan", "keep", "--dry-run").out
    assert "F32 (holds NaN or Inf)" in plan
    out = world.quantize("--on-nan", "keep", "--threads", threads)
    world.works("verify", "out", "--source", "model")
    stored, kept = split(out / TWO)
    start, stop = stored["model.layers.1.down.weight"]["data_offsets"]
    assert kept[start:stop] == bad[first : first + stop - start]
    manifest = json.loads(stored["__metadata__"]["amssim"])
    assert manifest["kept"]["model.layers.1.down.weight"] == "holds NaN or Inf"
    assert "model.layers.1.experts.down" in manifest["packed"]


def test_06_a_name_that_is_no_unicode_in_metadata(world):
    change_header(world.model / ONE, lambda h: h["__metadata__"].update(a="\ud800"))
    world.fails(3, "Unicode", "inspect", "model")
