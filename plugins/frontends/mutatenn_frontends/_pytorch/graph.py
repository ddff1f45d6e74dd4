"""Checks the graph of an exported program, as its file describes it; keeps what is known to be harmless.

PyTorch writes the names of a graph into Python code that it runs, evaluates symbolic sizes and guards,
imports what tree specifications name, and looks an operator up by any path: nothing of that may come from the
file unchecked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mutatenn import InputError
from mutatenn_frontends._pytorch import layers
from mutatenn_frontends._pytorch.autocast import inlined
from mutatenn_frontends._pytorch.sizes import settle
from mutatenn_frontends._shared.classifier import Classifier, Tensor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mutatenn import TensorSpec

CLASSIFIER = Classifier(options=["output"], open_size=True)
DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
"""What numbers mean in the file."""
PLAIN = {
    *("as_bool", "as_bools", "as_float", "as_floats", "as_int", "as_ints", "as_string", "as_strings"),
    *("as_none", "as_tensor", "as_tensors", "as_optional_tensor", "as_optional_tensors"),
    *("as_device", "as_layout", "as_memory_format", "as_scalar_type"),
}
"""The kinds of argument that hold no more than they seem to."""
IDENTIFIER, PATH = re.compile(r"[^\W\d]\w*"), re.compile(r"[\w.-]+")
IN_PLACE = "changes its image in place; export it with inplace=False for the first layer"
TRAINING = "was exported in training mode; call model.eval() before torch.export.export"
TENSORS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
ONE_LEAF = '{"type": null, "context": null, "children_spec": []}'
ONE_ARGUMENT = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": "builtins.tuple", '
    f'"context": "null", "children_spec": [{ONE_LEAF}]}}, {{"type": "builtins.dict", "context": "[]", '
    '"children_spec": []}]}]'
)


def check(program: Any, wanted: str = "", size: tuple[int, ...] = ()) -> tuple[Any, TensorSpec, TensorSpec]:
    """Return the program made of its checked parts alone, the image that it takes, the scores it returns.

    The image becomes the one positional argument, the scores the one result, whatever structure they were in;
    with ``wanted`` they are the output of that name. The batch becomes 1, an open height and width ``size``,
    in pixels. Operators are left to :func:`require_known`. Raises InputError.
    """
    try:
        graph, _ = _parts(program)
        program = {**program, "graph_module": {**program["graph_module"], "graph": inlined(graph)}}
        program = settle(program, (1, 0, *(size or (0, 0))))
        graph, signature = _parts(program)
        image, (place, scores) = _image(graph, signature), _scores(graph, signature, wanted)
        rebuilt = _rebuild(program, image.name, place)
        graph, signature = _parts(rebuilt)
        _require_plain(graph)
        _require_names(graph, signature)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError("holds a damaged exported program; export it again") from error
    return rebuilt, image, scores


def _parts(program: Any) -> tuple[Any, Any]:
    return program["graph_module"]["graph"], program["graph_module"]["signature"]


def _image(graph: Any, signature: Any) -> TensorSpec:
    given = [(kind, value) for kind, value in map(_only, signature["input_specs"]) if kind not in TENSORS]
    inputs = [
        _argument(graph, value["arg"]) if kind == "user_input" else Tensor(kind) for kind, value in given
    ]
    return CLASSIFIER.image_of(inputs)


def _scores(graph: Any, signature: Any, wanted: str) -> tuple[int, TensorSpec]:
    specs = list(map(_only, signature["output_specs"]))
    changed = {kind for kind, _ in specs} - {"user_output"}
    if changed:  # of a program that was decomposed before it was saved
        raise InputError(IN_PLACE if changed == {"user_input_mutation"} else TRAINING)
    return CLASSIFIER.scores_of([_argument(graph, value["arg"]) for _, value in specs], wanted)


def _only(union: Any) -> tuple[str, Any]:
    """Return the one key and value of what the file calls a union."""
    ((kind, value),) = union.items()
    return kind, value


def _argument(graph: Any, argument: Any) -> Tensor:
    """Return a tensor, or what else it is."""
    kind, value = _only(argument)
    if kind != "as_tensor":
        return Tensor(kind.removeprefix("as_"))
    meta = graph["tensor_values"][value["name"]]
    sizes = [size.get("as_int") for size in meta["sizes"]]
    return Tensor(value["name"], sizes, DTYPES.get(meta["dtype"], "other"))


def operators(program: Any) -> set[str]:
    """Return the operators of a checked program, as ``aten.conv2d.default``."""
    graph, _ = _parts(program)
    return {str(node["target"]).removeprefix("torch.ops.") for node in graph["nodes"]}


def require_known(operators: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError that names every operator, as ``aten.conv2d.default``, that is not known."""
    foreign = sorted(name for name in operators if name.removeprefix("aten.") not in known)
    if foreign:
        raise InputError(
            f"uses operators that TVM's PyTorch importer does not support: {', '.join(foreign)}; export it "
            "with others in their place"
        )


