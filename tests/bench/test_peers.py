"""Other libraries' products: what is missing or fails is said, and nothing stops."""

import dataclasses

import pytest

from amssim.bench.gpu import peers

SHAPES = {"square": (256, 256), "long": (128, 512)}


@pytest.fixture
def lines():
    return []


def measure(monkeypatch, lines, product, package="numpy"):
    monkeypatch.setattr(peers, "peer_product_s", product)
    peer = dataclasses.replace(peers.PEERS[0], package=package)
    return peers.measure_peer(peer, SHAPES, (1, 8), say=lines.append)


def test_an_absent_package_is_one_line(monkeypatch, lines):
    record = measure(monkeypatch, lines, None, package="no-such-package")
    assert lines == ["bitsandbytes NF4 left out: no-such-package is not installed"]
    assert record["results"] == record["failed"] == []


def test_a_failure_is_a_sentence_and_the_rest_goes_on(monkeypatch, lines):
    def product(peer, rows, columns, batch):
        if batch == 8 and rows == 256:
            raise RuntimeError("no kernel\n  for 8 rows")
        return 2.5e-6, 0.1

    record = measure(monkeypatch, lines, product)
    assert record["version"] and len(record["results"]) == 3
    assert record["results"][0] == {
        "layer": "square", "shape": [256, 256], "batch": 1, "us": 2.5, "error": 0.1
    }  # fmt: skip
    assert record["failed"] == [
        {"layer": "square", "shape": [256, 256], "batch": 8,
         "sentence": "RuntimeError: no kernel for 8 rows"}
    ]  # fmt: skip
    assert "square bitsandbytes NF4 batch 8 failed: RuntimeError: no kernel for 8 rows" in lines


def test_int4_codes_give_the_weights_back():
    torch = pytest.importorskip("torch")
    weights = torch.randn(16, 256)
    codes, scales, smallest = peers.int4_groups(weights)
    again = (codes * scales + smallest).reshape(weights.shape)
    assert ((again - weights).abs() <= 0.51 * scales.repeat(1, 1, 128).reshape(16, 256)).all()
