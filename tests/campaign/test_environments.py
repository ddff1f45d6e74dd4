"""Routes of a frontend, and the model's own framework as an environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import attrs
import jsonschema
import numpy as np
import pytest

import mutatenn
from mutatenn import Frontend, InputError, Model, TensorSpec, hookimpl, ir
from mutatenn.campaign.execution import provenance
from mutatenn.campaign.execution.setup import Setup, set_up
from mutatenn.host.plugin_host import PluginHost
from mutatenn_frontends.onnx import Onnx

HEAD = """
name = "t"
[model]
path = "mutatenn:digits.onnx"
{model}
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-4]_00*.png"
truth = "filename-prefix"
"""
MUTATION = '[[mutations]]\noperator = "relu-to-sigmoid"\nsites = [0]\n'
SCHEMA = Path(__file__).parents[2] / "plugins/reporters/mutatenn_reporters/report.schema.json"


@attrs.frozen(kw_only=True)
class Ways(Onnx):
    """Imports the same file in several ways, one of which is wrong."""

    name: ClassVar[str] = "ways"
    routes: ClassVar[tuple[str, ...]] = ("straight", "detour", "narrow")
    loaded: ClassVar[list[str]] = []
    route: str = "straight"

    def load(self, source: Path) -> Model:
        self.loaded.append(self.route)
        model = super().load(source)
        if self.route == "narrow":
            output = attrs.evolve(model.output, shape=(1, 3))
            model = attrs.evolve(model, output=output, module=_nothing(model.input, output))
        return model if self.route == "straight" else attrs.evolve(model, digest=f"{model.digest}-detour")


def _nothing(image: TensorSpec, scores: TensorSpec) -> Any:
    """Return a graph that gives zeros."""
    builder = ir.relax.BlockBuilder()
    parameter = ir.relax.Var(image.name, ir.relax.TensorType(image.shape, image.dtype))
    with builder.function("main", [parameter]):
        zeros = ir.relax.op.full(scores.shape, ir.relax.const(0.0), scores.dtype)
        builder.emit_func_output(builder.emit(zeros))
    return builder.get()


@hookimpl
def frontends() -> list[type[Frontend]]:
    return [Ways]


@pytest.fixture
def host() -> PluginHost:
    Ways.loaded.clear()
    host = PluginHost.installed()
    host.register(SimpleNamespace(mutatenn_frontends=frontends), "ways")
    return host


@pytest.fixture
def load(tmp_path: Path, host: PluginHost) -> Callable[..., Setup]:
    def load(*environments: str, model: str = 'frontend = "ways"', tail: str = MUTATION) -> Setup:
        path = tmp_path / "t.toml"
        tables = [f"[[environments]]\nname = 'e{n}'\n{keys}\n" for n, keys in enumerate(environments)]
        path.write_text("\n".join([HEAD.format(model=model), *tables, tail]))
        return set_up(path, host)

    return load


def test_a_model_is_imported_once_per_route(load: Callable[..., Setup]) -> None:
    setup = load("", "route = 'detour'", "route = 'detour'\nprofile = 'basic'", "backend = 'reference'")
    assert Ways.loaded == ["straight", "detour"]
    assert [each.route for each in setup.imported.values()] == ["straight", "detour", "detour", "straight"]
    assert setup.model is setup.imported["e0"].model is setup.imported["e3"].model
    assert list(setup.toolchains) == ["e0", "e1", "e2"]
    assert setup.toolchains["e2"].model is setup.imported["e1"].model


def test_the_models_options_name_the_usual_route(load: Callable[..., Setup]) -> None:
    model = 'frontend = "ways"\noptions = { route = "detour" }'
    setup = load("", "route = 'straight'", model=model)
    assert [each.route for each in setup.imported.values()] == ["detour", "straight"]


def test_every_route_decides_the_identity(load: Callable[..., Setup]) -> None:
    both = provenance.identity(load("", "route = 'detour'"))
    setup = load("", "route = 'detour'")
    one, other = setup.imported.values()
    alike = attrs.evolve(setup, imported={"e0": one, "e1": attrs.evolve(other, model=one.model)})
    assert provenance.identity(setup) == both != provenance.identity(alike)


@pytest.mark.parametrize(
    ("environments", "model", "message"),
    [
        (
            ["route = 'detuor'"],
            'frontend = "ways"',
            "environment 'e0': unknown route 'detuor'; did you mean 'detour'?",
        ),
        (
            [""],
            'frontend = "ways"\noptions = { route = "x" }',
            "model.options.route: unknown route 'x'; known: detour, narrow, straight",
        ),
        (
            ["", "route = 'detour'"],
            'frontend = "onnx"',
            "environment 'e1': frontend onnx knows one route only; leave route out",
        ),
        (
            ["", "route = 'narrow'"],
            'frontend = "ways"',
            "different models: float32[1x1x8x8] to 10 classes and float32[1x1x8x8] to 3 classes; choose",
        ),
        (
            [""],
            'frontend = "onnx"\noptions = { speed = 1 }',
            "onnx has no option 'speed'; it has output, size",
        ),
        (
            ["backend = 'reference'"],
            'frontend = "onnx"',
            "a model's own framework has no mutants: add an environment",
        ),
    ],
)
def test_wrong_routes_are_one_line(
    load: Callable[..., Setup], environments: list[str], model: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(*environments, model=model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_several_frontends_read(load: Callable[..., Setup]) -> None:
    with pytest.raises(
        InputError, match=r"several frontends know '.onnx' files; set model.frontend to one of"
    ):
        load("", model="")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> mutatenn.results.run.Run:
    """Compare three environments, one of them the model's own framework; no mutants."""
    folder = tmp_path_factory.mktemp("compared")
    environments = [
        "name = 'own'\nbackend = 'reference'",
        "name = 'cpu'",
        "name = 'basic'\nprofile = 'basic'",
    ]
    tables = "".join(f"[[environments]]\n{keys}\n" for keys in environments)
    (folder / "t.toml").write_text(HEAD.format(model="") + tables)
    return mutatenn.run(folder / "t.toml", folder / "run")


