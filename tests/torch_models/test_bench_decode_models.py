"""The decoding benchmark on a small model on the CPU, and the attention that it uses."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from amssim.bench import DecodePlan, DecodeVariant, benchmark_decode  # noqa: E402
from amssim.bench.decode import benchmark  # noqa: E402
from amssim.bench.decode.early import OPTIONS, early_kernels  # noqa: E402
from amssim.bench.decode.step import likeliest  # noqa: E402
from amssim.cli.entry import main  # noqa: E402
from amssim.simulator.models import Model  # noqa: E402
from amssim.torch.attention import ATTEND, GROUPED  # noqa: E402
from torch_models.tiny import llama, prompt  # noqa: E402

SMALL = Model("small", 2, 64, 96, 4, 2, 16, 512)
PLAN = DecodePlan((2,), 8, 3, 5)


def measured(*names):
    found = benchmark_decode(SMALL, [DecodeVariant.parse(n) for n in names], PLAN, device="cpu")
    return found["results"]


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(benchmark, "describe_machine", lambda: {"processor": "x", "versions": {}})


def test_variants_of_the_same_weights_choose_the_same_tokens():
    results = measured("fp32", "fp32+fused", "fp32+sdpa", "fp32+attend")
    assert len({tuple(r["tokens"]) for r in results}) == 1
    packed = measured("fp5.33+fp32", "fp5.33+fp32+fused", "fp5.33+fp32+fused+attend")
    assert len({tuple(r["tokens"]) for r in packed}) == 1
    for result in results + packed:
        assert result["ms"] > 0
        assert result["tokens_per_s"] == pytest.approx(2000 / result["ms"])
        assert result["first_token_ms"] > 0
    assert packed[0]["memory_bytes"] < results[0]["memory_bytes"]


def test_a_packed_head_is_smaller():
    without, head = measured("fp4.25+fp32", "fp4.25+fp32+head")
    assert head["memory_bytes"] < without["memory_bytes"]


def test_a_variant_that_fails_is_recorded_and_others_go_on(monkeypatch):
    def step_times(model, variant, *given):
        if variant.fused:
            raise RuntimeError("no room")
        return {"ms": 1.0, "tokens_per_s": 2.0}

    monkeypatch.setattr(benchmark, "_step_times", step_times)
    failed, good = measured("fp32+fused", "fp32")
    assert failed["error"] == "RuntimeError: no room"
    assert good["speedup"] == 1.0


def test_the_likeliest_of_long_rows_is_that_of_argmax():
    logits = torch.randn(3, 1024, generator=torch.Generator().manual_seed(0))
    assert torch.equal(likeliest(logits), logits.argmax(-1, keepdim=True))
    odd = logits[:, :1000]
    assert torch.equal(likeliest(odd), odd.argmax(-1, keepdim=True))


@pytest.mark.parametrize("kind", [GROUPED, ATTEND])
def test_generated_tokens_are_those_of_sdpa(kind):
    model = llama()
    options = {"max_new_tokens": 6, "do_sample": False, "cache_implementation": "static"}
    expected = model.generate(prompt(2), attention_mask=torch.ones(2, 7), **options)
    model.set_attn_implementation(kind)
    assert torch.equal(
        model.generate(prompt(2), attention_mask=torch.ones(2, 7), **options), expected
    )


def test_early_kernels_begin_and_then_wait_before_anything_else():
    from torch._inductor.codegen.triton import TritonKernel

    assert OPTIONS["triton.enable_pdl"]
    before = TritonKernel._filter_pdl
    wait, launch = TritonKernel.GDC_WAIT, TritonKernel.GDC_LAUNCH

    class Code:
        _lines = ["a = 1", f"  {wait}", "b = load()", wait, launch, "store(b)"]

    class Kernel:
        def _enable_pdl_codegen(self):
            return True

    with early_kernels():
        TritonKernel._filter_pdl(Kernel(), Code)
    assert Code._lines == [launch, wait, "a = 1", "b = load()", "store(b)"]
    assert TritonKernel._filter_pdl is before


def test_the_verb_writes_its_record(tmp_path, capsys):
    config = tmp_path / "config.json"
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 128}
    config.write_text(json.dumps(sizes | {"num_key_value_heads": 2, "intermediate_size": 96}))
    output = tmp_path / "record.json"
    words = ["--device", "cpu", "--context", "4", "--tokens", "2", "--prompt", "3"]
    names = "fp32,fp5.33+fp32+fused+head"
    main(["bench", "decode", str(config), *words, "--variants", names, "--output", str(output)])
    assert "tokens/s" in capsys.readouterr().out
    record = json.loads(output.read_text())
    assert record["schema"] == "amssim.bench.decode/1"
    assert [r["variant"] for r in record["results"]] == names.split(",")
