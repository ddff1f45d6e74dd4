"""Campaign files: what loads, and how problems are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mutatenn import InputError, Limits
from mutatenn.campaign.config.load import load_campaign, load_oracles, load_reporters
from mutatenn.campaign.config.values import (
    Campaign,
    DatasetSection,
    Environment,
    Execution,
    Gate,
    ModelSection,
    Mutation,
    Oracles,
    OracleSpec,
    PreprocessSection,
    ReporterSpec,
    Sample,
    Together,
)
from mutatenn.compiler.profiles import Profile

Write = Callable[..., Path]

CATALOGUES = {
    "mutators": ["lt-to-le", "relu-to-sigmoid"],
    "groups": ["paper", "all"],
    "backends": ["llvm", "cuda", "reference"],
    "frontends": ["onnx"],
    "schemes": ["url", "zoo"],
    "comparators": ["top-1", "max-abs", "top-k-jaccard"],
    "executors": ["fork", "worker"],
    "reporters": ["json", "terminal"],
}

FULL = """
[preprocess]
central_fraction = 0.875
resize = 256
fit = "pad"
fill = 114
crop = [224, 192]
mean = [127, 127.5, 128]
std = 127.5
layout = "NHWC"
channels = "BGR"
resample = "bicubic"
exif = false

[[environments]]
name = "cpu"
backend = "llvm"
profile = { base = "extended", off = ["FuseOps"], on = ["ConvertLayout"] }
options = { mcpu = "x86-64-v3", threads = 1, flags = [true, 0.5] }

[[environments]]
name = "gpu"
backend = "cuda"
profile = "basic"

[[mutations]]
operator = "lt-to-le"
sites = [1, 10]
stage = "lowered"
options = { by = 2 }

[[mutations]]
operator = "paper"
sites = { sample = 20, seed = 7 }

[[mutations]]
operator = "all"
sites = { together = [0, 3] }

[[mutations]]
operator = "relu-to-sigmoid"
sites = "together"

[oracles]
kill = { name = "top-k-jaccard", k = 3, threshold = 0.8 }
also = ["top-1"]

[gate]
min_accuracy = 1
tolerance = 0.01

[limits]
time_factor = 3
memory_floor = 1024
"""


def problems(path: Path) -> list[str]:
    """Return the lines of the error, the file's own path left out."""
    with pytest.raises(InputError) as caught:
        load_campaign(path, CATALOGUES)
    return str(caught.value).removeprefix(f"{path}: ").split("\n")


def test_a_minimal_file_gets_every_default(write: Write, folder: Path) -> None:
    pattern = str(folder / "images" / "*.png").replace("[", "[[]")
    assert load_campaign(write(), CATALOGUES) == Campaign(
        "t", ModelSection(folder / "net.onnx"), DatasetSection((pattern,))
    )
    defaults = load_campaign(write(), CATALOGUES)
    assert defaults.environments == (Environment("cpu", "llvm", Profile("default"), {}),)
    assert defaults.oracles == Oracles(OracleSpec("top-1"), (OracleSpec("max-abs"),))
    assert (defaults.mutations, defaults.seed, defaults.limits) == ((), 0, Limits())


def test_every_section_and_form(write: Write, folder: Path) -> None:
    campaign = load_campaign(
        write(
            FULL,
            head='name = "mobilenet_v2_1.0"\nseed = 5',
            model='[model]\npath = "net.onnx"\nfrontend = "onnx"\nlabel_offset = 1\nscores = "logits"',
            dataset='[dataset]\nimages = ["images/0*.png", "images/1*.png"]\ntruth = "labels.csv"\nlimit = 2',
        ),
        CATALOGUES,
    )
    assert campaign.model == ModelSection(folder / "net.onnx", "onnx", 1, "logits")
    assert (campaign.dataset.truth, campaign.dataset.limit) == (folder / "labels.csv", 2)
    assert len(campaign.dataset.images) == 2
    assert campaign.preprocess == PreprocessSection(
        central_fraction=0.875,
        resize=256,
        fit="pad",
        fill=114,
        crop=(224, 192),
        mean=(127.0, 127.5, 128.0),
        std=127.5,
        layout="NHWC",
        channels="BGR",
        resample="bicubic",
        exif=False,
    )
    assert campaign.environments == (
        Environment(
            "cpu",
            "llvm",
            Profile("extended", ("FuseOps",), ("ConvertLayout",)),
            {"mcpu": "x86-64-v3", "threads": 1, "flags": [True, 0.5]},
        ),
        Environment("gpu", "cuda", Profile("basic")),
    )
    assert campaign.mutations == (
        Mutation("lt-to-le", (1, 10), "lowered", {"by": 2}),
        Mutation("paper", Sample(20, 7)),
        Mutation("all", Together((0, 3))),
        Mutation("relu-to-sigmoid", "together"),
    )
    assert campaign.oracles.kill == OracleSpec("top-k-jaccard", {"k": 3, "threshold": 0.8})
    assert campaign.gate == Gate(1.0, 0.01)
    assert campaign.limits == Limits(time_factor=3.0, memory_floor=1024)
    assert campaign.seed == 5


