"""Models that PyTorch code makes: the user's own, and torchvision's."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import InfrastructureError, InputError
from mutatenn.campaign.execution.setup import set_up
from mutatenn.host.plugin_host import PluginHost
from mutatenn_frontends._pytorch.export import export
from mutatenn_frontends.pytorch import PyTorch

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

CODE = """
print("noise")
import sys
import warnings
import torch
from torch import nn
print("more noise", file=sys.stderr)
warnings.warn("a warning")

class Net(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8 * 64, 10)
        self.scale = scale
    def forward(self, image):
        return self.head(self.stem(image).flatten(1)) * self.scale

def make():
    return Net().train(), torch.zeros(1, 1, 8, 8)

def in_a_tuple():
    return Net(2.0), (torch.zeros(1, 1, 8, 8),)

def one():
    return Net()

def failing():
    raise ValueError("no such weights\\nsecond line")

def branching():
    class Branching(Net):
        def forward(self, image):
            return super().forward(image) if image.sum() > 0 else image.flatten(1)
    return Branching(), torch.zeros(1, 1, 8, 8)

def leaving():
    sys.exit(3)

def dying():
    import os
    os.kill(os.getpid(), 9)
"""
CAMPAIGN = """
name = "own"
[model]
source = "python:nets.small:make"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/0_00*.png"
[[mutations]]
operator = "relu-to-sigmoid"
"""

Obtain = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "small.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def obtain(folder: Path) -> Obtain:
    cache = folder / "cache"
    cache.mkdir()

    def obtain(name: str = "nets.small:make", scheme: str = "python", **options: Any) -> Path:
        return PyTorch(folder=str(folder), **options).obtain(scheme, name, cache)

    return obtain


def refused(obtain: Obtain, *names: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        obtain(*names, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_users_function_makes_the_model(obtain: Obtain, capfd: pytest.CaptureFixture[str]) -> None:
    path = obtain()
    assert path.name == "make.pt2"
    model = PyTorch().load(path)
    assert (model.name, model.input.shape, model.output.shape) == ("make", (1, 1, 8, 8), (1, 10))
    assert capfd.readouterr() == ("", "")
    image = np.ones((1, 1, 8, 8), np.float32)
    double = PyTorch().load(obtain("nets.small:in_a_tuple"))
    once, twice = (PyTorch().reference(each, image) for each in (model, double))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_the_code_is_asked_every_time(obtain: Obtain, folder: Path) -> None:
    path = obtain()
    assert obtain() == path
    code = folder / "nets" / "small.py"
    code.write_text("# a comment in front\n\n" + CODE)
    assert obtain() == path
    code.write_text(CODE.replace("scale=1.0", "scale=3.0"))
    assert obtain() != path


def test_weights_of_the_users_own(obtain: Obtain, folder: Path) -> None:
    shapes = {
        "stem.0.weight": (8, 1, 3, 3),
        "stem.0.bias": (8,),
        **{f"stem.1.{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")},
        "head.weight": (10, 512),
        "head.bias": (10,),
    }
    state = {name: torch.full(shape, 0.5) for name, shape in shapes.items()}
    state["stem.1.num_batches_tracked"] = torch.tensor(0)
    file = folder / "weights.pt"
    torch.save({"state_dict": state, "epoch": 3}, file)
    frontend = PyTorch(folder=str(folder), weights=str(file))
    model = frontend.load(obtain(weights=str(file)))
    outputs = frontend.reference(model, np.ones((1, 1, 8, 8), np.float32))
    np.testing.assert_allclose(outputs, outputs[0, 0], rtol=1e-6)
    assert outputs[0, 0] > 100
    with pytest.raises(InputError, match=r"has weights of its own; remove model.options.weights"):
        PyTorch(weights=str(file)).load(obtain())
    del state["head.bias"]
    torch.save(state, file)
    assert "do not fit the model; Error(s) in loading state_dict for Net: Missing key(s)" in refused(
        obtain, weights=str(file)
    )


def test_weights_that_would_run_code(obtain: Obtain, folder: Path) -> None:
    file = folder / "weights.pt"
    torch.save(torch.nn.Linear(1, 1), file)
    message = refused(obtain, weights=str(file))
    assert message.startswith(f"python:nets.small:make: {file} holds no plain weights (UnpicklingError")
    assert "gone.pt cannot be read (No such file" in refused(obtain, weights=str(folder / "gone.pt"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets.big:make", "cannot import 'nets.big' from {folder} (ModuleNotFoundError: No module named"),
        ("nets.small:mak", "small.py has no function 'mak'; name one"),
        ("nets.small:one", "one() does not return a pair; return a torch.nn.Module and an image"),
        ("nets.small:branching", "torch.export cannot export it ("),
    ],
)
def test_code_that_cannot_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    warnings.simplefilter("ignore")  # pytest puts the filters back
    with pytest.raises(InputError) as caught:
        export("python", name, str(folder / "made.pt2"), str(folder), None)
    for module in ("nets", "nets.small"):
        sys.modules.pop(module, None)
    assert message.format(folder=folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets.small", "give python:MODULE:FUNCTION"),
        ("nets.small:failing", "failing() raised ValueError: no such weights; run it by itself"),
        ("nets.small:leaving", "leaving() raised SystemExit: 3; run it by itself"),
    ],
)
def test_what_goes_wrong_is_one_line(obtain: Obtain, folder: Path, name: str, message: str) -> None:
    assert refused(obtain, name).startswith(f"python:{name}: {message}")
    assert list((folder / "cache").iterdir()) == []


def test_a_process_that_dies_is_no_fault_of_the_input(obtain: Obtain, folder: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"^python:nets.small:dying: the process .* of SIGKILL"):
        obtain("nets.small:dying")
    assert list((folder / "cache").iterdir()) == []


def test_a_campaign_on_the_users_code(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "xdg"))
    (folder / "own.toml").write_text(CAMPAIGN)
    run = mutatenn.run(folder / "own.toml", folder / "run")
    (record,) = run.mutants
    assert record.verdicts["cpu"].status in {"killed", "survived"}
    again = set_up(folder / "run" / "campaign.toml", PluginHost.installed())  # from elsewhere, the same model
    assert again.model.digest == run.facts["model"]["digest"]
    assert again.campaign.model.options == {"folder": str(folder)}


TORCHVISION = """
from enum import Enum
import torch
from torch import nn

