"""An observation comes back as it was, with all its fields, however it travels or is kept."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mutatenn import Job, Observation, Program, TensorSpec
from mutatenn.api.baseline import Baseline
from mutatenn.api.executor import Outcome
from mutatenn.engine import isolate, messages
from mutatenn.offline.records import read_observation, write_observation
from mutatenn.results.observations import misfit, observation_fields
from mutatenn.results.store import Store
from mutatenn_backends.llvm import Llvm

Carry = Callable[[Observation], Observation]
IMAGES, CLASSES = 6, 3
PROGRAM = Program(
    values=(TensorSpec("image", (1, 8), "float32"), TensorSpec("scores", (1, CLASSES), "float32")),
    input=0,
    output=1,
    constants={},
    calls=(),
)
JOB = Job(
    backend=Llvm(),
    original=PROGRAM,
    images=np.zeros((IMAGES, 8), np.float32),
    derive=lambda _: PROGRAM,
    expected=np.zeros((IMAGES, CLASSES), np.float32),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**53 - 1)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    "str": TEXTS,
    "int": COUNTS,
    "int | None": st.none() | st.integers(1, 64),
    "tuple[str, ...]": st.lists(TEXTS, max_size=3).map(tuple),
    "dict[str, int]": st.dictionaries(TEXTS, COUNTS, max_size=3),
    "dict[str, float]": st.dictionaries(TEXTS, st.floats(0, 1e9), max_size=3),
    "Outcome": st.sampled_from(get_args(Outcome)),
}
"""What a field can be, by its annotation."""
ARRAYS = {"rows", "infected", "outputs"}
OTHERS = [field for field in attrs.fields(Observation) if field.name not in {*ARRAYS, "again", "mutant"}]


@st.composite
def arrays(draw: Any) -> dict[str, Any]:
    infected = draw(hnp.arrays(bool, IMAGES))
    rows = np.flatnonzero(draw(hnp.arrays(bool, IMAGES)))
    shape = (len(rows), CLASSES) if len(rows) else (0, 0)
    return {"rows": rows, "infected": infected, "outputs": draw(hnp.arrays(np.float32, shape))}


@st.composite
def observations(draw: Any) -> Observation:
    mutant = draw(st.text("ab.-", min_size=1, max_size=9))
    fields = {field.name: draw(FIELDS[field.type]) for field in OTHERS}
    if fields["outcome"] == "ran":
        again = draw(st.none() | arrays().map(lambda found: Observation(mutant, "ran", **found)))
        fields |= draw(arrays()) | {"again": again}
    return Observation(mutant, **fields)


def plain(seen: Observation | None) -> Any:
    """Return all fields of an observation as what can be compared."""
    found = {} if seen is None else attrs.asdict(seen, recurse=False)
    for name, value in found.items():
        if isinstance(value, np.ndarray):
            found[name] = value.dtype, value.shape, value.tobytes()
    return found | {"again": plain(seen.again) if seen and seen.again else None}


def by_pipe(seen: Observation) -> Observation:
    """Take an observation to another process; what ended it by a signal is not told by itself."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        outputs = [each.outputs.data for each in (seen, seen.again) if each]
        fields = observation_fields(attrs.evolve(seen, signal=None))
        isolate.send(sender, outputs, **fields, spent=False, damaged=False)
        (message,) = messages.Inbox(receiver).take(messages.largest(JOB))
    end = messages.parse(message, seen.mutant, JOB)
    assert isinstance(end, messages.End)
    return attrs.evolve(end.seen, signal=seen.signal)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store.create(tmp_path_factory.mktemp("run"))) as made:
        made.set_plan([(f"{number}.png", 0, "") for number in range(IMAGES)], {}, identity="of a test")
        made.set_baseline(Baseline("here", IMAGES, "logits", 0, 0, 6, 3, 1, 0), JOB.expected)
        yield made


@pytest.fixture(scope="module", params=["pipe", "database", "bundle"])
def carry(request: Any, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Carry:
    """Return each way an observation takes."""
    folder: Path = tmp_path_factory.mktemp("bundle")

    def by_database(seen: Observation) -> Observation:
        store.add_observation("here", 0, seen)
        return store.observations("here", seen.mutant)[0]

    def by_bundle(seen: Observation) -> Observation:
        write_observation(folder / "m.npz", seen)
        return read_observation((folder / "m.npz").read_bytes(), IMAGES, CLASSES)

    return {"pipe": by_pipe, "database": by_database, "bundle": by_bundle}[request.param]


@settings(deadline=None, max_examples=60)
@given(seen=observations())
def test_it_comes_back_as_it_was(carry: Carry, seen: Observation) -> None:
    assert misfit(seen, IMAGES, CLASSES) == ""
    assert plain(carry(seen)) == plain(seen)


@pytest.mark.parametrize("field", OTHERS, ids=lambda field: field.name)
def test_every_field_is_held_to_its_type(field: Any) -> None:
    wrong = attrs.evolve(Observation("m", "crashed"), **{field.name: b"no such field"})
    assert misfit(wrong, IMAGES, CLASSES) == f"{field.name} cannot be b'no such field'"


def test_an_image_is_named_once_and_in_order() -> None:
    def of(*rows: int) -> str:
        outputs = np.zeros((len(rows), CLASSES), np.float32)
        seen = Observation("m", "ran", infected=np.zeros(IMAGES, bool), rows=np.array(rows), outputs=outputs)
        return misfit(seen, IMAGES, CLASSES)

    assert of(0, 5) == ""
    for rows in ((0, 6), (-1, 0), (1, 0), (1, 1), (3, -(2**63), -2, 5)):
        assert of(*rows) == "its arrays do not fit the images and classes"