def test_who_runs_and_who_reports(write: Write) -> None:
    execution = '[execution]\nexecutor = "worker"\noptions = { hosts = 2 }\n'
    reporters = '[[reporters]]\nname = "json"\noptions = { indent = 1 }\n'
    campaign = load_campaign(write(execution + reporters), CATALOGUES)
    assert campaign.execution == Execution("worker", {"hosts": 2})
    assert campaign.reporters == (ReporterSpec("json", {"indent": 1}),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[execution]\nexecutor = "works"',
            "execution.executor: unknown executor 'works'; did you mean 'worker'?",
        ),
        ("[execution]\noptions = { hosts = 2 }", "execution.options: whose options? name the executor"),
        ("[[reporters]]\nnane = 'json'", "reporters[0].nane: unknown key; did you mean 'name'?"),
        ("[[reporters]]\nname = 'jsom'", "reporters[0].name: unknown reporter 'jsom'; did you mean 'json'?"),
        ("[[reporters]]\nname='json'\n[[reporters]]\nname='json'", "reporters[1]: 'json' is there twice"),
    ],
)
def test_problems_of_execution_and_reporters(write: Write, text: str, line: str) -> None:
    assert line in problems(write(text))


def test_reporters_are_read_where_nothing_else_of_the_file_can_be(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text('[model]\npath = "gone.onnx"\n[[reporters]]\nname = "json"\n')
    assert load_reporters(path, ["json"]) == (ReporterSpec("json"),)
    with pytest.raises(InputError, match=r"reporters\[0\]\.name: unknown reporter 'json'"):
        load_reporters(path, ["csv"])


def test_absurd_nesting_is_told_of_a_part_as_well(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(f"reporters = {'[' * 5000}")
    with pytest.raises(InputError, match="nested too deeply"):
        load_reporters(path, ["json"])
    with pytest.raises(InputError, match="nested too deeply"):
        load_oracles(path)


def test_a_source_and_options_in_place_of_a_path(write: Write) -> None:
    digest = "0123456789ABCDEF" * 4
    model = f"[model]\nsource = 'url:https://a.org/n.onnx'\nsha256 = '{digest}'\noptions = {{ route = 'x' }}"
    assert load_campaign(write(model=model), CATALOGUES).model == ModelSection(
        source="url:https://a.org/n.onnx", sha256=digest.lower(), options={"route": "x"}
    )


def test_a_model_may_be_a_folder(write: Write, folder: Path) -> None:
    model = load_campaign(write(model="[model]\npath = 'images'"), CATALOGUES).model
    assert model.path == folder / "images"


def test_routes_and_the_models_own_framework(write: Write) -> None:
    tail = "[[environments]]\nname = 'a'\nroute = 'onnx'\n[[environments]]\nname = 'b'\nbackend = 'reference'"
    one, other = load_campaign(write(tail), CATALOGUES).environments
    assert (one.route, one.backend, other.route, other.backend) == ("onnx", "llvm", None, "reference")


def test_one_number_for_crop_is_a_square(write: Write) -> None:
    assert load_campaign(write("[preprocess]\ncrop = 8"), CATALOGUES).preprocess.crop == (8, 8)


def test_a_relative_campaign_path_still_gives_absolute_paths(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    monkeypatch.chdir(folder)
    assert load_campaign("campaign.toml", CATALOGUES).model.path == folder / "net.onnx"


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("[modle]", "modle: unknown key; did you mean 'model'?"),
        ("[limits]\nqqq = 1", "limits.qqq: unknown key; known here: time_factor, time_floor, build_seconds,"),
        ("[limits]\n'two words' = 1", 'limits."two words": unknown key; known here'),
        ("[limits]\ntime_factor = 'fast'", "limits.time_factor: expected a number, got 'fast'"),
        ("[limits]\ntime_floor = inf", "limits.time_floor: must be a finite number, got inf"),
        ("[limits]\nmemory_factor = 1e308", "limits.memory_factor: must be at most 1000000.0, got 1e+308"),
        (
            "[limits]\nmemory_floor = 9223372036854775807",
            "limits.memory_floor: must be at most 1125899906842624",
        ),
        (
            f"[limits]\nmemory_floor = 0x{'f' * 5000}",
            "limits.memory_floor: must be at most 1125899906842624",
        ),
        ("[oracles]\nkill = 'top1'", "oracles.kill: unknown comparator 'top1'; did you mean 'top-1'?"),
        ("[oracles]\nalso = [{ k = 3 }]", "oracles.also[0].name: missing; this key is required"),
        ("[gate]\ntolerance = -1", "gate.tolerance: must be at least 0, got -1.0"),
        ("[gate]\nmin_accuracy = 0.8", "gate.min_accuracy: accuracy needs true classes; set dataset.truth"),
        ("[preprocess]\nstd = [1, 0]", "preprocess.std[1]: must not be zero, got 0.0"),
        ("[preprocess]\nmean = []", "preprocess.mean: must have at least 1 item"),
        ("[preprocess]\ncrop = [1, 2, 3]", "preprocess.crop: must be [height, width], got 3 numbers"),
        (
            "[preprocess]\nresize = true",
            "preprocess.resize: expected an integer or [height, width], got True",
        ),
        ("[preprocess]\nresize = [8, 8, 3]", "preprocess.resize: must be [height, width], got 3 numbers"),
        (
            "[preprocess]\nfit = 'stretched'",
            "preprocess.fit: must be one of 'shorter-side', 'stretch', 'pad'",
        ),
        (
            "[preprocess]\nresize = [8, 9]\nfit = 'shorter-side'",
            "preprocess.fit: resize gives both sides; give the shorter one alone, or set fit",
        ),
        ("[preprocess]\nfill = 9", "preprocess.fill: nothing is filled; set fit = 'pad', or remove it"),
        (
            "[preprocess]\nresample = 'box'\nantialias = false",
            "preprocess.antialias: pixels are interpolated without it by resample = 'bilinear' only",
        ),
        ("[preprocess]\ncentral_fraction = 0", "preprocess.central_fraction: must be at least 0.01, got 0.0"),
        ("[preprocess]\nresize = 1000000", "preprocess.resize: must be at most 16384, got 1000000"),
        (
            "[preprocess]\nchannels = 'rgb'",
            "preprocess.channels: must be one of 'RGB', 'BGR', 'L', got 'rgb'; did",
        ),
        ("[[environments]]\nbackend = 'llvm'", "environments[0].name: missing; this key is required"),
        ("[[environments]]\nname = '../a'", "environments[0].name: must be letters, digits"),
        ("[[environments]]\nname = 'a'\n[[environments]]\nname = 'a'", "environments[1]: 'a' is there twice"),
    ],
)
def test_a_single_problem_is_one_line(write: Write, tail: str, line: str) -> None:
    (only,) = problems(write(tail))
    assert only.startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("route = 3", "route: expected a string, got 3"),
        (
            "backend = 'reference'\noptions = { a = 1 }",
            "options: the backend 'reference' has none; remove them",
        ),
        ("profil = 'basic'", "profil: unknown key; did you mean 'profile'?"),
        ("backend = 'lvm'", "backend: unknown backend 'lvm'; did you mean 'llvm'?"),
        ("profile = 'defualt'", "profile: must be one of 'basic', 'default', 'extended', got 'defualt'; did"),
        ("profile = { off = ['FuseOp'] }", "profile.off[0]: unknown pass 'FuseOp'; did you mean 'FuseOps'?"),
        ("profile = { off = ['LegalizeOps'] }", "profile: pass LegalizeOps cannot be switched off"),
        ("profile = 3", "profile: expected a profile's name or a table { base = ..."),
        ("options = { a = 2020-01-01 }", "options.a: expected plain data, got datetime.date(2020, 1, 1)"),
        ("options = { a = [nan] }", "options.a[0]: must be a finite number, got nan"),
    ],
)
def test_problems_of_an_environment(write: Write, text: str, line: str) -> None:
    (only,) = problems(write(f"[[environments]]\nname = 'a'\n{text}"))
    assert only.startswith(f"environments[0].{line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("operator = 'papr'", "operator: unknown operator or group 'papr'; did you mean 'paper'?"),
        (
            "operator = 'z'",
            "operator: unknown operator or group 'z'; known: all, lt-to-le, paper, relu-to-sigmoid",
        ),
        (
            "operator = 'all'\nsites = 'eech'",
            "sites: must be one of 'each', 'together', got 'eech'; did you mean",
        ),
        (
            "operator = 'all'\nsites = 3",
            "sites: expected 'each', 'together', a list of ordinals, { sample = N }",
        ),
        ("operator = 'all'\nsites = []", "sites: must have at least 1 item"),
        ("operator = 'all'\nsites = [0, -1]", "sites[1]: must be at least 0, got -1"),
        ("operator = 'all'\nsites = [4, 4]", "sites[1]: 4 is there twice"),
        ("operator = 'all'\nsites = { sample = 0 }", "sites.sample: must be at least 1, got 0"),
        ("operator = 'all'\nsites = { together = [0], seed = 1 }", "sites.seed: unknown key"),
        ("operator = 'all'\nstage = 'graph'", "stage: must be one of 'schedulable', 'scheduled', 'lowered'"),
    ],
)
def test_problems_of_a_mutation(write: Write, text: str, line: str) -> None:
    (only,) = problems(write(f"[[mutations]]\n{text}"))
    assert only.startswith(f"mutations[0].{line}")


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("", "name: missing; this key is required"),
        ("name = 'a/b'", "name: must be letters"),
        ("name = 't'\nseed = -1", "seed: must be at least 0, got -1"),
        ("name = 't'\nenvironments = 3", "environments: expected a list, got 3"),
        ("name = 't'\nenvironments = []", "environments: must have at least 1 item"),
    ],
)
def test_problems_of_the_head(write: Write, head: str, line: str) -> None:
    (only,) = problems(write(head=head))
    assert only.startswith(line)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("", "model: missing; this key is required"),
        ("[model]", "model: give path (a file or folder) or source ('scheme:name'), one of them is required"),
        (
            "[model]\npath = 'net.onnx'\nsource = 'url:https://a.org/n.onnx'",
            "model: give path (a file or folder) or source ('scheme:name'), not both",
        ),
        ("[model]\nsource = 'net.onnx'", "model.source: must be 'scheme:name', got 'net.onnx'; a file"),
        ("[model]\nsource = 'ulr:https://a.org/n.onnx'", "model.source: unknown scheme 'ulr'; did you mean"),
        ("[model]\nsource = 'zoo: '", "model.source: must be 'scheme:name'"),
        ("[model]\npath = 'net.onnx'\nsha256 = 'cafe'", "model.sha256: must be 64 hexadecimal digits"),
        (f"[model]\npath = 'net.onnx'\nsha256 = '{'0' * 64}'", "model.sha256: only for a source 'url:...'"),
        ("[model]\npath = 'net.onnx'\noptions = 3", "model.options: expected a table, got 3"),
        ("[model]\npath = 'nett.onnx'", "model.path: no file 'nett.onnx' in '"),
        ("[model]\npath = 'imags/net.onnx'", "model.path: no folder 'imags' in '"),
        ("[model]\npath = 'a/b/net.onnx'", "model.path: no folder 'a' in '"),
        ('[model]\npath = "a\\u0000b"', "model.path: must not hold control characters, got 'a\\x00b'"),
        ("[model]\npath = ' '", "model.path: must not be empty"),
        (
            "[model]\npath = 'mutatenn:no'",
            "model.path: nothing bundled is called 'mutatenn:no'; give mutatenn:",
        ),
        ("[model]\npath = 'net.onnx'\nfrontend = 'onx'", "model.frontend: unknown frontend 'onx'; did"),
    ],
)
def test_problems_of_the_model(write: Write, model: str, line: str) -> None:
    (only,) = problems(write(model=model))
    assert only.startswith(line)


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        ("", "dataset: missing; this key is required"),
        ("[dataset]\nimages = []", "dataset.images: must have at least 1 item"),
        ("[dataset]\nimages = 3", "dataset.images: expected a pattern or a list of patterns, got 3"),
        (
            "[dataset]\nimages = ['images/*.png', 'images/*.jpg']",
            "dataset.images[1]: no image matches '*.jpg'",
        ),
        ("[dataset]\nimages = 'images/*'\ntruth = 'label.csv'", "dataset.truth: no file 'label.csv' in '"),
        ("[dataset]\nimages = 'images/*'\nlimit = 0", "dataset.limit: must be at least 1, got 0"),
    ],
)
def test_problems_of_the_dataset(write: Write, dataset: str, line: str) -> None:
    (only,) = problems(write(dataset=dataset))
    assert only.startswith(line)