class Interpolation(Enum):
    BILINEAR = "bilinear"

class Preset:
    crop_size, resize_size = [8], [10]
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    interpolation = Interpolation.BILINEAR

class Weights:
    url = "https://download.example.org/small.pth"
    transforms = Preset
Weights.DEFAULT = Weights

def list_models(module=None):
    assert module.__name__ == __name__
    return ["small_net", "lost_net"]

def get_model_weights(name):
    return Weights

def get_model(name, weights=None):
    if name == "lost_net":
        import urllib.error
        raise urllib.error.URLError("no route to host")
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def torchvision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install what the frontend uses of torchvision's interface; the real one would download weights."""
    package = folder / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models.py").write_text(TORCHVISION)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


@pytest.mark.usefixtures("torchvision")
def test_a_model_of_torchvision(obtain: Obtain, folder: Path) -> None:
    path = obtain("small_net", "torchvision")
    assert path.name == "small_net.pt2"
    assert PyTorch().load(path).input.shape == (1, 3, 8, 8)
    assert json.loads((path.parent / "preprocess.json").read_text()) == {
        "resize": 10,
        "crop": 8,
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "resample": "bilinear",
    }
    made = path.stat().st_mtime_ns
    assert obtain("small_net", "torchvision") == path
    assert path.stat().st_mtime_ns == made


@pytest.mark.usefixtures("torchvision")
def test_what_torchvision_does_not_give(obtain: Obtain) -> None:
    assert "torchvision has no classifier 'small_nat'; did you mean 'small_net'?" in refused(
        obtain, "small_nat", "torchvision"
    )
    message = refused(obtain, "lost_net", "torchvision")
    assert (
        "its weights cannot be had from https://download.example.org/small.pth (<urlopen error no" in message
    )


def test_torchvision_is_told_to_be_installed(
    obtain: Obtain, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "torchvision.py").write_text("raise ImportError('not there')")
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"))
    message = refused(obtain, "resnet18", "torchvision")
    assert (
        "needs torchvision.models, which cannot be imported (not there); pip install torchvision" in message
    )


def test_no_gpu_is_looked_for_when_tvm_is_loaded() -> None:
    """A process that has looked for GPUs cannot be forked to use one."""
    program = """
import torch

def looked():
    raise SystemExit("looked for GPUs")

torch.cuda.is_available = looked
from mutatenn import ir
print(ir.tvm.__version__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
