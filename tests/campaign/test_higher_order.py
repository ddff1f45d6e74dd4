"""Several faults at once: planned at random but repeatably, run, and compared with their parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mutatenn
from mutatenn import InputError
from mutatenn.campaign.execution.setup import set_up
from mutatenn.campaign.planning.plan import Plan
from mutatenn.host.plugin_host import PluginHost
from mutatenn.results.run import Run

HEAD = """
name = "pairs"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00*.png"
"""
PAIRS = """
[[mutations]]
operator = "{operator}"
order = {order}
sites = {{ sample = {sample}, seed = {seed} }}
"""


def write(folder: Path, operator: str = "paper", order: int = 2, sample: int = 12, seed: int = 4) -> Path:
    path = folder / "pairs.toml"
    path.write_text(HEAD + PAIRS.format(operator=operator, order=order, sample=sample, seed=seed))
    return path


def planned(path: Path) -> Plan:
    return set_up(path, PluginHost.installed()).plans()["cpu"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pairs")
    return mutatenn.run(write(folder), folder / "run")


@pytest.mark.parametrize("order", [2, 3, 5])
def test_faults_are_of_different_units_and_planned_alone_too(tmp_path: Path, order: int) -> None:
    plan = planned(write(tmp_path, order=order))
    combined = [mutant for mutant in plan.mutants if mutant.parts]
    alone = {mutant.id: mutant for mutant in plan.mutants if not mutant.parts}
    assert len(combined) == 12
    for mutant in combined:
        assert (mutant.operator, mutant.category, len(mutant.parts)) == ("combined", "OTHER", order)
        assert len({site.unit for site in mutant.sites}) == len(mutant.sites) == order
        assert all(alone[part.id] == part for part in mutant.parts)
    assert len({mutant.id for mutant in plan.mutants}) == len(plan.mutants)
    assert sum(entry.mutants for entry in plan.operators) == len(plan.mutants)


def test_the_seed_decides(tmp_path: Path) -> None:
    plans = [planned(write(tmp_path, seed=seed)).mutants for seed in (4, 4, 5)]
    assert plans[0] == plans[1] != plans[2]


def test_a_small_model_has_few_pairs(tmp_path: Path) -> None:
    """All sites of a graph operator are in one unit, the graph."""
    path = write(tmp_path, operator="LN", sample=3)
    with pytest.raises(InputError, match="no mutants to run"):
        planned(path)


def test_only_samples_can_be_combined(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("sites = { sample = 12, seed = 4 }", 'sites = "each"'))
    with pytest.raises(InputError, match=r"mutations\[0\].sites: .* set sites = \{ sample = N \}"):
        planned(path)


def test_a_pair_has_both_faults(finished: Run) -> None:
    """Where one part never infects, the pair is the other part; else it is neither.

    But for a few pairs, where a fault wakes the other, or hides it, as a truncation does with small ones.
    """
    original = finished.outputs("cpu", None)
    usual = []
    for record in finished.mutants:
        if not record.mutant.parts or record.verdicts["cpu"].status not in ("killed", "survived"):
            continue
        outputs = [finished.outputs("cpu", part.id) for part in record.mutant.parts]
        both = finished.outputs("cpu", record.id)
        loud = [each for each in outputs if not np.array_equal(each, original)]
        if loud:
            usual.append(any(np.array_equal(both, each) for each in loud) is (len(loud) == 1))
        diff = finished.changes(record.id)["cpu"]
        assert diff.count("@@") >= 4
    assert sum(usual) >= 8
    assert usual.count(False) <= 2


def test_a_stored_pair_keeps_its_parts(finished: Run) -> None:
    plan = planned(finished.directory / "campaign.toml")
    assert [record.mutant for record in finished.mutants] == plan.mutants


def test_masking_pairs_are_told(finished: Run) -> None:
    told = {mutant: (both, part, alone) for mutant, both, part, alone in finished.masking("cpu")}
    verdicts = {record.id: record.verdicts["cpu"] for record in finished.mutants}
    for record in finished.mutants:
        if record.mutant.parts and verdicts[record.id].images:
            most = max(verdicts[part.id].killed for part in record.mutant.parts)
            assert (record.id in told) == (most > verdicts[record.id].killed)
            if record.id in told:
                both, part, alone = told[record.id]
                assert (both, alone) == (verdicts[record.id].killed, most)
                assert verdicts[part].killed == alone
