"""Blocks of an exported program in which autocast is turned off: they are what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WRAPPED = "torch.ops.higher_order.wrap_with_autocast"
OFF = {"as_bool": False}


def inlined(graph: Any) -> Any:
    """Return a graph, as its file describes it, with the nodes of such blocks in their place.

    A block that turns autocast on stays: which operators it changes is PyTorch's to know. Raises KeyError,
    TypeError, ValueError or IndexError for a damaged graph.
    """
    nodes, values = [], dict(graph["tensor_values"])
    for node in graph["nodes"]:
        inside = _inside(node, values)
        if inside is None:
            nodes.append(node)
        else:
            more, named = inside
            nodes += more
            values = named | values
    return {**graph, "nodes": nodes, "tensor_values": values}


def _inside(node: Any, around: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """Return the nodes and values of a block by names of the graph around it; None for no such block.

    A block is none, too, where its values would get names that the graph ``around`` it has already.
    """
    if node["target"] != WRAPPED:
        return None
    _device, _dtype, enabled, _cached, wrapped, *given = [each["arg"] for each in node["inputs"]]
    inner = inlined(wrapped["as_graph"]["graph"])
    takes, gives = ([each["as_tensor"]["name"] for each in inner[key]] for key in ("inputs", "outputs"))
    made = {name for each in inner["nodes"] for name in _tensors(each["outputs"])}
    if enabled != OFF or not made.issuperset(gives) or len(set(gives)) < len(gives):
        return None
    names = {name: f"{node['name']}_{name}" for name in made}
    if not around.keys().isdisjoint(names.values()):
        return None
    names |= dict(zip(gives, _tensors(node["outputs"]), strict=True))
    names |= dict(zip(takes, (argument["as_tensor"]["name"] for argument in given), strict=True))
    nodes = [_renamed(each, node["name"], names) for each in inner["nodes"]]
    return nodes, {names.get(name, name): value for name, value in inner["tensor_values"].items()}


def _renamed(node: Any, block: str, names: Mapping[str, str]) -> Any:
    inputs = [{**given, "arg": _with_names(given["arg"], names)} for given in node["inputs"]]
    more = {"name": f"{block}_{node['name']}"} if node.get("name") else {}
    return {**node, "inputs": inputs, "outputs": _with_names(node["outputs"], names), **more}


def _with_names(tree: Any, names: Mapping[str, str]) -> Any:
    """Return an argument, its tensors by other names."""
    if isinstance(tree, list):
        return [_with_names(each, names) for each in tree]
    if not isinstance(tree, dict):
        return tree
    found = {key: _with_names(value, names) for key, value in tree.items()}
    return found | ({"name": names.get(found["name"], found["name"])} if "name" in found else {})


def _tensors(tree: Any) -> Iterator[str]:
    """Yield the names of the tensors in an argument."""
    for each in tree if isinstance(tree, list) else tree.values() if isinstance(tree, dict) else ():
        yield from _tensors(each)
    if isinstance(tree, dict) and isinstance(tree.get("name"), str):
        yield tree["name"]
