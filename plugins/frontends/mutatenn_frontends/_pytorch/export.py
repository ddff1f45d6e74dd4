"""Makes a model with PyTorch code and exports it; run as a program, in a process of its own.

Reads a request (JSON) from its argument and writes the answer to standard output: an error, or what
torchvision says of a model's images. Whatever the code prints goes to standard error.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
import urllib.error
from importlib import import_module
from typing import Any

from mutatenn_frontends._shared.files import reason

PRESET_FIELDS = ("crop_size", "resize_size", "mean", "std", "interpolation")


class RefusalError(Exception):
    """The model cannot be made; the message is a line for the user."""


def main() -> None:
    """Answer the request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = export(**json.loads(sys.argv[1]))
    except RefusalError as refusal:
        answer = {"error": str(refusal)}
    json.dump(answer, answers)
    answers.close()


def export(scheme: str, name: str, out: str, folder: str, weights: str | None) -> dict[str, Any]:
    """Write the exported program of ``scheme:name`` to ``out``; return how its images are prepared, if known.

    Raises RefusalError.
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
        raise RefusalError(f"torch.export cannot export it ({why}); mend the model's code") from error
    return preset


def _imported(name: str, cure: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision's, where it was built for another PyTorch
        raise RefusalError(f"needs {name}, which cannot be imported ({reason(error)}); {cure}") from error


def _of_torchvision(torch: Any, name: str, weights: str | None) -> tuple[Any, Any, dict[str, Any]]:
    """Return a model of torchvision with its best weights, an image's place-holder, and the preset."""
    models = _imported("torchvision.models", "pip install torchvision, built for the PyTorch installed")
    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        cure = f"did you mean {near[0]!r}?" if near else "torchvision.models.list_models() tells all"
        raise RefusalError(f"torchvision has no classifier {name!r}; {cure}")
    best = models.get_model_weights(name).DEFAULT
    try:
        model = models.get_model(name, weights=None if weights else best)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        cure = "check the connection, or put the file into the folder checkpoints of torch.hub.get_dir()"
        raise RefusalError(f"its weights cannot be had from {best.url} ({reason(error)}); {cure}") from error
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
    except Exception as error:  # the user's code may raise anything
        why = f"{type(error).__name__}: {reason(error)}"
        raise RefusalError(
            f"cannot import {place!r} from {folder} ({why}); set model.options.folder"
        ) from error
    make = getattr(module, function, None)
    if not callable(make):
        raise RefusalError(f"{module.__file__} has no function {function!r}; name one")
    try:
        made = make()
    except Exception as error:
        why = f"{type(error).__name__}: {reason(error)}"
        raise RefusalError(f"{function}() raised {why}; run it by itself") from error
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)  # noqa: PLR2004  # a pair
    inputs = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
    if not (isinstance(model, torch.nn.Module) and isinstance(inputs, tuple)):
        wanted = "a torch.nn.Module and an image, a tensor of batch 1"
        raise RefusalError(f"{function}() does not return a pair; return {wanted}")
    return model, inputs


def _load_weights(torch: Any, model: Any, path: str) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files and pickles of other objects fail in many ways
        why = f"{type(error).__name__}: {reason(error)}"
        cure = "save model.state_dict() with torch.save"
        raise RefusalError(f"{path} holds no plain weights ({why}); {cure}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    try:
        model.load_state_dict(state)
    except Exception as error:
        why = " ".join(str(error).split())[:240]
        raise RefusalError(f"the weights of {path} do not fit the model; {why}") from error


if __name__ == "__main__":
    main()
