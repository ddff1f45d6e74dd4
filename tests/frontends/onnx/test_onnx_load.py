"""What is imported computes what onnxruntime computes, in a form fit for mutation."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import onnx
import pytest

from mutatenn import InputError, TensorSpec, ir
from mutatenn.testing import check_frontend
from mutatenn_frontends._shared.scores import stacked
from mutatenn_frontends.onnx import Onnx, mutatenn_frontends

HEAD = "x = GlobalAveragePool(c) flat = Flatten(x) scores = MatMul(flat, fc)"
PLAIN = f"c = Conv(image, w) {HEAD}"
NORM = {name: np.linspace(0.5, 1.5, 4, dtype=np.float32) for name in ("scale", "bias", "mean", "var")}


def test_contribution() -> None:
    assert mutatenn_frontends() == (Onnx,)
    assert (Onnx.name, Onnx.suffixes) == ("onnx", (".onnx",))


def test_it_keeps_its_promises(write: Any, build: Any) -> None:
    images = np.random.default_rng(5).uniform(-1, 1, (3, 3, 8, 8))
    check_frontend(Onnx, write(build(PLAIN)), images)


def test_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, mutatenn_frontends.onnx; print({'onnx', 'onnxruntime', 'tvm'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_model(load: Any, build: Any, agree: Any) -> None:
    proto = build(PLAIN)
    model = load(proto)
    assert model.name == "net"
    assert model.input == TensorSpec("image", (1, 3, 8, 8))
    assert model.output == TensorSpec("scores", (1, 5))
    assert model.digest == sha256(proto.SerializeToString()).hexdigest()
    agree(model)


@pytest.mark.parametrize("batch", ["N", "8"])
def test_batch_becomes_one(load: Any, build: Any, agree: Any, batch: str) -> None:
    model = load(build(PLAIN, f"float[{batch},3,8,8] image", f"float[{batch},5] scores"))
    assert model.input.shape == (1, 3, 8, 8)
    agree(model)


def test_batch_without_a_name_becomes_one(load: Any, build: Any, agree: Any) -> None:
    proto = build(PLAIN, "float[N,3,8,8] image", "float[N,5] scores")
    proto.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    agree(load(proto))


def test_noted_shapes_of_another_batch_do_not_matter(load: Any, build: Any, agree: Any) -> None:
    proto = build(PLAIN, "float[8,3,8,8] image", "float[8,5] scores")
    agree(load(onnx.shape_inference.infer_shapes(proto)))


SIZES = {
    "gather": "z = Shape(x) n = Gather(z, first) size = Concat<axis=0>(n, rest)",
    "slice": "z = Shape<start=0, end=1>(x) size = Concat<axis=0>(z, rest)",
    "tf2onnx": """
        z = Shape(x) i = Cast<to=6>(z) k = Slice(i, first, one) n = Squeeze(k, first)
        u = Unsqueeze(n, first) v = Cast<to=7>(u) size = Concat<axis=0>(v, rest)
    """,
    "split": """
        k = Constant<value_ints=[1, 3]>() z = Shape(x) n, m = Split(z, k) size = Concat<axis=0>(n, rest)
    """,
    "product": "z = Shape(x) n = Slice(z, one, four) p = ReduceProd(n) size = Concat<axis=0>(one, p)",
    "twice": "y = Reshape(x, again) z = Shape(y) n = Gather(z, first) size = Concat<axis=0>(n, rest)",
}


@pytest.mark.parametrize("kind", SIZES)
def test_sizes_computed_from_shapes(load: Any, build: Any, agree: Any, kind: str) -> None:
    body = f"c = Conv(image, w) x = GlobalAveragePool(c) {SIZES[kind]} flat = Reshape(x, size)"
    numbers = {"first": [0], "one": [1], "four": [4], "rest": [-1], "again": [-1, 2, 2]}
    arrays = {name: np.array(values, np.int64) for name, values in numbers.items()}
    proto = build(f"{body} scores = MatMul(flat, fc)", "float[N,3,8,8] image", "float[N,5] scores", **arrays)
    agree(load(proto))


@pytest.mark.parametrize("value", ["value = float {2.0}", "value_float = 2.0", "value_floats = [2.0]"])
def test_constants(load: Any, build: Any, agree: Any, value: str) -> None:
    agree(load(build(f"k = Constant<{value}>() d = Conv(image, w) c = Mul(d, k) {HEAD}")))


def test_control_flow(load: Any, build: Any, agree: Any) -> None:
    then, other = (
        f"net () => (float[1,4,6,6] {name}) {{ {name} = {operator}(d) }}"
        for name, operator in (("p", "Relu"), ("q", "Neg"))
    )
    body = f"d = Conv(image, w) c = If(yes)<then_branch = {then}, else_branch = {other}> {HEAD}"
    agree(load(build(body, yes=np.array(True))))


def test_weights_listed_as_inputs(
    load: Any, build: Any, agree: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load(build(PLAIN, "float[4,3,3,3] w, float[1,3,8,8] image, float[4,5] fc"))
    assert model.input.name == "image"
    assert len(model.module["main"].params) == 1
    agree(model)
    assert capfd.readouterr() == ("", "")


LAST = {"1,4,1,1": "Softmax<axis=1>", "1,1,1,4": "Transpose<perm=[0,2,3,1]>"}


@pytest.mark.parametrize("shape", LAST)
def test_scores_are_flattened(load: Any, build: Any, agree: Any, calls: Any, shape: str) -> None:
    body = f"c = Conv(image, w) x = GlobalAveragePool(c) scores = {LAST[shape]}(x)"
    model = load(build(body, scores=f"float[{shape}] scores"))
    assert model.output == TensorSpec("scores", (1, 4))
    assert calls(model)["reshape"] == 1
    assert calls(model)["astype"] == 0
    agree(model)


@pytest.mark.parametrize("order", ["scores, float[1,4,6,6] c", "c, float[1,5] scores"])
def test_the_only_classifier_among_the_outputs(load: Any, build: Any, agree: Any, order: str) -> None:
    first = "float[1,5] " if order.startswith("scores") else "float[1,4,6,6] "
    model = load(build(PLAIN, scores=first + order))
    assert model.output == TensorSpec("scores", (1, 5))
    agree(model)


@pytest.mark.parametrize("kind", ["float16", "uint8"])
def test_other_image_types(load: Any, build: Any, agree: Any, kind: str) -> None:
    body = f"f = Cast<to=1>(image) c = Conv(f, w) {HEAD}"
    model = load(build(body, f"{kind}[1,3,8,8] image"))
    assert model.input.dtype == kind
    images = np.random.default_rng(1).integers(0, 255, (2, 3, 8, 8)).astype(kind)
    agree(model, images)


def test_half_precision_scores_become_float32(load: Any, build: Any) -> None:
    body = PLAIN.replace("scores =", "s =") + " scores = Cast<to=10>(s)"
    model = load(build(body, scores="float16[1,5] scores"))
    assert model.output.dtype == "float32"
    assert model.module["main"].ret_ty.dtype == "float32"


@pytest.mark.parametrize(
    "operator",
    [
        "LRN<size=3>(d)",
        "AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(d)",
        "AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(d)",
        "MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(d)",
        "HardSwish(d)",
    ],
)
def test_operators(load: Any, build: Any, agree: Any, operator: str) -> None:
    agree(load(build(f"d = Conv(image, w) c = {operator} {HEAD}")))


def test_batch_norm_stays(load: Any, build: Any, agree: Any, calls: Any) -> None:
    model = load(
        build(f"d = Conv(image, w) c = BatchNormalization(d, scale, bias, mean, var) {HEAD}", **NORM)
    )
    assert calls(model)["nn.batch_norm"] == 1
    agree(model)


def test_dead_code_goes(load: Any, build: Any, calls: Any) -> None:
    assert calls(load(build(f"{PLAIN} unused = Exp(c) more = Relu(unused)")))["exp"] == 0


@pytest.mark.parametrize("opset", [6, 7, 12])
def test_dropout_vanishes(load: Any, build: Any, calls: Any, opset: int) -> None:
    body = f"d = Conv(image, w) c = Dropout(d) {HEAD}"
    assert calls(load(build(body, opset=opset))) == calls(load(build(PLAIN, opset=opset)))


@pytest.mark.parametrize("operator", ["Sum", "Max", "Min", "Mean"])
def test_several_operands_are_taken_in_pairs(
    load: Any, build: Any, calls: Any, agree: Any, operator: str
) -> None:
    """Broadcast against each other, one of them twice; and constants alone, or one operand."""
    body = f"d = Conv(image, w) e = {operator}(d, half, d, row) g = {operator}(half, row) h = {operator}(e)"
    weights = {"half": np.float32(0.5), "row": np.linspace(-1, 1, 6, dtype=np.float32)}
    model = load(build(f"{body} c = Mul(h, g) {HEAD}", **weights))
    found = calls(model)
    pairwise = {"Sum": "add", "Mean": "add", "Max": "maximum", "Min": "minimum"}[operator]
    assert found[pairwise] == 3
    assert not {"stack", "broadcast_to"} & set(found)
    agree(model)


def test_dropout_mask_is_all_true(load: Any, build: Any, agree: Any) -> None:
    body = f"d = Conv(image, w) e, mask = Dropout(d) f = Cast<to=1>(mask) c = Mul(e, f) {HEAD}"
    agree(load(build(body, opset=13)))


@pytest.mark.parametrize("opset", [6, 11, 12, 13])
def test_relu6_is_one_clip(load: Any, build: Any, agree: Any, calls: Any, opset: int) -> None:
    clip = "Clip<min=0.0, max=6.0>(d)" if opset < 11 else "Clip(d, low, high)"
    proto = build(f"d = Conv(image, w) c = {clip} {HEAD}", opset=opset, low=np.float32(0), high=np.float32(6))
    found = calls(model := load(proto))
    assert found["clip"] == 1
    assert not {"isnan", "where", "call_tir"} & set(found)
    agree(model, np.random.default_rng(2).uniform(-2, 2, (2, 3, 8, 8)).astype(np.float32))


CLIPS = {"d, low": 1, "d, , high": 1, "d, nan, high": 1, "d": 0, "d, nan": 0, "d, computed": 0}


@pytest.mark.parametrize("bounds", CLIPS)
def test_clip_bounds(load: Any, build: Any, agree: Any, calls: Any, bounds: str) -> None:
    numbers = {"low": np.float32(0), "high": np.float32(1), "nan": np.float32(np.nan)}
    body = f"d = Conv(image, w) computed = ReduceMean<keepdims=0>(d) c = Clip({bounds}) {HEAD}"
    model = load(build(body, **numbers))
    assert calls(model)["clip"] == CLIPS[bounds]
    agree(model)


def test_the_importer_is_left_as_it_was(load: Any, build: Any) -> None:
    from tvm.relax.frontend.onnx import onnx_frontend

    original = onnx_frontend._get_convert_map
    load(build(PLAIN))
    assert onnx_frontend._get_convert_map is original
    with pytest.raises(InputError, match=r"has a MatMul \(operator set 17\) that cannot be imported"):
        load(build("c = Conv(image, w) scores = MatMul(c, fc)"))
    assert onnx_frontend._get_convert_map is original


def test_local_functions_are_inlined(write: Any, agree: Any, calls: Any, build: Any) -> None:
    proto = build(f"d = Conv(image, w) c = my.lab.Twice(d) {HEAD}", domains=', "my.lab": 1')
    proto.functions.append(
        onnx.parser.parse_function(
            '<domain: "my.lab", opset_import: ["": 17]> Twice (a) => (b) { b = Add(a, a) }'
        )
    )
    model = Onnx().load(write(proto))
    assert calls(model)["add"] == 1
    agree(model)


def test_digest_covers_external_weights(tmp_path: Path, build: Any, agree: Any) -> None:
    path, weights = tmp_path / "net.onnx", tmp_path / "weights.bin"
    onnx.save(build(PLAIN), path, save_as_external_data=True, location=weights.name, size_threshold=0)
    model = Onnx().load(path)
    agree(model)
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\x00")
    assert Onnx().load(path).digest != model.digest
    weights.write_bytes(content)
    assert Onnx().load(path).digest == model.digest


def test_onnxruntime_reports_nothing(
    load: Any, build: Any, agree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    said: list[str] = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: said.append("off"))
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *given, **named: said.append("session") or session(*given, **named),
    )
    agree(load(build(PLAIN)))
    assert said == ["off", "session"]


def test_the_reference_gives_the_shape_that_onnxruntime_does(load: Any, build: Any) -> None:
    model = load(build(PLAIN))
    other = attrs.evolve(model, output=TensorSpec(model.output.name, (1, 7)))
    assert Onnx().reference(other, np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 5)


def test_scores_of_different_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="gives 2 scores for one image and 3 for another"):
        stacked([np.zeros((1, 3)), np.zeros((1, 2))], 3)


@pytest.mark.parametrize("size", [(8, 7), pytest.param((5, 5), marks=pytest.mark.slow)])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("mode", ["SAME_LOWER", "SAME_UPPER", "VALID"])
def test_pools_that_pad_by_themselves(
    load: Any, build: Any, pool: str, mode: str, size: tuple[int, int]
) -> None:
    height, width = size
    for kernel, stride in ((3, 2), (2, 2), (3, 1), (4, 3)):
        shape = f"kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}]"
        body = f'u = {pool} <{shape}, auto_pad = "{mode}"> (image) scores = Flatten(u)'
        model = load(build(body, f"float[1,3,{height},{width}] image", "float[1,M] scores"))
        image = np.random.default_rng(5).uniform(0.1, 1, model.input.shape).astype(np.float32)
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        found = machine["main"](ir.tvm.runtime.tensor(image)).numpy()
        np.testing.assert_allclose(found, Onnx().reference(model, image), rtol=1e-5, err_msg=shape)
