"""``amssim schemes``: the presets."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from amssim.cli.terminal import Subparsers, add_json, console, print_json, table

if TYPE_CHECKING:
    from amssim.scheme import Scheme

SCHEMA = "amssim.schemes/1"


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "schemes",
        description="List the preset schemes. Any other minifloat and group size is spelled like "
        "ams-e3m3-k5.",
        allow_abbrev=False,
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table of presets."""
    from amssim.layout import layout
    from amssim.scheme import schemes

    if args.json:
        print_json(SCHEMA, {"schemes": [_record(s) for s in schemes()]})
        return 0
    presets = table("scheme", "bits", "exact", "k", "largest", "weights", "half-words")
    for s in schemes():
        form = layout(s)
        sizes = [s.k, f"{s.minifloat.max_value:g}", form.block_weights, form.block_words]
        presets.add_row(s.name, f"{float(s.bits):.3f}", str(s.bits), *map(str, sizes))
    out = console()
    out.print(presets)
    out.print("bits are per weight without scales; weights and half-words are those of a block")
    return 0


def _record(scheme: Scheme) -> dict[str, Any]:
    return {
        "name": scheme.name,
        "bits": float(scheme.bits),
        "bits_exact": str(scheme.bits),
        "exponent_bits": scheme.minifloat.exponent_bits,
        "mantissa_bits": scheme.minifloat.mantissa_bits,
        "k": scheme.k,
        "max_value": float(scheme.minifloat.max_value),
    }
