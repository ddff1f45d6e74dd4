"""Campaigns as plain data: to_dict, dump, fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutatenn import Limits
from mutatenn.campaign.config import values as config
from mutatenn.campaign.config.load import load_campaign
from mutatenn.compiler.profiles import PROFILES, SEQUENCE, Profile

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f"), min_size=1).filter(
    str.strip
)
INTS = st.integers(0, 2**63 - 1)
FLOATS = st.floats(1, 1e6)
BYTES = st.integers(1, 2**48)
PLAIN = st.recursive(
    st.booleans()
    | st.text()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.dictionaries(st.text(), PLAIN, max_size=3)
ORACLES = st.builds(
    config.OracleSpec, TEXTS, OPTIONS.map(lambda found: {k: v for k, v in found.items() if k != "name"})
)
ORDINALS = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True).map(tuple)
PASSES = st.lists(st.sampled_from([name for name in SEQUENCE if name not in PROFILES["basic"]])).map(tuple)
PER_CHANNEL = FLOATS | st.lists(FLOATS, min_size=1, max_size=4).map(tuple)
SIDES = st.integers(1, 16384)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def models(folder: Path) -> st.SearchStrategy[config.ModelSection]:
    about = {
        "frontend": maybe(TEXTS),
        "label_offset": st.integers(-5, 5),
        "scores": st.sampled_from(["auto", "probabilities", "logits"]),
        "options": OPTIONS,
    }
    digests = maybe(st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
    return (
        st.builds(config.ModelSection, path=st.just(folder / "net.onnx"), **about)
        | st.builds(config.ModelSection, source=st.just("zoo:n"), **about)
        | st.builds(config.ModelSection, source=st.just("url:https://a.org/n"), sha256=digests, **about)
    )


def campaigns(folder: Path) -> st.SearchStrategy[config.Campaign]:
    pattern = str(folder / "images" / "*.png").replace("[", "[[]")
    return st.builds(
        config.Campaign,
        name=NAMES,
        model=models(folder),
        dataset=st.builds(
            config.DatasetSection,
            images=st.just((pattern,)),
            truth=st.sampled_from(["filename-prefix", "folder", folder / "labels.csv"]),
            limit=maybe(st.integers(1, 10**6)),
        ),
        preprocess=st.builds(
            config.PreprocessSection,
            central_fraction=maybe(st.floats(0.01, 1)),
            resize=maybe(SIDES | st.tuples(SIDES, SIDES)),
            fit=st.sampled_from([None, "stretch", "pad"]),
            crop=maybe(st.tuples(SIDES, SIDES)),
            mean=PER_CHANNEL,
            std=PER_CHANNEL,
            layout=st.sampled_from([None, "NCHW", "NHWC"]),
            channels=st.sampled_from([None, "RGB", "BGR", "L"]),
            resample=st.sampled_from(["nearest", "lanczos"]),
        ),
        environments=st.lists(
            st.builds(
                config.Environment,
                name=NAMES,
                backend=TEXTS,
                profile=st.builds(Profile, st.sampled_from(list(PROFILES)), PASSES, PASSES),
                options=OPTIONS,
                route=maybe(TEXTS),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda environment: environment.name,
        ).map(tuple),
        mutations=st.lists(
            st.builds(
                config.Mutation,
                operator=TEXTS,
                sites=st.sampled_from(["each", "together"])
                | ORDINALS
                | st.builds(config.Sample, st.integers(1, 99), maybe(INTS))
                | st.builds(config.Together, ORDINALS),
                stage=st.sampled_from([None, "lowered"]),
                options=OPTIONS,
            ),
            max_size=3,
        ).map(tuple),
        oracles=st.builds(config.Oracles, ORACLES, st.lists(ORACLES, max_size=2).map(tuple)),
        gate=st.builds(config.Gate, maybe(st.floats(0, 1)), st.floats(0, 1)),
        limits=st.builds(
            Limits, FLOATS, FLOATS, FLOATS, FLOATS, st.integers(0, 2**50), st.integers(1, 2**40)
        ),
        execution=st.builds(config.Execution) | st.builds(config.Execution, executor=TEXTS, options=OPTIONS),
        reporters=st.lists(
            st.builds(config.ReporterSpec, TEXTS, OPTIONS), max_size=2, unique_by=lambda each: each.name
        ).map(tuple),
        seed=INTS,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("a [b] * ")
    (base / "images").mkdir()
    for name in ("net.onnx", "labels.csv", "images/0_a.png"):
        (base / name).touch()
    return base


@given(data=st.data())
@pytest.mark.slow
def test_a_dumped_campaign_loads_equal(place: Path, data: st.DataObject) -> None:
    campaign = data.draw(campaigns(place))
    path = place / "resolved.toml"
    path.write_bytes(config.dump(campaign).encode())
    again = load_campaign(path, {})
    assert again == campaign
    assert again.fingerprint() == campaign.fingerprint()


def test_plain_data_is_json_in_the_form_of_the_file(write: Callable[..., Path], folder: Path) -> None:
    campaign = load_campaign(
        write("[oracles]\nkill = { name = 'tau', k = 3 }\n[[mutations]]\noperator='x'\nsites={sample=2}"), {}
    )
    found = json.loads(json.dumps(campaign.to_dict()))
    assert found["model"]["path"] == str(folder / "net.onnx")
    assert found["oracles"] == {"kill": {"name": "tau", "k": 3}, "also": ["max-abs"]}
    assert found["mutations"][0]["sites"] == {"sample": 2, "seed": None, "stratified": False}
    assert found["environments"][0]["profile"] == {"base": "default", "off": [], "on": [], "order": []}
    assert found["preprocess"]["crop"] is None


def test_a_dump_moves_with_nothing(write: Callable[..., Path], tmp_path: Path) -> None:
    """A dump in another folder still means the same files."""
    campaign = load_campaign(write(), {})
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "campaign.toml"
    copy.write_text(config.dump(campaign))
    assert load_campaign(copy, {}) == campaign


def test_the_fingerprint_covers_what_can_change_a_result(write: Callable[..., Path]) -> None:
    campaign = load_campaign(write(), {})
    changes: dict[str, Any] = {
        "model": attrs.evolve(campaign.model, label_offset=1),
        "dataset": attrs.evolve(campaign.dataset, limit=1),
        "preprocess": attrs.evolve(campaign.preprocess, mean=1.0),
        "environments": (config.Environment("cpu", options={"mcpu": "znver4"}),),
        "mutations": (config.Mutation("x"),),
        "oracles": config.Oracles(kill=config.OracleSpec("top-1", {"threshold": 0.5})),
        "gate": config.Gate(tolerance=1e-3),
        "checks": config.Checks(bounds=True),
        "limits": Limits(time_factor=2),
        "seed": 1,
    }
    fields = {field.name for field in attrs.fields(config.Campaign)}
    assert {
        *changes,
        "name",
        "thresholds",
        "execution",
        "reporters",
        "skip",
        "accept",
        "stop",
        "time",
    } == fields
    prints = {attrs.evolve(campaign, **{key: value}).fingerprint() for key, value in changes.items()}
    assert len(prints | {campaign.fingerprint()}) == len(changes) + 1
    remarks = (config.Remark("store-*", "known"),)
    named: list[dict[str, Any]] = [{"name": "other"}, {"limits": Limits(shard_bytes=1)}]
    for same in (
        *named,
        {"thresholds": config.Thresholds(0.9)},
        {"stop": config.Stop(0.1)},
        {"time": config.TimeSection()},
        {"environments": (config.Environment("cpu", factors={"device": "board"}, may_fail=True),)},
        {"execution": config.Execution("worker")},
        {"reporters": (config.ReporterSpec("json"),)},
        {"skip": remarks},
        {"accept": remarks},
    ):
        assert attrs.evolve(campaign, **same).fingerprint() == campaign.fingerprint()
