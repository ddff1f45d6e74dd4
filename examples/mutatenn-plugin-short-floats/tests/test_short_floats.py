"""Backend, executor and reporter keep their promises, and do what each is for."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pytest
from mutatenn_plugin_short_floats import backend, executor, reporter
from mutatenn_plugin_short_floats.backend import ShortFloats
from mutatenn_plugin_short_floats.executor import Patient
from mutatenn_plugin_short_floats.reporter import Csv

from mutatenn import InfrastructureError, Program, installed_backend
from mutatenn.testing import check_device, check_plugin_module, made_job, made_run

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.mark.parametrize("module", [backend, executor, reporter])
def test_the_plugin_keeps_its_promises(module: ModuleType) -> None:
    """Raises an AssertionError that names the promise that does not hold."""
    check_plugin_module(module)


def test_the_device_keeps_its_promises() -> None:
    """Short floats hold the small whole numbers that the check computes with, but not what guards are."""
    check_device(ShortFloats(), guards=False)


@pytest.mark.parametrize("bits", [1, 7, 23])
def test_what_is_stored_is_cut(bits: int) -> None:
    """As numpy cuts it: the doubled and rectified values of images, which are no whole numbers."""
    job = made_job(ShortFloats(bits=bits))
    doubled = np.maximum(job.images.astype(np.float32) * 2, 0)
    mask = np.uint32((0xFFFFFFFF << (23 - bits)) & 0xFFFFFFFF)
    np.testing.assert_array_equal(job.expected, (doubled.view(np.uint32) & mask).view(np.float32))


def test_what_failed_once_is_tried_again(tmp_path: Path) -> None:
    """A mutant that cannot be derived for a while ends well, after the others; or not, without patience."""
    job = made_job(installed_backend("llvm"), workers=1)
    names = ["changes-all", "changes-some"]
    mark = tmp_path / "failed"

    def derive(mutant: str) -> Program:
        if mutant == "changes-all" and not mark.exists():
            mark.touch()
            raise InfrastructureError("the disk is away")
        return job.derive(mutant)

    failing = attrs.evolve(job, derive=derive)
    seen = list(Patient().run(failing, names))
    assert [(each.mutant, each.outcome) for each in seen] == [(name, "ran") for name in reversed(names)]
    mark.unlink()
    seen = list(Patient(retries=0).run(failing, names))
    assert {each.mutant: each.outcome for each in seen} == dict(
        zip(names, ["infrastructure-error", "ran"], strict=True)
    )


def test_a_row_per_operator(tmp_path: Path) -> None:
    """Read as others read it."""
    ended = {"lt-to-le.a.0.1": {"status": "killed"}, "lt-to-le.a.1.2": {"status": "survived"}}
    run = made_run(tmp_path / "run", {"cpu": ended})
    assert Csv(delimiter=";").report(run, tmp_path / "new") == f"wrote {tmp_path / 'new' / 'operators.csv'}"
    with (tmp_path / "new" / "operators.csv").open(newline="") as file:
        first, second = csv.DictReader(file, delimiter=";")
    assert (first["operator"], first["killed"], first["survived"], first["score"]) == (
        "lt-to-le",
        "1",
        "1",
        "0.5000",
    )
    assert (second["operator"], second["mutants"], second["score"]) == ("gt-to-ge", "0", "")
    with pytest.raises(ValueError, match="delimiter"):
        Csv(delimiter="--")
