"""``amssim schemes``: the presets, as a table and as JSON that say the same."""

import json
from fractions import Fraction

from amssim.cli import main
from amssim.layout import layout
from amssim.scheme import scheme, schemes


def test_the_table_has_a_row_for_each_preset(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["schemes"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if " " in line.strip()}
    for preset in schemes():
        form = layout(preset)
        bits, exact, k, largest, weights, words = rows[preset.name]
        assert (int(k), int(weights), int(words)) == (
            preset.k,
            form.block_weights,
            form.block_words,
        )
        assert Fraction(exact) == preset.bits and abs(float(bits) - preset.bits) < 5e-4
        assert float(largest) == preset.minifloat.max_value
        assert Fraction(16 * int(words), int(weights)) == preset.bits  # no bit is wasted
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_the_same_presets_exactly(capsys):
    assert main(["schemes", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "amssim.schemes/1"
    assert [entry["name"] for entry in record["schemes"]] == [s.name for s in schemes()]
    for entry in record["schemes"]:
        preset = scheme(entry["name"])
        assert (
            Fraction(entry["bits_exact"])
            == preset.bits
            == Fraction(entry["bits"]).limit_denominator(48)
        )
        fields = (entry["exponent_bits"], entry["mantissa_bits"], entry["k"])
        assert fields == (preset.minifloat.exponent_bits, preset.minifloat.mantissa_bits, preset.k)
        assert entry["max_value"] == preset.minifloat.max_value
