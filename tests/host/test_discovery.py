"""What is installed becomes a record, whatever is wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from mutatenn import Comparator, InputError, PluginError
from mutatenn.host.plugin_host import PluginHost, PluginRecord

Install = Callable[..., None]

GOOD = '''
class Count(Comparator):
    """Counts something.

    At length.
    """
    name = "{name}"
    worse = "higher"
    def measure(self, original, candidate): ...

@hookimpl
def mutatenn_comparators(): return [Count]
'''

BROKEN = {
    "import error": ("import no_such_module", "No module named 'no_such_module'"),
    "error at import": ("1 / 0", "ZeroDivisionError"),
    "exit at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax error": ("def", "SyntaxError"),
    "no hook": ("", "contributes nothing"),
    "empty catalogue": ("@hookimpl\ndef mutatenn_mutators(): return []", "contributes nothing"),
    "unmarked": ("def mutatenn_mutators(): return []", "put @mutatenn.hookimpl above it"),
    "unknown hook": ("@hookimpl\ndef mutatenn_mutator(): ...", "did you mean 'mutatenn_mutators'?"),
    "unknown specname": ("@hookimpl(specname='mutatenn_x')\ndef f(): ...", "no hook 'mutatenn_x'"),
    "wrong argument": ("@hookimpl\ndef mutatenn_campaign_start(sesion): ...", "sesion"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef mutatenn_modify_plan(): yield", "cannot be wrapped"),
    "raising catalogue": ("@hookimpl\ndef mutatenn_mutators(): 1 / 0", "raised ZeroDivisionError"),
    "raising generator": ("@hookimpl\ndef mutatenn_mutators(): yield 1 / 0", "ZeroDivisionError"),
    "not a list": ("@hookimpl\ndef mutatenn_mutators(): return None", "return a list of classes"),
    "bare class": ("@hookimpl\ndef mutatenn_mutators(): return Mutator", "return a list of classes"),
    "wrong type": ("@hookimpl\ndef mutatenn_mutators(): return [int]", "not a subclass of mutatenn.Mutator"),
    "instance": ("@hookimpl\ndef mutatenn_mutators(): return [3]", "3 is not a subclass of mutatenn.Mutator"),
    "abstract": ("@hookimpl\ndef mutatenn_mutators(): return [KernelMutator]", "does not define examples"),
    "twice": (
        GOOD.format(name="one").replace("[Count]", "[Count, Count]"),
        "two classes named 'one'; rename one",
    ),
}


def record(host: PluginHost, name: str) -> PluginRecord:
    (found,) = (record for record in host.records if record.name == name)
    return found


def test_an_active_plugin(install: Install) -> None:
    install("good", GOOD.format(name="count"))
    found = record(PluginHost.installed(), "good")
    assert (found.state, found.reason) == ("active", "")
    assert (found.target, found.distribution, found.version) == ("acme_good", "acme", "1.2")
    assert found.summary == "A plugin made up for a test."
    assert found.kinds == ("comparator",)
    assert [(each.name, each.summary) for each in found.provides] == [("count", "Counts something.")]


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_listed_and_harms_no_other(
    install: Install, source: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("mutators.bad", source)
    install("good", GOOD.format(name="count"))
    with caplog.at_level(logging.WARNING):
        host = PluginHost.installed()
    found = record(host, "mutators.bad")
    assert found.state == "broken"
    assert reason in found.reason
    assert "\n" not in found.reason
    assert (found.kinds, found.provides) == (("mutator",), ())
    assert "mutators.bad is broken" in caplog.text
    assert host.get("comparator", "count").name == "count"
    assert not host._manager.has_plugin("mutators.bad")


def test_a_target_that_is_a_class_is_broken(install: Install) -> None:
    install("bad", "class Plugin: ...")
    install("good", GOOD.format(name="count"), module="acme_bad:Plugin")
    assert "is a class" in record(PluginHost.installed(), "good").reason


def test_two_entry_points_for_one_module(install: Install) -> None:
    install("one", GOOD.format(name="count"), module="acme_shared")
    install("two", GOOD.format(name="count"), module="acme_shared")
    host = PluginHost.installed()
    assert record(host, "one").state == "active"
    assert "already registered as 'one'" in record(host, "two").reason


def test_a_name_taken_by_two_distributions_is_no_ones(install: Install) -> None:
    install("same", GOOD.format(name="one"), "first")
    install("same", GOOD.format(name="two"), "second")
    host = PluginHost.installed()
    states = {each.distribution: each for each in host.records if each.name == "same"}
    assert {each.state for each in states.values()} == {"broken"}
    assert "'same' exists in second 1.2 too" in states["first"].reason
    assert "'same' exists in first 1.2 too" in states["second"].reason


def test_the_name_of_a_built_in_cannot_be_taken(install: Install) -> None:
    install("comparators.cosine", GOOD.format(name="count"))
    host = PluginHost.installed()
    states = {each.distribution: each for each in host.records if each.name == "comparators.cosine"}
    assert "exists in mutatenn" in states["acme"].reason
    assert states["mutatenn"].state == "active"


def test_a_clash_shows_both_and_is_neither(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("one", GOOD.format(name="count"))
    install("two", GOOD.format(name="count"), "other")
    with caplog.at_level(logging.WARNING):
        host = PluginHost.installed()
    message = (
        "comparator 'count' comes from plugins 'one' and 'two'; block all but one, as in --block-plugin two"
    )
    assert message in caplog.text
    for name in ("one", "two"):
        assert record(host, name).state == "clash"
        assert message in record(host, name).reason
    assert "count" not in host.comparators()
    with pytest.raises(PluginError, match=r"'one' and 'two'.*--block-plugin"):
        host.get("comparator", "count")


def test_a_clash_leaves_the_rest_of_both_plugins(install: Install) -> None:
    more = GOOD.format(name="count") + GOOD.replace("Count", "More").format(name="more")
    install("one", more.replace("[More]", "[Count, More]"))
    install("two", GOOD.format(name="count"))
    host = PluginHost.installed()
    assert host.comparators()["more"].name == "more"
    assert [bool(each.clash) for each in record(host, "one").provides] == [True, False]


@pytest.mark.parametrize("by_variable", [True, False])
def test_blocking_ends_a_clash(install: Install, by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    install("one", GOOD.format(name="count"))
    install("two", GOOD.format(name="count"))
    if by_variable:
        monkeypatch.setenv("MUTATENN_BLOCK_PLUGINS", " two ,")
    host = PluginHost.installed(() if by_variable else ["two"])
    assert record(host, "one").state == "active"
    assert record(host, "two").state == "blocked"
    assert host.comparators()["count"].__module__ == "acme_one"


def test_a_blocked_plugin_is_not_imported(install: Install) -> None:
    install("bad", "raise AssertionError")
    assert record(PluginHost.installed(["bad"]), "bad").state == "blocked"


def test_blocking_what_is_not_installed(install: Install) -> None:
    install("sign-flip", GOOD.format(name="count"))
    with pytest.raises(InputError, match=r"'sing-flip'.*did you mean 'sign-flip'\?"):
        PluginHost.installed(["sing-flip"])


def test_control_characters_do_not_reach_the_terminal(install: Install) -> None:
    install("bad", "raise ValueError('\\x1b[2J\\nmore')")
    assert record(PluginHost.installed(), "bad").reason.endswith("ValueError: ?[2J more")


def test_the_catalogue_is_sorted(install: Install) -> None:
    install("z", GOOD.format(name="a-first"))
    install("a", GOOD.format(name="z-last"))
    names = list(PluginHost.installed().comparators())
    assert {"a-first", "z-last"} < set(names)
    assert names == sorted(names)


def test_an_unknown_name_is_met_with_the_nearest(install: Install) -> None:
    install("good", GOOD.format(name="count-signs"))
    host = PluginHost.installed()
    with pytest.raises(InputError) as caught:
        host.get("comparator", "cuont-signs")
    expected = "unknown comparator 'cuont-signs'; did you mean 'count-signs'? `mutatenn plugins` lists all"
    assert str(caught.value) == expected
    with pytest.raises(InputError, match="unknown operator 'zzzz'; `mutatenn plugins` lists all"):
        host.get("mutator", "zzzz")


def test_a_name_whose_plugin_is_broken_says_so(install: Install) -> None:
    install("mutators.bad", "import no_such_module")
    with pytest.raises(InputError, match=r"'bad' is not available: .* broken: .*no_such_module"):
        PluginHost.installed().get("mutator", "bad")


def test_built_ins_come_by_the_same_door() -> None:
    host = PluginHost.installed()
    (found,) = (each for each in host.records if each.name == "comparators.cosine")
    assert (found.distribution, found.target) == ("mutatenn", "mutatenn_comparators.cosine")
    assert issubclass(host.comparators()["cosine"], Comparator)


def test_a_kind_comes_first_and_the_rest_later(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("a-good", GOOD.format(name="count"))
    install("bad", "1 / 0")
    install("copy", GOOD.format(name="count"))
    host = PluginHost()
    with caplog.at_level(logging.WARNING):
        host.discover("command")
        early = [each.name for each in host.records]
        host.discover()
    assert early == ["a-good", "bad", *(name for name in early if name.startswith("commands.")), "copy"]
    assert caplog.text.count("bad is broken") == 1
    assert caplog.text.count("comparator 'count' comes from plugins 'a-good' and 'copy'") == 1
    assert host.records == PluginHost.installed().records


def test_what_is_blocked_is_checked_when_all_are_known() -> None:
    host = PluginHost(["no-such-plugin"])
    host.discover("command")
    with pytest.raises(InputError, match="cannot block plugin 'no-such-plugin'"):
        host.discover()
