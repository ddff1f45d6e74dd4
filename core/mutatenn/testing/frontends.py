"""Checks what a frontend promises, on a model of its kind."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.frontend import Frontend
from mutatenn.campaign.config.values import Gate
from mutatenn.campaign.gate.gate import nudged, scores_of
from mutatenn.campaign.gate.reference import compare
from mutatenn.campaign.promises import load_model, run_reference
from mutatenn.compiler import ir
from mutatenn.compiler.profiles import PROFILES, Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.original import run_original
from mutatenn.errors import InputError
from mutatenn.host.installed import installed_backend
from mutatenn.testing.promises import check_class, keeping, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mutatenn.api.values import Model

    Floats = NDArray[np.float32]

SHA256 = re.compile("[0-9a-f]{64}")
NOISE = bytes(range(255, 0, -1)) * 10
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "noise": lambda _: NOISE,
    "half of it": lambda content: content[: len(content) // 2],
    "another byte in it": lambda content: _flipped(content, len(content) // 2),
}
"""What stands in a file in the place of its content."""
UNREADABLE = ("nothing", "noise")


def check_frontend(
    cls: type[Frontend], path: Path, images: NDArray[np.generic], **options: Any
) -> NDArray[np.float32]:
    """Check a frontend with some options on a model, and on an image of it or several ``[images, ...]``.

    To load the model again, or a copy of it, gives the same; its specs are those of its module; its digest
    tells of its content, and damaged or missing files raise InputError, on a line that names them. The
    reference gives finite float32 ``[images, classes]``, of each image whatever others come with it, and so
    does the compiled model, within the tolerance of the gate. If it tells layers, every kernel is of one,
    whatever the passes. What stands in ``schemes`` can be asked for.
    Returns the reference's scores.
    """
    check_class("frontend", cls)
    frontend = cls(**options)
    with keeping(f"{cls.name} reads {path.name}"):
        require(cls.reads(path), "it does not")
    with keeping(f"{cls.name} loads {path.name}, and always the same"):
        model = _loaded_twice(frontend, path)
    given = np.asarray(images, model.input.dtype).reshape(-1, *model.input.shape[1:])
    with keeping(f"{cls.name} runs {path.name} in its framework"):
        scores = _reference(frontend, model, given)
    with keeping(f"{cls.name} imports what its framework runs"):
        _check_compiled(frontend, model, given, scores)
    with keeping(f"{cls.name} tells the layers of every operator, or of none"):
        _check_layers(model)
    with tempfile.TemporaryDirectory(prefix="mutatenn-check-") as folder:
        _check_files(frontend, _copy(path, Path(folder)), model.digest)
    _check_choices(frontend)
    return scores


def _loaded_twice(frontend: Frontend, path: Path) -> Model:
    first, second = load_model(frontend, path), load_model(frontend, path)
    require(bool(SHA256.fullmatch(first.digest)), f"its digest is sha256 in hex, not {first.digest!r}")
    for field in ("name", "digest", "input", "output"):
        one, other = getattr(first, field), getattr(second, field)
        require(one == other, f"its {field} is the same; it is {one} and {other}")
    require(bool(ir.ffi.structural_equal(first.module, second.module)), "its module is the same")
    return first


def _reference(frontend: Frontend, model: Model, images: NDArray[np.generic]) -> Floats:
    batches = {
        "no images": images[:0],
        "the first image alone": images[:1],
        "all images backwards": images[::-1],
        "all images": images,
    }
    found = {
        name: call_isolated(lambda batch=batch: run_reference(frontend, model, batch))  # type: ignore[misc]
        for name, batch in batches.items()
    }
    scores: Floats = found["all images"]
    require(bool(np.isfinite(scores).all()), "scores are finite")
    require(
        all(4 * np.unique(row).size > row.size for row in scores), "the images have scores that can differ"
    )
    _agree(found["all images backwards"][::-1], scores, "an image's scores do not depend on its place")
    _agree(found["the first image alone"], scores[:1], "an image's scores do not depend on others")
    return scores


def _check_compiled(frontend: Frontend, model: Model, images: NDArray[np.generic], scores: Floats) -> None:
    backend = installed_backend("llvm")
    program = Toolchain(model, backend, Profile()).program
    outputs, _ = call_isolated(lambda: run_original(backend, program, images))

    def nudge() -> list[Floats]:
        return call_isolated(lambda: [run_reference(frontend, model, each) for each in nudged(images)])

    _agree(outputs, scores, "the compiled model agrees with the reference", nudge)


def _check_layers(model: Model) -> None:
    for profile in PROFILES:
        toolchain = Toolchain(model, installed_backend("llvm"), Profile(profile))
        nameless = [call.kernel.name for call in toolchain.program.calls if not call.layers]
        told = bool(toolchain.model_layers and not toolchain.fallback)
        require(not (told and nameless), f"profile {profile}: {', '.join(nameless)} is of a layer")


def _agree(values: Floats, scores: Floats, promise: str, nudge: Callable[[], list[Floats]] = list) -> None:
    found = compare(values, scores_of(scores, "auto"), Gate().tolerance, nudge)
    require(not found.problems, f"{promise}; {'; '.join(found.problems)}")


def _copy(path: Path, folder: Path) -> Path:
    """Return a copy of a model: its folder, or the files that differ from its own in their suffix alone."""
    if path.is_dir():
        return shutil.copytree(path, folder / path.name)
    for each in path.parent.glob(f"{path.stem}.*"):
        if each.is_file():
            shutil.copy(each, folder)
    return folder / path.name


def _check_files(frontend: Frontend, path: Path, digest: str) -> None:
    """Check what becomes of a copy of a model in which a file is damaged."""
    with keeping(f"{frontend.name} gives a copy elsewhere the same digest"):
        require(_digest(frontend, path) == digest, "it has another")
    with keeping(f"{frontend.name} refuses a file that is missing"):
        require(_digest(frontend, path.with_name(f"absent{path.suffix}")) == "", "it is loaded")
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    largest = max(files, key=lambda each: each.stat().st_size)
    content = largest.read_bytes()
    for what, damage in DAMAGE.items():
        largest.write_bytes(damage(content))
        with keeping(f"{frontend.name} refuses {largest.name} with {what} in the place of its content"):
            found = _digest(frontend, path)
            if what in UNREADABLE:
                require(found == "", "it is loaded")
            require(found != digest, "it has the same digest")


def _digest(frontend: Frontend, path: Path) -> str:
    """Return the digest of a model, loaded in a process of its own; "" if it is refused as it should be."""
    try:
        return call_isolated(lambda: load_model(frontend, path).digest)
    except InputError as refusal:
        require(path.name in str(refusal), f"what is refused is named in {str(refusal)!r}")
        _check_line(refusal)
        return ""


def _check_line(refusal: InputError) -> None:
    require("\n" not in str(refusal), f"a refusal is one line, not {str(refusal)!r}")


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def _check_choices(frontend: Frontend) -> None:
    """Check routes and schemes."""
    cls = type(frontend)
    route = attrs.fields_dict(cls).get("route") if attrs.has(cls) else None
    with keeping(f"{cls.name} has a field route, with one of its routes as the default, or no routes"):
        require(
            (route.default in cls.routes) if route else not cls.routes, f"it has {route and route.default}"
        )
    with keeping(f"{cls.name} defines obtain if it has schemes, and only then"):
        require((cls.obtain is not Frontend.obtain) == bool(cls.schemes), f"its schemes are {cls.schemes}")
    for scheme in cls.schemes:
        with keeping(f"{cls.name} refuses {scheme}:no/such model"), tempfile.TemporaryDirectory() as folder:
            _check_unknown(frontend, scheme, Path(folder))


def _check_unknown(frontend: Frontend, scheme: str, folder: Path) -> None:
    try:
        found = call_isolated(lambda: frontend.obtain(scheme, "no/such model", folder))
    except InputError as refusal:
        _check_line(refusal)
        return
    require(False, f"it returns {found}")