def test_missing_files_name_the_nearest(write: Write) -> None:
    (model,) = problems(write(model="[model]\npath = 'nett.onnx'"))
    (images,) = problems(write(dataset="[dataset]\nimages = 'imags/*.png'"))
    assert model.endswith("did you mean 'net.onnx'?")
    assert images.endswith("did you mean 'images'?")


def test_all_problems_are_reported_at_once(write: Write) -> None:
    path = write(
        "[preprocess]\ncrop = 0\nlayuot = 'NCHW'\n[gate]\nmin_accuracy = 80",
        head="seed = 'x'",
        model="[model]\npath = 'gone.onnx'\nlabel_offset = 1.5",
    )
    assert [line.split(":")[0] for line in problems(path)] == [
        "8 problems",
        "seed",
        "model.path",
        "model.label_offset",
        "preprocess.crop",
        "preprocess.layuot",
        "gate.min_accuracy",
        "name",
        "gate.min_accuracy",
    ]


@pytest.mark.parametrize("section", [Limits, PreprocessSection, Gate])
def test_every_field_is_a_key(write: Write, section: type[attrs.AttrsInstance]) -> None:
    """A field added to a section must become readable."""
    name = {Limits: "limits", PreprocessSection: "preprocess", Gate: "gate"}[section]
    (line,) = problems(write(f"[{name}]\nqqqqqq = 1"))
    assert line.split("known here: ")[1].split(", ") == [field.name for field in attrs.fields(section)]


