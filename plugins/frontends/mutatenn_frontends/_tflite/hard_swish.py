"""Hard-swish of int8 as TFLite's interpreter computes it, in numbers of 16 bits: a table of 256 results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

FINER_BITS = 7
"""The input's scale is made finer by so many bits."""
RELUISH = np.float32(3) / np.float32(32768)
"""The scale on which [-3, 3] fills 16 bits."""


def table(scale: float, zero: int, result_scale: float, result_zero: int) -> NDArray[np.int8]:
    """Return the results for -128 to 127 (TFLite: ``reference_ops::HardSwish``, ``HardSwishPrepare``).

    ``scale`` and ``zero`` are those of the data, what follows those of the results.
    """
    finer = np.float32(scale) / np.float32(1 << FINER_BITS)
    by, exponent = _multiplier(finer / np.float32(result_scale))
    reluish_by, reluish_exponent = _multiplier(finer / RELUISH)
    data = (np.arange(-128, 128) - zero) << FINER_BITS
    reluish = _saturated(data << max(reluish_exponent - 1, 0))
    reluish = _rounded_product(reluish, reluish_by)
    if reluish_exponent > 0:
        reluish = _saturated(reluish << 1)
    reluish = (_rounded_shift(reluish, max(-reluish_exponent, 0)) + (1 << 15)) >> 1
    product = _product(reluish, _rounded_product(data, by))
    shifted = _rounded_shift(_saturated(product << max(exponent, 0)), max(-exponent, 0))
    return np.clip(shifted + result_zero, -128, 127).astype(np.int8)


def _multiplier(real: np.float32) -> tuple[int, int]:
    """Return a factor as a number of 16 bits, one half to one, and an exponent of two."""
    mantissa, exponent = math.frexp(float(real))
    wide = math.floor(mantissa * 2**31 + 0.5)
    return min((wide + (1 << 15)) >> 16, 2**15 - 1), exponent


def _product(one: Numbers, other: Numbers) -> Numbers:
    """Return the upper half of the doubled product, without its fraction."""
    product = one * other
    half: Numbers = np.sign(product) * (abs(product) >> 15)
    return half


def _rounded_product(one: Numbers, other: int) -> Numbers:
    """Return the upper half of the doubled product, rounded; halves upwards."""
    product = one * other
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    half: Numbers = np.sign(nudged) * (abs(nudged) >> 15)
    return half


def _rounded_shift(value: Numbers, bits: int) -> Numbers:
    """Return a value divided by a power of two, rounded; halves away from zero."""
    rounded: Numbers = np.sign(value) * ((abs(value) + (1 << bits >> 1)) >> bits)
    return rounded


def _saturated(value: Numbers) -> Numbers:
    return value.clip(-(2**15), 2**15 - 1)
