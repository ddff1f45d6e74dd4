"""How each section of a campaign file is read: plain data to values, every problem with its place."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from mutatenn.api.executor import Limits
from mutatenn.campaign.config import values
from mutatenn.campaign.config.readers import (
    Problems,
    array,
    by_type,
    choice,
    integer,
    member,
    number,
    options,
    problem,
    shown,
    table,
    text,
)
from mutatenn.campaign.config.resources import resolve_path, resolve_pattern
from mutatenn.campaign.inputs.dataset import matching_files
from mutatenn.compiler.profiles import PROFILES, SEQUENCE, Profile
from mutatenn.nearest import missing, unknown_name
from mutatenn.results.wanted import ALL, Stop, Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    Catalogues = Mapping[str, Collection[str]]
    Placed = TypeVar("Placed", values.ModelSection, values.Variant)

MAX_ORDER = 100
MAX_REPEATS = 100_000
MAX_FACTOR, MAX_SECONDS, MAX_BYTES = 1e6, 1e6, 2**50  # products of these stay numbers that the system takes
MAX_SIDE = 16384  # pixels; an absurd size is a mistake, and would fill the memory
MIN_FRACTION = 0.01
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def campaign(base: Path, catalogues: Catalogues) -> Callable[[Any], values.Campaign]:
    """Return the reader of a whole file, whose relative paths start at ``base``."""
    remark = table(values.Remark, mutants=_told, reason=_told)
    return table(
        values.Campaign,
        name=name,
        model=_model(base, catalogues),
        dataset=dataset(base),
        preprocess=_preprocess(),
        environments=array(_environment(catalogues), least=1, key=lambda environment: environment.name),
        mutations=array(_mutation(catalogues)),
        oracles=oracles(catalogues),
        gate=table(values.Gate, min_accuracy=number(0, 1), tolerance=number(0)),
        thresholds=_thresholds(catalogues),
        checks=table(values.Checks, bounds=by_type('"auto", true or false', bool=bool, str=choice("auto"))),
        limits=_limits(),
        execution=_execution(catalogues),
        reporters=reporters(catalogues),
        skip=array(remark),
        accept=array(remark),
        time=table(
            values.TimeSection,
            warmup=integer(0, MAX_REPEATS),
            repeats=integer(2, MAX_REPEATS),
            images=integer(1),
        ),
        stop=table(Stop, width=number(0, 1), confidence=number(0.5, 0.9999)),
        seed=integer(0),
    )


def _model(base: Path, catalogues: Catalogues) -> Callable[[Any], values.ModelSection]:
    keys: dict[str, Callable[[Any], Any]] = {
        "name": name,
        "path": _file(base),
        "frontend": _listed("frontend", catalogues.get("frontends")),
        "scores": choice(*get_args(values.ScoreKind)),
        "threshold": number(0.0001, 0.9999),
        "source": _source(catalogues.get("schemes")),
        "sha256": _sha256,
        "options": options,
    }
    variant = table(values.Variant, preprocess=_preprocess(), **keys)
    variants = array(lambda value: _placed(variant(value)), key=lambda each: each.name)
    read = table(values.ModelSection, label_offset=integer(), variants=variants, **keys)
    return lambda value: _named_apart(_placed(read(value)))


def _named_apart(model: values.ModelSection) -> values.ModelSection:
    problems = Problems()
    for place, variant in enumerate(model.variants):
        with problems.at(f".variants[{place}].name"):
            if variant.name == model.called:
                raise problem(f"the model itself is called {variant.name!r}; rename one by name = ...")
    problems.check()
    return model


def _placed(model: Placed) -> Placed:
    if (model.path is None) == (model.source is None):
        both = "not both" if model.path else "one of them is required"
        raise problem(f"give path (a file or folder) or source ('scheme:name'), {both}")
    problems = Problems()
    with problems.at(".sha256"):
        if model.sha256 and not str(model.source).startswith(f"{values.URL}:"):
            raise problem(f"only for a source '{values.URL}:...'; remove it")
    problems.check()
    return model


def _source(schemes: Collection[str] | None) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        scheme, colon, name = text(value).partition(":")
        if not (scheme and colon and name.strip()):
            raise problem(f"must be 'scheme:name', got {shown(value)}; a file or folder is a path")
        _listed("scheme", schemes)(scheme)
        return str(value)

    return read


def _sha256(value: Any) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text(value)):
        raise problem(f"must be 64 hexadecimal digits, got {shown(value)}")
    return str(value).lower()


def dataset(base: Path) -> Callable[[Any], values.DatasetSection]:
    """Return the reader of ``[dataset]``."""
    pattern, file = _pattern(base), _file(base)
    return table(
        values.DatasetSection,
        images=by_type(
            "a pattern or a list of patterns",
            str=lambda value: (pattern(value),),
            list=array(pattern, least=1),
        ),
        truth=lambda value: value if value in get_args(values.Truth) else file(value),
        limit=integer(1),
    )


def preprocess_section(values: dict[str, Any]) -> values.PreprocessSection:
    """Return the section with these keys, as a campaign file has them; raises SchemaError."""
    return _preprocess()(values)


def _preprocess() -> Callable[[Any], values.PreprocessSection]:
    side = integer(1, MAX_SIDE)
    read = table(
        values.PreprocessSection,
        central_fraction=number(MIN_FRACTION, 1),
        resize=by_type("an integer or [height, width]", int=side, list=_pair),
        fit=choice(*get_args(values.Fit)),
        fill=integer(0, 255),
        crop=by_type("an integer or [height, width]", int=lambda value: (side(value),) * 2, list=_pair),
        mean=_per_channel(number(-1e6, 1e6)),
        std=_per_channel(_divisor),
        layout=choice(*get_args(values.Layout)),
        channels=choice(*get_args(values.Channels)),
        resample=choice(*get_args(values.Resample)),
        antialias=by_type("true or false", bool=bool),
        exif=by_type("true or false", bool=bool),
    )
    return lambda value: _consistent(read(value))


def _consistent(section: values.PreprocessSection) -> values.PreprocessSection:
    """Return the section, if its keys go together."""
    problems = Problems()
    with problems.at(".fit"):
        if section.fit == "shorter-side" and isinstance(section.resize, tuple):
            raise problem(
                "resize gives both sides; give the shorter one alone, or set fit = 'stretch' or 'pad'"
            )
    with problems.at(".fill"):
        if section.fill and section.fit != "pad":
            raise problem("nothing is filled; set fit = 'pad', or remove it")
    with problems.at(".antialias"):
        if not section.antialias and section.resample != "bilinear":
            raise problem("pixels are interpolated without it by resample = 'bilinear' only; set that")
    problems.check()
    return section


def _environment(catalogues: Catalogues) -> Callable[[Any], values.Environment]:
    read = table(values.Environment, **environment_keys(catalogues))
    return lambda value: _without_options(read(value))


def environment_keys(catalogues: Catalogues) -> dict[str, Callable[[Any], Any]]:
    """Return the readers of an environment's keys."""
    base, passes = choice(*PROFILES), array(_listed("pass", SEQUENCE))
    return {
        "name": name,
        "backend": _listed("backend", catalogues.get("backends")),
        "profile": by_type(
            "a profile's name or a table { base = ..., off = [...], on = [...] } or { order = [...] }",
            str=lambda value: Profile(base(value)),
            dict=table(Profile, base=base, off=passes, on=passes, order=passes),
        ),
        "options": options,
        "route": text,
        "offline": by_type("true or false", bool=bool),
        "may_fail": by_type("true or false", bool=bool),
        "model": text,
        "factors": _factors,
    }


