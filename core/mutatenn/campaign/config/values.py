"""A campaign: the values behind a campaign file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import tomli_w

from mutatenn.api.executor import Limits
from mutatenn.compiler.profiles import Profile
from mutatenn.results.wanted import Stop, Thresholds

if TYPE_CHECKING:
    from mutatenn.api.values import Bounds

ScoreKind = Literal["auto", "probabilities", "logits"]
Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR", "L"]
Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Fit = Literal["shorter-side", "stretch", "pad"]
KernelStage = Literal["schedulable", "scheduled", "lowered"]
Truth = Literal["filename-prefix", "folder"]
"""Where the true classes stand, if not in a file."""
REFERENCE = "reference"
"""The backend of an environment that is the model's own framework."""
NOT_DECIDING = ("thresholds", "execution", "reporters", "skip", "accept", "stop", "time")
"""Sections that decide what is run, by whom, and what is made of it, but no result."""
URL = "url"
"""The scheme of sources that are downloaded."""


@attrs.frozen
class ModelSection:
    """The model under test: a file or folder ``path``, or a ``source``, ``scheme:name``, never both.

    ``frontend`` None means: the one that reads the path, or knows the scheme; ``options`` are its own.
    ``sha256`` (hex) is that of a downloaded file. Class ``c`` is output ``c + label_offset``. ``scores`` says
    what the outputs are; ``auto`` looks at them. Where there is but one output, the probability of class 1,
    ``threshold`` is the one above which an image is of that class; None is 0.5. ``name`` is what environments
    and tables call it, None for that of the file; ``variants`` are the same network in other forms.
    """

    path: Path | None = None
    frontend: str | None = None
    label_offset: int = 0
    scores: ScoreKind = "auto"
    threshold: float | None = None
    source: str | None = None
    sha256: str | None = None
    options: dict[str, Any] = attrs.field(factory=dict)
    name: str | None = None
    variants: tuple[Variant, ...] = ()

    @property
    def called(self) -> str:
        """Its name, or that of its file or source."""
        place = str(self.path) if self.path else str(self.source).partition(":")[2].partition("?")[0]
        return self.name or Path(place).stem or "model"

    @property
    def scheme(self) -> str:
        """What stands before the colon of ``source``; empty where there is none."""
        return (self.source or "").partition(":")[0]

    @property
    def downloaded(self) -> bool:
        """Whether the source is an address."""
        return self.scheme == URL


@attrs.frozen
class Variant:
    """Another form of the model, such as its conversion or its quantised twin; the keys of ``[model]``.

    It has the same classes, at the same outputs. ``preprocess`` None is the campaign's.
    """

    name: str
    path: Path | None = None
    frontend: str | None = None
    scores: ScoreKind = "auto"
    threshold: float | None = None
    source: str | None = None
    sha256: str | None = None
    options: dict[str, Any] = attrs.field(factory=dict)
    preprocess: PreprocessSection | None = None

    @property
    def section(self) -> ModelSection:
        """It as a model of its own."""
        told = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name != "preprocess")
        return ModelSection(**told)


@attrs.frozen
class PreprocessSection:
    """How an image becomes the model's input; see :mod:`mutatenn.campaign.inputs.preprocess`.

    ``central_fraction`` is the share of each side that is cut from the centre first. ``resize`` is the new
    length of the shorter side, or the new (height, width), to which an image is stretched, or, by ``fit``
    "pad", scaled until it fits, with pixels of value ``fill`` around it. ``crop`` is the (height, width) cut
    from the centre then. Lengths are in pixels. A pixel value x, 0 to 255, becomes (x - mean) / std, with one
    mean and std for all channels or one for each in the order of ``channels``, by default 0 and 1. ``exif``:
    the orientation in a file's EXIF block counts. Without ``antialias``, pixels are interpolated as OpenCV
    does it. What else is None follows from the model's input.
    """

    central_fraction: float | None = None
    resize: int | tuple[int, int] | None = None
    fit: Fit | None = None
    fill: int = 0
    crop: tuple[int, int] | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    layout: Layout | None = None
    channels: Channels | None = None
    resample: Resample = "bilinear"
    antialias: bool = True
    exif: bool = True

    @property
    def scaling(self) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
        """Mean and std, 0 and 1 where they are not set."""
        return 0.0 if self.mean is None else self.mean, 1.0 if self.std is None else self.std


@attrs.frozen
class DatasetSection:
    """The images: absolute glob patterns, where the true classes stand, and how many images to take.

    ``truth`` is ``"filename-prefix"``, ``"folder"``, the path of a CSV file, or None.
    """

    images: tuple[str, ...]
    truth: Path | Truth | None = None
    limit: int | None = None


@attrs.frozen
class Environment:
    """One cell of the matrix: a route of the frontend, a compiler profile, a backend with its options.

    ``route`` None is the one of ``[model] options``, or else the frontend's default. The backend
    ``reference`` is the model's own framework: nothing is compiled, and it has no mutants. What is
    ``offline`` is planned but not run here: a bundle takes it to its device. One that ``may_fail`` does not
    end the run where the model cannot be imported, where the compiler rejects the original, or where it fails
    the gate: that is then what is told of it. ``model`` names a variant of the model; None is the model
    itself. ``factors`` are what tables and comparisons know it by, such as ``{"device": "board"}``: names of
    the user's own, or others in the place of those that are derived.
    """

    name: str
    backend: str = "llvm"
    profile: Profile = attrs.field(factory=Profile)
    options: dict[str, Any] = attrs.field(factory=dict)
    route: str | None = None
    offline: bool = False
    may_fail: bool = False
    model: str | None = None
    factors: dict[str, str] = attrs.field(factory=dict)

    @property
    def own_framework(self) -> bool:
        """Whether it is the model's own framework."""
        return self.backend == REFERENCE


