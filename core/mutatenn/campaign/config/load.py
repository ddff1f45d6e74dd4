"""Reads campaign files: TOML to a Campaign, all problems reported at once."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.campaign.config import sections
from mutatenn.campaign.config.matrix import matrix
from mutatenn.campaign.config.readers import Problems, SchemaError, problem
from mutatenn.errors import InputError
from mutatenn.nearest import entries, suggestion, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mutatenn.campaign.config import values
    from mutatenn.campaign.config.sections import Catalogues

LARGEST = 2**20  # bytes of a campaign file
# A key of a hundred parts: TOML's reader takes the square of their number.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){100}""")


def load_campaign(path: str | Path, catalogues: Catalogues) -> values.Campaign:
    """Read a campaign file.

    ``catalogues`` holds the names that exist, by kind: ``mutators``, ``groups`` and ``categories`` (of
    mutators), ``frontends``, ``schemes``, ``backends``, ``comparators``; a kind that it lacks is not
    checked. Relative paths start at the file's folder. Raises InputError naming every problem of the file,
    one a line; the first line counts them if there are several.
    """
    path = Path(path)
    with _told(path):
        return _read(parse_file(path), Path(os.path.abspath(path.parent)), catalogues)


@contextlib.contextmanager
def _told(path: Path, section: str = "") -> Iterator[None]:
    """Raise problems of a file, or of one section of it, as InputError."""
    try:
        yield
    except SchemaError as error:
        under = SchemaError(*((f"{section}{where}", what) for where, what in error.problems))
        raise InputError(*_message(path, under)) from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; a campaign file has few levels") from None


def parse_file(path: Path) -> dict[str, Any]:
    """Return a campaign file as it is, plain data; raises InputError where it is no TOML file."""
    try:
        return tomllib.loads(_content(path))
    except FileNotFoundError:
        hint = suggestion(path.name, entries(path.parent))
        raise InputError(f"no campaign file {str(path)!r}{hint}; `mutatenn init` writes one") from None
    except OSError as error:
        raise InputError(
            f"cannot read campaign file {str(path)!r}: {error.strerror}; name a TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None


def load_oracles(path: Path) -> values.Oracles:
    """Read the oracles of a run's campaign file and nothing else of it; raises InputError."""
    if not path.exists():
        raise InputError(f"cannot read the oracles from {path}: it is gone; put the file back")
    with _told(path, ".oracles"):
        return sections.oracles({})(parse_file(path).get("oracles", {}))


def load_dataset(path: Path) -> values.DatasetSection:
    """Read where the images of a run are, and nothing else of its campaign file; raises InputError."""
    with _told(path, ".dataset"):
        return sections.dataset(Path(os.path.abspath(path.parent)))(parse_file(path).get("dataset", {}))


def load_label_offset(path: Path) -> int:
    """Read by how much outputs are moved against classes in a run's campaign; 0 where it does not say."""
    found = parse_file(path).get("model", {}).get("label_offset", 0)
    return found if isinstance(found, int) else 0


def load_reporters(path: Path, known: Collection[str]) -> tuple[values.ReporterSpec, ...]:
    """Read the reporters of a run's campaign file, nothing else of it: what it names may be elsewhere now.

    ``known`` are the names of reporters that exist. Raises InputError.
    """
    with _told(path, ".reporters"):
        return sections.reporters({"reporters": known})(parse_file(path).get("reporters", []))


def _content(path: Path) -> str:
    """Return the text of a campaign file, which is a file and not too large to be read; raises InputError."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"campaign file {str(path)!r} is no file; name a TOML file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        cure = "draw sites by { sample = N }"
        raise InputError(f"{path}: larger than {LARGEST >> 20} MiB, which no campaign is; {cure}")
    found = content.decode()
    if _LONG_KEY.search(found):
        raise InputError(f"{path}: nested too deeply; a campaign file has few levels")
    return found


def _message(path: Path, error: SchemaError) -> list[str]:
    lines = [f"{where.lstrip('.')}: {what}" if where else what for where, what in error.problems]
    if len(lines) == 1:
        return [f"{path}: {lines[0]}"]
    return [f"{path}: {len(lines)} problems", *lines]


def _read(data: dict[str, Any], base: Path, catalogues: Catalogues) -> values.Campaign:
    problems = Problems()
    rest = {key: value for key, value in data.items() if key != "matrix"}
    with problems.at(""):
        campaign = sections.campaign(base, catalogues)(rest)
    if "matrix" in data:
        with problems.at(".matrix"):
            campaign = _with_matrix(campaign, data, catalogues)
    with problems.at(".gate.min_accuracy"):
        if _sets(data, "gate", "min_accuracy") and not _sets(data, "dataset", "truth"):
            raise problem("accuracy needs true classes; set dataset.truth")
    problems.check()
    return _with_models(campaign)


def _with_models(campaign: values.Campaign) -> values.Campaign:
    """Return the campaign with None for the model itself where environments name it; raises SchemaError."""
    known = [campaign.model.called, *(each.name for each in campaign.model.variants)]
    problems, found = Problems(), []
    for environment in campaign.environments:
        with problems.at(f".environments: {environment.name}: model"):
            if environment.model is not None and environment.model not in known:
                raise problem(unknown_name("model", environment.model, known))
        itself = environment.model == campaign.model.called
        found.append(attrs.evolve(environment, model=None) if itself else environment)
    problems.check()
    return attrs.evolve(campaign, environments=tuple(found))


def _with_matrix(campaign: values.Campaign, data: dict[str, Any], catalogues: Catalogues) -> values.Campaign:
    """Return the campaign with the environments of its ``[matrix]`` after those that it lists."""
    made = matrix(sections.environment_keys(catalogues), sections.name)(data["matrix"])
    listed = campaign.environments if "environments" in data else ()
    names = {environment.name for environment in listed}
    for environment in made:
        if environment.name in names:
            raise problem(f"there is an environment {environment.name!r} already; rename that")
    return attrs.evolve(campaign, environments=(*listed, *made))


def _sets(data: dict[str, Any], section: str, key: str) -> bool:
    found = data.get(section)
    return isinstance(found, dict) and key in found