def _factors(value: Any) -> dict[str, str]:
    problems, found = Problems(), dict[str, str]()
    for name, level in by_type("a table of factors and levels", dict=lambda given: given)(value).items():
        with problems.at(member(name)):
            found[name] = text(level)
    problems.check()
    return found


def _without_options(environment: values.Environment) -> values.Environment:
    problems = Problems()
    with problems.at(".options"):
        if environment.own_framework and environment.options:
            raise problem(f"the backend {values.REFERENCE!r} has none; remove them")
    problems.check()
    return environment


def _mutation(catalogues: Catalogues) -> Callable[[Any], values.Mutation]:
    mutators = catalogues.get("mutators")
    operators = None if mutators is None else [*mutators, *catalogues.get("groups", ())]
    read = table(
        values.Mutation,
        operator=_listed("operator or group", operators),
        sites=by_type(
            "'each', 'together', a list of ordinals, { sample = N } or { together = [...] }",
            str=choice("each", "together"),
            list=_ordinals,
            dict=_chosen_sites,
        ),
        layers=by_type(
            "a pattern of names, a list of patterns or { names = [...], types = [...], first = N }",
            str=lambda value: values.Layers((text(value),)),
            list=lambda value: values.Layers(array(text, least=1)(value)),
            dict=table(
                values.Layers, names=array(text, least=1), types=array(text, least=1), first=integer(1)
            ),
        ),
        stage=choice(*get_args(values.KernelStage)),
        order=integer(1, MAX_ORDER),
        options=options,
    )
    return lambda value: _combinable(read(value))


def _combinable(mutation: values.Mutation) -> values.Mutation:
    problems = Problems()
    with problems.at(".sites"):
        if mutation.order > 1 and not isinstance(mutation.sites, values.Sample):
            raise problem("faults are combined at random; set sites = { sample = N }")
    with problems.at(".layers"):
        if mutation.layers and isinstance(mutation.sites, tuple | values.Together):
            raise problem("sites names its places by number; remove one of the two")
    problems.check()
    return mutation


def _execution(catalogues: Catalogues) -> Callable[[Any], values.Execution]:
    executor = _listed("executor", catalogues.get("executors"))
    read = table(values.Execution, executor=executor, options=options)
    return lambda value: _with_executor(read(value))


def _with_executor(execution: values.Execution) -> values.Execution:
    problems = Problems()
    with problems.at(".options"):
        if execution.options and execution.executor is None:
            raise problem("whose options? name the executor")
    problems.check()
    return execution


