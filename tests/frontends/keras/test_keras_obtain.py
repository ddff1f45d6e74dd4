"""Models of keras.applications are downloaded by name, once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mutatenn import InputError
from mutatenn.campaign.config.sections import preprocess_section
from mutatenn.campaign.inputs.input_contract import preset
from mutatenn_frontends._keras.applications import APPLICATIONS
from mutatenn_frontends._shared import packages
from mutatenn_frontends.keras import Keras


@pytest.fixture
def offline(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give Keras an empty cache and a network where nothing answers; return a folder for the model."""
    assert made
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def refused(name: str, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        Keras().obtain("keras", name, folder)
    assert "\n" not in str(caught.value)
    assert os.listdir(folder) == []
    return str(caught.value)


def test_an_unknown_name(offline: Path) -> None:
    text = refused("mobilenetv2", offline)
    assert text.startswith("keras.applications has no model 'mobilenetv2'; take one of ")
    assert "MobileNetV2" in text
    assert "VGG16" not in text
    assert "VGG16" in refused("../../x", offline)


def test_offline(offline: Path) -> None:
    text = refused("MobileNetV2", offline)
    assert text.startswith("keras.applications.MobileNetV2 cannot be had with its weights (")
    assert "Connection refused" in text
    assert "needs a network" in text


def test_what_is_there_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: pytest.fail("looked for packages"))
    path = tmp_path / "MobileNetV2.keras"
    path.write_bytes(b"")
    assert Keras().obtain("keras", "MobileNetV2", tmp_path) == path


def test_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    assert "pip install 'mutatenn[keras]'" in refused("MobileNetV2", tmp_path)


def test_how_images_are_prepared_for_it(tmp_path: Path) -> None:
    (tmp_path / "VGG16.keras").touch()
    Keras().obtain("keras", "VGG16", tmp_path)
    assert preset("keras:VGG16", tmp_path / "VGG16.keras") == APPLICATIONS["VGG16"]
    for values in APPLICATIONS.values():
        assert np.size(preprocess_section(values).mean) in {1, 3}