@attrs.frozen
class Sample:
    """``sample`` sites drawn at random; ``seed`` None is the campaign's.

    ``stratified``, they are spread evenly over operators and layers, each by its share of the sites.
    """

    sample: int
    seed: int | None = None
    stratified: bool = False


@attrs.frozen
class Together:
    """All of these sites in one mutant."""

    together: tuple[int, ...]


Sites = Literal["each", "together"] | tuple[int, ...] | Sample | Together


@attrs.frozen
class Layers:
    """Layers of the user's network, by patterns of names, by types, and the first so many of these."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    first: int | None = None


@attrs.frozen
class Mutation:
    """One operator, or group of operators, and where it is applied.

    ``sites``: ``each`` site is a mutant, all ``together`` are one mutant, the listed ordinals are a mutant
    each, or a :class:`Sample` or :class:`Together`. ``stage`` None is the operator's own. An ``order``
    above 1 asks for so many faults at once: each sampled mutant combines sites drawn at random. ``layers``
    leaves the sites that are computed in these; None is all.
    """

    operator: str
    sites: Sites = "each"
    stage: KernelStage | None = None
    options: dict[str, Any] = attrs.field(factory=dict)
    order: int = 1
    layers: Layers | None = None


@attrs.frozen
class Remark:
    """Mutants, by id or by a pattern of ids with ``*`` and ``?``, and what the user has to say of them."""

    mutants: str
    reason: str


@attrs.frozen
class OracleSpec:
    """A comparator and its options."""

    name: str
    options: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Oracles:
    """``kill`` decides what counts as noticed; ``also`` are measured and reported."""

    kill: OracleSpec = OracleSpec("top-1")
    also: tuple[OracleSpec, ...] = (OracleSpec("max-abs"),)


@attrs.frozen
class Execution:
    """Who runs the mutants: an executor and its options; None is the one that suits each backend."""

    executor: str | None = None
    options: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class ReporterSpec:
    """A reporter that follows and presents the run, and its options."""

    name: str
    options: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class TimeSection:
    """How originals are timed: runs on all images to warm up, runs that count, and on how many images."""

    warmup: int = 3
    repeats: int = 30
    images: int = 8


@attrs.frozen
class Gate:
    """What the original must reach.

    ``min_accuracy`` is the share of images whose top-1 class is right, 0 to 1; ``tolerance`` the largest
    absolute difference of a probability to the reference runtime's, or of a logit as a share of the spread of
    its image's scores, unless rounding explains more.
    """

    min_accuracy: float | None = None
    tolerance: float = 1e-4


@attrs.frozen
class Checks:
    """What is checked of changed kernels.

    ``bounds``: ``"auto"`` checks the accesses that are not proven to stay inside their buffers, and has reads
    near a buffer find known numbers; true lets no access leave a buffer; false checks none.
    """

    bounds: Bounds = "auto"


@attrs.frozen
class Campaign:
    """All of a campaign file, with absolute paths and every default filled in.

    Mutants of ``skip`` are not run. Survivors of ``accept`` are known: reports do not list them again.
    """

    name: str
    model: ModelSection
    dataset: DatasetSection
    preprocess: PreprocessSection = PreprocessSection()
    environments: tuple[Environment, ...] = (Environment("cpu"),)
    mutations: tuple[Mutation, ...] = ()
    oracles: Oracles = Oracles()
    gate: Gate = Gate()
    thresholds: Thresholds = Thresholds()  # noqa: RUF009  # frozen, as the others
    checks: Checks = Checks()
    limits: Limits = attrs.field(factory=Limits)
    execution: Execution = attrs.field(factory=Execution)
    reporters: tuple[ReporterSpec, ...] = ()
    skip: tuple[Remark, ...] = ()
    accept: tuple[Remark, ...] = ()
    stop: Stop | None = None
    time: TimeSection | None = None
    seed: int = 0

    def variant(self, environment: Environment) -> Variant | None:
        """Return the form of the model that an environment has; None is the model itself."""
        return next((each for each in self.model.variants if each.name == environment.model), None)

    def preprocess_of(self, variant: Variant | None) -> PreprocessSection:
        """Return how images are prepared for a form of the model."""
        return (variant and variant.preprocess) or self.preprocess

    def to_dict(self) -> dict[str, Any]:
        """Return the campaign as plain data in the form of a campaign file; what is absent is None."""
        return {field.name: _plain(getattr(self, field.name)) for field in attrs.fields(Campaign)}

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of everything that can change a result.

        That is all but the campaign's name, :data:`NOT_DECIDING`, ``limits.shard_bytes`` and the factors of
        environments. Files count by their path, not by their content.
        """
        deciding = self.to_dict()
        for key in ("name", *NOT_DECIDING):
            del deciding[key]
        del deciding["limits"]["shard_bytes"]
        for environment in deciding["environments"]:
            del environment["factors"], environment["may_fail"]  # what it is called, what is made of it
            if not environment["profile"]["order"]:  # as before there was one
                del environment["profile"]["order"]
            if environment["model"] is None:
                del environment["model"]
        del deciding["model"]["name"]
        if not deciding["model"]["variants"]:
            del deciding["model"]["variants"]
        text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def dump(campaign: Campaign) -> str:
    """Return a campaign file (TOML) that loads as an equal campaign."""
    return tomli_w.dumps(plain(campaign))


def plain(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign as a file has it, without what is absent."""
    found: dict[str, Any] = _without_none(campaign.to_dict())
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, OracleSpec):
        return {"name": value.name, **_plain(value.options)} if value.options else value.name
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, list) else value
