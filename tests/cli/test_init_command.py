"""``mutatenn init``: the campaign it writes is complete, and runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn
from mutatenn.api.executor import Limits
from mutatenn.campaign.config import values as config
from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.resources import data_folder
from mutatenn.campaign.inputs.dataset import open_dataset

Command = Callable[..., Any]

SECTIONS = {
    "model": config.ModelSection,
    "preprocess": config.PreprocessSection,
    "dataset": config.DatasetSection,
    "environments": config.Environment,
    "mutations": config.Mutation,
    "oracles": config.Oracles,
    "gate": config.Gate,
    "thresholds": config.Thresholds,
    "checks": config.Checks,
    "limits": Limits,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_runs_as_it_is(folder: Path, command: Command) -> None:
    done = command("init")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "wrote campaign.toml; next: mutatenn run campaign.toml",
        "(mutatenn plan campaign.toml --estimate tells how long that takes)",
    ]
    text = Path("campaign.toml").read_text()
    assert "sites = { sample = 80, stratified = true }" in text
    Path("campaign.toml").write_text(text.replace("sample = 80", "sample = 8"))
    done = command("run", "campaign.toml")
    assert (done.code, done.err) == (0, "")
    run = mutatenn.open_run(folder / "runs" / "campaign")
    assert len(run.mutants) == 8
    assert not {"store-float16", "store-minus-epsilon"} & {each.operator for each in run.operators("cpu")}
    assert {"bias-first-channel", "lt-to-gt"} <= {each.operator for each in run.operators("cpu")}
    assert {each.level for each in run.operators("cpu")} == {"graph", "kernel"}
    assert run.baselines["cpu"].problems == ()


def test_it_shows_every_key(folder: Path, command: Command) -> None:
    command("init")
    text = Path("campaign.toml").read_text()
    found: dict[str, set[str]] = {"": set()}
    section = found[""]
    for line in text.splitlines():
        if heading := re.match(r"\[+(\w+)\]+", line):
            section = found.setdefault(heading[1], set())
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            section.add(key[1])
    top = {field.name for field in attrs.fields(config.Campaign)}
    assert found.pop("") | found.keys() == top
    assert found == {name: {field.name for field in attrs.fields(cls)} for name, cls in SECTIONS.items()}


def test_its_optional_keys_are_valid(folder: Path, command: Command) -> None:
    command("init")
    text = Path("campaign.toml").read_text()
    defaults = load_campaign("campaign.toml", {})
    text = re.sub(r"^path = .*\n", "", text, flags=re.MULTILINE)  # source stands in its place
    Path("campaign.toml").write_text(re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE))
    shown = load_campaign("campaign.toml", {})
    assert shown != defaults
    assert (shown.limits, shown.oracles, shown.gate) == (defaults.limits, defaults.oracles, defaults.gate)
    assert shown.thresholds.min_valid == defaults.thresholds.min_valid
    assert (shown.environments[0].profile, shown.seed) == (defaults.environments[0].profile, defaults.seed)


def test_a_model_and_images_of_ones_own(folder: Path, command: Command) -> None:
    (folder / "nets").mkdir()
    (folder / "photos").mkdir()
    shutil.copy(data_folder() / "digits.onnx", folder / "nets" / "my net.onnx")
    shutil.copy(data_folder() / "digits" / "0_0000.png", folder / "photos")
    (folder / "campaigns").mkdir()
    done = command("init", "campaigns/a.toml", "--model", "nets/my net.onnx", "--images", "photos/*.png")
    first, _ = done.out.splitlines()
    assert first == "wrote campaigns/a.toml; set mean, std in it, then: mutatenn run campaigns/a.toml"
    campaign = load_campaign("campaigns/a.toml", {})
    assert campaign.name == "a"
    assert campaign.model.path == folder / "nets" / "my net.onnx"
    assert campaign.dataset == config.DatasetSection((str(folder / "photos" / "*.png"),))
    assert (campaign.preprocess.resize, campaign.preprocess.crop) == (8, (8, 8))
    assert (campaign.preprocess.mean, campaign.gate.min_accuracy) == (None, None)
    assert command("plan", "campaigns/a.toml").code == 0


def digits_of(folder: Path, *labels: int) -> None:
    folder.mkdir(parents=True)
    for label in labels:
        for path in sorted((data_folder() / "digits").glob(f"{label}_*.png"))[:2]:
            shutil.copy(path, folder / path.name.partition("_")[2])


def test_a_folder_of_classes(folder: Path, command: Command) -> None:
    digits_of(folder / "photos" / "3", 3)
    digits_of(folder / "photos" / "5", 5)
    done = command("init", "--images", "photos")
    assert done.err == "mutatenn: the true classes are told by folder, it seems; see dataset.truth\n"
    section = load_campaign("campaign.toml", {}).dataset
    assert (section.images, section.truth) == ((str(folder / "photos" / "*" / "*.png"),), "folder")
    found = open_dataset(section)
    assert found.truth == tuple(int(path.parent.name) for path in found.paths)


@pytest.mark.parametrize("below", ["photos", "."])
def test_a_table_of_classes(folder: Path, command: Command, below: str) -> None:
    digits_of(folder / "photos", 3)
    rows = [f"{path.name},{n}" for n, path in enumerate(sorted((folder / "photos").iterdir()))]
    (folder / below / "labels.csv").write_text("\n".join(["image,class", *rows]))
    assert "told by " in command("init", "./campaign.toml", "--images", "photos/").err
    section = load_campaign("campaign.toml", {}).dataset
    assert section.truth == folder / below / "labels.csv"
    assert open_dataset(section).truth == (0, 1)


def test_prefixes_that_are_no_classes_of_the_model(folder: Path, command: Command) -> None:
    digits_of(folder / "photos", 3)
    for year, path in enumerate(sorted((folder / "photos").iterdir()), 2024):
        path.rename(path.with_name(f"{year}_{path.name}"))
    shutil.copy(data_folder() / "digits.onnx", folder / "net.onnx")
    assert command("init", "--model", "net.onnx", "--images", "photos").err == ""
    assert load_campaign("campaign.toml", {}).dataset.truth is None


def test_images_of_several_kinds(folder: Path, command: Command) -> None:
    digits_of(folder / "photos", 3, 5)
    shutil.copy(next((folder / "photos").iterdir()), folder / "photos" / "x.JPG")
    (folder / "photos" / "readme.txt").write_text("no image")
    command("init", "--images", "photos")
    found = load_campaign("campaign.toml", {}).dataset.images
    assert found == tuple(str(folder / "photos" / pattern) for pattern in ("*.png", "*.JPG"))


@pytest.mark.parametrize("images", ["[2024] x/*.png", "[2024] x/a[1].png", "[2024] x/[a]*.png"])
@pytest.mark.parametrize("place", ["", "absolute"])
def test_folders_with_brackets(folder: Path, command: Command, images: str, place: str) -> None:
    (folder / "[2024] x").mkdir()
    found = folder / "[2024] x" / "a[1].png"
    shutil.copy(data_folder() / "digits" / "0_0000.png", found)
    command("init", "--images", str(folder / images) if place else images)
    dataset = open_dataset(load_campaign("campaign.toml", {}).dataset)
    assert list(dataset.paths) == [found]


def test_a_model_that_cannot_be_imported(folder: Path, command: Command) -> None:
    Path("net.onnx").write_bytes(b"no model")
    done = command("init", "--model", "net.onnx", "--images", "mutatenn:digits/*.png")
    assert done.code == 0
    assert done.err.startswith("mutatenn: warning: set preprocess.crop, it cannot be told: ")
    assert load_campaign("campaign.toml", {}).preprocess.crop is None


def test_nothing_is_overwritten_by_accident(folder: Path, command: Command) -> None:
    Path("campaign.toml").write_text("precious")
    done = command("init")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "mutatenn: error: campaign.toml exists; name another file, or overwrite it with --force\n"
    )
    assert Path("campaign.toml").read_text() == "precious"
    assert command("init", "--force").code == 0
    assert "precious" not in Path("campaign.toml").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "nets.onnx"], "no file 'nets.onnx' in "),
        (["--model", "mutatenn:digit.onnx"], "did you mean 'mutatenn:digits.onnx'?"),
        (["--images", "."], ".: no images in this folder; give another, or a pattern"),
        (["no/such/folder.toml"], "cannot write no/such/folder.toml: No such file or directory"),
    ],
)
def test_bad_arguments(folder: Path, command: Command, argv: list[str], message: str) -> None:
    done = command("init", *argv)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mutatenn: error: ")
    assert message in done.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_model_is_not_overwritten_by_a_campaign(folder: Path, command: Command, force: Any) -> None:
    model = folder / "net.ONNX"
    model.write_bytes(b"weights")
    done = command("init", model, *force)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"mutatenn: error: {model} is a model by its name; give it with --model, and name what to write\n"
    )
    assert model.read_bytes() == b"weights"
