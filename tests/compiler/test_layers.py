"""The layers of the user's network are told of every kernel, whatever passes make of the graph."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mutatenn import Layer, LayerNotes, Model, TensorSpec, ir, rename_layers
from mutatenn.compiler.profiles import PROFILES, Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from random_nets import draw

DIGITS = Path(str(files("mutatenn") / "data" / "digits.onnx"))


def names(toolchain: Toolchain) -> list[list[str]]:
    return [[layer.name for layer in call.layers] for call in toolchain.program.calls]


def lower(module: Any, profile: Profile | None = None) -> Toolchain:
    types = module["main"].params[0].ty, module["main"].ret_ty
    image, scores = (TensorSpec("x", tuple(map(int, each.shape))) for each in types)
    model = Model("m", Path("m"), "d", module, image, scores)
    return Toolchain(model, Llvm(), profile or Profile())


def chain(*layers: tuple[Any, str], shape: tuple[int, ...] = (1, 8)) -> Any:
    """Return a module of operators one after the other, each a layer of its own."""
    builder, notes = ir.relax.BlockBuilder(), LayerNotes()
    value: Any = ir.relax.Var("x", ir.relax.TensorType(shape, "float32"))
    with builder.function("main", [value]):
        with builder.dataflow():
            for make, name in layers:
                value = builder.emit(make(value))
                notes.note(builder, value, Layer(name, "Test"))
            result = builder.emit_output(value)
        builder.emit_func_output(result)
    return notes.write(builder.get())


def product(seed: int) -> Any:
    weights = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
    return lambda value: ir.relax.op.matmul(value, ir.relax.const(weights))


def test_without_fusion_every_kernel_is_of_its_node() -> None:
    toolchain = Toolchain(Onnx().load(DIGITS), Llvm(), Profile("basic"))
    nodes = [node.name for node in onnx.load(DIGITS).graph.node]
    told = [found for (found,) in names(toolchain)]
    assert list(dict.fromkeys(told)) == [name for name in nodes if name in told]
    assert {"block1/conv", "block2/bn_depthwise", "pool", "head/dense", "head/softmax"} <= {*told}
    kinds = {layer.name: layer.type for call in toolchain.program.calls for layer in call.layers}
    assert all(
        kinds[node.name] == node.op_type for node in onnx.load(DIGITS).graph.node if node.name in kinds
    )


def test_fused_kernels_are_of_all_they_fuse() -> None:
    told = names(Toolchain(Onnx().load(DIGITS), Llvm(), Profile()))
    assert told[0] == ["block1/conv", "block1/bn", "block1/relu"]
    assert told[2] == ["block2/conv_pointwise", "block2/bn_pointwise", "block2/add", "block2/relu"]
    assert told[-2:] == [["head/dense"], ["head/softmax"]]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(6))
def test_every_kernel_of_random_networks_is_of_some_node(profile: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    proto = draw(seed)
    onnx.save(proto, path)
    toolchain = Toolchain(Onnx().load(path), Llvm(), Profile(profile))
    known = {node.name or node.output[0] for node in proto.graph.node}
    assert all(found and {*found} <= known for found in names(toolchain))


def test_a_kernel_that_several_places_use_is_of_all_of_them() -> None:
    relu = ir.relax.op.nn.relu
    toolchain = lower(chain((product(0), "one"), (relu, "act"), (product(1), "two"), (relu, "again")))
    assert names(toolchain) == [["one", "act"], ["two", "again"]]
    (unit,) = toolchain.units
    assert [layer.name for layer in toolchain.layers(unit)] == ["one", "act", "two", "again"]


def test_parallel_products_that_become_one() -> None:
    def attention(value: Any) -> Any:
        return [product(seed)(value) for seed in range(2)]

    builder, notes = ir.relax.BlockBuilder(), LayerNotes()
    image = ir.relax.Var("x", ir.relax.TensorType((1, 8), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            query, key = (builder.emit(each) for each in attention(image))
            notes.note(builder, query, Layer("query"))
            notes.note(builder, key, Layer("key"))
            total = builder.emit(ir.relax.op.multiply(query, key))
            notes.note(builder, total, Layer("total"))
            result = builder.emit_output(total)
        builder.emit_func_output(result)
    toolchain = lower(notes.write(builder.get()), Profile("basic", on=("CombineParallelMatmul",)))
    told = names(toolchain)
    assert {"query", "key"} <= {name for found in told[:-1] for name in found}
    assert told[-1] == ["total"]
    assert all(told)


def test_sites_of_the_graph_are_of_the_layer_of_their_variable() -> None:
    toolchain = lower(chain((ir.relax.op.nn.relu, "act"), (product(0), "fc")))
    variables = [binding.var.name for binding in toolchain.model.module["main"].body.blocks[0].bindings]
    assert [toolchain.layers("main", f"{name} = R.x(y)") for name in variables[:2]] == [
        (Layer("act", "Test"),),
        (Layer("fc", "Test"),),
    ]
    assert toolchain.layers("main", "whatever else") == ()


def test_what_nobody_noted_has_no_layers() -> None:
    builder = ir.relax.BlockBuilder()
    image = ir.relax.Var("x", ir.relax.TensorType((1, 8), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            result = builder.emit_output(product(0)(image))
        builder.emit_func_output(result)
    toolchain = lower(builder.get())
    assert names(toolchain) == [[]]
    assert toolchain.model_layers == ()


def test_layers_change_no_code() -> None:
    relu = ir.relax.op.nn.relu
    one, other = (lower(chain((product(0), name), (relu, "act"))) for name in ("one", "other"))
    assert one.program.identity == other.program.identity


def test_renamed() -> None:
    module = rename_layers(chain((product(0), "one")), lambda layer: Layer(f"my-{layer.name}", "Dense"))
    assert lower(module).model_layers == (Layer("my-one", "Dense"),)


def test_names_that_hold_anything() -> None:
    module = chain((product(0), "a\nb\tc é"))
    assert lower(module).model_layers == (Layer("a b\tc é", "Test"),)
