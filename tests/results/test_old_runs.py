"""Run directories of version 0.1 open as they did; those of another schema name what reads them."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import mutatenn
from mutatenn import InputError

OLD = Path(__file__).parent / "run_of_0.1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def test_its_verdicts_and_outputs(old: Path) -> None:
    run = mutatenn.open_run(old)
    assert [(each.operator, each.verdicts["cpu"].status, each.accepted) for each in run.mutants] == [
        ("store-int8", "killed", "known"),
        ("store-int8", "killed", "known"),
        ("lt-to-le", "killed", ""),
    ]
    assert run.facts["versions"]["mutatenn"] == "0.1.0"
    assert run.baselines["cpu"].accuracy == 1
    original = run.outputs("cpu", None)
    assert original.shape == (4, 10)
    for each in run.mutants:
        verdict, outputs = each.verdicts["cpu"], run.outputs("cpu", each.id)
        assert (outputs != original).any(axis=1).sum() == verdict.propagated > 0
        judged = run.judge("cpu", "top-1", {"top-1": top_1()}).judge(_seen(run, each.id))
        assert judged.killed == (outputs.argmax(axis=1) != original.argmax(axis=1)).sum()
        assert np.isfinite(outputs).all()


def test_another_schema_names_the_version_that_reads_it(old: Path) -> None:
    with sqlite3.connect(old / "campaign.sqlite") as database:
        database.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    with pytest.raises(InputError, match=r"was written by mutatenn 0\.1\.0; use that, or run again$"):
        mutatenn.open_run(old)
    with sqlite3.connect(old / "campaign.sqlite") as database:
        database.execute("DELETE FROM meta WHERE key = 'facts'")
    with pytest.raises(InputError, match=r"was written by another version of mutatenn; use that"):
        mutatenn.open_run(old)


def top_1() -> mutatenn.Comparator:
    from mutatenn.host.plugin_host import PluginHost

    return PluginHost.installed().get("comparator", "top-1")()


def _seen(run: mutatenn.Run, mutant: str) -> mutatenn.Observation:
    seen = run.observation("cpu", mutant)
    assert seen is not None
    return seen
