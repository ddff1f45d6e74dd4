"""``[matrix]``: which environments it makes, and what is told of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mutatenn import InputError
from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.values import Campaign, dump
from mutatenn.campaign.execution.setup import catalogues
from mutatenn.host.plugin_host import PluginHost

Load = Callable[[str], Campaign]
HEAD = 'name = "x"\n[model]\npath = "mutatenn:digits.onnx"\n[dataset]\nimages = "mutatenn:digits/0_00*.png"\n'


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> Campaign:
        (tmp_path / "c.toml").write_text(HEAD + text)
        return load_campaign(tmp_path / "c.toml", catalogues(PluginHost.installed()))

    return load


def test_products(load: Load) -> None:
    campaign = load(
        """[matrix]
        profile = ["basic", { name = "bare", profile = { base = "default", off = ["FuseOps"] } }]
        device = [{ name = "one", options = { mcpu = "x86-64" } }, { name = "ocl", backend = "opencl" }]
        threads = [{ name = "t1", options = { schedules = false } }]
        exclude = [{ profile = "basic", device = "ocl" }]
        """
    )
    found = {env.name: (env.backend, str(env.profile), env.options) for env in campaign.environments}
    assert found == {
        "basic-one-t1": ("llvm", "basic", {"mcpu": "x86-64", "schedules": False}),
        "bare-one-t1": ("llvm", "default -FuseOps", {"mcpu": "x86-64", "schedules": False}),
        "bare-ocl-t1": ("opencl", "default -FuseOps", {"schedules": False}),
    }
    assert campaign.environments[2].factors == {"profile": "bare", "device": "ocl", "threads": "t1"}


def test_they_stand_after_those_that_are_listed(load: Load) -> None:
    campaign = load('[[environments]]\nname = "mine"\n[matrix]\nprofile = ["basic"]\n')
    assert [env.name for env in campaign.environments] == ["mine", "basic"]
    assert [env.name for env in load('[matrix]\nprofile = ["basic"]\n').environments] == ["basic"]


def test_what_is_dumped_loads_as_the_same(load: Load, tmp_path: Path) -> None:
    campaign = load('[matrix]\nprofile = ["basic", "default"]\ndevice = [{ name = "a" }, { name = "b" }]\n')
    (tmp_path / "again.toml").write_text(dump(campaign))
    assert load_campaign(tmp_path / "again.toml", catalogues(PluginHost.installed())) == campaign


def test_factors_decide_nothing(load: Load) -> None:
    one = load('[[environments]]\nname = "a"\nfactors = { device = "board" }\n')
    other = load('[[environments]]\nname = "a"\n')
    assert one.fingerprint() == other.fingerprint()
    assert one.environments[0].factors == {"device": "board"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('profile = ["basik"]', "matrix.profile[0]: must be one of"),
        (
            'device = ["cpu"]',
            "matrix.device[0]: 'cpu' says nothing of an environment; write { name = 'cpu', ... }",
        ),
        ('profile = ["basic", "basic"]', "matrix.profile"),
        ('device = [{ name = "a b" }]', "matrix.device[0].name: must be letters"),
        ('device = [{ name = "a", mcpu = "x" }]', "matrix.device[0].mcpu: unknown key"),
        ('device = [{ backend = "llvm" }]', "matrix.device[0].name: missing"),
        ("profile = []", "matrix.profile"),
        ("", "matrix: it has no factor"),
        ('profile = ["basic"]\nexclude = [{ profile = "basic" }]', "matrix: all environments are excluded"),
        (
            'profile = ["basic"]\nexclude = [{ profil = "basic" }]',
            "matrix.exclude[0].profil: unknown factor 'profil'",
        ),
        (
            'profile = ["basic"]\nexclude = [{ profile = "x" }]',
            "matrix.exclude[0].profile: unknown level 'x'",
        ),
        (
            'profile = ["basic"]\nother = [{ name = "a", profile = "default" }]',
            "matrix: factors 'profile' and 'other' both set profile",
        ),
        (
            "\n".join(
                f"f{n} = [{', '.join(f'{{ name = {chr(34)}l{m}{chr(34)} }}' for m in range(6))}]"
                for n in range(3)
            ),
            "matrix: more than 200 environments",
        ),
    ],
)
def test_what_is_wrong_is_told(load: Load, text: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        load(f"[matrix]\n{text}\n")
    assert told in str(raised.value)


def test_a_name_that_is_taken(load: Load) -> None:
    with pytest.raises(InputError, match="there is an environment 'basic' already"):
        load('[[environments]]\nname = "basic"\n[matrix]\nprofile = ["basic"]\n')


def test_ablation(load: Load) -> None:
    campaign = load('[matrix]\nprofile = { ablation = "default", pairs = true }\n')
    found = {env.name: env for env in campaign.environments}
    assert [env.name for env in campaign.environments if not env.may_fail] == ["basic"]
    assert str(found["minus-FuseOps"].profile) == "default -FuseOps"
    assert found["FoldConstant-then-CanonicalizeBindings"].profile.order == (
        "FoldConstant",
        "CanonicalizeBindings",
    )
    assert found["default"].factors == {"profile": "default"}
    with pytest.raises(InputError, match=r"matrix\.profile\.ablation: must be one of"):
        load('[matrix]\nprofile = { ablation = "basic" }\n')
