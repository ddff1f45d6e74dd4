"""Environments against each other: on stored outputs made by hand, checked against measuring them whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn.analysis.environments.comparison import Comparison, compare
from mutatenn.analysis.environments.document import comparison_document, save_comparison
from mutatenn.api.baseline import Baseline
from mutatenn.api.executor import Observation
from mutatenn.api.mutant import Mutant
from mutatenn.api.values import Scores
from mutatenn.errors import InfrastructureError, InputError
from mutatenn.host.options import create
from mutatenn.host.plugin_host import PluginHost
from mutatenn.results.judge import Judge
from mutatenn.results.run import Run
from mutatenn.results.store import Store

ORACLES = ("top-1", "max-abs", "kl", "kendall-tau")
IMAGES = ("c.png", "a.png", "e.png", "b.png", "d.png", "f.png")
CLASSES = 4
Outputs = NDArray[np.float32]
Make = Callable[..., Run]
CHANCE = np.random.default_rng(5)


def outputs(kind: str = "probabilities") -> Outputs:
    values = CHANCE.normal(size=(len(IMAGES), CLASSES)) * 3
    if kind == "logits":
        return values.astype(np.float32)
    shares = np.exp(values)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


ORIGINAL = outputs()
NEAR = np.asarray(ORIGINAL + CHANCE.normal(size=ORIGINAL.shape) * 1e-7, np.float32)
SWAPPED = ORIGINAL[:, ::-1].copy()
"""Another label on every image."""


def changed(base: Outputs, images: Mapping[int, Outputs]) -> Outputs:
    values = base.copy()
    for image, row in images.items():
        values[image] = row
    return values


@attrs.frozen
class Env:
    """An environment: the original's outputs, and each mutant's, or how it ended, by id; None: not run."""

    original: Outputs | None = attrs.field(factory=lambda: ORIGINAL)
    mutants: dict[str, Outputs | str | None] = attrs.field(factory=dict)
    kind: str = "probabilities"
    seconds: float = 0.001


@pytest.fixture(scope="module")
def oracles() -> dict[str, Any]:
    host = PluginHost.installed()
    return {name: create(host.get("comparator", name), {}) for name in ORACLES}


@pytest.fixture
def make(tmp_path: Path, oracles: dict[str, Any]) -> Iterator[Make]:
    """Return a function that makes a run by hand, in two shards, and judges it as a campaign does."""

    def make(
        environments: Mapping[str, Env],
        *,
        name: str = "by-hand",
        images: tuple[str, ...] = IMAGES,
        skip: tuple[str, ...] = (),
        digest: str = "0",
        kill: str = 'kill = "top-1"\n',
    ) -> Run:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "campaign.toml").write_text(
            f'[oracles]\n{kill}also = ["max-abs", "kl", "kendall-tau"]\n'
        )
        store = Store.create(directory)
        store.set_plan(
            [(each, None, f"{each} {digest}") for each in images],
            {key: ([mutant(m) for m in env.mutants], []) for key, env in environments.items()},
            identity="by hand",
            name=name,
            environments=list(environments),
            facts={"oracles": {"kill": "top-1", "all": list(ORACLES)}, "environments": {}},
            shards=2,
            shard_images=4,
        )
        store.set_remarks({("skip", each, "slow") for each in skip})
        run = Run(directory, store)
        for key, env in environments.items():
            if env.original is not None:
                store.set_baseline(baseline(key, env), env.original)
                for each, seen in env.mutants.items():
                    keep(run, key, each, env, seen=seen, oracles=oracles)
        made.append(run)
        return run

    made: list[Run] = []
    yield make
    for run in made:
        run._store.close()


def mutant(name: str) -> Mutant:
    return Mutant(name, name.partition(".")[0], "LN", "graph", "graph", ())


def baseline(environment: str, env: Env) -> Baseline:
    count = len(IMAGES)
    return Baseline(environment, count, env.kind, 0.0, 0.0, count, 4, None, env.seconds)


def keep(
    run: Run, environment: str, name: str, env: Env, *, seen: Outputs | str | None, oracles: dict[str, Any]
) -> None:
    """Store what was seen of a mutant on either shard, and its verdict."""
    if seen is None:
        return
    assert env.original is not None
    if isinstance(seen, str):
        ended = Observation(name, seen, signal=11 if seen == "crashed" else None)  # type: ignore[arg-type]
        run._store.add_observation(environment, 0, ended)
    else:
        for shard, part in enumerate((slice(0, 4), slice(4, 6))):
            rows = np.flatnonzero((seen[part] != env.original[part]).any(axis=1))
            infected = np.zeros(len(seen[part]), bool)
            infected[rows] = True
            values = seen[part][rows]
            whole = Observation(name, "ran", executed=1, infected=infected, rows=rows, outputs=values)
            run._store.add_observation(environment, shard, whole)
    merged = run.observation(environment, name)
    assert merged is not None
    judge = Judge(environment, IMAGES, Scores(env.original, env.kind), "top-1", oracles)  # type: ignore[arg-type]
    run._store.set_verdict(judge.judge(merged))


def only(comparison: Comparison) -> Any:
    (found,) = comparison.mutants()
    return found


def test_distances_are_those_of_the_whole_outputs(make: Make, oracles: dict[str, Any]) -> None:
    """Unchanged images are not measured again; the result must not show it."""
    there = {0: SWAPPED[0], 4: ORIGINAL[5], 5: np.full(CLASSES, np.nan, np.float32)}
    a = Env(ORIGINAL, {"x.1": changed(ORIGINAL, {4: SWAPPED[4], 2: NEAR[2]}), "x.2": ORIGINAL})
    b = Env(NEAR, {"x.1": changed(NEAR, there), "x.2": changed(NEAR, {1: SWAPPED[1]})}, seconds=0.003)
    run = make({"a": a, "b": b})
    comparison = compare([run])
    (floor,) = comparison.floors
    assert floor.ratio == pytest.approx(3)
    assert_distance(floor.distance, ORIGINAL, NEAR, oracles)
    for found in comparison.mutants():
        ours, theirs = run.outputs("a", found.mutant.id), run.outputs("b", found.mutant.id)
        assert_distance(found.pairs[0].distance, ours, theirs, oracles)
        assert_distance(found.endings["a"].distance, ORIGINAL, ours, oracles)
        assert_distance(found.endings["b"].distance, NEAR, theirs, oracles)


def assert_distance(found: Any, one: Outputs, other: Outputs, oracles: dict[str, Any]) -> None:
    finite = np.isfinite(other).all(axis=1)
    differ = (one.argmax(axis=1) != other.argmax(axis=1)) | ~finite
    assert found.images == len(one)
    assert found.labels == differ.sum()
    largest = np.abs(one.astype(np.float64) - other).max()
    assert found.largest == (largest if finite.all() else None)
    for name, oracle in oracles.items():
        values = oracle.measure(Scores(one), Scores(other))
        spread = found.oracles[name]
        assert spread.noticed == oracle.noticed(values).sum()
        if not finite.all():
            assert (spread.mean, spread.worst) == (None, None)
            continue
        ordered = sorted(values, reverse=oracle.worse == "lower")
        assert spread.mean == pytest.approx(values.mean())
        assert (spread.median, spread.p90, spread.p99, spread.worst) == (
            ordered[2],
            ordered[5],
            ordered[5],
            ordered[-1],
        )


def test_quantiles_go_from_the_best_image_to_the_worst(make: Make) -> None:
    """Of six images two have another label: the median is the third best, p90 the worst."""
    two = changed(ORIGINAL, {0: SWAPPED[0], 3: SWAPPED[3]})
    (floor,) = compare([make({"a": Env(), "b": Env(two)})]).floors
    top = floor.distance.oracles["top-1"]
    assert (top.median, top.p90, top.worst, top.noticed) == (1.0, 0.0, 0.0, 2)
    assert top.mean == pytest.approx(4 / 6)


def test_a_crash_is_a_row(make: Make) -> None:
    """Where a device crashed there is no output, and the mutant must not vanish."""
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(mutants={"x.1": "crashed"})})
    found = only(compare([run]))
    assert (found.outcome, found.differs) == ("diverges", True)
    assert [end.status for end in found.endings.values()] == ["killed", "crashed"]
    assert found.endings["b"].distance is None
    assert found.pairs[0].distance is None
    assert found.reason == found.pairs[0].reason == "killed in a (6 of 6 images), crashed in b (SIGSEGV)"


@pytest.mark.parametrize(
    ("seen", "status"),
    [("infrastructure-error", "infrastructure-error"), (None, "waiting"), ("skip", "skipped")],
)
def test_what_says_nothing_of_a_mutant_is_undecided(make: Make, seen: str | None, status: str) -> None:
    skip = ("x.1",) if seen == "skip" else ()
    there = {"x.1": None if seen == "skip" else seen}
    run = make({"a": Env(mutants={"x.1": None if skip else SWAPPED}), "b": Env(mutants=there)}, skip=skip)
    found = only(compare([run]))
    assert (found.outcome, found.differs) == ("undecided", False)
    assert found.endings["b"].status == status
    assert found.pairs[0].reason.endswith(f"{status.replace('-', ' ')} in {'a and b' if skip else 'b'}")


def test_mutants_of_one_environment_alone(make: Make) -> None:
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(mutants={"y.1": SWAPPED}), "c": Env()})
    comparison = compare([run])
    first, second = comparison.mutants()
    assert [each.name for each in comparison.mutated] == ["a", "b"]  # the third has nothing to say of mutants
    assert len(comparison.floors) == 3
    assert (first.outcome, first.pairs[0].reason) == ("undecided", "not planned in b")
    assert (second.outcome, second.pairs[0].reason) == ("undecided", "not planned in a")


@pytest.mark.parametrize(
    ("here", "there", "outcome"),
    [
        (SWAPPED, ORIGINAL, "diverges"),  # killed, never infected
        (NEAR, ORIGINAL, "agrees"),  # survived, never infected
        (NEAR, "equivalent", "agrees"),
        (SWAPPED, "equivalent", "diverges"),
        (SWAPPED, SWAPPED, "agrees"),
        ("crashed", "timed-out", "diverges"),
        ("crashed", "crashed", "agrees"),
        ("build-error", NEAR, "diverges"),
        ("out-of-bounds", SWAPPED, "diverges"),
    ],
)
def test_behaviour(make: Make, here: Any, there: Any, outcome: str) -> None:
    run = make({"a": Env(mutants={"x.1": here}), "b": Env(mutants={"x.1": there})})
    comparison = compare([run])
    assert only(comparison).outcome == outcome
    assert comparison.diverges("x.1") == (outcome == "diverges")
    assert comparison.divergences == ({"x": 1} if outcome == "diverges" else {})
    assert len(comparison.diverging(5)) == (outcome == "diverges")


def test_killed_in_both_by_other_answers(make: Make) -> None:
    """Both environments kill it, but on no image do they answer the same."""
    rolled = np.roll(ORIGINAL, 1, axis=1)
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(mutants={"x.1": rolled})})
    found = only(compare([run]))
    labels = int((SWAPPED.argmax(axis=1) != rolled.argmax(axis=1)).sum())
    assert (found.outcome, found.differs) == ("agrees", True)
    assert found.pairs[0].beyond[0] == "top-1"
    assert found.pairs[0].reason == f"labels differ on {labels} of 6 images"
    assert found.reason == f"between a and b: labels differ on {labels} of 6 images"


def test_no_further_apart_than_the_originals(make: Make) -> None:
    """The originals differ on images 0 and 1 in the label; so may a mutant, but not on three images."""
    noisy = changed(ORIGINAL, {0: SWAPPED[0], 1: SWAPPED[1]})
    base = changed(ORIGINAL, {5: NEAR[5]})
    within = changed(noisy, {5: NEAR[5]})
    beyond = changed(within, {4: SWAPPED[4]})
    run = make(
        {"a": Env(mutants={"x.1": base, "x.2": base}), "b": Env(noisy, {"x.1": within, "x.2": beyond})}
    )
    first, second = compare([run]).mutants()
    assert first.pairs[0].distance.labels == 2
    assert (first.pairs[0].beyond, first.differs) == ((), False)
    assert second.pairs[0].distance.labels == 3
    assert second.pairs[0].beyond[0] == "top-1"


def test_one_image_worse_than_all_of_the_originals(make: Make) -> None:
    """Max-abs notices one image with the originals and one with the mutant, but that is further apart."""
    noisy = changed(ORIGINAL, {0: ORIGINAL[0] + np.float32(0.001)})
    worse = changed(noisy, {0: ORIGINAL[0] + np.float32(0.002)})
    run = make(
        {"a": Env(mutants={"x.1": ORIGINAL, "x.2": ORIGINAL}), "b": Env(noisy, {"x.1": noisy, "x.2": worse})}
    )
    same, further = compare([run]).mutants()
    assert [each.pairs[0].distance.oracles["max-abs"].noticed for each in (same, further)] == [1, 1]
    assert same.pairs[0].beyond == ()
    assert "max-abs" in further.pairs[0].beyond
    assert not further.differs  # the kill oracle, top-1, sees nothing


def test_rounding_is_not_beyond_the_noise(make: Make) -> None:
    """It is larger than between the originals, which are equal, but no oracle notices it."""
    run = make({"a": Env(mutants={"x.1": NEAR}), "b": Env(mutants={"x.1": ORIGINAL})})
    found = only(compare([run]))
    assert found.pairs[0].distance.largest > 0
    assert found.pairs[0].beyond == ()


def test_outputs_that_are_not_finite_alike_are_equal(make: Make) -> None:
    broken = np.full(CLASSES, np.nan, np.float32)
    mixed = np.array([np.inf, 0, np.nan, 0], np.float32)
    here = changed(ORIGINAL, {0: broken, 1: mixed})
    run = make(
        {"a": Env(mutants={"x.1": here, "x.2": here}), "b": Env(mutants={"x.1": here, "x.2": SWAPPED})}
    )
    same, other = compare([run]).mutants()
    assert (same.outcome, same.pairs[0].distance.labels, same.pairs[0].distance.largest) == ("agrees", 0, 0.0)
    assert {name: each.noticed for name, each in same.pairs[0].distance.oracles.items()} == dict.fromkeys(
        ORACLES, 0
    )
    assert same.pairs[0].distance.oracles["kendall-tau"].worst == 1.0
    assert (other.pairs[0].distance.labels, other.pairs[0].distance.largest) == (6, None)


def test_not_finite_in_one_environment(make: Make) -> None:
    broken = changed(ORIGINAL, {0: np.full(CLASSES, np.nan, np.float32)})
    run = make({"a": Env(mutants={"x.1": broken}), "b": Env(mutants={"x.1": SWAPPED})})
    distance = only(compare([run])).pairs[0].distance
    assert (distance.labels, distance.largest) == (6, None)
    spread = distance.oracles["max-abs"]
    assert (spread.mean, spread.worst, spread.noticed) == (None, None, 6)
    assert spread.median is not None


def test_logits_are_compared_with_probabilities_as_probabilities(make: Make) -> None:
    logits = np.log(ORIGINAL)
    raw = changed(logits, {1: logits[1, ::-1]})
    a = Env(mutants={"x.1": changed(ORIGINAL, {1: SWAPPED[1]})})
    b = Env(logits, {"x.1": raw}, kind="logits")
    comparison = compare([make({"a": a, "b": b})])
    assert comparison.floors[0].distance.largest == pytest.approx(0, abs=1e-6)
    found = only(comparison)
    assert found.pairs[0].distance.largest == pytest.approx(0, abs=1e-6)
    assert found.endings["b"].distance.largest == pytest.approx(
        np.abs(ORIGINAL[1] - SWAPPED[1]).max(), rel=1e-5
    )


def test_outputs_are_read_one_mutant_at_a_time(make: Make) -> None:
    run = make({"a": Env(mutants={"x.1": SWAPPED, "x.2": SWAPPED}), "b": Env(mutants={"x.1": SWAPPED})})
    (run.directory / "outputs" / "a" / "x.2.0.npy").unlink()
    mutants = compare([run]).mutants()
    assert next(mutants).outcome == "agrees"
    with pytest.raises(InfrastructureError, match="cannot be read"):
        next(mutants)
    assert [each.endings["a"].status for each in compare([run]).mutants(outputs=False)] == [
        "killed",
        "killed",
    ]


def test_the_same_lines_of_code(make: Make) -> None:
    ends = dict.fromkeys(("x.1", "x.2", "x.3"), SWAPPED)
    run = make({"a": Env(mutants=ends), "b": Env(mutants=dict.fromkeys(ends, ORIGINAL))})
    for environment, lines in {"a": ("-n < 4", "+n <= 4"), "b": ("-m < 4", "+m <= 4")}.items():
        for name, changes in {"x.1": lines, "x.2": ("-n", "+m")}.items():
            path = run.directory / "mutants" / name / environment / "change.diff"
            path.parent.mkdir(parents=True)
            path.write_text("\n".join(["--- before.py", "+++ after.py", f"@@ {environment} @@", *changes]))
    first, second, third = compare([run]).mutants()
    assert [each.pairs[0].same_change for each in (first, second, third)] == [False, True, None]
    assert first.reason.endswith("; not the same change of the code")
    assert "change" not in second.reason
    listed = [each.mutant.id for each in compare([run], oracles={}).diverging(3)]
    assert listed == ["x.2", "x.3", "x.1"]  # other code comes last


def test_most_notable_first(make: Make) -> None:
    one = changed(ORIGINAL, {2: SWAPPED[2]})
    a = {"x.1": "build-error", "x.2": one, "x.3": SWAPPED, "x.4": "crashed", "x.5": SWAPPED}
    b = {"x.1": SWAPPED, "x.2": ORIGINAL, "x.3": ORIGINAL, "x.4": one, "x.5": SWAPPED}
    comparison = compare([make({"a": Env(mutants=a), "b": Env(mutants=b)})], oracles={})
    assert [each.mutant.id for each in comparison.diverging(9)] == ["x.3", "x.4", "x.2", "x.1"]
    assert [each.mutant.id for each in comparison.diverging(2)] == ["x.3", "x.4"]


def test_one_pair_with_the_same_code_is_enough(make: Make) -> None:
    """What a and b disagree on is the fault itself, whatever c makes of it."""
    ends = {"a": SWAPPED, "b": ORIGINAL, "c": "crashed"}
    run = make({name: Env(mutants={"x.1": seen}) for name, seen in ends.items()})
    for name in ends:
        path = run.directory / "mutants" / "x.1" / name / "change.diff"
        path.parent.mkdir(parents=True)
        path.write_text(f"---\n+++\n@@\n-n\n+{'m' if name == 'c' else 'n'}\n")
    found = only(compare([run]))
    assert [pair.same_change for pair in found.pairs] == [True, False, False]
    assert not found.other_change
    assert found.reason == "killed in a (6 of 6 images), never infected in b, crashed in c (SIGSEGV)"


def test_before_an_original_ran(make: Make) -> None:
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(None, {"x.1": None}), "c": Env(NEAR)})
    comparison = compare([run])
    assert [(floor.first, floor.second) for floor in comparison.floors] == [("a", "c")]
    assert only(comparison).pairs[0].reason == "waiting in b"


def test_some_environments(make: Make) -> None:
    ends = {name: Env(mutants={f"x.{name}": SWAPPED, "x.1": SWAPPED}) for name in "abc"}
    comparison = compare([make(ends)], {}, environments=["c", "a"])
    assert [side.name for side in comparison.sides] == ["a", "c"]
    assert [each.mutant.id for each in comparison.mutants()] == ["x.a", "x.1", "x.c"]
    with pytest.raises(InputError, match="unknown environment 'd'; known: a, b"):
        compare([make({"a": Env(), "b": Env()}, name="other")], {}, environments=["d"])


def test_one_environment_is_nothing_to_compare(make: Make) -> None:
    with pytest.raises(
        InputError, match="only environment 'a', nothing to compare it with; name another run"
    ):
        compare([make({"a": Env()})])


def test_a_frame_has_a_row_per_mutant_and_pair(make: Make) -> None:
    pytest.importorskip("pandas")
    there = {"x.1": SWAPPED, "x.2": "crashed"}
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(mutants=there), "c": Env(mutants=there)})
    frame = compare([run]).frame()
    assert list(frame["mutant"]) == ["x.1"] * 3 + ["x.2"] * 3
    assert list(frame["first"] + frame["second"]) == ["ab", "ac", "bc"] * 2
    assert list(frame["outcome"]) == ["agrees"] * 3 + ["undecided", "undecided", "agrees"]
    assert frame["labels"][0] == 0
    assert frame["top-1.worst"][0] == 1.0


def test_runs_are_compared_by_the_names_of_the_images(make: Make) -> None:
    """The second run has the images in another order, as other patterns give it."""
    order = [3, 0, 5, 1, 4, 2]
    names = tuple(IMAGES[index] for index in order)
    mixed = changed(ORIGINAL, {2: SWAPPED[2], 3: NEAR[3]})
    one = make({"a": Env(mutants={"x.1": mixed})}, name="one")
    other = make({"a": Env(ORIGINAL[order], {"x.1": mixed[order]})}, name="two", images=names)
    comparison = compare([one, other])
    assert [side.name for side in comparison.sides] == ["one/a", "two/a"]
    assert comparison.images == IMAGES
    assert comparison.floors[0].distance.largest == 0
    found = only(comparison)
    assert (found.outcome, found.pairs[0].distance.largest) == ("agrees", 0)
    ours, theirs = found.endings.values()
    assert ours.distance == theirs.distance
    assert ours.distance.labels == 1


def test_runs_with_other_environments_keep_their_names(make: Make) -> None:
    one, other = make({"a": Env(mutants={"x.1": SWAPPED})}, name="one"), make({"b": Env(NEAR)}, name="two")
    assert [side.name for side in compare([one, other]).sides] == ["a", "b"]


def test_runs_of_other_images_are_refused(make: Make) -> None:
    one = make({"a": Env()}, name="one")
    with pytest.raises(InputError, match=r"not of the same images: they have different files 'c\.png'"):
        compare([one, make({"b": Env()}, name="two", digest="1")])
    with pytest.raises(InputError, match=r"not of the same images: only one of them has 'c\.png'; run both"):
        compare([one, make({"b": Env()}, name="three", images=(*IMAGES[1:], "z.png"))])
    with pytest.raises(InputError, match="the models do not have the same classes: a has 4, b has 3"):
        compare([one, make({"b": Env(ORIGINAL[:, :3])}, name="four")])


def test_the_same_run_twice_is_refused(make: Make) -> None:
    one = make({"a": Env()}, name="one")
    with pytest.raises(InputError, match="is given twice; name each run directory once"):
        compare([one, Run.open(one.directory)])


def test_mutants_judged_by_other_oracles_are_refused(make: Make) -> None:
    one = make({"a": Env(mutants={"x.1": SWAPPED})}, name="one")
    strict = 'kill = { name = "max-abs", threshold = 0.5 }\n'
    other = make({"b": Env(mutants={"x.1": SWAPPED})}, name="two", kill=strict)
    with pytest.raises(InputError, match="are judged by different oracles; run both with the same"):
        compare([one, other])
    without = make({"b": Env()}, name="three", kill=strict)  # has no mutants to be judged
    assert len(compare([one, without]).floors) == 1


def test_oracles_have_the_campaigns_options(make: Make) -> None:
    run = make({"a": Env(), "b": Env()}, kill='kill = { name = "top-k-jaccard", k = 2 }\n')
    comparison = compare([run])
    assert list(comparison.oracles) == ["top-k-jaccard", "max-abs", "kl", "kendall-tau"]
    assert attrs.asdict(comparison.oracles["top-k-jaccard"])["k"] == 2
    (run.directory / "campaign.toml").unlink()
    assert compare([run], oracles={}).floors[0].distance.oracles == {}
    with pytest.raises(InputError, match=r"cannot read the oracles from .*campaign\.toml"):
        compare([run])


def test_both_documents_in_one_pass(make: Make, tmp_path: Path) -> None:
    ends = {"x.1": SWAPPED, "x.2": NEAR, "x.3": "crashed"}
    run = make({"a": Env(mutants=ends), "b": Env(mutants={**ends, "x.1": ORIGINAL})})
    comparison = compare([run])
    paths = save_comparison(comparison, tmp_path)
    assert [path.name for path in paths] == ["device_evaluation.json", "device_discrepancies.json"]
    for path, selection in zip(paths, ("all", "differing"), strict=True):
        assert path.read_text() == "".join(comparison_document(comparison, selection))  # type: ignore[arg-type]
    every, differing = (json.loads(path.read_text()) for path in paths)
    assert [each["id"] for each in every["mutants"]] == ["x.1", "x.2", "x.3"]
    assert [each["id"] for each in differing["mutants"]] == ["x.1"]
    assert every["statuses"][0]["counts"] == [
        {"first": "killed", "second": "never-infected", "mutants": 1},
        {"first": "survived", "second": "survived", "mutants": 1},
        {"first": "crashed", "second": "crashed", "mutants": 1},
    ]
    assert sorted(path.name for path in tmp_path.glob(".*tmp")) == []


def test_a_document_is_absent_or_whole(make: Make, tmp_path: Path) -> None:
    run = make({"a": Env(mutants={"x.1": SWAPPED}), "b": Env(mutants={"x.1": SWAPPED})})
    (run.directory / "outputs" / "b" / "x.1.0.npy").write_bytes(b"damaged")
    folder = tmp_path / "written"
    folder.mkdir()
    with pytest.raises(InfrastructureError, match="is damaged"):
        save_comparison(compare([run]), folder)
    assert list(folder.iterdir()) == []