def test_the_models_own_framework_is_an_environment(compared: mutatenn.results.run.Run) -> None:
    assert compared.environments == ("own", "cpu", "basic")
    own, cpu = compared.baselines["own"], compared.baselines["cpu"]
    assert own.problems == cpu.problems == ()
    assert (own.noise, own.reference_difference, own.accuracy) == (0.0, 0.0, 1.0)
    assert 0 < own.seconds < 0.1
    model = Onnx().load(Path(compared.facts["model"]["path"]))
    setup = set_up(compared.directory / "campaign.toml", PluginHost.installed())
    np.testing.assert_array_equal(compared.outputs("own", None), Onnx().reference(model, setup.inputs["own"]))
    np.testing.assert_allclose(compared.outputs("own", None), compared.outputs("cpu", None), atol=1e-5)


def test_without_mutations_environments_are_compared(
    compared: mutatenn.results.run.Run, tmp_path: Path
) -> None:
    assert compared.mutants == []
    assert compared.score().valid == 0
    host = PluginHost.installed()
    text = host.get("reporter", "terminal")().report(compared, tmp_path)
    assert "environment own: reference on onnx\n" in text
    assert "between environments" in text
    host.get("reporter", "json")().report(compared, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert [each["backend"] for each in report["environments"]] == ["reference", "llvm", "llvm"]


def test_one_environment_without_mutations_is_an_error(load: Callable[..., Setup]) -> None:
    with pytest.raises(InputError, match="or a second environment to compare the first one with"):
        load("", tail="").plans()
    assert load("", "profile = 'basic'", tail="").plans().keys() == {"e0", "e1"}


def test_own_framework_has_no_mutants(load: Callable[..., Setup], tmp_path: Path, host: PluginHost) -> None:
    load("", "backend = 'reference'")
    run = mutatenn.run(tmp_path / "t.toml", tmp_path / "run", host=host)
    (record,) = run.mutants
    assert record.verdicts.keys() == {"e0"}
    assert run.baselines.keys() == {"e0", "e1"}
    again = mutatenn.run(tmp_path / "t.toml", tmp_path / "run", host=host)
    assert again.mutants == run.mutants
