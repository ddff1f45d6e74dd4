"""Runs ONNX's own node tests through import, compiler and engine; writes docs/onnx-operators.md.

python scripts/onnx_operators.py                       the tests of the installed onnx
python scripts/onnx_operators.py --nodes FOLDER ...    tests in files, as older wheels of onnx have them
python scripts/onnx_operators.py --only 'test_resize'  those whose names match
"""

from __future__ import annotations

import argparse
import functools
import importlib
import multiprocessing
import multiprocessing.pool
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mutatenn import InputError
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn.errors import BuildError
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

PAGE = Path(__file__).parents[1] / "docs" / "onnx-operators.md"
IMAGES = ("float32", "float16", "uint8")
"""Types of the input that is made the image: the first of these."""
HALF = 4e-3
"""Of float16: four units in the last place, as a share."""
SECONDS = 120
RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
BAD = (WRONG, "wrong as onnxruntime", "not built", "error", "crash or hang")
CAUSES = {
    "does not support": "no such operator in TVM's importer, and no definition in ONNX",
    "no fixed size": "its result has no fixed size",
    "rounds otherwise": "numbers of 8 bits and fewer, or bfloat16",
    "which cannot be imported; export it in": "numbers of 8 bits and fewer, or bfloat16",
    "training mode": "training mode",
    "keep_aspect_ratio_policy": "keep_aspect_ratio_policy",
    "tf_crop_and_resize": "tf_crop_and_resize with axes",
    "without fmod": "floats without fmod, as in onnxruntime",
    "that cannot be imported": "this form of it",
}
"""What is said of a refusal, by a part of its message."""
INTRODUCTION = """\
# ONNX operators

<!-- Made by scripts/onnx_operators.py; run it, do not change this page. -->

What comes of ONNX's own node tests (`onnx.backend.test.case.node` of onnx {version}) when each is made a
classifier: its first input of type {images} is the image, all others are constants,
each result in turn the scores. A result is *right* where import, the default profile, LLVM with schedules and
the engine give ONNX's own numbers, by the tolerances of the tests (of float16 {half:g}); *refused* where one
line names the operator and the cure. None is wrong.

    python scripts/onnx_operators.py

{total} results of {tests} tests: {right} right, {refused} refused. {skipped} tests have no such input, or no
such result.

| operator | right | refused | why |
|---|---|---|---|
"""


@attrs.frozen(eq=False)
class Case:
    """A node test: a model, what it is given and what must come."""

    name: str
    model: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    rtol: float = 1e-3
    atol: float = 1e-7

    @property
    def operator(self) -> str:
        """The one operator that is tested, or whose definition is."""
        nodes = self.model.graph.node
        if len(nodes) == 1:
            return f"{nodes[0].domain}:{nodes[0].op_type}".lstrip(":")
        return (
            "definitions of functions"
            if self.name.endswith("_expanded") or "_expanded_" in self.name
            else "several"
        )

    @property
    def place(self) -> int | None:
        """Which input can be the image."""
        return next((place for place, value in enumerate(self.inputs) if _is_image(value)), None)


@attrs.frozen
class Outcome:
    """What came of one result of a test."""

    result: str
    verdict: str
    reason: str = ""


def cases(folders: Sequence[Path] = (), only: str = "") -> Iterator[Case]:
    """Yield the node tests of the installed onnx, or those in folders, whose names match."""
    if folders:
        found: Iterable[Case] = (case for folder in folders for case in _in_files(folder))
    else:
        from onnx.backend.test.case.node import collect_testcases

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            collected = collect_testcases(None)
        found = (
            Case(
                each.name,
                each.model,
                *(list(map(_array, side)) for side in each.data_sets[0]),
                each.rtol,
                each.atol,
            )
            for each in collected
        )
    yield from (case for case in found if re.search(only, case.name))


