"""The report's table of layers: every one, or parts of the network, or those that stand out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mutatenn import LayerScore, MutationScore, Status
from mutatenn_reporters._layers import gathered
from mutatenn_reporters._terminal.layers import table


def layer(
    *names: str, killed: int = 1, survived: int = 0, sampled: bool = False, **options: Any
) -> LayerScore:
    statuses = [Status.KILLED] * killed + [Status.SURVIVED] * survived
    return LayerScore(names, MutationScore.of(statuses), sampled=sampled, **options)


def lines(*found: LayerScore) -> list[str]:
    return table(found).splitlines()


def test_few_layers_have_a_row_each() -> None:
    head, *rows = lines(
        layer("a.conv", "a.bn", "a.relu", killed=3, survived=2, masked=1), layer("b.fc", killed=0, survived=4)
    )
    assert head.split() == ["layers", "mutants", "detected", "survived", "masked", "invalid", "score"]
    assert rows[0].split() == ["a.conv,", "bn,", "relu", "5", "3", "1", "1", ".", "0.60"]
    assert rows[1].split() == ["b.fc", "4", ".", "4", ".", ".", "0.00"]


def test_of_many_layers_the_parts_have_a_row() -> None:
    found = [layer(f"features.{block}.{kind}") for block in range(8) for kind in ("conv", "bn", "act")]
    found.append(layer("features.3.conv", "features.5.conv", killed=0, survived=2))
    rows = gathered(found)
    assert [row.layers for row in rows[:2]] == [("features.0",), ("features.1",)]
    assert rows[-1].layers == ("features.3", "features.5")
    assert (len(rows), sum(row.score.judged for row in rows)) == (9, 26)


@pytest.mark.parametrize("name", ["conv{}", "conv_{}/Conv2D"])
def test_of_very_many_those_that_stand_out_have_one(name: str) -> None:
    """An interval that holds the others' score says nothing."""
    found = [layer(name.format(n), killed=5, survived=5, sampled=True) for n in range(40)]
    assert lines(*found) == ["layers: none of 40 has a score that stands out"]
    weak = layer(name.format("weak"), killed=2, survived=60, sampled=True)
    head, row, rest = lines(*found, weak)
    assert row.startswith(f"{name.format('weak').partition('/')[0]} ")
    assert rest == "and 40 more, whose scores do not stand out"
    assert head.endswith("score")


def test_a_sample_has_an_interval() -> None:
    (_, row) = lines(layer("conv", killed=8, survived=2, sampled=True))
    score, interval = row.split()[-2:]
    assert score == "0.80"
    low, high = map(float, interval.split("-"))
    assert 0.4 < low < 0.8 < high < 1
    (_, row) = lines(layer("conv", killed=8, survived=2))
    assert row.split()[-1] == "0.80"


@pytest.mark.parametrize(
    "make", [lambda: layer("x" * 300), lambda: layer(*(f"{'y' * 40}{n}" for n in range(20)), sampled=True)]
)
def test_long_names_leave_it_80_columns(make: Callable[[], LayerScore]) -> None:
    assert all(len(line) <= 80 for line in lines(make(), layer("é\x1b[31m", killed=9000, survived=1000)))


def test_nothing_is_said_where_no_layer_is_known() -> None:
    assert table([]) == ""
