"""Plugins that break their contracts end in one line that names them, never as a success."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import broken
import pytest
import trying

CAMPAIGN = """
name = "bad"
[model]
path = "mutatenn:digits.onnx"
{model}
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-3]_000*.png"
{tail}
"""
MUTATION = '[[mutations]]\noperator = "relu-to-sigmoid"\nsites = [0, 1]\n'
SAMPLE = 20  # of them, drawn once: more in `make test-soak`
EVERY = broken.every()
DRAWN = {bad.name for bad in random.Random(11).sample(EVERY, SAMPLE)}


def install(source: str, folder: Path) -> Callable[[], None]:
    """Write a distribution with one module; return a function that makes this process see it."""
    (folder / "acme.py").write_text(broken.PRELUDE + source)
    metadata = folder / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mutatenn]\nacme = acme\n")
    return lambda: sys.path.insert(0, str(folder))


@pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, id=bad.name, marks=[] if bad.name in DRAWN else pytest.mark.soak) for bad in EVERY],
)
def test_it_is_told_in_one_line(bad: broken.Bad, tmp_path: Path) -> None:
    model = bad.tail if bad.tail.startswith("frontend") else ""
    tail = "" if model else bad.tail
    campaign = tmp_path / "bad.toml"
    campaign.write_text(
        CAMPAIGN.format(model=model, tail=tail + ("" if bad.tail == broken.OPERATOR else MUTATION))
    )
    site = tmp_path / "site"
    site.mkdir()
    argv = bad.argv if bad.argv[:1] == ("doctor",) else ("run", campaign, *bad.argv)
    ended = trying.command(*argv, folder=tmp_path, set_up=install(bad.source, site))
    assert not ended.faults(bad.codes), f"{ended.faults(bad.codes)}\n{ended.text}"
    if ended.code in {2, 4} and bad.argv[:1] != ("doctor",):
        assert "acme" in ended.text
        assert ended.text.count("mutatenn: error: ") == 1
    assert not list(tmp_path.parent.glob("*outside*"))
