"""Which mutants a campaign file's mutations come to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn
from mutatenn import Example, KernelMutator
from mutatenn.api.mutant import Mutant
from mutatenn.campaign.config.values import Layers, Mutation, Sample, Together
from mutatenn.campaign.execution.setup import Setup, set_up
from mutatenn.campaign.planning.plan import Plan, plan
from mutatenn.compiler import sites
from mutatenn.host.plugin_host import PluginHost


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    path = tmp_path_factory.mktemp("plan") / "c.toml"
    path.write_text(
        'name = "c"\n[model]\npath = "mutatenn:digits.onnx"\n'
        '[dataset]\nimages = "mutatenn:digits/0_000*.png"\n'
    )
    return set_up(path, PluginHost.installed())


def planned(setup: Setup, *mutations: Mutation, seed: int = 0) -> Plan:
    return plan(setup.toolchains["cpu"], mutations, setup.host.mutators(), seed)


def places(mutants: list[Mutant]) -> list[tuple[tuple[str, int], ...]]:
    return [tuple((site.unit, site.ordinal) for site in mutant.sites) for mutant in mutants]


def test_each_site_is_a_mutant(setup: Setup) -> None:
    mutants = planned(setup, Mutation("relu-to-sigmoid")).mutants
    assert places(mutants) == [(("main", ordinal),) for ordinal in range(7)]
    assert len({mutant.id for mutant in mutants}) == 7


def test_together_is_one_mutant_with_all_sites(setup: Setup) -> None:
    (mutant,) = planned(setup, Mutation("relu-to-sigmoid", "together")).mutants
    assert len(mutant.sites) == 7
    assert mutant.id.startswith("relu-to-sigmoid.7-sites.")


def test_chosen_sites_are_counted_over_the_whole_model(setup: Setup) -> None:
    every = places(planned(setup, Mutation("store-int8")).mutants)
    some = places(planned(setup, Mutation("store-int8", (1, 30))).mutants)
    assert some == [every[1], every[30]]
    assert some[0][0][0] != some[1][0][0]


def test_chosen_sites_together(setup: Setup) -> None:
    (mutant,) = planned(setup, Mutation("relu-to-sigmoid", Together((1, 3)))).mutants
    assert places([mutant]) == [(("main", 1), ("main", 3))]


def test_a_site_that_is_not_there_is_an_error(setup: Setup) -> None:
    with pytest.raises(mutatenn.InputError, match=r"no site 99: this model has 7, 0 to 6"):
        planned(setup, Mutation("relu-to-sigmoid", (0, 99)))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Layers(("block3",)), ("block3/conv", "block3/bn", "block3/relu")),
        (Layers(("*_depthwise",), ("Conv", "Relu")), ("block2", "block4")),
        (Layers(types=("Conv",), first=2), ("block1/conv", "block2/conv_depthwise")),
        (Layers(("pool", "head/softmax")), ("pool", "head/softmax")),
    ],
    ids=str,
)
def test_sites_in_chosen_layers(setup: Setup, wanted: Layers, found: tuple[str, ...]) -> None:
    every = planned(setup, Mutation("all")).mutants
    some = planned(setup, Mutation("all", layers=wanted))
    assert {mutant.id for mutant in some.mutants} < {mutant.id for mutant in every}
    assert {mutant.level for mutant in some.mutants} == {"graph", "kernel"}
    for mutant in some.mutants:
        (site,) = mutant.sites
        assert any(name.startswith(found) for name in site.layers), mutant
    assert sum(entry.sites for entry in some.operators) == len(some.mutants)
    sample = planned(setup, Mutation("all", Sample(3), layers=wanted)).mutants
    assert {mutant.id for mutant in sample} < {mutant.id for mutant in some.mutants}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Layers(("blok3",)), "unknown layer 'blok3'; did you mean 'block3/"),
        (Layers(types=("conv",)), "unknown layer type 'conv'; did you mean 'Conv'?"),
        (Layers(("head/*",), ("LSTM",)), "unknown layer type 'LSTM'"),
    ],
    ids=str,
)
def test_layers_that_are_not_there(setup: Setup, wanted: Layers, message: str) -> None:
    with pytest.raises(mutatenn.InputError, match=re.escape(message)):
        planned(setup, Mutation("all", layers=wanted))


def test_sample_is_seeded_over_all_operators_of_the_entry(setup: Setup) -> None:
    chosen = planned(setup, Mutation("graph", Sample(10, 5))).mutants
    assert len(chosen) == 10
    assert chosen == planned(setup, Mutation("graph", Sample(10, 5))).mutants
    assert chosen != planned(setup, Mutation("graph", Sample(10, 6))).mutants
    assert chosen == planned(setup, Mutation("graph", Sample(10)), seed=5).mutants


def test_where_some_sites_are_missing_the_others_are_drawn_as_elsewhere(setup: Setup) -> None:
    """Environments do not have all the same sites; what they share must be comparable."""
    mutators = setup.host.mutators()
    fewer = {name: cls for name, cls in mutators.items() if name != "relu-to-sigmoid"}
    entry = Mutation("graph", Sample(40, 5))
    here, there = (plan(setup.toolchains["cpu"], [entry], known, 0).mutants for known in (mutators, fewer))
    shared = {mutant.id for mutant in here if mutant.operator in fewer}
    assert 0 < len(shared) < 40 == len(there)
    assert shared <= {mutant.id for mutant in there}


def test_operators_are_sampled_at_the_same_sites(setup: Setup) -> None:
    one, other = (planned(setup, Mutation(name, Sample(6, 5))) for name in ("store-int8", "store-int16"))
    assert places(one.mutants) == places(other.mutants)
    both = planned(setup, Mutation("AT", Sample(24, 5))).mutants
    assert len(set(map(tuple, places(both)))) > 12  # else the sample would be of sites, not of mutants


@attrs.frozen(kw_only=True)
class LongStore(KernelMutator):
    """Drop the last digit of long stores, an operator whose sites depend on its option."""

    name = "long-store"
    nodes = ("BufferStore",)
    least: int = 0

    def matches(self, node: Any) -> bool:
        return len(str(node).splitlines()[-1]) >= self.least

    def rewrite(self, node: Any) -> Any:
        return node

    @classmethod
    def examples(cls) -> list[Example]:
        return []


def test_sites_that_depend_on_options_are_found_anew_per_entry(setup: Setup) -> None:
    def of(*least: int) -> list[tuple[int, list[str]]]:
        entries = [Mutation("long-store", options={"least": each}) for each in least]
        mutants = plan(setup.toolchains["cpu"], entries, {"long-store": LongStore}, 0).mutants
        return [
            (each, [m.sites[0].detail for m in mutants if m.options == {"least": each}]) for each in least
        ]

    (_, every), (_, some), (_, none) = found = of(0, 60, 1000)
    assert len(every) > len(some) > len(none) == 0
    assert found == [*of(0), *of(60), *of(1000)]
    assert list(reversed(found)) == of(1000, 60, 0)


def test_a_sample_describes_no_site_that_it_does_not_take(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = []

    def shorten(text: str) -> str:
        described.append(text)
        return real(text)

    real = sites._shorten
    monkeypatch.setattr(sites, "_shorten", shorten)
    sites.kernel_occurrences.cache_clear()
    sites._bound.cache_clear()
    chosen = planned(setup, Mutation("all", Sample(5, 5)))
    assert 0 < len(described) <= len(chosen.mutants) == 5  # one site may be two operators'
    assert sum(entry.sites for entry in chosen.operators) > 200
    planned(setup, *[Mutation("all")] * 3)
    assert len(described) < sum(entry.sites for entry in chosen.operators)


def test_together_plans_no_mutant_without_a_site(setup: Setup) -> None:
    mutants = planned(setup, Mutation("graph", Together((5, 6)))).mutants
    assert {"relu-to-sigmoid", "transpose-conv2d-data"} <= {mutant.operator for mutant in mutants}
    assert "exp-dense-before" not in {mutant.operator for mutant in mutants}
    assert all(mutant.sites for mutant in mutants)


def test_a_mutant_asked_for_twice_is_planned_once(setup: Setup) -> None:
    once = planned(setup, Mutation("relu-to-sigmoid")).mutants
    twice = planned(setup, Mutation("relu-to-sigmoid"), Mutation("LN"), Mutation("all", (0,))).mutants
    assert twice[:7] == once
    assert len({mutant.id for mutant in twice}) == len(twice)
    assert planned(setup, Mutation("relu-to-sigmoid", (3, 3))).mutants == [once[3]]


@pytest.mark.parametrize("category", ["LN", "AN", "NIO", "AT", "SV", "CSO"])
def test_every_category_of_the_paper_has_sites_in_the_bundled_model(setup: Setup, category: Any) -> None:
    mutants = planned(setup, Mutation(category)).mutants
    assert mutants
    assert {mutant.category for mutant in mutants} == {category}


def test_levels_and_stages(setup: Setup) -> None:
    graph = planned(setup, Mutation("graph")).mutants
    kernel = planned(setup, Mutation("tir", stage="scheduled")).mutants
    assert {mutant.stage for mutant in graph} == {"graph"}
    assert {mutant.stage for mutant in kernel} == {"scheduled"}
    assert {m.id for m in graph + kernel} == {
        m.id for m in planned(setup, Mutation("all", stage="scheduled")).mutants
    }


def test_stage_is_part_of_the_id(setup: Setup) -> None:
    ids = [
        planned(setup, Mutation("store-int8", (0,), stage)).mutants[0].id
        for stage in ("schedulable", "lowered")
    ]
    assert ids[0] != ids[1]


def test_options_reach_the_operator_and_the_id(setup: Setup) -> None:
    plain = planned(setup, Mutation("store-minus-epsilon", (0,))).mutants[0]
    other = planned(setup, Mutation("store-minus-epsilon", (0,), options={"epsilon": 0.5})).mutants[0]
    assert other.options == {"epsilon": 0.5}
    assert plain.id != other.id
    with pytest.raises(mutatenn.InputError, match="no option 'epsilom'; did you mean 'epsilon'"):
        planned(setup, Mutation("store-minus-epsilon", options={"epsilom": 0.5}))
    with pytest.raises(mutatenn.InputError, match="is not a float"):
        planned(setup, Mutation("store-minus-epsilon", options={"epsilon": "much"}))


def test_operators_without_sites_are_listed(setup: Setup) -> None:
    (entry,) = planned(setup, Mutation("gt-to-ge")).operators
    assert (entry.operator, entry.sites, entry.mutants) == ("gt-to-ge", 0, 0)


def test_no_mutants_at_all_is_an_error(setup: Setup, campaign: Path, tmp_path: Path) -> None:
    text = campaign.read_text()
    campaign.write_text(text[: text.index("[[mutations]]")])
    with pytest.raises(mutatenn.InputError, match="asks for no mutations"):
        mutatenn.run(campaign, tmp_path / "run")
    campaign.write_text(campaign.read_text() + '[[mutations]]\noperator = "gt-to-ge"\n')
    with pytest.raises(mutatenn.InputError, match="no mutants to run: gt-to-ge found no site"):
        mutatenn.run(campaign, tmp_path / "run")
