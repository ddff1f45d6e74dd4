"""Files of a network that cannot be imported: the error says what they are, and what to give."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutatenn.campaign.inputs.foreign import KINDS
from mutatenn.host.plugin_host import PluginHost

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("net.pth", 'weights without a network; give the code that makes it: model.source = "python:'),
        ("net.safetensors", "weights without a network; load them in the function of python:"),
        ("net.mlmodel", "a Core ML model; convert it to ONNX"),
        ("net.engine", "a TensorRT engine, compiled for one device; give the model that it was built from"),
        ("NET.OM", "an Ascend model, compiled for one device; give the model"),
        ("net.onnx.zip", "packed; unpack it"),
        ("net.pkl", "a pickle, which may run any code; give the model that it holds"),
    ],
)
def test_what_it_is_and_what_to_give(tmp_path: Path, command: Command, name: str, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    done = command("init", tmp_path / "campaign.toml", "--model", path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mutatenn: error: {path} is {told}")
    assert not (tmp_path / "campaign.toml").exists()


def test_weights_are_named_in_their_cure(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"x")
    assert 'options = { weights = "net.pt" }' in command("init", tmp_path / "a.toml", "--model", path).err


def test_code_of_pytorch_is_told_from_weights(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/code/__torch__.py", "")
    assert f"{path} is TorchScript" in command("init", tmp_path / "a.toml", "--model", path).err


def test_none_of_them_is_what_a_frontend_reads() -> None:
    known = {suffix for cls in PluginHost.installed().frontends().values() for suffix in cls.suffixes}
    assert not known & KINDS.keys()


@pytest.mark.parametrize("name", ["net.onnx", "net.engine"])
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_model_in_the_place_of_a_campaign(tmp_path: Path, command: Command, name: str, verb: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    done = command(verb, path)
    assert (done.code, done.out) == (2, "")
    told = f"{path} is a model by its name, not a campaign file; say `mutatenn run {path} --images FOLDER`"
    assert told in done.err