def _in_files(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*/model.onnx")):
        try:
            model = onnx.load(path)
            weights = {tensor.name for tensor in model.graph.initializer}
            given = [value for value in model.graph.input if value.name not in weights]
            sides = [
                [
                    _stored(path.parent / "test_data_set_0" / f"{kind}_{place}.pb")
                    for place in range(len(values))
                ]
                for kind, values in (("input", given), ("output", model.graph.output))
            ]
        except (OSError, ValueError, UnicodeDecodeError, TypeError):  # damaged in the wheel, or no tensors
            continue
        yield Case(path.parent.name, model, *sides)


def _stored(path: Path) -> NDArray[Any]:
    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def _array(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _is_image(value: Any) -> bool:
    return isinstance(value, np.ndarray) and str(value.dtype) in IMAGES and value.size > 0


def judge(case: Case) -> list[Outcome]:
    """Return what comes of every result of a test that can be scores."""
    assert case.place is not None
    image = case.inputs[case.place].reshape(1, 1, -1)
    outcomes = []
    for value, wanted in zip(case.model.graph.output, case.outputs, strict=True):
        if isinstance(wanted, np.ndarray) and wanted.size and wanted.dtype.kind in "fiubV":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "net.onnx")
                path.write_bytes(_classifier(case, value.name, wanted.size).SerializeToString())
                verdict, reason = _compare(path, image, wanted, case)
            outcomes.append(Outcome(value.name, verdict, reason))
    return outcomes


def _classifier(case: Case, result: str, classes: int) -> Any:
    """Return the test as a model from an image to scores; one of a single number is there twice."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, 4)  # before, all weights had to be inputs too
    graph, image = model.graph, case.inputs[case.place]
    shapes = {"image/shape": image.shape, "scores/shape": (1, classes)}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()
    )
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), graph.input[place].name)
        for place, value in enumerate(case.inputs)
        if place != case.place and graph.input[place].name
    )
    flat = "scores" if classes > 1 else "score"
    nodes = [
        helper.make_node("Reshape", ["image", "image/shape"], [graph.input[case.place].name]),
        *graph.node,
        helper.make_node("Cast", [result], ["result/float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["result/float", "scores/shape"], [flat]),
    ]
    if classes == 1:
        nodes.append(helper.make_node("Concat", [flat, flat], ["scores"], axis=1))
    for field in (graph.node, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    dtype = helper.np_dtype_to_tensor_dtype(image.dtype)
    graph.input.append(helper.make_tensor_value_info("image", dtype, [1, 1, 1, image.size]))
    graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, max(2, classes)]))
    return model


def _compare(path: Path, image: NDArray[Any], wanted: NDArray[Any], case: Case) -> tuple[str, str]:
    try:
        model = Onnx().load(path)
    except InputError as error:
        return REFUSED, str(error).removeprefix(f"{path}: ")
    try:
        toolchain = Toolchain(model, Llvm(), Profile(), "auto")
        evaluator = Evaluator(toolchain.backend.open())
        scores = evaluator.device.fetch(evaluator.output(evaluator.link(toolchain.program), image))
    except BuildError as error:
        return "not built", str(error)
    got, right = scores.ravel()[: wanted.size], wanted.astype(np.float32).ravel()
    half = any("float16" in str(each.dtype) for each in (image, wanted))
    bounds = {"rtol": max(case.rtol, HALF if half else 1e-4), "atol": max(case.atol, 1e-5)}
    try:
        np.testing.assert_allclose(got, right, **bounds)
    except AssertionError as error:
        reason = " ".join(str(error).split())[:300]
        return ("wrong as onnxruntime" if _onnxruntime_gives(model, image, got) else WRONG), reason
    return RIGHT, ""


def _onnxruntime_gives(model: Any, image: NDArray[Any], scores: NDArray[Any]) -> bool:
    try:
        reference = Onnx().reference(model, image[np.newaxis])
    except InputError:
        return False
    return np.allclose(reference.ravel()[: scores.size], scores, rtol=1e-3, atol=1e-5, equal_nan=True)


@functools.cache
def _import_once() -> None:
    """Import what every test needs, before there is a process for each."""
    for module in ("onnxruntime", "tvm.relax.frontend.onnx", "onnx.reference", "onnx.inliner"):
        importlib.import_module(module)


def judged(case: Case) -> list[Outcome]:
    """Return what comes of a test in a process of its own, which may crash or hang."""
    _import_once()
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            sender.send([attrs.astuple(each) for each in judge(case)])
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}"
            sender.send([("", "error", f"{error!r} ({where})")])

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(SECONDS) else [("", "crash or hang")]
    except EOFError:
        found = [("", "crash or hang")]
    finally:
        process.kill()
        process.join()
    return [Outcome(*each) for each in found]


def page(results: dict[str, list[Outcome]], operators: dict[str, str], skipped: int) -> str:
    """Return the text of the page; ``results`` and ``operators`` are by test."""
    per_operator: dict[str, Counter[str]] = defaultdict(Counter)
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    for name, outcomes in results.items():
        for outcome in outcomes:
            per_operator[operators[name]][outcome.verdict] += 1
            if outcome.verdict == REFUSED:
                causes[operators[name]][_cause(outcome.reason)] += 1
    totals = sum(per_operator.values(), Counter[str]())
    rows = [
        f"| {name} | {found[RIGHT] or ''} | {found[REFUSED] or ''} | "
        + "; ".join(
            cause if len(causes[name]) == 1 else f"{cause} ({n})" for cause, n in causes[name].most_common()
        )
        + " |"
        for name, found in sorted(per_operator.items(), key=lambda item: item[0].lower())
    ]
    about = {
        "right": totals[RIGHT],
        "refused": totals[REFUSED],
        "total": totals.total(),
        "tests": len(results),
    }
    images = " or ".join((", ".join(IMAGES[:-1]), IMAGES[-1]))
    head = INTRODUCTION.format(version=onnx.__version__, images=images, half=HALF, skipped=skipped, **about)
    return head + "\n".join(rows) + "\n"


def _cause(reason: str) -> str:
    return next((cause for part, cause in CAUSES.items() if part in reason), reason)


def main(argv: list[str] | None = None) -> int:
    """Run the tests; write the page if they were all; return 1 if one is neither right nor refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="REGEX")
    args = parser.parse_args(argv)
    found = list(cases(args.nodes, args.only))
    tried = [case for case in found if case.place is not None]
    with multiprocessing.pool.ThreadPool(len(os.sched_getaffinity(0))) as pool:
        outcomes = dict(zip([case.name for case in tried], pool.imap(judged, tried), strict=True))
    kept = {name: each for name, each in outcomes.items() if each}
    bad = [(name, each) for name, several in kept.items() for each in several if each.verdict in BAD]
    for name, each in bad:
        print(f"{each.verdict}: {name} {each.result}: {each.reason}")
    verdicts = Counter(each.verdict for several in kept.values() for each in several)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    if not (args.nodes or args.only):
        operators = {case.name: case.operator for case in tried}
        PAGE.write_text(page(kept, operators, len(found) - len(kept)), encoding="utf-8")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
