"""How a line of PTX becomes a function that Numba kernels can call.

The decorated function is the *model*: plain Python on 32-lane numpy vectors that says what the
instructions compute. The emulator runs kernels on models; Numba compiles the PTX instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from numba.cuda.extending import intrinsic


class Vector(NamedTuple):
    """A homogeneous tuple of ``length`` registers as an argument or a result."""

    scalar: type[Any]
    length: int


u16, u32, u64, f32 = np.uint16, np.uint32, np.uint64, np.float32
#: The type of one operand: a scalar, a vector of them, or None for no result.
Kind: TypeAlias = Any
_LLVM = {u16: ir.IntType(16), u32: ir.IntType(32), u64: ir.IntType(64), f32: ir.FloatType()}
_CONSTRAINT = {u16: "h", u32: "r", u64: "l", f32: "f"}


def _registers(kind: Kind) -> list[Any]:
    return [kind.scalar] * kind.length if isinstance(kind, Vector) else [kind]


def _numba_type(kind: Kind) -> Any:
    from numba.cuda import types

    if isinstance(kind, Vector):
        return types.UniTuple(_numba_type(kind.scalar), kind.length)
    return types.void if kind is None else getattr(types, np.dtype(kind).name)


class _Operands:
    """Numbers the registers of named operands and writes them into a PTX template."""

    def __init__(self, named: list[tuple[str, Kind]]):
        self.first: dict[str, int] = {}
        self.kind: dict[str, Kind] = {}
        count = 0
        for name, kind in named:
            self.first[name], self.kind[name] = count, kind
            count += len(_registers(kind))

    def __call__(self, match: re.Match[str]) -> str:
        name, element = match[1], match[2]
        first, kind = self.first[name], self.kind[name]
        if element is not None:
            return f"${first + int(element)}"
        if isinstance(kind, Vector):
            return "{" + ", ".join(f"${first + i}" for i in range(kind.length)) + "}"
        return f"${first}"


def ptx(
    text: str, *, ordered: bool = False, collective: bool = False, update: str | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Make the decorated model callable from kernels as the PTX ``text``.

    Operands are named in the text: ``$out`` is the result and ``$name`` an argument; a `Vector`
    stands for ``{r0, r1, ...}`` and ``$name.2`` for one register of it. Types are those of the
    model's annotations.

    Args:
        text: one or more PTX instructions.
        ordered: keep its place among other memory accesses and barriers.
        collective: all lanes of the warp take part; it must not move into a branch.
        update: the argument that the result replaces in place.
    """

    def decorate(model: Callable[..., Any]) -> Any:
        arguments = {n: p.annotation for n, p in inspect.signature(model).parameters.items()}
        result = inspect.signature(model).return_annotation
        result = None if result is inspect.Signature.empty else result
        outputs = [] if result is None else _registers(result)
        named = ([] if result is None else [("out", result)]) + list(arguments.items())
        body = re.sub(r"\$([a-z]\w*)(?:\.(\d+))?", _Operands(named), text)
        constraints = _constraints(outputs, arguments, update, text.count(";") > 1, ordered)

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            registers = _flatten(context, builder, signature.args, values, arguments.values())
            llvm_result = _llvm_result(outputs, isinstance(result, Vector))
            kind = ir.FunctionType(llvm_result, [r.type for r in registers])
            block = ir.InlineAsm(kind, body, constraints, side_effect=ordered or not outputs)
            attributes = ("convergent",) if collective else ()
            value = builder.call(block, registers, attrs=attributes)
            if not isinstance(result, Vector):
                return value if outputs else context.get_dummy_value()
            elements = [builder.extract_value(value, i) for i in range(len(outputs))]
            return context.make_tuple(builder, signature.return_type, elements)

        return _typed(model, arguments, result, codegen)

    return decorate


def _constraints(
    outputs: Sequence[Any],
    arguments: Mapping[str, Kind],
    update: str | None,
    several: bool,
    ordered: bool,
) -> str:
    """LLVM's constraint string: results, arguments, and memory where order matters."""
    fresh = "=&" if several and update is None else "="
    parts = [fresh + _CONSTRAINT[kind] for kind in outputs]
    for name, kind in arguments.items():
        registers = _registers(kind)
        tied = name == update
        parts += [str(i) if tied else _CONSTRAINT[r] for i, r in enumerate(registers)]
    return ",".join([*parts, "~{memory}"] if ordered else parts)


def _llvm_result(outputs: Sequence[Any], is_vector: bool) -> Any:
    if is_vector:
        return ir.LiteralStructType([_LLVM[kind] for kind in outputs])
    return _LLVM[outputs[0]] if outputs else ir.VoidType()


def _flatten(
    context: Any, builder: Any, given: Iterable[Any], values: Iterable[Any], wanted: Iterable[Kind]
) -> list[Any]:
    """One LLVM value per register; scalars are converted to the declared type."""
    registers: list[Any] = []
    for have, value, want in zip(given, values, wanted, strict=True):
        if isinstance(want, Vector):
            registers += [builder.extract_value(value, i) for i in range(want.length)]
        else:
            registers.append(context.cast(builder, value, have, _numba_type(want)))
    return registers


def _typed(
    model: Callable[..., Any],
    arguments: Mapping[str, Kind],
    result: Kind,
    codegen: Callable[..., Any],
) -> Any:
    """A Numba intrinsic of fixed arity that carries its model."""

    def typer(typing_context: Any, *given: Any) -> Any:
        from numba.cuda.typing import signature

        return signature(_numba_type(result), *given), codegen

    names = ["typing_context", *arguments]
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(n, positional) for n in names]
    setattr(typer, "__signature__", inspect.Signature(parameters))  # noqa: B010 # as Numba reads it
    typer.__name__ = model.__name__
    function = intrinsic(typer)
    function.model, function.__doc__ = model, model.__doc__
    return function