def reporters(catalogues: Catalogues) -> Callable[[Any], tuple[values.ReporterSpec, ...]]:
    """Return the reader of ``[[reporters]]``."""
    name = _listed("reporter", catalogues.get("reporters"))
    return array(table(values.ReporterSpec, name=name, options=options), key=lambda reporter: reporter.name)


def _thresholds(catalogues: Catalogues) -> Callable[[Any], Thresholds]:
    share, most = number(0, 1), integer(0)
    counted = (
        "max_new_survivors",
        "max_timed_out",
        "max_build_errors",
        "max_infrastructure_errors",
        "max_label_changes",
    )
    return table(
        Thresholds,
        min_score=by_type(
            "a number or a table such as { all = 0.8, CSO = 0.5 }",
            int=share,
            float=share,
            dict=_scores(catalogues),
        ),
        min_low=share,
        min_valid=share,
        min_relative_accuracy=number(0, 2),
        **dict.fromkeys(counted, most),
    )


def _scores(catalogues: Catalogues) -> Callable[[dict[str, Any]], dict[str, float]]:
    """Return the reader of scores by operator or category."""
    operators, categories = catalogues.get("mutators"), catalogues.get("categories", ())
    known = None if operators is None else [ALL, *categories, *operators]

    def read(value: dict[str, Any]) -> dict[str, float]:
        problems, found = Problems(), dict[str, float]()
        for name, least in value.items():
            with problems.at(member(name)):
                if known is not None and name not in known:
                    raise problem(unknown_name("operator or category", name, known))
                found[name] = number(0, 1)(least)
        problems.check()
        return found

    return read


def _limits() -> Callable[[Any], Limits]:
    return table(
        Limits,
        time_factor=number(1, MAX_FACTOR),
        time_floor=number(0, MAX_SECONDS),
        build_seconds=number(1, MAX_SECONDS),
        memory_factor=number(1, MAX_FACTOR),
        memory_floor=integer(0, MAX_BYTES),
        shard_bytes=integer(1, MAX_BYTES),
    )


def oracles(catalogues: Catalogues) -> Callable[[Any], values.Oracles]:
    """Return the reader of ``[oracles]``."""
    oracle = _oracle(_listed("comparator", catalogues.get("comparators")))
    return table(values.Oracles, kill=oracle, also=array(oracle))


def _oracle(name: Callable[[Any], str]) -> Callable[[Any], values.OracleSpec]:
    def with_options(value: dict[str, Any]) -> values.OracleSpec:
        rest = {key: part for key, part in value.items() if key != "name"}
        problems = Problems()
        with problems.at(".name"):
            if "name" not in value:
                raise problem("missing; this key is required")
            found = name(value["name"])
        with problems.at(""):
            rest = options(rest)
        problems.check()
        return values.OracleSpec(found, rest)

    return by_type(
        "an oracle's name or a table { name = ... }",
        str=lambda value: values.OracleSpec(name(value)),
        dict=with_options,
    )


def _listed(kind: str, known: Collection[str] | None) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if known is not None and text(value) not in known:
            raise problem(unknown_name(kind, value, known))
        return text(value)

    return read


def _file(base: Path) -> Callable[[Any], Path]:
    def read(value: Any) -> Path:
        path = resolve_path(text(value), base)
        if not os.path.exists(path):
            raise problem(missing(path))
        if not (os.path.isfile(path) or os.path.isdir(path)):
            raise problem(f"{path.name!r} is neither a file nor a folder")
        return path

    return read


def _pattern(base: Path) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        pattern = resolve_pattern(text(value), base)
        matching_files(pattern)
        return pattern

    return read


def name(value: Any) -> str:
    """Read the name of something that names a folder."""
    if not _NAME.fullmatch(text(value)):
        raise problem("must be letters, digits, '_', '-' and '.' (not first), because it names a folder")
    return str(value)


def _told(value: Any) -> str:
    if not text(value).strip():
        raise problem("must not be empty")
    return str(value)


def _pair(value: Any) -> tuple[int, int]:
    sides = array(integer(1, MAX_SIDE))(value)
    if len(sides) != 2:  # noqa: PLR2004 - height and width
        raise problem(f"must be [height, width], got {len(sides)} numbers")
    return sides[0], sides[1]


def _per_channel(reader: Callable[[Any], float]) -> Callable[[Any], float | tuple[float, ...]]:
    return by_type(
        "a number or a list with one per channel", int=reader, float=reader, list=array(reader, least=1)
    )


def _divisor(value: Any) -> float:
    found = number(-1e6, 1e6)(value)
    if abs(found) < 1e-6:  # noqa: PLR2004 - float32 must be able to divide by it
        raise problem(f"must not be zero, got {found}")
    return found


_ordinals = array(integer(0), least=1, key=lambda ordinal: ordinal)


def _chosen_sites(value: dict[str, Any]) -> values.Sample | values.Together:
    if "together" in value:
        return table(values.Together, together=_ordinals)(value)
    stratified = by_type("true or false", bool=bool)
    return table(values.Sample, sample=integer(1), seed=integer(0), stratified=stratified)(value)
