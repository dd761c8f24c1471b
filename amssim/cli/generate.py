"""``amssim generate``: text from a packed or float language model, and how fast it came."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from amssim._text import shown
from amssim._units import size
from amssim.cli.terminal import Subparsers, add_json, print_json
from amssim.errors import ResourceError

if TYPE_CHECKING:
    from amssim.torch.generation import Generation

SCHEMA = "amssim.generation/1"
_DESCRIPTION = """\
Let a language model go on from a prompt. DIR holds config.json, tokenizer and
weights: floats, or what amssim quantize wrote. Text goes to standard output as
it comes; speed and memory to standard error."""
_EXAMPLES = """\
examples:
  amssim generate model-fp5.33/ "def mean(values):"
  amssim generate model/ "Once upon" --temperature 0.8 --seed 7 --tokens 200
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "generate",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("dir", metavar="DIR", help="directory of a language model")
    parser.add_argument("prompt", metavar="PROMPT", help="the text to go on from")
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="at most (%(default)s)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (a GPU if there is one)")
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        help="of all that is not packed (float16 on a GPU, float32 on the CPU)",
    )
    parser.add_argument("--compile", action="store_true", help="compile decoding; takes a minute")
    parser.add_argument(
        "--no-fuse", action="store_true", help="leave packed q, k, v and gate, up as they are"
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (%(default)s)"
    )
    sampling.add_argument("--top-k", type=int, default=50, metavar="K", help="(%(default)s)")
    sampling.add_argument("--top-p", type=float, default=1.0, metavar="P", help="(%(default)s)")
    sampling.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate; print text and figures, or JSON."""
    try:
        from amssim.torch import Sampling, generate
    except ImportError:
        raise ResourceError(
            "generating needs PyTorch and transformers: pip install 'amssim[transformers]'"
        ) from None
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    result = generate(
        args.dir,
        args.prompt,
        tokens=args.tokens,
        device=args.device,
        dtype=args.dtype,
        compiled=args.compile,
        fused=not args.no_fuse,
        sampling=sampling,
        sink=None if args.json else _print_piece,
    )
    if args.json:
        print_json(SCHEMA, {"model": args.dir, "prompt": args.prompt} | result.as_dict())
    else:
        print(flush=True)
        print(_figures(result), file=sys.stderr)
    return 0


def _print_piece(text: str) -> None:
    """Print a piece of the model's text; only its line breaks and tabs act on the terminal."""
    lines = text.replace("\t", "    ").split("\n")
    print("\n".join(map(shown, lines)), end="", flush=True)


def _figures(result: Generation) -> str:
    rate = result.tokens_per_second
    speed = f"{rate:.1f} tokens/s" if rate else "one token"
    compiled = result.compile_seconds
    prepared = f"loaded in {result.load_seconds:.2f} s"
    prepared += f", compiled in {compiled:.0f} s" if compiled is not None else ""
    return (
        f"{len(result.tokens)} tokens on {result.device} in {result.dtype}: {speed}, the first "
        f"after {result.first_token_seconds:.2f} s; {prepared}; "
        f"{size(result.weight_bytes)} of weights, at most {size(result.peak_bytes)} of memory"
    )
