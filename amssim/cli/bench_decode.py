"""``amssim bench decode``: tokens per second of a whole model with packed weights."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from amssim._units import size
from amssim.cli import output_file, terminal
from amssim.cli.bench_gpu import numbers
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError, ResourceError

SCHEMA = "amssim.bench.decode/1"
_DESCRIPTION = """\
Decode with a model of random weights, float and packed, and time each step: a
static cache, one CUDA graph per step, every layer's weights cold; on the CPU
the same runs eagerly. The fastest variant with float weights is the baseline.
Needs PyTorch and transformers; compiled variants take half a minute each."""
_EXAMPLES = """\
A variant is fp16, bf16, fp32 or a scheme, and words joined by +:
  bf16, fp32  type of activations with packed weights (float16)
  fused       q, k, v and gate, up are one product each
  compiled    the whole step by PyTorch's compiler
  early       compiled kernels begin before the one ahead of them ends
  attend      attention in one launch of amssim's own (needs Triton)
  sdpa        attention as transformers has it
  head        the output head is packed too

examples:
  amssim bench decode llama-3.1-8b
  amssim bench decode reference-27m --device cpu --context 64 --tokens 16
  amssim bench decode model/ --variants fp16+fused,fp4.25+head --batches 1,8
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the target."""
    parser = subparsers.add_parser(
        "decode",
        help="tokens per second of a whole model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = "preset, config.json or its directory (%(default)s)"
    parser.add_argument("model", metavar="MODEL", nargs="?", default="llama-3.1-8b", help=what)
    parser.add_argument("--variants", metavar="NAMES", help="with commas (by default several)")
    parser.add_argument("--batches", default="1", help="numbers of sequences (%(default)s)")
    for name, default, text in (
        ("context", 512, "tokens before the first step"),
        ("tokens", 128, "steps that are timed together"),
        ("prompt", 512, "tokens of a prompt to time, 0 for none"),
    ):
        parser.add_argument(
            f"--{name}", type=int, metavar="N", default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument("--device", help="cpu or cuda (a GPU if there is one)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the record as JSON")
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print a table or the record, and write the record if asked to."""
    from amssim.bench.decode.variant import DecodeVariant
    from amssim.simulator.models import model_of

    for option, least in (("context", 1), ("tokens", 1), ("prompt", 0)):
        if getattr(args, option) < least:
            raise InputError(f"--{option} is {getattr(args, option)}, expected {least} or more")
    names = args.variants.split(",") if args.variants else None
    variants = [DecodeVariant.parse(name.strip()) for name in names or ()]
    batches = numbers(args.batches, "--batches")
    output_file.check_new(args.output)
    record = _measured(args, model_of(args.model), variants, batches)
    output_file.write_record(args.output, SCHEMA, record)
    if args.json:
        terminal.print_json(SCHEMA, record)
    else:
        _print(record)
    return 0


def _measured(args: argparse.Namespace, model: Any, variants: Any, batches: Any) -> dict[str, Any]:
    from amssim.bench.decode import benchmark
    from amssim.bench.decode.variant import DecodeVariant

    try:
        import transformers

        from amssim.torch.generation import check_device
    except ImportError:
        raise ResourceError(
            "timing a model needs PyTorch and transformers: pip install 'amssim[transformers]'"
        ) from None
    transformers.utils.logging.set_verbosity_error()
    device = check_device(args.device)
    usual = benchmark.CPU_VARIANTS if device.type == "cpu" else benchmark.GPU_VARIANTS
    return benchmark.benchmark_decode(
        model,
        variants or [DecodeVariant.parse(name) for name in usual],
        benchmark.DecodePlan(batches, args.context, args.tokens, args.prompt),
        device=device.type,
        command=shlex.join(["amssim", *sys.argv[1:]]),
        say=lambda line: print(line, file=sys.stderr),
    )


def _print(record: dict[str, Any]) -> None:
    console = terminal.console()
    table = terminal.table(
        "variant", "batch", "tokens/s", "ms", "predicted", "x float", "first token ms", "memory"
    )
    for r in record["results"]:
        if "error" in r:
            console.print(f"{r['variant']}: {r['error'].splitlines()[0]}")
            continue
        first = f"{r['first_token_ms']:.1f}" if "first_token_ms" in r else ""
        ratio = f"{r['speedup']:.2f}" if "speedup" in r else ""
        predicted = f"{r['predicted_ms']:.3f}" if "predicted_ms" in r else ""
        speed = (f"{r['tokens_per_s']:.1f}", f"{r['ms']:.3f}", predicted, ratio)
        table.add_row(r["variant"], str(r["batch"]), *speed, first, size(r["memory_bytes"]))
    console.print(table)
    machine, plan = record["machine"], record["plan"]
    console.print(
        f"{record['model']}, {record['layers']} layers, context {plan['context']}; "
        f"{machine.get('gpu', machine.get('processor'))}"
    )
