"""``doctor --model``: what a model takes and gives; ``init --model``: the campaign for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.resources import data_folder

Command = Callable[..., Any]
Install = Callable[[str], None]

ZOO = '''
import json, shutil
from pathlib import Path
from mutatenn.campaign.config.resources import data_folder
from mutatenn_frontends.onnx import Onnx
import attrs

@attrs.frozen(kw_only=True)
class Zoo(Onnx):
    """Has one model."""
    name = "zoo"
    suffixes = (".zoo",)
    schemes = ("zoo",)
    routes = ("short", "long")
    route: str = "short"
    def obtain(self, scheme, name, folder):
        if name != "digits-2":
            raise InputError(f"zoo:{name}: no such animal; name digits-2")
        (folder / "preprocess.json").write_text(json.dumps(
            {"resize": 10, "crop": 8, "mean": [127.5], "std": [127.5], "resample": "bicubic"}
        ))
        return Path(shutil.copy(data_folder() / "digits.onnx", folder / "digits-2.onnx"))

@hookimpl
def mutatenn_frontends(): return [Zoo]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path


def shown(out: str) -> dict[str, str]:
    """Return the values of a table by its first column."""
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def write(path: Path, shape: str, body: str = "scores = Identity(flat)") -> None:
    """Write a model that scores three classes by the means of an image's channels."""
    axes = "[2, 3]" if "3," in shape[:4] else "[1, 2]"
    graph = f"flat = ReduceMean<axes = {axes}, keepdims = 0>(image) {body}"
    net = f"net (float[1,{shape}] image) => (float[1,3] scores) {{{graph}}}"
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> {net}')
    path.write_bytes(proto.SerializeToString())


def test_a_file(folder: Path, command: Command) -> None:
    done = command("doctor", "--model", "mutatenn:digits.onnx")
    assert (done.code, done.err) == (0, "")
    assert shown(done.out) == {
        "frontend": "onnx",
        "route": "one only",
        "input": "image: float32[1x1x8x8], NCHW",
        "image": "8 pixels high, 8 wide, L",
        "output": "probabilities: 10 classes",
        "scores": "probabilities, it seems: they end with softmax",
        "operators": "30, of them 7 convolutions and 7 batch normalisations",
        "resize": "shorter side to 8 pixels (bilinear), unless of this size",
        "crop": "8 high, 8 wide, from the centre",
        "pixels": "0 to 255",
    }


@pytest.mark.parametrize(
    ("shape", "layout", "image"),
    [
        ("3,8,12", "NCHW", "8 pixels high, 12 wide, RGB"),
        ("8,12,3", "NHWC", "8 pixels high, 12 wide, RGB"),
    ],
)
def test_layouts(folder: Path, command: Command, shape: str, layout: str, image: str) -> None:
    write(folder / "net.onnx", shape)
    found = shown(command("doctor", "--model", "net.onnx").out)
    assert (found["input"].rpartition(" ")[2], found["image"]) == (layout, image)
    assert found["scores"] == "logits, it seems: no softmax at the end"


def test_a_campaign(folder: Path, command: Command) -> None:
    command("init")
    text = Path("campaign.toml").read_text().replace("# resize = 8 ", "resize = 10 ")
    Path("campaign.toml").write_text(text.replace("# crop = 8", "crop = 8"))
    found = shown(command("doctor", "--model", "campaign.toml").out)
    assert found["resize"] == "shorter side to 10 pixels (bilinear)"
    assert found["pixels"] == "(0 to 255 - 127.5) / 127.5"


def test_every_route_of_a_campaign(folder: Path, command: Command, install: Install) -> None:
    install(ZOO)
    command("init", "--model", "zoo:digits-2", "--images", "mutatenn:digits/0_000*.png")
    with Path("campaign.toml").open("a") as file:
        file.write("".join(f"[[environments]]\nname = '{n}'\nroute = '{n}'\n" for n in ("long", "short")))
    done = command("doctor", "--model", "campaign.toml", "--json")
    routes = [(each["route"], each["routes"]) for each in json.loads(done.out)]
    assert routes == [("short", ["short", "long"]), ("long", ["short", "long"])]


