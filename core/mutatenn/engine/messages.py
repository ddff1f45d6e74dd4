"""What a mutant's process may say on its pipe; whatever else comes, its memory may be damaged, is garbled."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import numpy as np

from mutatenn.api.executor import Observation  # noqa: TC001  # build reads the types of an end
from mutatenn.results.observations import MOST_NUMBER, PLAIN, read_fields
from mutatenn.typed import build

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from mutatenn.api.executor import Job

HEADER = struct.Struct("!i")  # as multiprocessing writes it before every message
CHUNK = 2**16
MOST_AT_ONCE = 2**24
"""Bytes to take from a pipe before others have their turn."""
BESIDES = 2**22
"""Bytes that a report may have beside what grows with the images."""
LONGEST_TEXT = 2000
ITEM = 4  # bytes of a score
SECONDS = attrs.validators.and_(attrs.validators.ge(0), attrs.validators.lt(MOST_NUMBER))


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
    cpu: float = attrs.field(validator=SECONDS)


@attrs.frozen(eq=False)
class Ready:
    """A device is open; the original takes ``ready`` seconds for an image there."""

    ready: float = attrs.field(validator=SECONDS)


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
    fields = _loaded(text)
    kind = next((kind for name, kind in KINDS.items() if isinstance(fields, dict) and name in fields), None)
    if kind is None:
        raise GarbledError("a message of no known kind")
    try:
        if kind is End:
            return _end(fields, outputs, mutant, job)
        said = build(kind, fields)
    except (ValueError, OverflowError) as error:
        raise GarbledError(f"a wrong message: {error}") from None
    if outputs:
        raise GarbledError(f"a message with {len(outputs)} bytes too many")
    return said


def _loaded(text: bytes) -> Any:
    """Return what a text of JSON says, all of it characters."""
    try:
        fields = JSON.decode(text.decode("ascii"))
        if b"\\ud" in text.lower():  # half a character, unless the other half follows
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise GarbledError("a message that is no JSON") from None
    return fields


def _end(fields: dict[str, Any], outputs: bytes, mutant: str, job: Job) -> End:
    """Return the end of a trial that a process reports; nothing of it may be left out."""
    if missing := {*PLAIN, "spent", "damaged"} - fields.keys():
        raise ValueError(f"no {min(missing)}")
    about, left = {name: fields.pop(name) for name in ("spent", "damaged")}, memoryview(outputs)

    def take(_part: str, rows: int) -> NDArray[np.float32]:
        nonlocal left
        size = rows * classes(job) * ITEM
        mine, left = left[:size], left[size:]
        return np.frombuffer(mine, np.float32).reshape(rows, classes(job))

    seen = read_fields(fields, len(job.images), classes(job), take)
    if seen.mutant != mutant:  # a copy of its process that another has left speaks for that
        raise ValueError("it is on another mutant")
    bare = not len(seen.infected) and seen.again is None
    if left or seen.signal is not None or not (bare or seen.outcome == "ran"):
        raise ValueError("it tells more than its process can know")
    return build(End, about, seen=seen)


def clean(text: str) -> str:
    """Return a text as it may be sent and stored: not too long, and all of it characters."""
    return text[:LONGEST_TEXT].encode(errors="replace").decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


JSON = json.JSONDecoder(parse_constant=_refuse)
KINDS: dict[str, type[Message]] = {"phase": Phase, "ready": Ready, "problem": Problem, "outcome": End}
"""What a message is, by the field that only it has."""
