"""Sixteen numbers at a time in compiled code: a vector type for numba, with what the fits need.

LLVM makes vector code of a loop only where it can prove that the arrays in it do not overlap. Here vectors are values: loaded from arrays,
kept in registers, stored. Each element belongs to one spot, its lane, and no operation mixes lanes: what comes out for a spot does not
depend on its neighbours. Importing this file imports numba: do it on use.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16
"""Numbers in a vector."""

_FLAGS = ("contract", "nsz")
_INT = ir.IntType(32)
_WHOLE = ir.VectorType(_INT, WIDTH)


class Lanes(types.Type):  # type: ignore[misc]
    """Vector of `WIDTH` numbers of type `dtype`."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"{dtype}x{WIDTH}")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), WIDTH))


def _common(args: tuple[types.Type, ...]) -> Lanes | None:
    """The one vector type among arguments that are vectors or numbers."""
    found = {arg for arg in args if isinstance(arg, Lanes)}
    if len(found) == 1 and all(isinstance(arg, Lanes | types.Number) for arg in args):
        return found.pop()
    return None


def _vector(context: Any, builder: Any, value: Any, kind: types.Type, wanted: Lanes) -> Any:
    """A vector as it is; a number in all lanes."""
    if isinstance(kind, Lanes):
        return value
    empty = ir.Constant(context.get_value_type(wanted), ir.Undefined)
    first = builder.insert_element(empty, context.cast(builder, value, kind, wanted.dtype), ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(_WHOLE, [0] * WIDTH))


def _vectors(context: Any, builder: Any, sig: Any, args: Any) -> list[Any]:
    return [_vector(context, builder, arg, kind, sig.return_type) for arg, kind in zip(args, sig.args, strict=True)]


def _register(function: Callable[..., Any], emit: str) -> None:
    """Let an operator take vectors, or a vector and a number."""

    @infer_global(function)
    class _Typing(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: tuple[types.Type, ...], kws: Any) -> Any:
            wanted = _common(args) if len(args) == 2 else None
            return None if wanted is None else signature(wanted, *args)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, emit)(*_vectors(context, builder, sig, args), flags=_FLAGS)

    for kinds in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(function, *kinds)(lower)


_register(operator.add, "fadd")
_register(operator.sub, "fsub")
_register(operator.mul, "fmul")
_register(operator.truediv, "fdiv")
_register(operator.iadd, "fadd")
_register(operator.isub, "fsub")
_register(operator.imul, "fmul")


def _place(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Pointer to the vector that begins at an index of an array."""
    array = context.make_array(sig.args[0])(context, builder, args[0])
    start = builder.gep(array.data, [context.cast(builder, args[1], sig.args[1], types.intp)])
    return builder.bitcast(start, context.get_value_type(Lanes(sig.args[0].dtype)).as_pointer())


def _flat(array: Any) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"


@intrinsic  # type: ignore[misc]
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """The `WIDTH` elements of a one-dimensional array from an index on."""
    if not _flat(array):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, sig, args), align=sig.args[0].dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, index), lower


@intrinsic  # type: ignore[misc]
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector, or one number `WIDTH` times, to an array from an index on."""
    if not _flat(array):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = _vector(context, builder, args[2], sig.args[2], Lanes(sig.args[0].dtype))
        builder.store(vector, _place(context, builder, sig, args), align=sig.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, index, value), lower


@intrinsic  # type: ignore[misc]
def add(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Add a vector to the elements of an array from an index on."""
    if not _flat(array):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, align = _place(context, builder, sig, args), sig.args[0].dtype.bitwidth // 8
        builder.store(builder.fadd(builder.load(place, align=align), args[2], flags=_FLAGS), place, align=align)
        return context.get_dummy_value()

    return types.none(array, index, value), lower


@intrinsic  # type: ignore[misc]
def splat(typingctx: Any, value: Any) -> Any:
    """A vector of one number."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _vectors(context, builder, sig, args)[0]

    return Lanes(value)(value), lower


@intrinsic  # type: ignore[misc]
def where_less(typingctx: Any, a: Any, b: Any, chosen: Any, other: Any) -> Any:
    """`chosen` in lanes where ``a < b``, `other` elsewhere and where `a` or `b` is not a number."""
    wanted = _common((a, b, chosen, other))
    if wanted is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b, chosen, other = _vectors(context, builder, sig, args)
        return builder.select(builder.fcmp_ordered("<", a, b), chosen, other)

    return wanted(a, b, chosen, other), lower


def _elementwise(name: str) -> Any:
    """Lowering to an intrinsic function of LLVM."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_value_type(sig.return_type)
        full = f"llvm.{name}.v{WIDTH}f{sig.return_type.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * len(args)), full)
        return builder.call(function, args)

    return lower


@intrinsic  # type: ignore[misc]
def absolute(typingctx: Any, value: Any) -> Any:
    """Without the sign."""
    return value(value), _elementwise("fabs")


@intrinsic  # type: ignore[misc]
def root(typingctx: Any, value: Any) -> Any:
    """Square root."""
    return value(value), _elementwise("sqrt")


@intrinsic  # type: ignore[misc]
def signed(typingctx: Any, size: Any, sign: Any) -> Any:
    """The size of one vector with the signs of another."""
    return size(size, sign), _elementwise("copysign")


@intrinsic  # type: ignore[misc]
def nearest(typingctx: Any, value: Any) -> Any:
    """Rounded to whole numbers."""
    return value(value), _elementwise("rint")


@intrinsic  # type: ignore[misc]
def scaled(typingctx: Any, value: Any, power: Any) -> Any:
    """``value 2^power`` of float32 vectors, for whole powers from -126 to 127."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        biased = builder.add(builder.fptosi(args[1], _WHOLE), ir.Constant(_WHOLE, [127] * WIDTH))
        bits = builder.shl(biased, ir.Constant(_WHOLE, [23] * WIDTH))
        return builder.fmul(args[0], builder.bitcast(bits, context.get_value_type(sig.return_type)))

    return value(value, power), lower


@intrinsic  # type: ignore[misc]
def exponent(typingctx: Any, value: Any) -> Any:
    """The whole power of two below float32 numbers above 0."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.ashr(builder.bitcast(args[0], _WHOLE), ir.Constant(_WHOLE, [23] * WIDTH))
        return builder.sitofp(builder.sub(bits, ir.Constant(_WHOLE, [127] * WIDTH)), context.get_value_type(sig.return_type))

    return value(value), lower


@intrinsic  # type: ignore[misc]
def widened(typingctx: Any, value: Any) -> Any:
    """In double precision."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fpext(args[0], context.get_value_type(sig.return_type))

    return Lanes(types.float64)(value), lower


@intrinsic  # type: ignore[misc]
def narrowed(typingctx: Any, value: Any) -> Any:
    """In single precision."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fptrunc(args[0], context.get_value_type(sig.return_type))

    return Lanes(types.float32)(value), lower