def test_json(folder: Path, command: Command) -> None:
    (found,) = json.loads(command("doctor", "--model", "mutatenn:digits.onnx", "--json").out)
    assert (found["image"], found["classes"], found["scores"]) == ([8, 8, 1], 10, "probabilities")
    assert found["input"] == {"name": "image", "shape": [1, 1, 8, 8], "dtype": "float32"}
    assert found["layers"]["batch_norm"] == 7
    assert found["preprocess"]["mean"] == 0.0


def test_a_source(folder: Path, command: Command, install: Install) -> None:
    install(ZOO)
    found = shown(command("doctor", "--model", "zoo:digits-2").out)
    assert found["route"] == "short (known: short, long)"
    assert found["pixels"] == "(0 to 255 - [127.5]) / [127.5]"


def test_a_campaign_for_a_source(folder: Path, command: Command, install: Install) -> None:
    install(ZOO)
    done = command("init", "--model", "zoo:digits-2", "--images", "mutatenn:digits/0_000*.png")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("wrote campaign.toml; next: mutatenn run campaign.toml\n")
    campaign = load_campaign("campaign.toml", {})
    assert (campaign.name, campaign.model.source, campaign.model.path) == ("campaign", "zoo:digits-2", None)
    preprocess = campaign.preprocess
    assert (preprocess.resize, preprocess.crop, preprocess.resample) == (10, (8, 8), "bicubic")
    assert (preprocess.mean, preprocess.std) == ((127.5,), (127.5,))
    few = Path("campaign.toml").read_text().replace("sample = 80", "sample = 4")
    Path("campaign.toml").write_text(few)
    assert command("run", "campaign.toml").code == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("zoo:digits", "zoo:digits: no such animal; name digits-2"),
        ("gone.onnx", "no file 'gone.onnx' in "),
        ("notes.txt", "notes.txt: no frontend knows '.txt' files"),
        ("empty", "empty: no frontend knows folders of this kind"),
        ("campaign.tml", "no file 'campaign.tml'"),
        ("gone.toml", "no campaign file 'gone.toml'"),
        ("odd.onnx", "which is not NCHW or NHWC with 1 or 3 channels; give a model that takes one image"),
    ],
)
def test_wrong_models_are_one_line(
    folder: Path, command: Command, install: Install, model: str, message: str
) -> None:
    install(ZOO)
    (folder / "notes.txt").touch()
    (folder / "empty").mkdir()
    write(folder / "odd.onnx", "3,8,8", "scores = Identity(flat)")
    proto = onnx.load(folder / "odd.onnx")
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(proto, folder / "odd.onnx")
    done = command("doctor", "--model", model)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mutatenn: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_image_that_does_not_fit_the_campaign(folder: Path, command: Command) -> None:
    shutil.copy(data_folder() / "digits.onnx", folder)
    command("init", "--model", "digits.onnx", "--images", "mutatenn:digits/0_000*.png")
    text = Path("campaign.toml").read_text()
    Path("campaign.toml").write_text(text.replace("crop = 8", "crop = [8, 9]"))
    done = command("doctor", "--model", "campaign.toml")
    assert done.code == 2
    assert "preprocess gives 8x9x1, the model's input `image` is 1x1x8x8: set crop = 8" in done.err


def test_what_a_frontend_left_word_of(tmp_path: Path) -> None:
    from mutatenn.campaign.inputs.input_contract import preset

    model = tmp_path / "net.keras"
    assert preset("keras:net", model) == {}
    (tmp_path / "preprocess.json").write_text('{"mean": 1.0}')
    assert preset("keras:net", model) == {"mean": 1.0}
    assert preset(None, model) == {}
