"""Pictures: they show the run's numbers, whatever its names are, and are the same for the same run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import mutatenn
from mutatenn import InputError, Run, Status
from mutatenn.testing import made_run

pytest.importorskip("matplotlib", reason="needs pip install 'mutatenn[plot]'")
KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 2, "infected": 9, "seconds": 0.5}
SURVIVED = {"status": "survived", "images": 10, "infected": 6, "seconds": 0.25}
KINDS = ("scores", "layers", "images", "times")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    killed = {**KILLED, "killed_images": ("1_a.png", "2_a.png")}
    found = made_run(
        tmp_path / "run",
        {
            "a": {"lt-to-le.x.0.1": killed, "lt-to-le.x.1.1": SURVIVED, "store-int8.x.0.1": killed},
            "b": {"lt-to-le.x.0.1": SURVIVED, "store-int8.x.0.1": None},
        },
        name="$x_1$ \\frac <b>",
    )
    yield found
    found._store.close()


def texts(picture: Any) -> list[str]:
    root = ElementTree.fromstring(picture._repr_svg_())
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


def widths(picture: Any, axes: int = 0) -> list[float]:
    return [patch.get_width() for patch in picture.figure.axes[axes].patches if patch.get_width()]


def test_scores_by_operator(run: Run) -> None:
    picture = run.plot.scores()
    assert widths(picture) == [1, 1, 1], "a killed one of each operator, a survivor"
    shown = texts(picture)
    assert {"lt-to-le", "store-int8", "0.50", "1.00", "killed", "survived"} <= set(shown)
    assert "$x_1$ \\frac <b>, a: mutants by operator" in shown


def test_images(run: Run) -> None:
    heights = [patch.get_height() for patch in run.plot.images("a").figure.axes[0].patches]
    assert [each for each in heights if each] == [2, 2]


def test_environments(run: Run) -> None:
    picture = run.plot.environments()
    assert sorted(widths(picture)) == [1, 1, 2]
    assert "$x_1$ \\frac <b>: mutants by environment; 1 did not end alike" in texts(picture)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_run_gives_the_same_picture(run: Run, kind: str, tmp_path: Path) -> None:
    pictures = [getattr(run.plot, kind)("b") for _ in range(2)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.svg")
    assert (tmp_path / "0.svg").read_bytes() == (tmp_path / "1.svg").read_bytes()


def test_an_unknown_environment(run: Run) -> None:
    for kind in KINDS:
        with pytest.raises(InputError, match="unknown environment 'c'"):
            getattr(run.plot, kind)("c")


def test_without_matplotlib(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for kind in KINDS:
        with pytest.raises(InputError, match=r"pip install 'mutatenn\[plot\]'"):
            getattr(run.plot, kind)()


def test_layers_and_errors_of_a_real_run(finished: Run) -> None:
    picture = finished.plot.layers()
    (image,) = picture.figure.axes[0].images
    values = np.asarray(image.get_array().filled(np.nan))
    detected = [v for v in values.ravel() if not np.isnan(v)]
    assert detected
    assert all(0 <= value <= 1 for value in detected)
    mutant = next(iter(finished.verdicts("cpu", Status.KILLED))).mutant
    line = finished.plot.errors(mutant).figure.axes[0].lines[0]
    found = mutatenn.trace(finished, mutant, "cpu", None, mutatenn.PluginHost.installed())
    errors = [hop.relative for hop in found.hops if hop.relative is not None]
    np.testing.assert_array_equal(line.get_ydata(), [e if e and np.isfinite(e) else np.nan for e in errors])


def test_in_a_notebook(run: Run) -> None:
    table = ElementTree.fromstring(run._repr_html_())
    cells = [each.text for each in table.iter("td")]
    assert cells == ["a", "0.67", "2", "3", "0", "0", "b", "0.00", "0", "1", "0", "1"]
    caption = table.find("caption")
    assert caption is not None
    assert caption.text
    assert caption.text.startswith("$x_1$ \\frac <b>: 10 images, ")
    cells = [
        each.text for each in ElementTree.fromstring(run.mutant("lt-to-le.x.0.1")._repr_html_()).iter("td")
    ]
    assert cells == ["a", "killed", "top-1", "2", "9", "0", None, "b", "survived", None, "0", "6", "0", None]
