"""The campaign file in docs/campaign-file.md is one, and has every key there is."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.values import Campaign, Sample, Together
from mutatenn.campaign.execution.setup import catalogues
from mutatenn.host.plugin_host import PluginHost

PAGE = (Path(__file__).parents[2] / "docs" / "campaign-file.md").read_text()
FILE = PAGE.partition("```toml\n")[2].partition("```")[0]
KEYS = re.compile(r"^(?:# )?(\w+) = ", re.MULTILINE)
HEADING = re.compile(r"^\[+(\w+)\]+", re.MULTILINE)
FIRST, *PARTS = HEADING.split(FILE)
SECTIONS = list(zip(PARTS[::2], PARTS[1::2], strict=True))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "images").mkdir()
    for name in ("mobilenet_v2.onnx", "images/0010_brambling.jpg"):
        (folder / name).touch()
    (folder / "campaign.toml").write_text(FILE)
    return load_campaign(folder / "campaign.toml", catalogues(PluginHost.installed()))


def keys(section: str) -> set[str]:
    """Return the keys that the page shows in a section, in all tables of its name."""
    return {key for name, text in SECTIONS if name == section for key in KEYS.findall(text)}


def test_it_has_every_section(campaign: Campaign) -> None:
    fields = {field.name for field in attrs.fields(Campaign)}
    assert {name for name, _ in SECTIONS} | set(KEYS.findall(FIRST)) == fields


@pytest.mark.parametrize("section", dict.fromkeys(name for name, _ in SECTIONS))
def test_it_has_every_key(section: str, campaign: Campaign) -> None:
    value = getattr(campaign, section)
    one = value[0] if isinstance(value, tuple) else value
    assert keys(section) == {field.name for field in attrs.fields(type(one))}


@pytest.mark.parametrize("field", [*attrs.fields(Sample), *attrs.fields(Together)])
def test_it_has_every_way_to_choose_sites(field: attrs.Attribute[object]) -> None:
    assert re.search(rf"^# sites = {{.*\b{field.name} = ", FILE, re.MULTILINE)
