"""Imports networks by every route of their frontend and writes how far each is from the framework itself.

    python scripts/routes_table.py --write docs/frontends.md

Needs the extras keras and torch. The networks are built, seeded, with the statistics of random images in
their batch normalisations, so that nothing is downloaded and no output is the same for all images. Each is
built, and each route is measured, in a process of its own. The text around the table stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import ir
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BEGIN, END = "<!-- routes -->", "<!-- end of routes -->"
HEADING = (
    "| network | frontend | route | difference | of a rounding | convolutions | batch norms | transposes "
    "| operators |\n|---|---|---|---|---|---|---|---|---|\n"
)
COUNTED = ("nn.conv2d", "nn.batch_norm", "permute_dims")
SIZE, CLASSES, IMAGES = 96, 10, 4
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TVM_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
LEAST_SPREAD = 0.01


@attrs.frozen
class Subject:
    """A network: its frontend, how to make its file in a folder, and the range of its pixels."""

    name: str
    frontend: str
    make: Callable[[Path], Path]
    pixels: tuple[float, float] = (-1.0, 1.0)


def pictures(count: int, low: float, high: float) -> NDArray[np.float32]:
    """Return seeded images ``[count, SIZE, SIZE, 3]`` of large soft blobs, each with colours of its own."""
    coarse = np.random.default_rng(3).uniform(low, high, (count, 4, 4, 3))
    scale = SIZE // 4
    fine = np.repeat(np.repeat(coarse, scale, axis=1), scale, axis=2)
    for _ in range(scale):
        fine = (fine + np.roll(fine, 1, axis=1) + np.roll(fine, 1, axis=2)) / 3
    return fine.astype(np.float32)


def application(name: str, pixels: tuple[float, float], folder: Path) -> Path:
    """Save a network of ``keras.applications``, untrained, but with outputs that differ."""
    keras = import_module("keras")
    keras.utils.set_random_seed(3)
    model = getattr(keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    random = np.random.default_rng(3)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # so that one batch decides on the statistics
        layer.beta.assign(random.normal(0, 0.2, layer.beta.shape))
        if layer.scale:
            layer.gamma.assign(random.uniform(0.7, 1.4, layer.gamma.shape))
    model(pictures(16, *pixels), training=True)
    last = model.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear
    last.kernel.assign(last.kernel / np.std(model.predict(pictures(16, *pixels), verbose=0), axis=0).mean())
    last.activation = activation
    model.save(folder / f"{name}.keras")
    return folder / f"{name}.keras"


def exported(name: str, folder: Path) -> Path:
    """Save a network of the neighbouring module, untrained, but with outputs that differ."""
    images = np.ascontiguousarray(pictures(16, -1, 1).transpose(0, 3, 1, 2))
    path: Path = import_module("routes_models").export(name, images, CLASSES, folder)
    return path


def _keras(name: str, *pixels: float) -> Subject:
    given = (pixels[0], pixels[1]) if pixels else (-1.0, 1.0)
    return Subject(name, "keras", partial(application, name, given), given)


SUBJECTS = (
    _keras("MobileNetV2"),
    _keras("ResNet50"),
    _keras("ResNet152"),
    _keras("DenseNet121"),
    _keras("InceptionV3"),
    _keras("EfficientNetB0", 0, 255),
    Subject("AlexNet", "pytorch", partial(exported, "AlexNet")),
    Subject("ShuffleNetV2", "pytorch", partial(exported, "ShuffleNetV2")),
)


def make(subject: Subject, folder: Path) -> dict[str, Any]:
    """Make the file of a network."""
    return {"path": str(subject.make(folder))}


def measure(subject: Subject, path: Path, route: str) -> dict[str, Any]:
    """Return what the network imported by a route, run by TVM, has to do with the framework's own scores."""
    cls = PluginHost.installed().frontends()[subject.frontend]
    frontend: Any = cls(route=route) if route else cls()  # type: ignore[call-arg]  # fields of the subclass
    model = frontend.load(path)
    images = pictures(IMAGES, *subject.pixels)
    if model.input.shape[1] == images.shape[3]:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    nudged = np.nextafter(images, np.float32(np.inf))
    expected, other = np.split(frontend.reference(model, np.concatenate([images, nudged])), 2)
    assert np.ptp(expected, axis=0).max() > LEAST_SPREAD, f"{subject.name} gives all images one output"
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy()[0] for image in images]
    return {
        "difference": float(abs(np.array(found) - expected).max()),
        "rounding": float(abs(other - expected).max()),
        "operators": _operators(model.module),
    }


def _operators(module: Any) -> dict[str, int]:
    counts: Counter[str] = Counter()

    def count(expression: Any) -> None:
        if isinstance(expression, ir.tvm.ir.Call):
            counts[expression.op.name.removeprefix("relax.")] += 1

    ir.relax.analysis.post_order_visit(module["main"], count)
    return dict(counts)


def _in_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=os.environ | QUIET, text=True, capture_output=True)  # noqa: S603, PLW1510
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _row(subject: Subject, route: str, found: dict[str, Any]) -> str:
    start = f"| {subject.name} | {subject.frontend} | {route or 'the only one'} |"
    if "error" in found:
        return f"{start} {found['error'].replace('|', '/')} | | | | | |\n"
    operators = found["operators"]
    counts = [str(operators.get(name, 0)) for name in COUNTED]
    differences = f"{found['difference']:.1e} | {found['rounding']:.1e}"
    return f"{start} {differences} | {' | '.join(counts)} | {sum(operators.values())} |\n"


def table(names: list[str]) -> str:
    """Return the table of the named subjects, or of all; says on standard error how it goes."""
    rows = []
    for subject in [subject for subject in SUBJECTS if not names or subject.name in names]:
        routes = PluginHost.installed().frontends()[subject.frontend].routes or ("",)
        with tempfile.TemporaryDirectory() as folder:
            made = _in_process("--make", subject.name, folder)
            for route in routes:
                found = (
                    made if "error" in made else _in_process("--measure", subject.name, made["path"], route)
                )
                rows.append(_row(subject, route, found))
                print(rows[-1], end="", file=sys.stderr)
    return HEADING + "".join(rows)


def main() -> None:
    """Make the table and print it, or put it into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK", help="not all networks")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table of this page")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    known = {subject.name: subject for subject in SUBJECTS}
    if given.make:
        print(json.dumps(make(known[given.make[0]], Path(given.make[1]))))
    elif given.measure:
        name, path, route = given.measure
        print(json.dumps(measure(known[name], Path(path), route)))
    elif given.write:
        rows = table(given.only)
        before, _, rest = given.write.read_text().partition(BEGIN)
        given.write.write_text(f"{before}{BEGIN}\n{rows}{END}{rest.partition(END)[2]}")
    else:
        print(table(given.only), end="")


if __name__ == "__main__":
    main()
