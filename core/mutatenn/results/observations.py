"""What was seen of a mutant as plain data and arrays, and back, however it travels or is kept.

A field of an observation that is no array is named nowhere here: it travels, and is held to its type.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.border import shown
from mutatenn.typed import build, checks_of, conforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

ARRAYS = ("rows", "infected", "outputs")
AGAIN = "again_"
"""Begins the names of the arrays of what was seen again."""
PLAIN = {name: check for name, check in checks_of(Observation).items() if name not in (*ARRAYS, "again")}
"""The other fields, with what tells whether a value is of its type."""
SIGNALS = (None, *range(1, signal.NSIG))
MOST_NUMBER = 2**53
PLACES = {"images": int, "infected": tuple[int, ...], "rows": tuple[int, ...]}
"""Which images are infected, and have another output, as JSON holds it: by their numbers, ascending."""
NONE = np.zeros((0, 0), np.float32)


def take_apart(seen: Observation) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the plain fields and the arrays of an observation, those of what was seen again among them."""
    arrays = {name: getattr(seen, name) for name in ARRAYS}
    if seen.again:
        arrays |= {AGAIN + name: getattr(seen.again, name) for name in ARRAYS}
    return {name: getattr(seen, name) for name in PLAIN}, arrays


def put_together(
    plain: object, arrays: Mapping[str, NDArray[Any]], images: int, classes: int | None
) -> Observation:
    """Return the observation of plain fields and arrays; raises ValueError for a :func:`misfit`."""
    seen = build(Observation, plain, again=None, **{name: arrays[name] for name in ARRAYS})
    if AGAIN + ARRAYS[0] in arrays:
        again: dict[str, Any] = {name: arrays[AGAIN + name] for name in ARRAYS}
        seen = attrs.evolve(seen, again=Observation(seen.mutant, "ran", **again))
    if problem := misfit(seen, images, classes):
        raise ValueError(problem)
    return seen


def observation_fields(seen: Observation) -> dict[str, Any]:
    """Return all of an observation but its outputs as JSON can hold it."""
    plain, _ = take_apart(seen)
    return plain | _places(seen) | ({"again": _places(seen.again)} if seen.again else {})


def _places(seen: Observation) -> dict[str, Any]:
    infected = np.flatnonzero(seen.infected).tolist()
    return {"images": len(seen.infected), "infected": infected, "rows": seen.rows.tolist()}


def read_fields(
    fields: dict[str, Any],
    images: int,
    classes: int | None,
    outputs: Callable[[str, int], NDArray[np.float32]],
) -> Observation:
    """Return the observation of such fields; raises ValueError as :func:`put_together`, and OverflowError.

    ``outputs`` gives the outputs of so many images: of what was seen (""), then of that again (``AGAIN``).
    """
    plain = dict(fields)
    arrays: dict[str, NDArray[Any]] = {}
    again, first = plain.pop("again", None), {name: plain.pop(name, None) for name in PLACES}
    for part, places in (("", first), (AGAIN, again)):
        if places is not None:
            infected, rows = _marked(places, images)
            found = outputs(part, len(rows)) if len(rows) else NONE
            arrays |= {f"{part}infected": infected, f"{part}rows": rows, f"{part}outputs": found}
    return put_together(plain, arrays, images, classes)


def _marked(places: dict[str, Any], images: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which of at most so many images are infected, and the numbers of those of another output."""
    if conforms(places, PLACES) and places.keys() == PLACES.keys() and 0 <= places["images"] <= images:
        infected, marked = np.zeros(places["images"], bool), np.asarray(places["infected"], np.intp)
        if _ascend(marked, len(infected)):
            infected[marked] = True
            return infected, np.asarray(places["rows"], np.intp)
    raise ValueError(f"{repr(places)[:80]} of {images} images")


def misfit(seen: Observation, images: int, classes: int | None) -> str:
    """Return what is wrong with an observation on so many images, "" for a sound one.

    ``classes`` is how many scores an image has, None where outputs have been held to that already.
    """
    for name, check in PLAIN.items():
        value = getattr(seen, name)
        if not (check(value) and _can_be(value) and (name != "signal" or value in SIGNALS)):
            return f"{name} cannot be {shown(value)}"
    again = seen.again is None or (
        isinstance(seen.again, Observation) and _fits(seen.again, images, classes, ran=True)
    )
    fits = again and _fits(seen, images, classes, ran=seen.outcome == "ran")
    return "" if fits else "its arrays do not fit the images and classes"


def _can_be(value: object) -> bool:
    """Tell whether all numbers in a field are ones of things, or of seconds."""
    numbers = value.values() if isinstance(value, dict) else (value,)
    return all(0 <= each < MOST_NUMBER for each in numbers if isinstance(each, int | float))


def _fits(seen: Observation, images: int, classes: int | None, *, ran: bool) -> bool:
    infected, rows, outputs = seen.infected, seen.rows, seen.outputs
    if not all(isinstance(each, np.ndarray) for each in (infected, rows, outputs)):
        return False
    if rows.dtype.kind != "i" or infected.dtype != np.bool_ or outputs.dtype != np.float32:
        return False
    if (infected.ndim, rows.ndim, outputs.ndim) != (1, 1, 2):
        return False
    if len(infected) != images and (ran or len(infected)):
        return False
    width = outputs.shape[1] if classes is None else classes
    return _ascend(rows, len(infected)) and (not len(rows) or outputs.shape == (len(rows), width))


def _ascend(places: NDArray[np.signedinteger[Any]], count: int) -> bool:
    """Tell whether places are different ones of so many, in order; no difference of theirs may overflow."""
    inside = not len(places) or bool(0 <= places[0] <= places[-1] < count)
    return inside and bool((places[1:] > places[:-1]).all())


def merge(shards: list[Observation]) -> Observation:
    """Return observations of consecutive shards of images as one over all images."""
    starts = np.cumsum([0, *(len(seen.infected) for seen in shards)])[:-1]
    changed = [seen.outputs for seen in shards if len(seen.rows)]
    again = [seen.again or seen for seen in shards] if any(seen.again for seen in shards) else []
    return attrs.evolve(
        shards[0],
        executed=sum(seen.executed for seen in shards),
        kernels=tuple(sorted({kernel for seen in shards for kernel in seen.kernels})),
        masked=dict(sum((Counter(seen.masked) for seen in shards), Counter())),
        infected=np.concatenate([seen.infected for seen in shards]),
        rows=np.concatenate([seen.rows + start for seen, start in zip(shards, starts, strict=True)]),
        outputs=np.concatenate(changed) if changed else shards[0].outputs,
        seconds={key: sum(seen.seconds.get(key, 0.0) for seen in shards) for key in shards[0].seconds},
        memory=next((seen.memory for seen in shards if seen.memory), ""),
        again=merge([attrs.evolve(each, again=None) for each in again]) if again else None,
    )
