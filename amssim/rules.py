"""The named choices of the quantisation rule. docs/FORMAT.md, section 3."""

from __future__ import annotations

from amssim.errors import SchemeError

#: How a group's shared bit and its members' top bits are chosen:
#: ``adaptive`` rounds each weight to its nearest code for either bit and keeps the bit with the
#: smaller squared error; ``replace`` rounds in the full format, then overwrites the last bit with
#: the better one; ``majority`` overwrites it with the commonest one (0 on a tie); ``zero`` and
#: ``one`` fix the bit and round to the nearest code that has it.
SEARCH_RULES = ("adaptive", "replace", "majority", "zero", "one")

#: How a row's or block's scale is chosen: ``absmax`` maps the largest magnitude to the largest
#: value; ``mse`` tries `MSE_FACTORS` times that and keeps the least squared error.
SCALE_RULES = ("absmax", "mse")

#: Candidates of ``scale="mse"`` in the order tried, 0.700, 0.725 ... 1.050, used as float32.
MSE_FACTORS = tuple((700 + 25 * i) / 1000 for i in range(15))


def check_search(search: str) -> str:
    """Return ``search`` if it names a search rule, else raise `SchemeError`.

    >>> check_search("adaptive")
    'adaptive'
    """
    return _check(search, SEARCH_RULES, "search")


def check_scale(scale: str) -> str:
    """Return ``scale`` if it names a scale rule, else raise `SchemeError`."""
    return _check(scale, SCALE_RULES, "scale")


def _check(value: str, choices: tuple[str, ...], what: str) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise SchemeError(f"unknown {what} rule {value!r}: choose one of {', '.join(choices)}")
