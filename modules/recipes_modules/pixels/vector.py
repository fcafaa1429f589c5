"""Eight numbers at a time: what the compiler does not find by itself in loops as short as these. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
REACH = 3.5
"""Standard deviations after which a Gaussian ends; what is beyond (0.05% of it along an axis) is shared out to the rest."""

# Odd polynomial in t / REACH that gives the normal distribution between -REACH and REACH, less 1/2, to 1e-6; 1/2 at its end.
NORMAL = (
    1.396931648, -2.851217279, 5.22446068, -7.504165373, 8.44829896,
    -7.241840833, 4.395010169, -1.652193926, 0.284715398,
)  # fmt: skip
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _splat(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def add_scaled(typingctx: Any, image: Any, at: Any, weights: Any, first: Any, factor: Any) -> Any:
    """``image[at : at + 8] += factor * weights[first : first + 8]`` for one-dimensional arrays of float32; no bounds are checked."""
    signature = types.void(image, types.intp, weights, types.intp, types.float32)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _place(context, builder, signature.args[0], arguments[0], arguments[1])
        source = _place(context, builder, signature.args[2], arguments[2], arguments[3])
        product = builder.fmul(builder.load(source, align=4), _splat(builder, arguments[4]))
        builder.store(builder.fadd(builder.load(target, align=4), product), target, align=4)
        return context.get_dummy_value()

    return signature, code


@intrinsic
def normal_between(typingctx: Any, result: Any, at: Any, start: Any, step: Any) -> Any:
    """The normal distribution, cut at `REACH`, between eight pairs of edges; no bounds are checked.

    ``result[at + k] = F(s + (k + 1) * step) - F(s + k * step)`` for k from 0 to 7, in standard deviations over `REACH`, for a
    one-dimensional array of float32.
    """
    signature = types.void(result, types.intp, types.float32, types.float32)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _place(context, builder, signature.args[0], arguments[0], arguments[1])
        start, step = _splat(builder, arguments[2]), _splat(builder, arguments[3])
        lower, upper = (
            _distribution(
                builder, builder.fadd(start, builder.fmul(step, ir.Constant(_VECTOR, [float(k + side) for k in range(LANES)])))
            )
            for side in (0, 1)
        )
        builder.store(builder.fsub(upper, lower), target, align=4)
        return context.get_dummy_value()

    return signature, code


def _distribution(builder: Any, s: Any) -> Any:
    one, minus = _constant(1.0), _constant(-1.0)
    s = builder.select(builder.fcmp_ordered("<", s, one), s, one)
    s = builder.select(builder.fcmp_ordered(">", s, minus), s, minus)
    square = builder.fmul(s, s)
    value = _constant(NORMAL[-1])
    for coefficient in NORMAL[-2::-1]:
        value = builder.fadd(builder.fmul(value, square), _constant(coefficient))
    return builder.fmul(value, s)
