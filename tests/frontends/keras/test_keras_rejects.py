"""What is no Keras classifier of standard layers is refused in one line, and nothing in a file is run."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import InfrastructureError, InputError
from mutatenn_frontends._keras import process as keras_process
from mutatenn_frontends._shared import packages
from mutatenn_frontends.keras import Keras

Refused = Callable[..., str]


def described(name: str, module: str | None = "keras.layers", **more: Any) -> dict[str, Any]:
    """Describe an object as Keras does."""
    return {"module": module, "class_name": name, "config": {}, "registered_name": None} | more


def network(*layers: Any) -> dict[str, Any]:
    return described("Sequential", "keras", config={"name": "net", "layers": list(layers)})


def archive(config: Any = None, compression: int = zipfile.ZIP_STORED, **members: Any) -> bytes:
    """Return a .keras file; a member that is None is left out."""
    content = {
        "metadata.json": b'{"keras_version": "3.15.1", "date_saved": ""}',
        "config.json": json.dumps(config or network()).encode(),
        "model.weights.h5": b"",
    } | {name.replace("__", "."): value for name, value in members.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, value in content.items():
            if value is not None:
                file.writestr(name, value)
    return buffer.getvalue()


def test_files_that_are_none(refused: Refused, tmp_path: Path) -> None:
    refused(tmp_path / "absent.keras", "there is no such file; give the path of a .keras or .h5 file")
    refused(tmp_path, "is a directory")
    refused(b"", "is not a Keras model, or is damaged or cut short; save it with model.save")
    refused(b"\x89PNG\r\n\x1a\n" + bytes(64), "is not a Keras model")
    refused(b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer")


def test_a_truncated_archive(refused: Refused) -> None:
    content = archive(model__weights__h5=bytes(1000))
    for size in (4, 100, len(content) - 1):
        refused(content[:size], "is damaged or cut short")


def test_archives_of_others(refused: Refused) -> None:
    array = io.BytesIO()
    np.savez(array, weights=np.ones(3))
    refused(array.getvalue(), "is a zip archive, but holds no Keras model")
    refused(archive(metadata__json=None), "is a zip archive, but holds no Keras model")
    refused(archive(model__weights__h5=None), "holds no model.weights.h5")
    refused(archive(["no model"]), "has no configuration of a model in it")
    refused(archive(config__json=b"{"), "is damaged or cut short")
    refused(archive(config__json=b"[" * 100_000), "is damaged or cut short")
    refused(archive(metadata__json=b"3"), "is damaged or cut short")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_members_of_one_name(refused: Refused) -> None:
    buffer = io.BytesIO(archive())
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr("config.json", "{}")
    refused(buffer.getvalue(), "holds several members of one name")


def test_a_zip_bomb(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive(compression=zipfile.ZIP_DEFLATED, model__weights__h5=bytes(1 << 25))
    assert len(content) < 1 << 16
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("was extracted"))
    refused(content, "is compressed too much: 33,55", "which does not compress")


def test_a_bomb_that_declares_little(refused: Refused) -> None:
    content = archive(compression=zipfile.ZIP_DEFLATED, model__weights__h5=bytes(1 << 25))
    refused(content.replace((1 << 25).to_bytes(4, "little"), (64).to_bytes(4, "little")), "is damaged")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (described("Lambda"), "holds code (Lambda), which is never run"),
        (described("TFSMLayer"), "holds code (TFSMLayer)"),
        (described("TorchModuleWrapper"), "holds code"),
        (described("Activation", config={"activation": described("__lambda__", None)}), "holds code"),
        (described("StringLookup", config={"vocabulary": "/etc/passwd"}), "uses 'StringLookup'"),
        (described("Swish", "my_layers", registered_name="my>Swish"), "uses 'my>Swish', which is custom"),
        (described("Dense", registered_name="my>Dense"), "uses 'my>Dense'"),
        (described("Dense", "os"), "uses 'Dense'"),
        (described("system", "os"), "uses 'system'"),
        (described("function", "os", config="system"), "uses 'system'"),
        (described("function", "keras.utils", config="get_file"), "uses 'get_file'"),
        (described("function", "builtins", config="eval"), "uses 'eval'"),
        (described("function", "subprocess", config="relu"), "uses 'relu'"),
        (described("__typespec__", "os", spec_name="system"), "uses '__typespec__'"),
        (described(["Dense"]), "uses \"['Dense']\""),  # type: ignore[arg-type]
        (network(network(described("Lambda"))), "holds code"),
    ],
)
def test_more_than_layers(refused: Refused, found: Any, text: str) -> None:
    refused(archive(network(described("Dense"), found)), text, "standard layers")


def test_a_model_that_is_custom_itself(refused: Refused) -> None:
    refused(archive(described("Net", "nets", registered_name="nets>Net")), "uses 'Net', which is custom")


def test_what_is_for_training_is_left_out(refused: Refused) -> None:
    """A custom loss is no reason to refuse; the file is, later, for its empty weights."""
    compiled = network() | {"compile_config": {"loss": described("function", "os", config="system")}}
    message = refused(archive(compiled))
    assert "system" not in message


def test_missing_packages(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", {"tensorflow": 1}.get)
    text = (
        "needs packages that are not installed (keras, tf2onnx); install them: pip install 'mutatenn[keras]'"
    )
    refused(archive(), text)
    with pytest.raises(InputError, match=r"\(keras, torch\).*'mutatenn\[keras,torch\]'"):
        keras_process.require("keras", "torch")


def test_lambdas_that_keras_saved(made: Path, refused: Refused) -> None:
    for name in ("coded.keras", "coded.h5"):
        refused(made / name, "holds code (Lambda), which is never run")


def test_models_that_do_not_classify(made: Path) -> None:
    answers = json.loads((made / "unfit.json").read_text())
    texts = {
        "two images": "must have one input, the image, but has image float32[?x8x8x3], image float32",
        "several outputs": "has several outputs that could be scores: flatten",
        "no image": "is not an image classifier: its input is image float32[?x64]",
        "bytes": "is not an image classifier: its input is image int32[?x8x8x3]",
        "free size": "its image has no fixed size: image float32[?x?x?x3]",
        "fixed batch": "takes several images at once: image float32[4x8x8x3]",
        "no scores": "is not an image classifier: its output is scores float32[?x6x6x2]",
    }
    assert answers.keys() == texts.keys()
    for name, text in texts.items():
        assert answers[name].startswith(text)
        assert "; " in answers[name]


def test_weights_alone(made: Path, refused: Refused) -> None:
    refused(made / "net.weights.h5", "holds weights alone")


def test_truncated_hdf5(made: Path, refused: Refused) -> None:
    content = (made / "net.h5").read_bytes()
    refused(content[:-1], "is damaged or cut short")
    refused(content[:64], "is damaged or cut short")


@pytest.fixture
def tampered(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a copy of net.h5 that a function has changed."""
    h5py = pytest.importorskip("h5py")

    def change(function: Callable[[Any], Any]) -> Path:
        path = tmp_path / "changed.h5"
        shutil.copy(made / "net.h5", path)
        with h5py.File(path, "r+") as file:
            function(file)
        return path

    return change


