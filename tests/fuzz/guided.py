"""The same targets with changes that are guided by coverage, by atheris (3.0 or newer):

python tests/fuzz/guided.py TARGET FOLDER [options of libFuzzer, such as -runs=1000000 -seed=1]

FOLDER keeps inputs that reach something new; TARGET is a part of a target's name. What fails ends
the run, and libFuzzer writes the input into the present folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random

_UNTOUCHED = ("amssim.metrics", "amssim.tensor.quantize")  # Numba compiles no instrumented code
_FIRST_INPUTS = 200


def main() -> None:
    import atheris

    name, corpus, *options = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for module in _UNTOUCHED:
        import_module(module)
    with atheris.instrument_imports(include=["amssim"], enable_loader_override=False):
        module = import_module("fuzz.targets")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (target,) = [t for t in module.targets(Path(folder)) if name in t.name]
        Path(corpus).mkdir(exist_ok=True)
        for number in range(_FIRST_INPUTS):
            Path(corpus, f"first-{number}").write_bytes(target.change(Random(number)))
        atheris.Setup([sys.argv[0], *options, corpus], checked(target.check))
        atheris.Fuzz()


def checked(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return what lets pass equal data and errors of amssim's, in one line, and nothing else."""
    from amssim import AmsError

    def once(raw: bytes) -> None:
        try:
            check(raw)
        except AmsError as error:
            if "\n" in str(error):
                raise ValueError(f"an error of several lines: {error}") from None

    return once


if __name__ == "__main__":
    main()
