"""What PyTorch is asked in a process of its own: to export a model that its or a user's code makes."""

from __future__ import annotations

import difflib
import sys
import urllib.error
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import InputError
from mutatenn_frontends._shared.files import reason

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESET_FIELDS = ("crop_size", "resize_size", "mean", "std", "interpolation")


def respond(request: Mapping[str, Any], _payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Do as :func:`export` does; return no bytes."""
    return export(**request), b""


def export(scheme: str, name: str, out: str, folder: str, weights: str | None) -> dict[str, Any]:
    """Write the exported program of ``scheme:name`` to ``out``; return how its images are prepared, if known.

    Raises InputError.
    """
    torch = _imported("torch", "pip install 'mutatenn[torch]'")
    torch.manual_seed(0)  # weights that are not loaded are the same every time
    if scheme == "torchvision":
        model, inputs, preset = _of_torchvision(torch, name, weights)
    else:
        (model, inputs), preset = _of_user(torch, name, folder), {}
    if weights is not None:
        _load_weights(torch, model, weights)
    try:
        program = torch.export.export(model.cpu().eval(), tuple(inputs))
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # else the file would tell of line numbers and folders
        torch.export.save(program, out)
    except Exception as error:  # whatever the model's code or PyTorch may raise
        why = f"{type(error).__name__}: {reason(error)}"
        raise InputError(f"torch.export cannot export it ({why}); mend the model's code") from error
    return preset


def _imported(name: str, cure: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision's, where it was built for another PyTorch
        raise InputError(f"needs {name}, which cannot be imported ({reason(error)}); {cure}") from error


def _of_torchvision(torch: Any, name: str, weights: str | None) -> tuple[Any, Any, dict[str, Any]]:
    """Return a model of torchvision with its best weights, an image's place-holder, and the preset."""
    models = _imported("torchvision.models", "pip install torchvision, built for the PyTorch installed")
    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        cure = f"did you mean {near[0]!r}?" if near else "torchvision.models.list_models() tells all"
        raise InputError(f"torchvision has no classifier {name!r}; {cure}")
    best = models.get_model_weights(name).DEFAULT
    try:
        model = models.get_model(name, weights=None if weights else best)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        cure = "check the connection, or put the file into the folder checkpoints of torch.hub.get_dir()"
        raise InputError(f"its weights cannot be had from {best.url} ({reason(error)}); {cure}") from error
    preset = best.transforms()
    found: dict[str, Any] = {key: getattr(preset, key) for key in PRESET_FIELDS}
    found["interpolation"] = found["interpolation"].value
    side = found["crop_size"][0]
    return model, (torch.zeros(1, 3, side, side),), found


def _of_user(torch: Any, name: str, folder: str) -> tuple[Any, Any]:
    """Return what the user's function returns: a model and its example inputs."""
    place, _, function = name.partition(":")
    sys.path.insert(0, folder)
    try:
        module = import_module(place)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        why = f"{type(error).__name__}: {reason(error)}"
        raise InputError(
            f"cannot import {place!r} from {folder} ({why}); set model.options.folder"
        ) from error
    make = getattr(module, function, None)
    if not callable(make):
        raise InputError(f"{module.__file__} has no function {function!r}; name one")
    try:
        made = make()
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {reason(error)}"
        raise InputError(f"{function}() raised {why}; run it by itself") from error
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)  # noqa: PLR2004  # a pair
    inputs = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
    if not (isinstance(model, torch.nn.Module) and isinstance(inputs, tuple)):
        wanted = "a torch.nn.Module and an image, a tensor of batch 1"
        raise InputError(f"{function}() does not return a pair; return {wanted}")
    return model, inputs


def _load_weights(torch: Any, model: Any, path: str) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files and pickles of other objects fail in many ways
        why = f"{type(error).__name__}: {reason(error)}"
        cure = "save model.state_dict() with torch.save"
        raise InputError(f"{path} holds no plain weights ({why}); {cure}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    try:
        model.load_state_dict(state)
    except Exception as error:
        why = " ".join(str(error).split())[:240]
        raise InputError(f"the weights of {path} do not fit the model; {why}") from error
