"""Loads checked files into Keras, in a process of its own, and says what the models take and give."""

from __future__ import annotations

import difflib
import io
import json
import re
import zipfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, TensorSpec
from mutatenn_frontends._keras import file as keras_file
from mutatenn_frontends._keras.legacy import modernised
from mutatenn_frontends._shared.classifier import Classifier, Tensor
from mutatenn_frontends._shared.files import reason

if TYPE_CHECKING:
    from pathlib import Path

CLASSIFIER = Classifier(
    scores=("float32", "float16", "bfloat16", "float64"), options=["output"], open_size=True
)
CONFIG = "model_config"


def load(path: Path) -> Any:
    """Return the ``keras.Model`` of a file of which nothing has to be run; raises InputError."""
    _check_weights(path)
    keras = import_module("keras")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever does not fit together
        raise InputError(
            f"Keras {keras.__version__} cannot load it ({why(error)}); save it again with this release"
        ) from error


def why(error: Exception) -> str:
    """Return in one line what an error says that may be Keras's own, which begins with where it was."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    where, _, what = text.partition("\n\n")
    if where.startswith("Exception encountered"):
        text = what or text
    _, _, cause = text.rpartition("Exception encountered: ")  # of what was nested in what
    return reason(ValueError(cause))


def _check_weights(path: Path) -> None:
    """Check the HDF5 file, or the one in the archive; give the former a checked configuration."""
    if path.suffix == ".h5":
        _check_hdf5(path, "r+")
    else:
        with zipfile.ZipFile(path) as archive:
            _check_hdf5(io.BytesIO(archive.read(keras_file.WEIGHTS)), "r")


def _check_hdf5(source: Any, mode: str) -> None:
    h5py = import_module("h5py")
    try:
        with h5py.File(source, mode) as file:
            _require_plain(file)
            if mode == "r+":
                _replace_config(file)
    except InputError:
        raise
    except Exception as error:  # OSError, RuntimeError, KeyError and others, of damage anywhere
        raise InputError(keras_file.DAMAGED) from error


def _require_plain(file: Any) -> None:
    """Raise InputError for links to elsewhere, and for datasets that would be more than the file holds."""
    hard, dataset = import_module("h5py").HardLink, import_module("h5py").Dataset
    # What these functions return ends the visit; that they raise would not do with h5py.
    link = file.visititems_links(lambda name, link: None if isinstance(link, hard) else name)
    if link:
        raise InputError(f"has links to elsewhere ({link}); save it with model.save")
    found = file.visititems(lambda _, item: _problem(item) if isinstance(item, dataset) else None)
    if found:
        raise InputError(f"{found}; save it with model.save, which writes plain weights")


def _problem(item: Any) -> str | None:
    """Say what is not plain about a dataset."""
    if item.external or item.is_virtual:
        return f"keeps weights in other files ({item.name})"
    if item.nbytes > item.id.get_storage_size():
        size, stored = f"{item.nbytes:,}", f"{item.id.get_storage_size():,}"
        return (
            f"is compressed, or declares more weights than it holds ({item.name}: {size} bytes in {stored})"
        )
    return None


def _replace_config(file: Any) -> None:
    if CONFIG not in file.attrs:
        raise InputError(
            "holds weights alone, or is no file of Keras; save the whole model with model.save('model.keras')"
        )
    file.attrs[CONFIG] = json.dumps(modernised(keras_file.parse(file.attrs[CONFIG])))
    file.attrs.pop("training_config", None)


def image(model: Any, size: list[int]) -> TensorSpec:
    """Return the one image a model takes, batch 1; raises InputError.

    ``size`` is the (height, width) in pixels of one that leaves them open.
    """
    return CLASSIFIER.image_of([_tensor("image", each) for each in model.inputs], size)


def with_scores(model: Any, wanted: str) -> tuple[Any, TensorSpec]:
    """Return the model with the one output that is scores per class, and these as ``[1, classes]``.

    With ``wanted`` it is the output of that name. Raises InputError.
    """
    names = model.output_names if wanted or len(model.outputs) > 1 else ["scores"]
    place, found = CLASSIFIER.scores_of([*map(_tensor, names, model.outputs)], wanted)
    if len(model.outputs) > 1:
        model = import_module("keras").Model(model.inputs, model.outputs[place])
    return model, found


def _tensor(name: str, symbolic: Any) -> Tensor:
    return Tensor(name, tuple(symbolic.shape), str(symbolic.dtype))


def application(name: str) -> Any:
    """Return a model of ``keras.applications`` with its weights; raises InputError."""
    keras = import_module("keras")
    known = [each for each in dir(keras.applications) if each[0].isupper()]
    if name not in known:
        near = difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=3, cutoff=0.5)
        names = [each for each in known if each.lower() in near] or known
        raise InputError(f"keras.applications has no model {name!r}; take one of {', '.join(names)}")
    try:
        return getattr(keras.applications, name)()
    except Exception as error:  # of urllib, of a damaged download, of a full disk
        raise InputError(
            f"keras.applications.{name} cannot be had with its weights ({reason(error)}); they are "
            "downloaded, which needs a network: give the path of a saved model where there is none"
        ) from error
