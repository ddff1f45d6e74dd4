"""What the database counts and finds is what decoding every mutant and verdict gives."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import mutatenn
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.run import Run
from mutatenn.results.score import MutationScore
from mutatenn.results.store import Store

OPERATORS = ("zeta", "alpha", "waiting")
ENVIRONMENTS = ("b", "a", "c")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Return a run of three environments with different mutants, some judged, none of ``waiting``."""
    chance = random.Random(4)
    mutants = [_mutant(chance, number) for number in range(300)]
    plans = {name: [each for each in mutants if chance.random() < 0.8] for name in ENVIRONMENTS}
    store = Store.create(tmp_path_factory.mktemp("mixed"))
    counts = {name: Counter(each.operator for each in planned) for name, planned in plans.items()}
    store.set_plan(
        [],
        {name: (plans[name], [_found(each, counts[name]) for each in OPERATORS]) for name in ENVIRONMENTS},
        identity="by hand",
        environments=list(ENVIRONMENTS),
    )
    for environment, planned in plans.items():
        for each in planned:
            if each.operator != "waiting" and chance.random() < 0.9:
                status = chance.choice(list(Status))
                store.set_verdict(Verdict(environment, each.id, status, by=("top-1",), killed=7))
    store.close()
    run = Run.open(store.directory)
    yield run
    run._store.close()


def _mutant(chance: random.Random, number: int) -> Mutant:
    operator = chance.choice(OPERATORS)
    name = f"{operator}.conv.{number}.{chance.getrandbits(32):08x}"
    return Mutant(name, operator, "LN", "kernel", "lowered", (Site("conv", number, "a < b"),), {"e": 0.5})


def _found(operator: str, counts: Counter[str]) -> PlannedOperator:
    return PlannedOperator(operator, "LN", "kernel", 1000, counts[operator], 1000)


def test_scores(mixed: Run) -> None:
    every = []
    for environment in ENVIRONMENTS:
        ended: dict[str, list[Status]] = {}
        planned = set(mixed.mutants_of(environment))
        for record in mixed.mutants:
            if record.id in planned:
                statuses = ended.setdefault(record.operator, [])
                statuses += [v.status for name, v in record.verdicts.items() if name == environment]
        assert mixed.scores(environment) == {name: MutationScore.of(each) for name, each in ended.items()}
        assert list(mixed.scores(environment)) == list(ended)
        here = [status for each in ended.values() for status in each]
        assert mixed.score(environment) == MutationScore.of(here)
        every += here
    assert mixed.score() == MutationScore.of(every)
    assert len(set(every)) == len(Status)
    assert mixed.scores("a")["waiting"] == MutationScore.of([])


def test_verdicts_of_one_status_are_in_the_plan_s_order(mixed: Run) -> None:
    for environment in ENVIRONMENTS:
        verdicts = [r.verdicts[environment] for r in mixed.mutants if environment in r.verdicts]
        for status in Status:
            expected = [each for each in verdicts if each.status == status]
            assert list(mixed.verdicts(environment, status)) == expected != []


def test_records_are_the_mutants_one_by_one(mixed: Run) -> None:
    records = mixed.records()
    first = next(records)
    assert attrs.asdict(first) == attrs.asdict(mixed.mutants[0])
    assert [first, *records] == mixed.mutants
    assert [record.id for record in mixed.mutants] == mixed._store.ids()
    assert {name for record in mixed.mutants for name in record.verdicts} == set(ENVIRONMENTS)


def test_records_of_a_real_run_carry_their_verdicts(finished: Run) -> None:
    for record in finished.records():
        assert finished.mutant(record.id) == record
        assert record.verdicts["cpu"].mutant == record.id


def test_an_id_that_begins_another_is_found(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    mutants = [Mutant(name, "x", "LN", "graph", "graph", ()) for name in ("x.1", "x.12", "x%")]
    store.set_plan([], {"cpu": (mutants, [])}, identity="by hand", environments=["cpu"])
    run = Run(tmp_path, store)
    assert run.mutant("x.1").id == "x.1"
    assert run.mutant("x.12").id == "x.12"
    assert run.mutant("x%").id == "x%"
    with pytest.raises(mutatenn.InputError, match=r"2 mutants begin with 'x\.': x\.1, x\.12; give more"):
        run.mutant("x.")
    with pytest.raises(mutatenn.InputError, match=r"no mutant 'x.13' in .*; did you mean 'x\.12?'"):
        run.mutant("x.13")
    store.close()
