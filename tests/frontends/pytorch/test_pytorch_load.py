"""What is imported from PyTorch computes what PyTorch computes, in a form fit for mutation."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import CATEGORIES, InputError, Layer, Model, TensorSpec, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.testing import check_frontend
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends._pytorch.autocast import WRAPPED, inlined
from mutatenn_frontends.pytorch import PyTorch

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn


class Net(nn.Module):  # type: ignore[name-defined,misc]
    """A small classifier of digits, not trained, every layer at work."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8))
        self.pool, self.drop, self.head = nn.MaxPool2d(2), nn.Dropout(), nn.Linear(128, 10)

    def forward(self, image: Any) -> Any:
        hidden = self.stem(image)
        hidden = nn.functional.relu6(self.deep(hidden), inplace=True) + hidden
        return self.head(self.drop(self.pool(hidden).flatten(1)))


def network() -> Any:
    torch.manual_seed(3)
    net = Net().eval()
    for norm in (net.stem[1], net.deep[1]):
        nn.init.normal_(norm.running_mean, std=0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
    nn.init.normal_(net.head.weight, std=0.5)
    return net


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Export a module, by default for one image of a digit, to a file."""

    def to_file(module: Any, *images: Any, **options: Any) -> Path:
        path = tmp_path / "net.pt2"
        program = torch.export.export(module, images or (torch.rand(1, 1, 8, 8),), **options)
        torch.export.save(program, path)
        return path

    return to_file


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("digits") / "net.pt2"
    torch.export.save(torch.export.export(network(), (torch.rand(1, 1, 8, 8),)), path)
    return path


def images(*shape: int) -> Any:
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def execute(model: Model, given: Any) -> Any:
    """Compile with TVM's own defaults and run image by image."""
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    return np.concatenate(
        [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in given]
    )


def agree(path: Path, module: Any) -> Model:
    """Check that compiled model, reference and module agree on two images; return the model."""
    model = PyTorch().load(path)
    given = images(2, *model.input.shape[1:])
    with torch.no_grad():
        expected = np.concatenate(
            [module(torch.from_numpy(image[np.newaxis].copy())).numpy() for image in given]
        )
    assert np.unique(expected).size > expected.size // 4  # saturated scores always agree
    reference = PyTorch().reference(model, given)
    assert reference.dtype == np.float32
    np.testing.assert_allclose(reference, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(execute(model, given), expected, rtol=1e-5, atol=1e-5)
    return model


def test_model(digits: Path, calls: Any) -> None:
    model = agree(digits, network())
    assert model.name == "net"
    assert model.input == TensorSpec("image", (1, 1, 8, 8))
    assert model.output == TensorSpec("linear", (1, 10))
    assert model.digest == sha256(digits.read_bytes()).hexdigest()
    assert [len(function.params) for function in model.module.functions.values()] == [1]
    found = calls(model)
    assert (found["nn.conv2d"], found["nn.batch_norm"], found["clip"]) == (2, 2, 1)
    assert (found["permute_dims"], found["matmul"]) == (1, 1)
    last = model.module["main"].body.blocks[0].bindings[-1].value
    assert last.op.name == "relax.add"
    assert isinstance(last.args[1], ir.tvm.ir.GenericConst)
    assert not {"nn.dropout", "zeros_like", "rsqrt"} & set(found)


def test_it_keeps_its_promises(digits: Path) -> None:
    check_frontend(PyTorch, digits, images(3, 1, 8, 8))


def test_layers_are_modules_by_their_paths(tmp_path: Path) -> None:
    class Block(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(1, 1, 3, padding=1), nn.Hardswish()

        def forward(self, image: Any) -> Any:
            return image + self.act(self.conv(image))

    path = tmp_path / "net.pt2"
    whole = nn.Sequential(nn.Sequential(Block(), Block()), nn.Flatten(), nn.Linear(64, 10)).eval()
    torch.export.save(torch.export.export(whole, (torch.rand(1, 1, 8, 8),)), path)
    toolchain = Toolchain(PyTorch().load(path), Llvm(), Profile("basic"))
    assert toolchain.model_layers == (
        Layer("0.0.conv", "Conv2d"),
        Layer("0.0.act", "Hardswish"),
        Layer("0.0.add", "add"),
        Layer("0.1.conv", "Conv2d"),
        Layer("0.1.act", "Hardswish"),
        Layer("0.1.add", "add"),
        Layer("1", "Flatten"),
        Layer("2", "Linear"),
    )
    assert all(len(call.layers) == 1 for call in toolchain.program.calls)


def test_names_of_layers_hold_nothing_else(tmp_path: Path, digits: Path) -> None:
    """PyTorch writes parts of its metadata into code: of a file, only letters, digits and dots get there."""
    path, evil = tmp_path / "net.pt2", "L,x;y,__import__('os')"
    with zipfile.ZipFile(digits) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("models/model.json"):
                program = json.loads(content)
                for node in program["graph_module"]["graph"]["nodes"]:
                    node["metadata"] = {"nn_module_stack": f"k,{evil!r},c d.e f", "stack_trace": evil}
                content = json.dumps(program).encode()
            new.writestr(name, content)
    told = Toolchain(PyTorch().load(path), Llvm(), Profile()).model_layers
    assert told
    assert all(re.fullmatch(r"[\w.-]+", text) for layer in told for text in (layer.name, layer.type))


def test_a_dead_branch_goes(save: Any, calls: Any) -> None:
    class Branches(nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, image: Any) -> Any:
            torch.exp(image)
            return image.flatten(1)

    assert set(calls(PyTorch().load(save(Branches())))) == {"reshape"}


class Wrapped(nn.Module):  # type: ignore[name-defined,misc]
    """Takes its image by keyword and returns its scores in a dictionary."""

    def forward(self, *, image: Any) -> Any:
        return {"scores": [image.flatten(1)]}


def test_structures_around_the_tensors_go(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    program = torch.export.export(Wrapped(), (), {"image": torch.rand(1, 1, 8, 8)})
    torch.export.save(program, path)
    agree(path, nn.Flatten())


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(3, 2, padding=1),
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
        nn.AdaptiveAvgPool2d(2),
        nn.AdaptiveAvgPool2d((3, 12)),  # windows that overlap, and more of them than pixels
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Hardswish(inplace=True),
        nn.SiLU(),
        nn.GELU(),
        nn.LayerNorm(8),
        nn.Softmax(dim=3),
        nn.Conv2d(1, 2, 3, bias=False).to(memory_format=torch.channels_last),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers(save: Any, layer: Any) -> None:
    module = nn.Sequential(layer, nn.Flatten()).eval()
    agree(save(module), module)


class Shuffled(nn.Module):  # type: ignore[name-defined,misc]
    """Works on half of the channels, then shuffles the two halves, as ShuffleNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.work, self.drop = nn.Conv2d(1, 6, 3), nn.Conv2d(3, 3, 3, padding=1), nn.Dropout()

    def forward(self, image: Any) -> Any:
        kept, worked = self.entry(image).chunk(2, dim=1)
        both = torch.cat((kept, self.work(worked)), dim=1)
        batch, channels, height, width = both.shape
        pairs = both.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return self.drop(pairs.view(batch, channels, height, width)).flatten(1)


def test_channels_that_are_split_and_shuffled(save: Any, calls: Any) -> None:
    torch.manual_seed(3)
    found = calls(agree(save(module := Shuffled().eval()), module))
    assert (found["split"], found["concat"], found["permute_dims"]) == (1, 1, 1)
    assert set(found) == {"nn.conv2d", "add", "reshape", "split", "concat", "permute_dims"}


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of PyTorch's own code
def test_a_program_that_was_decomposed_before(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    module = nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(inplace=True), nn.Flatten()).eval()
    torch.export.save(torch.export.export(module, (torch.rand(1, 1, 8, 8),)).run_decompositions(), path)
    agree(path, module)


def test_constants_and_shared_weights(save: Any) -> None:
    class Shared(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.one = self.two = nn.Linear(64, 64)

        def forward(self, image: Any) -> Any:
            return self.two(self.one(image.flatten(1))) * torch.tensor([1.0, -2.0]).repeat(32)

    agree(save(module := Shared()), module)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()), "call model.eval()"),
        (nn.Sequential(nn.Dropout(), nn.Flatten()), "call model.eval()"),
        (nn.Flatten(0), "its output is"),
        (nn.Conv2d(1, 1, 3), "its output is"),
    ],
)
def test_modules_that_do_not_classify(save: Any, module: Any, text: str) -> None:
    with pytest.raises(InputError, match=text.replace("(", r"\(").replace(")", r"\)")):
        PyTorch().load(save(module))


class Heads(nn.Module):  # type: ignore[name-defined,misc]
    """Returns logits, probabilities, one probability, a number of images and nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem, self.mix = nn.Conv2d(3, 8, 3), nn.MultiheadAttention(8, 2, batch_first=True)
        self.many, self.one = nn.Linear(8, 5), nn.Linear(8, 1)

    def forward(self, image: Any) -> Any:
        batch = image.shape[0]
        rows = self.stem(image).relu().flatten(2).transpose(1, 2).reshape(batch * 2, -1, 8)
        mixed = self.mix(rows, rows, rows)[0].reshape(batch, -1, 8).mean(1)
        many = self.many(mixed)
        return many, many.softmax(1), self.one(mixed).sigmoid().squeeze(1), batch, None


@pytest.fixture
def open_sizes(save: Any) -> Path:
    dim = torch.export.Dim
    sizes = {0: dim("batch"), 2: 2 * dim("half", min=3, max=50), 3: dim("width", min=5, max=100)}
    path: Path = save(Heads().eval(), torch.rand(2, 3, 8, 9), dynamic_shapes=(sizes,))
    return path


@pytest.mark.parametrize(("output", "place"), [("linear_2", 0), ("softmax_1", 1), ("squeeze_1", 2)])
def test_sizes_and_scores_that_are_left_open(open_sizes: Path, output: str, place: int) -> None:
    frontend = PyTorch(size=(10, 7), output=output)
    model = frontend.load(open_sizes)
    assert model.input.shape == (1, 3, 10, 7)
    assert model.output == TensorSpec(output, (1, 1 if place == 2 else 5))
    given = images(3, 3, 10, 7)
    with torch.no_grad():
        expected = Heads().eval()(torch.from_numpy(given))[place].numpy().reshape(3, -1)
    np.testing.assert_allclose(frontend.reference(model, given), expected, atol=1e-6)
    np.testing.assert_allclose(execute(model, given), expected, atol=1e-5)


def test_what_is_open_is_asked_for(open_sizes: Path) -> None:
    with pytest.raises(
        InputError, match=r"float32\[1x3x\?x\?\]; set preprocess\.crop to its height and width"
    ):
        PyTorch().load(open_sizes)
    with pytest.raises(InputError, match=r"scores: linear_2 .*, or set the option output to one of them"):
        PyTorch(size=(8, 8)).load(open_sizes)
    with pytest.raises(
        InputError, match=r"has no output 'x'; set model\.options\.output to one of linear_2, s"
    ):
        PyTorch(size=(8, 8), output="x").load(open_sizes)


def test_an_operator_that_only_its_decomposition_shows(save: Any) -> None:
    class Waves(nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, image: Any) -> Any:
            return torch.fft.fft(image).abs().flatten(1)

    with pytest.raises(InputError, match=r"does not support: aten\._fft_r2c\.default; export"):
        PyTorch().load(save(Waves()))


def test_other_files_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    for options, text in (({}, "is what torch.save wrote"), ({OLD: False}, "is a pickle")):
        torch.save(network().state_dict(), path, **options)
        with pytest.raises(InputError, match=text):
            PyTorch().load(path)


OLD = "_use_new_zipfile_serialization"


def test_the_number_of_threads_is_put_back(digits: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    PyTorch().reference(PyTorch().load(digits), images(1, 1, 8, 8))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_campaign(digits: Path) -> None:
    """The engine's outputs are PyTorch's, and operators of every category find their sites."""
    lines = ['name = "net"', "[model]", 'path = "net.pt2"', "[preprocess]", "mean = 127.5", "std = 127.5"]
    lines += ["[dataset]", 'images = "mutatenn:digits/[0-9]_00*.png"', "limit = 8"]
    for category in CATEGORIES:
        lines += ["[[mutations]]", f'operator = "{category}"', "sites = { sample = 1 }"]
    file = digits.with_name("net.toml")
    file.write_text("\n".join(lines))
    run = mutatenn.run(file, digits.with_name("run"))
    baseline = run.baselines["cpu"]
    assert baseline.problems == ()
    assert baseline.reference_labels == baseline.images == 8
    assert baseline.reference_difference < 1e-5 * (baseline.reference_spread or 1)
    assert {record.category for record in run.mutants} == set(CATEGORIES)
    verdicts = {record.verdicts["cpu"].status for record in run.mutants}
    assert "killed" in verdicts
    assert verdicts <= {"killed", "survived", "never-infected", "out-of-bounds", "unstable", "equivalent"}


class Standardised(nn.Module):  # type: ignore[name-defined,misc]
    """Normalises weights, and the image, by their own statistics: the same in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.weight, self.gain = nn.Parameter(torch.randn(4, 1, 3, 3)), nn.Parameter(torch.rand(4) + 0.5)

    def forward(self, image: Any) -> Any:
        image = torch.batch_norm(image, None, None, None, None, True, 0.0, 1e-5, False)
        rows = self.weight.reshape(1, 4, -1)
        rows = torch.batch_norm(rows, self.gain, self.gain, None, None, True, 0.0, 1e-5, False)
        return nn.functional.conv2d(image, rows.reshape(4, 1, 3, 3)).amax((2, 3))


def test_normalisation_that_keeps_no_statistics(save: Any) -> None:
    agree(save(module := Standardised().eval()), module)


@pytest.mark.parametrize("on", [False, True])
def test_blocks_without_autocast_are_what_is_in_them(save: Any, on: bool) -> None:
    class Blocks(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, image: Any) -> Any:
            first = self.conv(image)
            with torch.autocast("cpu", enabled=on):
                double = first.to(torch.float32) * 2
                with torch.autocast("cpu", enabled=False):
                    both = double + first
            with torch.autocast("cpu", enabled=False):
                last = both.relu()
            return (last * double).mean((2, 3))

    path = save(module := Blocks().eval())
    if on:
        with pytest.raises(InputError, match=r"\(as_graph\)"):
            PyTorch().load(path)
    else:
        agree(path, module)


@pytest.mark.parametrize("taken", [False, True])
def test_a_block_whose_values_would_get_names_that_are_taken_stays(taken: bool) -> None:
    def tensor(name: str) -> dict[str, Any]:
        return {"as_tensor": {"name": name}}

    def call(target: str, arguments: list[Any], result: str) -> dict[str, Any]:
        inputs = [{"name": "", "arg": each} for each in arguments]
        return {"target": target, "inputs": inputs, "outputs": [tensor(result)], "name": result}

    inner = {
        "inputs": [tensor("x")],
        "outputs": [tensor("last")],
        "nodes": [call("relu", [tensor("x")], "first"), call("exp", [tensor("first")], "last")],
        "tensor_values": {"x": 0, "first": 1, "last": 2},
    }
    off = [{"as_string": "cpu"}, {"as_none": True}, {"as_bool": False}, {"as_bool": False}]
    block = call(WRAPPED, [*off, {"as_graph": {"name": "s", "graph": inner}}, tensor("image")], "scores")
    values = {"image": 3, "scores": 4} | ({"scores_first": 5} if taken else {})
    found = inlined({"nodes": [block], "tensor_values": values})
    if taken:
        assert found == {"nodes": [block], "tensor_values": values}
        return
    results = [node["outputs"][0]["as_tensor"]["name"] for node in found["nodes"]]
    given = [node["inputs"][0]["arg"]["as_tensor"]["name"] for node in found["nodes"]]
    assert (results, given) == (["scores_first", "scores"], ["image", "scores_first"])
    assert found["tensor_values"] == {"image": 3, "scores": 4, "scores_first": 1}