def test_hdf5_that_refers_to_other_files(tampered: Any, refused: Refused) -> None:
    h5py = pytest.importorskip("h5py")

    def link(file: Any) -> None:
        file["model_weights/more"] = h5py.ExternalLink("/etc/other.h5", "weights")

    def store(file: Any) -> None:
        file.create_dataset("model_weights/more", (8,), "u1", external=[("/etc/passwd", 0, 8)])

    def map_(file: Any) -> None:
        layout = h5py.VirtualLayout((8,), "f4")
        layout[:] = h5py.VirtualSource("/etc/other.h5", "weights", (8,))
        file.create_virtual_dataset("model_weights/more", layout)

    refused(tampered(link), "has links to elsewhere (model_weights/more)")
    refused(tampered(store), "keeps weights in other files (/model_weights/more)")
    refused(tampered(map_), "keeps weights in other files (/model_weights/more)")


def test_an_hdf5_bomb(tampered: Any, refused: Refused) -> None:
    def declare(file: Any) -> None:
        file.create_dataset("model_weights/more", (1 << 40,), "f4", chunks=(1 << 20,))

    refused(tampered(declare), "declares more weights than it holds", "4,398,046,511,104 bytes in 0")


def test_hdf5_of_others(tmp_path: Path, refused: Refused) -> None:
    h5py = pytest.importorskip("h5py")
    if not importlib.util.find_spec("keras"):
        pytest.skip("Keras is not installed")
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = np.ones(3)
    refused(tmp_path / "table.h5", "is no file of Keras; save the whole model")


def test_weights_that_do_not_fit(made: Path, refused: Refused) -> None:
    with zipfile.ZipFile(made / "rich.keras") as other, zipfile.ZipFile(made / "net.keras") as file:
        content = archive(
            json.loads(file.read("config.json")), model__weights__h5=other.read("model.weights.h5")
        )
    refused(content, "cannot load it", "save it again with this release")


def test_a_process_that_ends(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_process, "MODULE", "mutatenn_frontends._no_such_module")
    with pytest.raises(InfrastructureError, match=r"net.keras: Keras's process ended .*_no_such"):
        Keras().load(made / "net.keras")
