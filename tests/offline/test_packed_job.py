"""A packed job runs by another Python process; the executor of docs/plugins.md keeps every promise so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from mutatenn import InfrastructureError, InputError, Job, PackedJob, pack_job
from mutatenn.host.installed import installed_backend
from mutatenn.testing.jobs import made_job


def there(packed: PackedJob) -> None:
    command = [sys.executable, str(packed.folder / "run.py"), "--workers", "1"]
    subprocess.run(command, cwd="/", check=True)


@pytest.fixture(scope="module")
def job() -> Job:
    return made_job(installed_backend("llvm"))


def test_an_original_that_has_not_run_is_measured_there(job: Job, tmp_path: Path) -> None:
    unknown = attrs.evolve(job, expected=job.expected[:0])
    packed = pack_job(unknown, ["changes-all"], tmp_path, shard_images=3, label={"of": "a test"})
    there(packed)
    seen = list(packed.observations())
    assert [(each.mutant, each.outcome, len(each.infected)) for each in seen] == [
        ("changes-all", "ran", 3),
        ("changes-all", "ran", len(job.images) - 3),
    ]
    assert packed.manifest["label"] == {"of": "a test"}


def test_results_of_another_job_are_refused(job: Job, tmp_path: Path) -> None:
    one = pack_job(job, ["changes-all"], tmp_path / "one")
    there(one)
    other = pack_job(job, ["changes-some"], tmp_path / "other")
    with pytest.raises(InputError, match=r"cannot read .*results\.zip.*run\.py"):
        list(other.observations())
    shutil.copy(one.folder / "results.zip", other.folder)
    with pytest.raises(InputError, match="tells of mutants that were not packed"):
        list(other.observations())
    noisier = pack_job(attrs.evolve(job, noise=0.5), ["changes-all"], tmp_path / "noisier")
    shutil.copy(one.folder / "results.zip", noisier.folder)
    with pytest.raises(InputError, match="of another job"):
        list(noisier.observations())


def test_a_machine_that_fails_is_no_verdict(job: Job, tmp_path: Path) -> None:
    def derive(mutant: str) -> object:
        raise OSError(28, "No space left on device")

    with pytest.raises(InfrastructureError, match=r"changes-all cannot be packed: .*No space left"):
        pack_job(attrs.evolve(job, derive=derive), ["changes-all"], tmp_path)
