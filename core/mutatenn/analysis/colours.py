"""The colours of how mutants end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from mutatenn.analysis.environments.sides import EndStatus

STATUS_COLOURS: dict[EndStatus, tuple[str, str]] = {
    Status.KILLED: ("#0072b2", "#fff"),
    Status.CRASHED: ("#b03a00", "#fff"),
    Status.TIMED_OUT: ("#e08214", "#000"),
    Status.OUT_OF_BOUNDS: ("#8e4585", "#fff"),
    Status.UNSTABLE: ("#d9a6d4", "#000"),
    Status.SURVIVED: ("#f5e663", "#000"),
    Status.NEVER_INFECTED: ("#fbf5c4", "#000"),
    Status.EQUIVALENT: ("#e3e3e3", "#000"),
    Status.BUILD_ERROR: ("#5f5f5f", "#fff"),
    Status.INFRASTRUCTURE_ERROR: ("#fff", "#c00"),
    "waiting": ("#fff", "#888"),
    "skipped": ("#fff", "#888"),
    "not-planned": ("#fff", "#aaa"),
}
"""Of an area and of what is written on it; told apart by people who see colours otherwise."""
