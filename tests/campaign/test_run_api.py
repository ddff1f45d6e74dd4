"""The Python API on a finished run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn.results.run import Run


def test_every_planned_mutant_has_one_verdict(finished: Run) -> None:
    assert all(set(record.verdicts) == {"cpu"} for record in finished.mutants)
    score = finished.score("cpu")
    assert sum(score.counts.values()) == len(finished.mutants) > 25


def test_verdicts_cover_killed_survived_and_never_infected(finished: Run) -> None:
    statuses = Counter(record.verdicts["cpu"].status for record in finished.mutants)
    assert {"killed", "survived", "never-infected"} <= set(statuses)
    assert not {"infrastructure-error", "build-error", "crashed", "timed-out"} & set(statuses)


def test_baseline_equals_the_reference(finished: Run) -> None:
    baseline = finished.baselines["cpu"]
    assert baseline.problems == ()
    assert baseline.reference_labels == baseline.images == len(finished.image_names)
    assert baseline.reference_difference < 1e-5
    assert baseline.noise == 0
    assert baseline.accuracy == 1


def test_outputs_tell_the_same_story_as_the_verdicts(finished: Run) -> None:
    original = finished.outputs("cpu", None)
    assert original.shape == (len(finished.image_names), 10)
    assert original.dtype == np.float32
    for record in finished.mutants:
        verdict = record.verdicts["cpu"]
        if verdict.status == "equivalent":
            continue
        outputs = finished.outputs("cpu", record.id)
        differs = (outputs.view(np.uint32) != original.view(np.uint32)).any(axis=1)
        assert differs.sum() == verdict.propagated <= verdict.infected
        assert (outputs.argmax(1) != original.argmax(1)).sum() == verdict.labels_changed == verdict.killed
        assert (verdict.status == "killed") == (verdict.killed > 0)
        assert (verdict.status == "never-infected") == (verdict.infected == 0)


def test_transposing_the_first_data_input_is_what_numpy_says(finished: Run) -> None:
    """The mutant equals the original fed with transposed images: the fault is really in the code that ran."""
    from mutatenn.campaign.execution.setup import set_up
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn_frontends.onnx import Onnx

    setup = set_up(finished.directory / "campaign.toml", PluginHost.installed())
    swapped = np.ascontiguousarray(setup.inputs["cpu"].swapaxes(2, 3))
    expected = Onnx().reference(setup.model, swapped)
    (mutant,) = (
        record
        for record in finished.mutants
        if record.operator == "transpose-conv2d-data" and record.sites[0].ordinal == 0
    )
    np.testing.assert_allclose(finished.outputs("cpu", mutant.id), expected, atol=1e-5)


def test_changes_show_the_line(finished: Run) -> None:
    (mutant,) = (record for record in finished.mutants if record.operator == "lt-to-le")
    diff = finished.changes(mutant.id)["cpu"]
    removed = [line for line in diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    added = [line for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert len(removed) == len(added) == 1
    assert removed[0][1:].replace("v_i2 < T.int64(9)", "v_i2 <= T.int64(9)") == added[0][1:]


def test_frame_has_a_row_per_mutant(finished: Run) -> None:
    frame = finished.frame()
    assert len(frame) == len(finished.mutants)
    assert {"operator", "category", "status", "environment", "max-abs.worst"} <= set(frame.columns)


def test_frame_without_pandas_names_the_cure(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(mutatenn.InputError, match=r"pip install 'mutatenn\[frame\]'"):
        finished.frame()


def test_a_table_says_what_the_frame_says(finished: Run) -> None:
    pytest.importorskip("pyarrow", reason="needs pip install 'mutatenn[arrow]'")
    table, frame = finished.table(), finished.frame()
    assert table.num_rows == len(frame)
    assert set(table.column_names) == set(frame.columns)
    for name in ("mutant", "status", "infected", "by"):
        assert table[name].to_pylist() == frame[name].tolist()
    worst = table["max-abs.worst"].to_pylist()
    assert [each is None for each in worst] == frame["max-abs.worst"].isna().tolist()
    assert [json.loads(text) for text in table["masked"].to_pylist()] == frame["masked"].tolist()


def test_a_table_without_pyarrow_names_the_cure(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(mutatenn.InputError, match=r"pip install 'mutatenn\[arrow\]'"):
        finished.table()


def test_mutant_is_found_by_unique_prefix(finished: Run) -> None:
    assert finished.mutant("lt-to-le").operator == "lt-to-le"
    with pytest.raises(mutatenn.InputError, match="begin with 'store-minus': store-minus"):
        finished.mutant("store-minus")
    with pytest.raises(mutatenn.InputError, match="no mutant 'no-such'"):
        finished.mutant("no-such")


def test_outputs_of_unknown_environment_name_the_known(finished: Run) -> None:
    with pytest.raises(mutatenn.InputError, match="it has cpu"):
        finished.outputs("gpu", None)


def test_damaged_output_is_noticed(finished: Run, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(finished.directory, copy)
    path = copy / "outputs" / "cpu" / "original.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(mutatenn.InfrastructureError, match="damaged"):
        mutatenn.open_run(copy).outputs("cpu", None)


def test_open_run_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(mutatenn.InputError, match="not a run directory"):
        mutatenn.open_run(tmp_path)


def test_ids_are_stable_and_deterministic(finished: Run, campaign: Path) -> None:
    from mutatenn.campaign.execution.setup import set_up
    from mutatenn.host.plugin_host import PluginHost

    planned = set_up(campaign, PluginHost.installed()).plans()["cpu"].mutants
    assert [mutant.id for mutant in planned] == [record.id for record in finished.mutants]
    assert planned[0].id == "transpose-conv2d-data.main.0.c663ffd6"


def test_rejudging_gives_the_stored_verdicts(finished: Run) -> None:
    from mutatenn.host.options import create
    from mutatenn.host.plugin_host import PluginHost

    host = PluginHost.installed()
    oracles = {name: create(host.get("comparator", name), {}) for name in finished.facts["oracles"]["all"]}
    judge = finished.judge("cpu", "top-1", oracles)
    for record in finished.mutants:
        seen = finished.observation("cpu", record.id)
        assert seen is not None
        assert attrs.asdict(judge.judge(seen)) == attrs.asdict(record.verdicts["cpu"])
