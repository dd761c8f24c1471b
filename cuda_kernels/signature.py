"""The signature of a kernel: its annotated parameters, and arguments by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping

import numpy as np

from amssim.errors import InputError

#: What a parameter of a kernel may be: an address in the GPU's memory, or a number.
address, count, wide_count = np.uint64, np.uint32, np.uint64


def signature(made: Callable[..., None]) -> dict[str, str]:
    """Type of each parameter of a kernel by name, "uint64" or "uint32".

    Raises:
        InputError: a parameter that is not annotated `address` or `count`.

    >>> def store(out: address, rows: count): ...
    >>> signature(store)
    {'out': 'uint64', 'rows': 'uint32'}
    """
    kinds = inspect.get_annotations(made, eval_str=True)
    for name in inspect.signature(made).parameters:
        kind = kinds.get(name)
        if kind not in (address, count):
            raise InputError(
                f"parameter {name} of the kernel {made.__name__} must be annotated "
                f"address or count, found {getattr(kind, '__name__', kind)}"
            )
    return {name: kinds[name].__name__ for name in inspect.signature(made).parameters}


def in_order(
    types: Mapping[str, str], arguments: Mapping[str, int], unset: Collection[str] = ()
) -> list[int]:
    """Arguments in the order of a signature.

    Args:
        types: the signature; arguments that are ``unset`` are 0.

    Raises:
        InputError: one is missing, or is no argument of the kernel.

    >>> in_order({"out": "uint64", "rows": "uint32"}, {"rows": 5, "out": 4096})
    [4096, 5]
    """
    if missing := types.keys() - arguments.keys() - set(unset):
        raise InputError(f"a kernel lacks its arguments {', '.join(sorted(missing))}")
    if unknown := arguments.keys() - types.keys():
        raise InputError(f"a kernel has no arguments {', '.join(sorted(unknown))}")
    return [arguments.get(name, 0) for name in types]
