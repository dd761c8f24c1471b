"""One tensor of a checkpoint: as a user names it, how it was packed, and what the file stores.

A packed tensor is stored as three, named as compressed-tensors names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, NoReturn

from amssim._whole import is_positive_whole
from amssim.checkpoint.safetensors.header import TensorInfo, TensorSpec
from amssim.errors import FormatError, InputError, SchemeError, UnsupportedError
from amssim.layout import layout
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.scheme import Scheme, scheme

WORDS, SCALES, SHAPE = "_packed", "_scale", "_shape"

#: Weights that can be quantised, and what is restored: safetensors and numpy name of the dtype.
FLOAT_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}

_PACKING_FIELDS = {"scheme", "scale_block", "search", "scale", "dtype"}


@dataclass(frozen=True)
class Packing:
    """How one tensor was quantised; ``search``, ``scale`` and ``dtype`` None where not known.

    ``dtype`` is the safetensors name of the source's element type.
    """

    scheme: Scheme
    scale_block: int | None = None
    search: str | None = None
    scale: str | None = None
    dtype: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.__dict__ | {"scheme": self.scheme.name}

    @classmethod
    def of_dict(cls, value: object, where: str) -> Packing:
        """Return what `as_dict` gave; ``where`` begins the sentence of an error.

        Raises:
            FormatError: a form that `as_dict` does not give.
            UnsupportedError: a scheme or rule that this version does not know.
        """
        if not isinstance(value, dict) or value.keys() != _PACKING_FIELDS:
            raise FormatError(f"{where} must have the fields {', '.join(sorted(_PACKING_FIELDS))}")
        scale_block, search, scale = value["scale_block"], value["search"], value["scale"]
        if scale_block is not None and not is_positive_whole(scale_block):
            raise FormatError(
                f"{where}: scale_block must be null or positive, found {scale_block!r}"
            )
        if search not in (None, *SEARCH_RULES) or scale not in (None, *SCALE_RULES):
            raise UnsupportedError(
                f"{where}: a search or scale rule that this version does not know"
            )
        if not isinstance(value["dtype"], str | None):
            raise FormatError(f"{where}: dtype must be text or null")
        return cls(**{**value, "scheme": _known_scheme(value["scheme"], where)})

    def rules(self, name: str) -> tuple[str, str]:
        """Return search and scale rule; `UnsupportedError` where tensor ``name`` lacks them."""
        if self.search is None or self.scale is None:
            raise UnsupportedError(
                f"tensor {name!r} was saved without its search and scale rules, so it "
                "cannot be compared with a source"
            )
        return self.search, self.scale


@dataclass(frozen=True)
class LogicalTensor:
    """One tensor as a user names it: packed if ``packing`` is given, else stored plainly.

    ``shape`` is the logical one, ``dtype`` the safetensors name of the (unpacked) elements, empty
    where not known, ``nbytes`` the size without the stored shape of a packed tensor.
    ``checksums`` are the CRC-32 of what is ``stored``, in that order; none where not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    packing: Packing | None = None
    reason: str = ""
    checksums: tuple[int, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def packed(cls, name: str, shape: tuple[int, ...], packing: Packing) -> LogicalTensor:
        """Return a packed tensor of 2 or 3 dimensions."""
        words, scales, _ = stored_specs(name, shape, packing)
        return cls(name, shape, packing.dtype or "", words.nbytes + scales.nbytes, packing)

    @classmethod
    def plain(cls, info: TensorInfo, reason: str = "") -> LogicalTensor:
        """Return a tensor that is stored as it is, and why."""
        return cls(info.name, info.shape, info.dtype, info.nbytes, reason=reason)

    @property
    def weight_count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def treatment(self) -> tuple[str, str]:
        """As what it is stored, a scheme or a dtype, and the reason if it is not packed."""
        return (self.packing.scheme.name, "") if self.packing else (self.dtype, self.reason)

    @property
    def stored(self) -> tuple[TensorSpec, ...]:
        """The tensors of the file that hold it."""
        if self.packing is None:
            return (TensorSpec(self.name, self.dtype, self.shape),)
        return stored_specs(self.name, self.shape, self.packing)

    @property
    def sums(self) -> dict[str, int]:
        """The checksums that are known, by the name of what is stored."""
        return {s.name: crc for s, crc in zip(self.stored, self.checksums, strict=False)}

    def check_packed(self) -> Packing:
        """Return the packing; `InputError` for a tensor that is stored plainly."""
        if self.packing is None:
            raise InputError(f"tensor {self.name!r} is not packed")
        return self.packing


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of the packed matrix: matrices of a 3-D tensor are stacked."""
    *rows, columns = shape
    return prod(rows), columns


def stored_specs(
    name: str, shape: tuple[int, ...], packing: Packing
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """Half-words, scales and logical shape of the tensor ``name`` of 2 or 3 dimensions.

    >>> from amssim.scheme import FP5_33
    >>> for spec in stored_specs("up.weight", (4, 100), Packing(FP5_33)):
    ...     print(*spec)
    up.weight_packed U16 (4, 34)
    up.weight_scale F32 (4, 1)
    up.weight_shape I64 (2,)
    """
    rows, columns = rows_and_columns(shape)
    scale_blocks = -(-columns // packing.scale_block) if packing.scale_block else 1
    return (
        TensorSpec(name + WORDS, "U16", (rows, layout(packing.scheme).row_words(columns))),
        TensorSpec(name + SCALES, "F32", (rows, scale_blocks)),
        TensorSpec(name + SHAPE, "I64", (len(shape),)),
    )


def _known_scheme(text: object, where: str) -> Scheme:
    def refuse() -> NoReturn:
        raise UnsupportedError(f"{where}: the scheme {text!r} is none that this version knows")

    if not isinstance(text, str):
        refuse()
    try:
        known = scheme(text)
    except SchemeError:
        refuse()
    if known.name != text:
        refuse()
    return known
