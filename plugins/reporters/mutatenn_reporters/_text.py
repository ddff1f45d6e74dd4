"""Words and numbers as the reporters write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mutatenn import one_line

if TYPE_CHECKING:
    from mutatenn import Baseline, Delta

SHORT = 160
clean = one_line
"""Nothing that a reporter writes can steer a terminal."""


def shorten(text: object) -> str:
    """Return clean text of at most 160 characters."""
    line = clean(text)
    if len(line) <= SHORT:
        return line
    kept = line[: SHORT - 3]
    return f"{kept.rpartition(' ')[0] or kept}..."  # no word is cut, where there are words


def cut(text: object, longest: int) -> str:
    """Return clean text of at most so many characters."""
    line = clean(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def count(number: int, noun: str) -> str:
    """Return ``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Return a small quantity: ``0``, ``0.0012``, ``3.0e-07``."""
    if value == 0:
        return "0"
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"  # noqa: PLR2004  # readable without exponent


def changes(delta: Delta) -> str:
    """Return ``2 newly surviving, 1 newly noticed, 0 new, 0 gone``."""
    numbers = {
        "newly surviving": delta.surviving,
        "newly noticed": delta.noticed,
        "new": delta.added,
        "gone": delta.gone,
    }
    return ", ".join(f"{len(names)} {how}" for how, names in numbers.items())


def ratio(value: float) -> str:
    """Return a score with two digits, ``-`` for NaN."""
    return "-" if value != value else f"{value:.2f}"  # noqa: PLR0124  # NaN


def verdict_of_gate(baseline: Baseline) -> str:
    """Return in one sentence how the original did."""
    if baseline.problems:
        return f"original fails the gate: {clean('; '.join(baseline.problems))}"
    images = baseline.images
    parts = [
        f"top-1 equals the reference's on {baseline.reference_labels} of {count(images, 'image')}",
        f"largest difference {number(baseline.reference_difference)}{_spread(baseline)}",
    ]
    if baseline.accuracy is not None:
        right = round(baseline.accuracy * images)
        parts.append(f"accuracy {100 * baseline.accuracy:.1f} % ({right} of {images})")
    parts += [f"noise {number(baseline.noise)}", f"{number(1000 * baseline.seconds)} ms per image"]
    return f"original ok: {', '.join([*parts, *map(clean, baseline.remarks)])}"


def _spread(baseline: Baseline) -> str:
    """Return what the difference is of: probabilities have no spread but their own range."""
    return "" if baseline.reference_spread is None else f" of a spread of {number(baseline.reference_spread)}"


def environment(facts: dict[str, Any]) -> str:
    """Return backend, target, profile and kernels of an environment, from its provenance."""
    if facts.get("backend") == "reference":
        return f"reference on {clean(facts.get('target', '?'))}"
    route = [f"route {clean(facts['route'])}"] if facts.get("route") else []
    profile = clean(facts.get("profile", "?"))
    kernels = count(int(facts.get("kernels", 0)), "kernel")
    backend, where = clean(facts.get("backend", "?")), target(str(facts.get("target", "?")))
    parts = [
        where if where.startswith(backend) else f"{backend} on {where}",
        *route,
        f"profile {profile}",
        kernels,
    ]
    return ", ".join(
        parts + ([f"run as a whole: {shorten(facts['fallback'])}"] if facts.get("fallback") else [])
    )


def target(text: str) -> str:
    """Return a compilation target in short: ``llvm znver4`` of TVM's JSON, or the text itself."""
    try:
        fields = json.loads(text)
    except ValueError:
        return shorten(text)
    if not isinstance(fields, dict):
        return shorten(text)
    telling = [fields.get(key) for key in ("kind", "arch", "mcpu", "mtriple", "device")]
    return shorten(" ".join(str(value) for value in telling if value))
