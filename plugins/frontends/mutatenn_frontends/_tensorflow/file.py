"""Reads SavedModels and frozen graphs as plain data: nothing of them is loaded, let alone run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import InputError
from mutatenn_frontends._tensorflow import files as tensorflow_files
from mutatenn_frontends._tensorflow.operators import COMPUTES, RESTORES, VARIABLES, cut, node_of, require

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = "is not a TensorFlow model, or is damaged or cut short; export or download it again"
INTERNAL = "__saved_model_"
"""How the names of signatures begin that SavedModels keep for themselves."""
NEVER_SCORES = {"Assert", "Const", "NoOp", "Placeholder", "PlaceholderWithDefault"}


@attrs.frozen
class Choice:
    """What to take of a file, by the names in it; empty where it shall be found.

    ``size`` is the (height, width) in pixels of an image that leaves them open.
    """

    signature: str = ""
    input: str = ""
    output: str = ""
    size: tuple[int, ...] = ()


@attrs.frozen
class Restore:
    """How a SavedModel reads its variables: the node to run, and the tensor that is fed the path."""

    node: str
    filename: str
    path: str


@attrs.frozen
class Graph:
    """A ``GraphDef`` of allowed operators alone, and what the model calls its tensors.

    ``outputs`` are those that may be scores. ``definition`` holds what they and ``restore`` need.
    """

    definition: Any
    inputs: dict[str, str]
    outputs: dict[str, str]
    restore: Restore | None = None

    @property
    def computation(self) -> Any:
        """The part of the graph that the outputs need."""
        return cut(self.definition, map(node_of, self.outputs.values()))

    def replaced(self, definition: Any) -> Graph:
        """Return the same of another ``GraphDef``, cut down to what is needed."""
        restore = (self.restore.node, self.restore.filename) if self.restore else ()
        needed = map(node_of, (*self.outputs.values(), *restore))
        return attrs.evolve(self, definition=cut(definition, needed))


def read(source: Path, choice: Choice) -> Graph:
    """Return the graph; raises InputError if the file is damaged, or the graph may do more than compute."""
    file = tensorflow_files.graph_file(source)
    content = tensorflow_files.content(file)
    saved = _parse("protobuf.saved_model_pb2", "SavedModel", content)
    if saved is not None and any(meta.graph_def.node for meta in saved.meta_graphs):
        return _saved_model(saved, file.parent, choice)
    definition = _parse("framework.graph_pb2", "GraphDef", content)
    if not (definition and definition.node and all(node.name and node.op for node in definition.node)):
        raise InputError(DAMAGED)
    return _frozen_graph(definition, choice)


def _parse(module: str, kind: str, content: bytes) -> Any:
    """Return the message, or None if the content is none of this kind."""
    message = getattr(import_module(f"tensorflow.core.{module}"), kind)()
    try:
        message.ParseFromString(content)
    except Exception:  # each implementation of protobuf raises its own
        return None
    return message


def _saved_model(saved: Any, folder: Path, choice: Choice) -> Graph:
    meta = _meta_graph(saved)
    signature = _signature(meta.signature_def, choice.signature)
    inputs, outputs = (
        {key: info.name for key, info in sorted(infos.items()) if info.name}
        for infos in (signature.inputs, signature.outputs)
    )
    outputs = _chosen(outputs, choice.output)
    computation = _computation(meta.graph_def, outputs)
    if not any(node.op in VARIABLES for node in computation.node):
        return Graph(computation, inputs, outputs)
    return Graph(computation, inputs, outputs, _restore(meta, folder)).replaced(meta.graph_def)


def _meta_graph(saved: Any) -> Any:
    graphs = {" ".join(sorted(meta.meta_info_def.tags)): meta for meta in saved.meta_graphs}
    serving = [meta for tags, meta in graphs.items() if "serve" in tags.split()]
    if not serving:
        raise InputError(
            f"has no graph with the tag 'serve', but: {', '.join(graphs)}; export it for serving"
        )
    return serving[0]


def _signature(signatures: Any, wanted: str) -> Any:
    """Return the signature asked for, else the one for serving, else the only one."""
    names = sorted(name for name in signatures if not name.startswith(INTERNAL))
    if wanted and wanted not in names:
        raise InputError(f"has no signature {wanted!r}, but: {', '.join(names) or 'none'}; name one of them")
    if not names:
        raise InputError(
            "has no signatures, and so no inputs and outputs; save it with one: "
            "tf.saved_model.save(model, folder, signatures=function)"
        )
    found = wanted or ("serving_default" if "serving_default" in names else names[0])
    if found not in (wanted, "serving_default") and len(names) > 1:
        raise InputError(
            f"has several signatures: {', '.join(names)}; set the option signature to one of them"
        )
    return signatures[found]


def _restore(meta: Any, folder: Path) -> Restore:
    """Return how the variables are read, by operators that do nothing else."""
    saver = meta.saver_def
    if not saver.restore_op_name:
        raise InputError("has variables and no way to restore them; save it again with tf.saved_model.save")
    if not (folder / "variables" / "variables.index").is_file():
        raise InputError(
            f"lacks the values of its variables, {folder / 'variables'}; copy the whole directory"
        )
    restore = Restore(
        saver.restore_op_name, saver.filename_tensor_name, str(folder / "variables" / "variables")
    )
    require(cut(meta.graph_def, map(node_of, (restore.node, restore.filename))), RESTORES)
    return restore


def _frozen_graph(definition: Any, choice: Choice) -> Graph:
    if choice.signature:
        raise InputError("is a frozen graph, which has no signatures; leave out the option signature")
    variables = [node.name for node in definition.node if node.op in VARIABLES]
    if variables:
        raise InputError(
            f"is not frozen: it lacks the values of its variables ({', '.join(variables[:3])}, "
            f"{len(variables)} in all); give the SavedModel, or freeze the graph"
        )
    taken = {node_of(name) for node in definition.node for name in node.input}
    ends = [node.name for node in definition.node if node.name not in taken and node.op not in NEVER_SCORES]
    outputs = _chosen({name: f"{name}:0" for name in ends}, choice.output)
    return Graph(_computation(definition, outputs), {}, outputs)


def _chosen(outputs: dict[str, str], wanted: str) -> dict[str, str]:
    """Return the outputs, or the wanted one alone: a name that the model gives, or a tensor of the graph."""
    if not wanted:
        return outputs
    return {wanted: outputs.get(wanted, wanted if ":" in wanted else f"{wanted}:0")}


def _computation(definition: Any, outputs: dict[str, str]) -> Any:
    """Return the part that the outputs need, checked."""
    found = cut(definition, map(node_of, outputs.values()))
    require(found, COMPUTES)
    return found
