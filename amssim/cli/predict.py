"""``amssim predict``: latency, speedup or a decode step, with the reasons."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Protocol

from amssim.cli import terminal
from amssim.cli.streams import say
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError

Names = dict[str, list[str]]
_Options = dict[str, Any]
Rows = list[dict[str, Any]]


class Prediction(Protocol):
    """What the simulator returns: text by ``str()``, and plain data."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "predict",
        description="Predict how much faster a product gets with quantised weights, and say what "
        "binds. With --model: a whole decode step. With --target: the bits a speedup needs.",
    )
    parser.add_argument("--bits", default="5.33", help="bits per weight or scheme (%(default)s)")
    parser.add_argument("--gpu", default="h200", help="device, profile file, or all (%(default)s)")
    parser.add_argument("--shape", default="28672x4096", help="rows x columns (%(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="rows of x (%(default)s)")
    parser.add_argument("--kernel", help="kernel descriptor; --list names them")
    parser.add_argument("--baseline", help="kernel to compare with")
    parser.add_argument("--l2", default="cold", help="cold, hot or bytes between two uses")
    parser.add_argument("--eager", action="store_true", help="launches one by one, no CUDA graph")
    parser.add_argument("--model", help="preset, config.json or its directory: a decode step")
    parser.add_argument("--context", type=int, default=1024, help="tokens in the KV cache")
    parser.add_argument("--kv-bits", type=int, default=16, help="4, 8 or 16")
    parser.add_argument("--target", type=float, help="speedup to find the bits for")
    parser.add_argument(
        "--budget", action="store_true", help="instructions per weight there is time for"
    )
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write the four figures here")
    parser.add_argument("--list", action="store_true", help="list devices, kernels and models")
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict what was asked for and print it."""
    answer = _names() if args.list else _prediction(args)
    if args.plot:
        from amssim.simulator.plots import draw_all

        for path in draw_all(args.plot, args.gpu):
            say(f"wrote {path}")
    if args.json:
        terminal.print_json("amssim.predict/1", _plain(answer))
    else:
        terminal.console().print(_text(answer))
    return 0


def _prediction(args: argparse.Namespace) -> Prediction | Rows:
    """The one prediction that the options describe."""
    from amssim import simulator

    _check_one_question(args)
    bits = _number_or_name(args.bits)
    common: _Options = {"device": args.gpu, "kernel": args.kernel, "batch": args.batch}
    graph = not args.eager
    if args.budget:
        return simulator.instruction_budget(bits, **common)
    if args.model:
        context = {"context": args.context, "kv_bits": args.kv_bits}
        return simulator.predict_decode(args.model, bits, graph=graph, **context, **common)
    common |= {"shape": _shape(args.shape), "baseline": args.baseline}
    common |= {"l2": _number_or_name(args.l2), "graph": graph}
    if args.target is not None:
        return simulator.bits_for_speedup(args.target, **common)
    if args.gpu == "all":
        rows = simulator.sweep(bits, **common).rows()
        return sorted(rows, key=lambda row: -row["speedup"])
    return simulator.predict_speedup(bits, **common)


def _check_one_question(args: argparse.Namespace) -> None:
    questions = {"--model": args.model, "--budget": args.budget}
    asked = [option for option, value in questions.items() if value]
    asked += ["--target"] if args.target is not None else []
    if args.gpu == "all" and (asked or args.plot):
        raise InputError(
            "--gpu all compares one product on every GPU: "
            "name one device for --model, --budget, --target and --plot"
        )
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} ask different questions: give one of them")


def _plain(answer: Prediction | Rows | Names) -> dict[str, Any]:
    if isinstance(answer, dict):
        return answer
    return {"rows": answer} if isinstance(answer, list) else answer.as_dict()


def _text(answer: Prediction | Rows | Names) -> str:
    if isinstance(answer, dict):
        from amssim.simulator.results import indented

        return "\n".join(indented(f"{kind}: {', '.join(n)}", "") for kind, n in answer.items())
    if isinstance(answer, list):
        lines = [
            f"{row['gpu']:12} {row['speedup']:5.2f}x {row['seconds'] * 1e6:9.2f} us"
            for row in answer
        ]
        return "\n".join(lines)
    return str(answer)


def _names() -> Names:
    from amssim.hardware import names
    from amssim.simulator.descriptors import kernels
    from amssim.simulator.models import models

    return {"devices": list(names()), "kernels": list(kernels()), "models": list(models())}


def _number_or_name(text: str) -> float | str:
    """A number, or else a name: of a scheme, or cold or hot."""
    try:
        return float(text)
    except ValueError:
        return text


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)\s*[x,]\s*(\d+)\s*", text)
    if match is None:
        raise InputError(f"--shape is {text!r}, expected rows x columns such as 28672x4096")
    return int(match[1]), int(match[2])
