"""What became of a mutant: its status, and the verdict that says why."""

from __future__ import annotations

from enum import Enum

import attrs


class Status(str, Enum):
    """How a mutant ended in an environment; equal to its value, the text that files and reports have."""

    KILLED = "killed"
    SURVIVED = "survived"
    NEVER_INFECTED = "never-infected"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    OUT_OF_BOUNDS = "out-of-bounds"
    UNSTABLE = "unstable"
    EQUIVALENT = "equivalent"
    BUILD_ERROR = "build-error"
    INFRASTRUCTURE_ERROR = "infrastructure-error"

    __str__ = str.__str__

    @property
    def detected(self) -> bool:
        """Whether the mutant was noticed."""
        return self in {Status.KILLED, Status.CRASHED, Status.TIMED_OUT}

    @property
    def valid(self) -> bool:
        """Whether it counts in the mutation score."""
        return self.detected or self in {Status.SURVIVED, Status.NEVER_INFECTED}

    @property
    def is_verdict(self) -> bool:
        """Whether it says something of the images.

        Where many mutants end otherwise, that says more of the operator, the limits or the machinery.
        """
        return self not in {
            Status.BUILD_ERROR,
            Status.TIMED_OUT,
            Status.UNSTABLE,
            Status.INFRASTRUCTURE_ERROR,
        }

    @property
    def behaviour(self) -> str | None:
        """What a user sees of a mutant that ended so; None where that says nothing of the mutant."""
        return _BEHAVIOUR.get(self)

    @property
    def rare(self) -> bool:
        """Whether score lines name it only where there are any."""
        return self in {Status.OUT_OF_BOUNDS, Status.UNSTABLE, Status.INFRASTRUCTURE_ERROR}


_BEHAVIOUR: dict[Status, str] = {
    Status.KILLED: "killed",
    Status.SURVIVED: "unnoticed",
    Status.NEVER_INFECTED: "unnoticed",
    Status.EQUIVALENT: "unnoticed",
    Status.CRASHED: "crashed",
    Status.TIMED_OUT: "timed out",
    Status.OUT_OF_BOUNDS: "out of bounds",
    Status.BUILD_ERROR: "rejected",
}


@attrs.frozen
class Verdict:
    """What became of one mutant in one environment.

    ``by`` names what noticed it: the kill oracle, ``non-finite``, ``degenerate``. ``images`` counts the
    images it ran on; ``killed``, ``infected``, ``propagated`` (output differs in some bit),
    ``labels_changed`` and ``non_finite`` count images among them, ``killed_images`` names the first kind.
    ``masked`` counts the images, infected but not propagated, by the name of the kernel in which the
    infection died. ``oracles`` holds, per oracle, ``mean`` and ``worst`` over the images, None where not
    finite.
    ``program`` identifies what ran: mutants with equal ones are duplicates. ``memory`` says how it read
    memory that it must not; with another content there it ended alike, or it is unstable.
    """

    environment: str
    mutant: str
    status: Status = attrs.field(converter=Status)
    by: tuple[str, ...] = ()
    images: int = 0
    killed: int = 0
    infected: int = 0
    propagated: int = 0
    masked: dict[str, int] = attrs.field(factory=dict)
    labels_changed: int = 0
    non_finite: int = 0
    degenerate: bool = False
    killed_images: tuple[str, ...] = ()
    oracles: dict[str, dict[str, float | None]] = attrs.field(factory=dict)
    message: str = ""
    signal: int | None = None
    seconds: float = 0.0
    program: str = ""
    memory: str = ""
