"""What is no exported classifier is refused in one line, and nothing that a file holds is run."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import check_refusal

from mutatenn import InputError, Model
from mutatenn_frontends.pytorch import PyTorch, mutatenn_frontends

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
Write = Callable[..., Path]


def tensor(*sizes: Any, dtype: int = 7) -> dict[str, Any]:
    """Describe a tensor of the file; what is no number is a symbolic size."""
    strides = [int(np.prod([n for n in sizes[i + 1 :] if isinstance(n, int)])) for i in range(len(sizes))]
    return {
        "dtype": dtype,
        "sizes": [{"as_int": n} if isinstance(n, int) else {"as_expr": {"expr_str": n}} for n in sizes],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": stride} for stride in strides],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }


def node(target: str, **inputs: Any) -> dict[str, Any]:
    """Describe a call that computes y."""
    return {
        "target": f"torch.ops.{target}",
        "inputs": [{"name": name, "arg": value, "kind": 1} for name, value in inputs.items()],
        "outputs": [named("y")],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": "y",
    }


def named(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


FLATTEN = node("aten.flatten.using_ints", self=named("x"), start_dim={"as_int": 1})


def program(*nodes: Any, **tensors: Any) -> dict[str, Any]:
    """Describe a program that takes x, an image, and returns y."""
    user = [{"user_input": {"arg": named(name)}} for name in tensors if name not in {"y", "z"}]
    graph = {
        "inputs": [named(name) for name in tensors if name not in {"y", "z"}] or [named("x")],
        "outputs": [named("y")],
        "nodes": list(nodes or (FLATTEN,)),
        "tensor_values": {"x": tensor(1, 3, 2, 2), "y": tensor(1, 12), **tensors},
    }
    signature = {
        "input_specs": user or [{"user_input": {"arg": named("x")}}],
        "output_specs": [{"user_output": {"arg": named("y")}}],
    }
    return {
        "graph_module": {"graph": graph, "signature": signature, "module_call_graph": []},
        "opset_version": {"aten": 10},
        "schema_version": {"major": 8, "minor": 20},
        "torch_version": "2.13.0",
        "guards_code": [],
    }


def pack(content: Any, **members: Any) -> bytes:
    """Return an archive of a program; members replace others or add to them."""
    config = json.dumps({"config": {}})
    files = {
        "models/model.json": json.dumps(content),
        "data/weights/model_weights_config.json": config,
        "data/constants/model_constants_config.json": config,
        "data/sample_inputs/model.pt": b"",
        **members,
    }
    return zipped({f"net/{name}": value for name, value in files.items()})


def zipped(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(content: bytes) -> Path:
        path = tmp_path / "net.pt2"
        path.write_bytes(content)
        return path

    return to_file


@pytest.fixture
def refused(write: Write) -> Callable[[Any, str], None]:
    """Check that loading (a path, or content) fails in one line: the file, a text, and a cure."""

    def check(source: Any, text: str) -> None:
        check_refusal(PyTorch().load, source if isinstance(source, Path) else write(source), text)

    return check


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path: Path) -> Any:
    """Return a path that must not come to be."""
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists()


def test_contribution() -> None:
    assert mutatenn_frontends() == (PyTorch,)
    assert (PyTorch.name, PyTorch.suffixes) == ("pytorch", (".pt2",))


def test_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, mutatenn_frontends.pytorch; print({'torch', 'tvm'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_without_pytorch(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "torch.export", raising=False)
    with pytest.raises(InputError, match=r"net\.pt2: needs PyTorch.*; .*pip install 'mutatenn\[torch\]'$"):
        PyTorch().load(write(pack(program())))


def test_no_file(refused: Any, tmp_path: Path) -> None:
    refused(tmp_path / "none.pt2", "there is no such file")
    refused(tmp_path, "is a directory")


OTHER = {
    "empty": (b"", "is not an exported program"),
    "text": (b"hello", "is not an exported program"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "no end": (pack(program())[:-100], "is not an exported program"),
    "no start": (pack(program())[200:], "is not an exported program"),
    "damaged": (pack(program()).replace(b"flatten", b"flattem"), "damaged or cut short"),
    "no members": (zipped({}), "holds no exported program"),
    "torch.save": (zipped({"net/data.pkl": b"", "net/version": b"3"}), "is what torch.save wrote"),
    "TorchScript": (
        zipped({"net/data.pkl": b"", "net/constants.pkl": b"", "net/code/a": b""}),
        "TorchScript",
    ),
    "2.7": (zipped({"serialized_exported_program.json": b"{}", "version": b"8"}), "PyTorch 2.7 or older"),
    "compiled": (zipped({"net/data/aotinductor/model/a.so": b""}), "holds no exported program"),
    "no weights": (zipped({"net/models/model.json": b"{}"}), "is not an exported program"),
    "no JSON": (pack(program(), **{"models/model.json": b"{"}), "is not an exported program"),
    "a list": (pack([]), "holds a damaged exported program"),
    "no graph": (pack({}), "holds a damaged exported program"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_files(refused: Any, kind: str) -> None:
    refused(*OTHER[kind])


def test_a_pickle_is_not_opened(refused: Any, trap: Path) -> None:
    refused(pickle.dumps(Bomb(trap)), "is a pickle, which may run any code")


@pytest.mark.parametrize("folder", ["weights", "constants"])
@pytest.mark.parametrize(
    ("name", "pickled"),
    [("weight_0", True), ("tensor_0", True), ("opaque_obj_0", False), ("custom_obj_0", True)],
)
def test_pickled_tensors_are_not_opened(
    refused: Any, trap: Path, folder: str, name: str, pickled: bool
) -> None:
    entry = {"path_name": name, "is_param": False, "use_pickle": pickled, "tensor_meta": tensor(1)}
    members = {
        f"data/{folder}/model_{folder}_config.json": json.dumps({"config": {"w": entry}}),
        f"data/{folder}/{name}": pickle.dumps(Bomb(trap)),
    }
    refused(pack(program(), **members), "holds pickled objects, which may run any code")


def test_weights_elsewhere(refused: Any) -> None:
    meta = tensor(1) | {"device": {"type": "cuda", "index": 0}}
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta}
    table = {"data/weights/model_weights_config.json": json.dumps({"config": {"w": entry}})}
    refused(pack(program(), **table), "call model.cpu()")


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({"x": tensor(1, 3, 2, 2), "k": tensor(1)}, "has x float32[1x3x2x2], k float32[1]; export it with"),
        ({"x": tensor("s77", 3, 2, 2)}, "has sizes that are not fixed"),
        (
            {"x": tensor(1, 3, "s77", 2)},
            "its image has no fixed size: x float32[1x3x?x2]; set preprocess.crop",
        ),
        ({"x": tensor(8, 3, 2, 2)}, "takes several images at once: x float32[8x3x2x2]"),
        ({"x": tensor(1, 3, 2, 2, dtype=5)}, "its input is x int64[1x3x2x2]"),
        ({"x": tensor(1, 3, 2, 2, dtype=6)}, "its input is x float16[1x3x2x2]"),
        ({"x": tensor(1, 12)}, "its input is x float32[1x12]"),
        ({"y": tensor(1, 3, 2, 2)}, "its output is y float32[1x3x2x2]"),
        ({"y": tensor(1, 12, dtype=5)}, "its output is y int64[1x12]"),
        ({"z": tensor("print()", 1)}, "has sizes that are not fixed"),
    ],
)
def test_not_one_image_or_no_scores(refused: Any, tensors: Any, text: str) -> None:
    refused(pack(program(**tensors)), text)


def test_no_input(refused: Any) -> None:
    content = program()
    content["graph_module"]["signature"]["input_specs"] = []
    refused(pack(content), "must have one input, the image, but has none")


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([{"user_output": {"arg": named("y")}}] * 2, "scores: y float32[1x12], y float32[1x12]; export"),
        ([{"user_output": {"arg": {"as_none": True}}}], "its output is none"),
        ([], "is not an image classifier: its output is none"),
        ([{"user_input_mutation": {"arg": {"name": "y"}, "user_input_name": "x"}}], "inplace=False"),
        ([{"buffer_mutation": {"arg": {"name": "y"}, "buffer_name": "b"}}], "call model.eval()"),
    ],
)
def test_other_outputs(refused: Any, specs: Any, text: str) -> None:
    content = program()
    content["graph_module"]["signature"]["output_specs"] = specs
    refused(pack(content), text)


def test_training_mode(refused: Any) -> None:
    drop = node("aten.dropout.default", input=named("x"), p={"as_float": 0.5}, train={"as_bool": True})
    refused(pack(program(drop, FLATTEN)), "call model.eval() before torch.export.export")


@pytest.mark.parametrize("kind", ["as_graph", "as_operator", "as_custom_obj", "as_sym_int", "as_complex"])
def test_arguments_that_are_more_than_they_seem(refused: Any, kind: str) -> None:
    refused(pack(program(node("aten.flatten.using_ints", self={kind: "print()"}))), f"objects ({kind})")


def test_names_that_are_code(refused: Any, trap: Path) -> None:
    evil = f"y = open({str(trap)!r}, 'w')"
    content = program(FLATTEN | {"name": evil, "outputs": [named(evil)]}, **{evil: tensor(1, 12)})
    content["graph_module"]["signature"] = program()["graph_module"]["signature"]
    refused(pack(content), "holds a damaged exported program")
    buffer = {"buffer": {"arg": {"name": "b"}, "buffer_name": f'b"{evil}', "persistent": True}}
    content = program()
    content["graph_module"]["signature"]["input_specs"].append(buffer)
    refused(pack(content), "holds a damaged exported program")


@needs_torch
@pytest.mark.parametrize(
    "target",
    [
        "aten.from_file.default",
        "aten.save.default",
        "aten.flatten.using_ints.__globals__",
        "my_lab.blur.default",
    ],
)
def test_unsupported_operators(refused: Any, target: str) -> None:
    content = program(node(target, self=named("x")), FLATTEN)
    refused(pack(content), f"importer does not support: {target}; export")


@needs_torch
@pytest.mark.parametrize("target", ["torch.load", "os.system", "#foreign:op", "math.sin", "_operator.add"])
def test_functions_that_are_no_operators(refused: Any, target: str) -> None:
    content = program(node("aten.relu.default", self=named("x")) | {"target": target}, FLATTEN)
    refused(pack(content), f"importer does not support: {target}; export")


@needs_torch
def test_a_program_of_another_release(refused: Any, capfd: pytest.CaptureFixture[str]) -> None:
    change = {"schema_version": {"major": 99, "minor": 1}, "torch_version": "9.1"}
    refused(pack(program() | change), "was exported with PyTorch 9.1, and PyTorch")
    assert capfd.readouterr() == ("", "")


@needs_torch
def test_a_program_that_does_not_fit_together(refused: Any, capfd: pytest.CaptureFixture[str]) -> None:
    refused(pack(program(node("aten.relu.default", self=named("nowhere")))), "cannot load it (")
    assert capfd.readouterr() == ("", "")


@needs_torch
def test_text_that_would_be_run_is_left_out(write: Write, trap: Path) -> None:
    """The program is sound, all around it is hostile: it loads and computes, nothing else happens."""
    evil = f"open({str(trap)!r}, 'w')"
    content = program(FLATTEN | {"metadata": {"stack_trace": f"\r{evil}", "source_fn_stack": f"y,{evil}"}})
    parts = content["graph_module"]
    factory = {"default_factory_module": "this", "default_factory_name": "s", "dict_context": []}
    spec = {"type": "collections.defaultdict", "context": json.dumps(factory), "children_spec": []}
    call = {"in_spec": json.dumps([1, spec]), "out_spec": json.dumps([1, spec]), "inputs": [], "outputs": []}
    parts["module_call_graph"] = [{"fqn": "", "signature": call}]
    content["guards_code"] = [evil]
    content["range_constraints"] = {evil: {"min_val": 0, "max_val": 1}}
    loaded = PyTorch().load(
        write(pack(content, **{"data/sample_inputs/model.pt": pickle.dumps(Bomb(trap)), "extra/a": evil}))
    )
    assert_flattens(loaded)
    assert "this" not in sys.modules


def assert_flattens(model: Model) -> None:
    images = np.random.default_rng(1).random((2, 3, 2, 2), np.float32)
    np.testing.assert_array_equal(PyTorch().reference(model, images), images.reshape(2, 12))


@needs_torch
def test_reference_of_a_changed_file(write: Write) -> None:
    model = PyTorch().load(write(pack(program())))
    write(pack(program(), **{"extra/note": b""}))
    with pytest.raises(InputError, match="has changed since it was imported"):
        PyTorch().reference(model, np.zeros((1, 3, 2, 2), np.float32))
