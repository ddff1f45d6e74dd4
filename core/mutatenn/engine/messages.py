"""What a mutant's process may say on its pipe; whatever else comes, its memory may be damaged, is garbled."""

from __future__ import annotations

import json
import math
import os
import struct
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import attrs
import numpy as np

from mutatenn.api.executor import Job, Observation, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

HEADER = struct.Struct("!i")  # as multiprocessing writes it before every message
CHUNK = 2**16
MOST_AT_ONCE = 2**24
"""Bytes to take from a pipe before others have their turn."""
BESIDES = 2**22
"""Bytes that a report may have beside what grows with the images."""
LONGEST_TEXT = 2000
MOST_NUMBER = 2**53
ITEM = 4  # bytes of a score


class GarbledError(Exception):
    """What came is no message of this engine."""


@attrs.define(eq=False)
class Inbox:
    """Takes messages from a pipe without ever waiting for the rest of one."""

    pipe: Connection
    ended: bool = False
    _held: bytearray = attrs.field(init=False, factory=bytearray)

    def take(self, largest: int) -> list[bytes]:
        """Return the messages that are complete, of at most ``largest`` bytes; raises GarbledError."""
        taken = 0
        while not self.ended and taken < MOST_AT_ONCE and self.pipe.poll():
            try:
                chunk = os.read(self.pipe.fileno(), CHUNK)
            except OSError:
                chunk = b""
            self.ended = not chunk
            self._held += chunk
            taken += len(chunk)
        return self._complete(largest)

    def _complete(self, largest: int) -> list[bytes]:
        found, start = [], 0
        while len(self._held) - start >= HEADER.size:
            (size,) = HEADER.unpack_from(self._held, start)
            if not 0 <= size <= largest:
                raise GarbledError(f"a message of {size} bytes")
            end = start + HEADER.size + size
            if end > len(self._held):
                break
            found.append(bytes(self._held[start + HEADER.size : end]))
            start = end
        del self._held[:start]
        return found


@attrs.frozen(eq=False)
class Phase:
    """A phase begins; ``cpu`` is the processor time used so far, in seconds."""

    phase: str
    cpu: float


@attrs.frozen(eq=False)
class Ready:
    """A device is open; the original takes ``ready`` seconds for an image there."""

    ready: float


@attrs.frozen(eq=False)
class Problem:
    """A device is lost, or cannot be opened, and why."""

    problem: str


@attrs.frozen(eq=False)
class End:
    """A trial is over. ``spent``: its process can do no more. ``damaged``: Python itself failed there."""

    seen: Observation
    spent: bool
    damaged: bool


Message = Phase | Ready | Problem | End


def largest(job: Job) -> int:
    """Return how many bytes a message of a job's mutant may have."""
    return min(BESIDES + 2 * len(job.images) * (64 + ITEM * classes(job)), 2**31 - 1)


def classes(job: Job) -> int:
    """Return the number of scores that an image gets."""
    spec = job.original.values[job.original.output]
    return spec.nbytes // np.dtype(spec.dtype).itemsize


def parse(message: bytes, mutant: str, job: Job) -> Message:
    """Return what a message on a mutant says; raises GarbledError."""
    text, _, outputs = message.partition(b"\n")
    try:
        fields = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise GarbledError("a message that is no JSON") from None
    kinds = [kind for kind in SHAPES if isinstance(fields, dict) and kind in fields]
    if len(kinds) != 1:
        raise GarbledError("a message of no known kind")
    (kind,) = kinds
    for name in fields.keys() | SHAPES[kind].keys():
        check = SHAPES[kind].get(name)
        if check is None or name not in fields or not check(fields[name]):
            raise GarbledError(f"a message with a wrong {name!r}")
    if kind == "outcome":
        spent, damaged = fields.pop("spent"), fields.pop("damaged")
        if fields.pop("mutant") != mutant:  # a copy of its process that another has left speaks for that
            raise GarbledError("a message on another mutant")
        return End(_observation(fields, outputs, mutant, job), spent, damaged)
    if outputs:
        raise GarbledError(f"a message with {len(outputs)} bytes too many")
    return PLAIN[kind](**fields)


def _observation(fields: dict[str, Any], outputs: bytes, mutant: str, job: Job) -> Observation:
    """Return the observation that a process reports at the end of a trial."""
    first, second = {name: fields.pop(name) for name in IMAGES}, fields.pop("again")
    kernels = tuple(fields.pop("kernels"))
    parts = [each for each in (first, second) if each] if fields["outcome"] == "ran" else []
    sizes = [len(each["rows"]) * classes(job) * ITEM for each in parts]
    if len(outputs) != sum(sizes):
        raise GarbledError(f"{len(outputs)} bytes of outputs instead of {sum(sizes)}")
    if not parts:
        return Observation(mutant, kernels=kernels, **fields)
    seen, again = _arrays(first, outputs[: sizes[0]], job), None
    if second:
        again = Observation(mutant, "ran", **_arrays(second, outputs[sizes[0] :], job))
    return Observation(mutant, kernels=kernels, again=again, **fields, **seen)


def _arrays(lists: dict[str, Any], outputs: bytes, job: Job) -> dict[str, Any]:
    infected, rows = lists["infected"], lists["rows"]
    ordered = bool(np.all(np.diff([*rows, len(job.images)]) > 0))
    if len(infected) != len(job.images) or not ordered:
        raise GarbledError("a message on other images than there are")
    return {
        "outputs": np.frombuffer(outputs, np.float32).reshape(len(rows), classes(job)),
        "rows": np.asarray(rows, np.intp),
        "infected": np.asarray(infected, bool),
    }


def clean(text: str) -> str:
    """Return a text as it may be sent and stored: not too long, and all of it characters."""
    return text[:LONGEST_TEXT].encode(errors="replace").decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _text(value: Any) -> bool:
    return isinstance(value, str) and (value.isascii() or value.encode(errors="replace").decode() == value)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_NUMBER


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < MOST_NUMBER


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _table_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(_text(key) and check(value[key]) for key in value)


def _flag(value: Any) -> bool:
    return type(value) is int and value in (0, 1)


def _table(value: Any, shape: dict[str, Callable[[Any], bool]]) -> bool:
    known = isinstance(value, dict) and value.keys() == shape.keys()
    return known and all(check(value[name]) for name, check in shape.items())


IMAGES: dict[str, Callable[[Any], bool]] = {"infected": _list_of(_flag), "rows": _list_of(_count)}
PLAIN: dict[str, Callable[..., Message]] = {"phase": Phase, "ready": Ready, "problem": Problem}
SHAPES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "phase": {"phase": _text, "cpu": _seconds},
    "ready": {"ready": _seconds},
    "problem": {"problem": _text},
    "outcome": {
        "mutant": _text,
        "outcome": lambda value: value in get_args(Outcome),
        "message": _text,
        "executed": _count,
        "kernels": _list_of(_text),
        "program": _text,
        "masked": _table_of(_count),
        "seconds": _table_of(_seconds),
        **IMAGES,
        "memory": _text,
        "again": lambda value: value is None or _table(value, IMAGES),
        "spent": lambda value: isinstance(value, bool),
        "damaged": lambda value: isinstance(value, bool),
    },
}
"""What each kind of message holds, by the field that only it has, and what is a right value."""
