"""What is published: a wheel, and the sources it can be built from, both whole."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {"mutatenn/data/digits.onnx", "mutatenn/data/README.md", "mutatenn/data/digits/0_0000.png"}
SCHEMAS = {f"mutatenn_reporters/{name}.schema.json" for name in ("report", "devices")}

pytestmark = pytest.mark.slow


def call(*command: object, folder: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, out: Path, *what: str) -> Path:
    """Build a wheel or an sdist of some sources; return the one file that comes of it."""
    call(sys.executable, "-m", "hatchling", "build", *what, "-d", out, folder=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked sdist."""
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(build(ROOT, tmp_path_factory.mktemp("sdist"), "-t", "sdist")) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that the sdist, not the checkout, makes."""
    return build(sources, tmp_path_factory.mktemp("wheel"), "-t", "wheel")


def test_both_hold_licences_and_data(sources: Path, wheel: Path) -> None:
    assert (sources / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    for name in DATA:
        assert (sources / "core" / name).read_bytes() == (ROOT / "core" / name).read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert names >= DATA | SCHEMAS
        (licence,) = (name for name in names if name.endswith("/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    images = len(list((ROOT / "core/mutatenn/data/digits").iterdir()))
    assert sum(name.startswith("mutatenn/data/digits/") for name in names) == images


def test_what_is_installed_from_the_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, folder=tmp_path)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # all but this checkout
    command = tmp_path / "venv" / "bin" / "mutatenn"
    where = call(python, "-c", "import mutatenn; print(mutatenn.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(site)
    assert "broken" not in call(command, "plugins", folder=tmp_path)
    call(command, "init", folder=tmp_path)
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("sample = 80", "sample = 3"))
    assert "is sound" in call(command, "check", campaign, folder=tmp_path)
    assert call(command, "run", campaign, folder=tmp_path).splitlines()[-1].startswith("score ")