def _require_plain(graph: Any) -> None:
    """Raise InputError for an argument that is more than numbers, words and tensors of fixed sizes."""
    for node in graph["nodes"]:
        if _trains({given["name"]: given["arg"] for given in node["inputs"]}):
            raise InputError(TRAINING)
    parts = [*(graph[key] for key in ("inputs", "outputs", "nodes")), *graph["tensor_values"].values()]
    kinds = {key for key, _ in _items(parts) if key.startswith("as_")} - PLAIN
    if kinds:
        raise InputError(
            f"has sizes that are not fixed, or objects ({', '.join(sorted(kinds))}); export it without "
            "dynamic_shapes, custom classes and control flow that depends on the image"
        )


def _trains(arguments: dict[str, Any]) -> bool:
    """Tell whether a call does otherwise than in evaluation: not where no statistics are kept to go by."""
    kept = arguments.get("running_mean") != {"as_none": True}
    return kept and any(arguments.get(name, {}).get("as_bool") for name in ("train", "training"))


def _require_names(graph: Any, signature: Any) -> None:
    """Raise ValueError for names that are not fit to be written into code."""
    names = [value for key, value in _items([graph, signature]) if key == "name"]
    for name in (*names, *graph["tensor_values"]):
        if name and not IDENTIFIER.fullmatch(name):  # a constant argument has the empty name
            raise ValueError(name)
    paths = [value for key, value in _items(signature) if key in TENSORS.values()]
    if not all(map(PATH.fullmatch, paths)):
        raise ValueError(paths)


def _items(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of every mapping, at any depth."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key, value
            yield from _items(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _items(value)


def _rebuild(program: Any, image: str, scores: int) -> Any:
    """Return the program without symbols, guards, specifications of trees and places in source code.

    Of its outputs it keeps the one in the place of ``scores``.
    """
    graph, signature = _parts(program)
    nodes = [
        {key: node[key] for key in ("target", "inputs", "outputs", "name") if key in node}
        | {"metadata": told}
        for node, told in zip(graph["nodes"], layers.noted(graph["nodes"]), strict=True)
    ]
    symbols: dict[str, Any] = {f"sym_{kind}_values": {} for kind in ("int", "bool", "float")}
    call = {
        "inputs": [],
        "outputs": [],
        "in_spec": ONE_ARGUMENT,
        "out_spec": f"[1, {ONE_LEAF}]",
        "forward_arg_names": [image],
    }
    return {
        "graph_module": {
            "graph": {
                **{key: graph[key] for key in ("inputs", "tensor_values")},
                "outputs": [graph["outputs"][scores]],
                **symbols,
                "nodes": nodes,
                "is_single_tensor_return": False,
                "custom_obj_values": {},
            },
            "signature": {
                "input_specs": signature["input_specs"],
                "output_specs": [signature["output_specs"][scores]],
            },
            "module_call_graph": [{"fqn": "", "signature": call}],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        **{key: program[key] for key in ("opset_version", "schema_version", "torch_version")},
        "range_constraints": {},
        "verifiers": ["TRAINING"],
        "guards_code": [],
    }