def test_a_kind_without_a_catalogue_is_not_checked(write: Write) -> None:
    path = write("[[mutations]]\noperator = 'mine'\n[[environments]]\nname = 'x'\nbackend = 'mine'")
    campaign = load_campaign(path, {})
    assert (campaign.mutations[0].operator, campaign.environments[0].backend) == ("mine", "mine")


def test_not_toml_names_the_line(folder: Path) -> None:
    path = folder / "campaign.toml"
    path.write_text("name = 't'\nseed 3\n")
    (line,) = problems(path)
    assert "not valid TOML" in line
    assert "line 2" in line


def test_not_utf8(folder: Path) -> None:
    path = folder / "campaign.toml"
    path.write_bytes(b"name = '\xff'")
    assert problems(path) == ["not UTF-8 text (byte 8); save it as UTF-8"]


@pytest.mark.parametrize("deep", ["a = " + "[" * 100_000, "options" + ".a" * 1_000 + " = 1"])
def test_absurd_nesting_is_an_input_error(write: Write, deep: str) -> None:
    (line,) = problems(write(f"[[environments]]\nname = 'a'\n{deep}"))
    assert line == "nested too deeply; a campaign file has few levels"


def test_a_missing_file_tells_the_cure(write: Write, folder: Path) -> None:
    write()
    with pytest.raises(InputError, match=r"did you mean 'campaign.toml'\?; `mutatenn init` writes one$"):
        load_campaign(folder / "campain.toml", CATALOGUES)


def test_a_folder_is_not_a_campaign_file(folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read campaign file .*: Is a directory; name a TOML file$"):
        load_campaign(folder, CATALOGUES)
