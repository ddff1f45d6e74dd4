"""Brings the configuration of a model that Keras 2 saved to what Keras 3 reads."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

SILENT = {
    "fused": (True, False, None),
    "groups": (1,),
    "input_dtype": (None, "float32"),
    "ragged": (False,),
    "renorm": (False,),
    "sparse": (False,),
}
"""Values of keys that Keras 3 no longer has, at which they say nothing; None says nothing of any key."""
SHAPE = "batch_input_shape"


def modernised(config: Any) -> Any:
    """Return a checked configuration, keys left out that its layers do not take and that say nothing.

    What says something stays, so that Keras refuses it by name. A first layer that has the shape of the
    model's input gets an InputLayer before it.
    """
    if isinstance(config, list):
        return [modernised(each) for each in config]
    if not isinstance(config, dict):
        return config
    name, own = config.get("class_name"), config.get("config")
    if isinstance(name, str) and isinstance(own, dict):
        if name == "Sequential" and isinstance(own.get("layers"), list):
            own = {**own, "layers": _with_input(own["layers"])}
        config = {**config, "config": _of_layer(name, own)}
    return {key: modernised(value) for key, value in config.items()}


def _with_input(layers: list[Any]) -> list[Any]:
    first = layers[0] if layers and isinstance(layers[0], dict) else {}
    own = first.get("config")
    if first.get("class_name") == "InputLayer" or not isinstance(own, dict) or not own.get(SHAPE):
        return layers
    shape, name = own[SHAPE], f"{own.get('name', 'image')}_input"
    dtype = own.get("dtype") if isinstance(own.get("dtype"), str) else "float32"
    return [
        {"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": dtype, "name": name}},
        *layers,
    ]


def _of_layer(name: str, config: dict[str, Any]) -> dict[str, Any]:
    layers = import_module("keras").layers
    cls = getattr(layers, name, None)
    if not inspect.isclass(cls) or name == "InputLayer":
        return config
    known = {"dtype", "name", "trainable"}
    makers = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    known |= {each for maker in makers for each in inspect.signature(maker).parameters}
    return {key: value for key, value in config.items() if key in known or not _says_nothing(key, value)}


def _says_nothing(key: str, value: Any) -> bool:
    return (
        value is None or key == SHAPE or any(value is each or value == each for each in SILENT.get(key, ()))
    )
