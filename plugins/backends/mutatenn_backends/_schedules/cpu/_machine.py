"""What a target's registers allow, and how an axis is cut into vectors."""

from __future__ import annotations

from typing import Any

import attrs

from mutatenn import ir


@attrs.frozen
class Machine:
    """Vector registers of a target: ``lanes`` float32 values each, and how many of them."""

    lanes: int
    registers: int

    @classmethod
    def of(cls, target: Any) -> Machine:
        """Read a target's features."""

        def has(feature: str) -> bool:
            return bool(ir.tvm.target.codegen.target_has_features(feature, target))

        if has("avx512f"):
            return cls(16, 32)
        if has("avx2"):
            return cls(8, 16)
        return cls(4, 32 if has("neon") else 16)


@attrs.frozen
class Piece:
    """A vector: its first element on an axis, and its lanes."""

    start: int
    lanes: int


def pieces(extent: int, lanes: int) -> list[Piece]:
    """Cover an axis by whole vectors; where they do not fit, the last is narrower or overlaps its neighbour.

    Elements covered twice are computed twice, to the same value.
    """
    whole, rest = divmod(extent, lanes)
    found = [Piece(index * lanes, lanes) for index in range(whole)]
    if rest:
        width = 1 << (rest - 1).bit_length()
        if width > extent:
            width //= 2
            found.append(Piece(0, width))
        found.append(Piece(extent - width, width))
    return found


@attrs.frozen
class Span:
    """``count`` tiles of ``size`` points each, from ``start``."""

    start: int
    count: int
    size: int


def spans(extent: int, size: int) -> list[Span]:
    """Cut an axis into tiles of one size and a rest."""
    count, rest = divmod(extent, size)
    found = [Span(0, count, size)] if count else []
    return [*found, Span(count * size, 1, rest)] if rest else found
