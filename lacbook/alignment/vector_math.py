"""exp2 and log2 in plain arithmetic, without calls and branches, so that LLVM vectorises loops over them.

The libraries that numba could call instead work on one number at a time. Both functions are right to within
2e-16 or so of the result (log2: of the larger of the result and 1).
"""

# mypy: allow-untyped-defs

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lacbook.alignment.compiled import compiled

ROUND = 6755399441055744.0  # 1.5 * 2^52: added, it rounds to a whole number and leaves that in the low bits
# Unsigned, since AVX2 shifts no signed 64-bit numbers to the right; numba makes floats of int64 with uint64.
MANTISSA = np.uint64(52)  # how many bits of a float64 lie below the exponent
BIAS = np.uint64(1023)
ONE_BITS = np.uint64(1023 << 52)  # the bits of 1.0
HALF_ROOT_BITS = np.uint64(0x3FE6A09E667F3BCD)  # of the root of 1/2
TWO_52_BITS = np.uint64(1075 << 52)  # of 2^52


@intrinsic
def bits_of(typing_context, number):
    """The bits of a float64 as uint64."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), build


@intrinsic
def float_of(typing_context, bits):
    """The float64 that a uint64 holds the bits of."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), build


@compiled
def exp2(x):
    """2^x; 0 below -1022.5, inf from 1023.5 on. The Taylor series of 2^r, |r| <= 1/2, times a power of 2."""
    clamped = -1023.0 if x < -1023.0 else x  # NaN stays NaN
    clamped = 1024.0 if clamped > 1024.0 else clamped  # the bits of these two powers are those of 0 and inf
    rounded = clamped + ROUND
    r = clamped - (rounded - ROUND)
    p = 2.5678435993488206e-11
    p = p * r + 4.4455382718708116e-10
    p = p * r + 7.054911620801123e-09
    p = p * r + 1.01780860092397e-07
    p = p * r + 1.321548679014431e-06
    p = p * r + 1.5252733804059841e-05
    p = p * r + 0.0001540353039338161
    p = p * r + 0.0013333558146428443
    p = p * r + 0.009618129107628477
    p = p * r + 0.05550410866482158
    p = p * r + 0.24022650695910072
    p = p * r + 0.6931471805599453
    p = p * r + 1.0
    power = float_of((bits_of(rounded) << MANTISSA) + ONE_BITS)
    return p * power


@compiled
def log2(x):
    """log2 of a normal number above 0: its exponent, and 2 atanh((f - 1) / (f + 1)) of the rest f."""
    bits = bits_of(x)
    biased = (bits - HALF_ROOT_BITS + ONE_BITS) >> MANTISSA
    exponent = float_of(biased | TWO_52_BITS) - (4503599627370496.0 + 1023.0)
    f = float_of(bits - ((biased - BIAS) << MANTISSA))
    q = (f - 1.0) / (f + 1.0)
    s = q * q
    p = 0.15186263588304877
    p = p * s + 0.16972882833987804
    p = p * s + 0.19235933878519512
    p = p * s + 0.22195308321368667
    p = p * s + 0.2623081892525388
    p = p * s + 0.3205988979753252
    p = p * s + 0.4121985831111324
    p = p * s + 0.5770780163555853
    p = p * s + 0.9617966939259756
    p = p * s + 2.8853900817779268
    return exponent + p * q
