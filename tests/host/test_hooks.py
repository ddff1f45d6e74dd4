"""Every hook of hookspecs is documented, typed, called as promised, and tested here by its name."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from mutatenn import (
    Backend,
    Command,
    Comparator,
    Executor,
    Frontend,
    Mutant,
    Mutator,
    PluginError,
    Reporter,
    hookimpl,
    hookspecs,
)
from mutatenn.host.admission import HOOKS, KINDS
from mutatenn.host.plugin_host import PluginHost


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_typed(hook: str) -> None:
    spec = getattr(hookspecs, hook)
    assert hook.startswith("mutatenn_")
    assert (inspect.getdoc(spec) or "").endswith(".")
    assert spec.__annotations__.keys() == inspect.signature(spec).parameters.keys() | {"return"}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_tested_by_its_name(hook: str) -> None:
    assert f"test_{hook}" in globals()


def listener(hook: str, function: Any) -> object:
    """Return a plugin that implements one hook with a function of the right arguments."""
    return type("Listener", (), {hook: staticmethod(hookimpl(function))})()


def capability(base: type[Any], **attributes: Any) -> type[Any]:
    defined = {name: lambda *_: None for name in base.__abstractmethods__}
    return type("Made", (base,), {"__doc__": "Made for a test.", "name": "made", **defined, **attributes})


def contribute(base: type[Any], **attributes: Any) -> tuple[PluginHost, type[Any]]:
    (kind,) = (kind for kind, known in KINDS.items() if known is base)
    cls = capability(base, **attributes)
    host = PluginHost()
    host.register(listener(f"mutatenn_{kind}s", lambda: [cls]), "plugin")
    assert host.get(kind, "made") is cls
    return host, cls


def test_mutatenn_frontends() -> None:
    host, cls = contribute(Frontend, suffixes=(".onnx",))
    assert host.frontends() == {"made": cls}


def test_mutatenn_mutators() -> None:
    host, cls = contribute(Mutator, level="graph", stage="graph")
    assert host.mutators() == {"made": cls}


def test_mutatenn_backends() -> None:
    host, cls = contribute(Backend)
    assert host.backends() == {"made": cls}


def test_mutatenn_executors() -> None:
    host, cls = contribute(Executor)
    assert host.executors() == {"made": cls}


def test_mutatenn_comparators() -> None:
    host, cls = contribute(Comparator, worse="lower")
    assert host.comparators() == {"made": cls}


def test_mutatenn_reporters() -> None:
    host, cls = contribute(Reporter)
    assert host.reporters() == {"made": cls}


def test_mutatenn_commands() -> None:
    host, cls = contribute(Command)
    assert host.commands() == {"made": cls}


def test_one_name_may_be_of_several_kinds() -> None:
    backend, executor = capability(Backend), capability(Executor)
    host = PluginHost()
    host.register(listener("mutatenn_backends", lambda: [backend]), "one")
    host.register(listener("mutatenn_executors", lambda: [executor]), "two")
    assert host.get("backend", "made") is backend
    assert host.get("executor", "made") is executor


def mutants(ids: str) -> list[Mutant]:
    return [Mutant(each, "operator", "OTHER", "graph", "graph", ()) for each in ids]


def test_mutatenn_modify_plan() -> None:
    def drop_b(plan: list[Mutant]) -> None:
        plan[:] = [mutant for mutant in plan if mutant.id != "b"]

    def reverse(plan: list[Mutant]) -> None:
        plan.reverse()

    host = PluginHost()
    host.register(listener("mutatenn_modify_plan", reverse), "reverse")
    host.register(listener("mutatenn_modify_plan", drop_b), "drop")
    plan = mutants("abc")
    host.modify_plan(plan, "cpu")
    assert [mutant.id for mutant in plan] == ["c", "a"]


def test_plans_are_modified_in_order() -> None:
    order: list[str] = []
    host = PluginHost()
    options: list[tuple[str, dict[str, Any]]] = [
        ("middle", {}),
        ("last", {"trylast": True}),
        ("first", {"tryfirst": True}),
    ]
    for name, option in options:
        function = hookimpl(**option)(lambda plan, name=name: order.append(name))
        host.register(type("Plugin", (), {"mutatenn_modify_plan": staticmethod(function)})(), name)
    host.modify_plan([], "cpu")
    assert order == ["first", "middle", "last"]


@pytest.mark.parametrize("extra", ["a", "x"])
def test_a_plan_cannot_grow(extra: str) -> None:
    host = PluginHost()
    host.register(listener("mutatenn_modify_plan", lambda plan: plan.extend(mutants(extra))), "grower")
    with pytest.raises(PluginError, match="'grower' added mutants"):
        host.modify_plan(mutants("ab"), "cpu")


def test_a_plan_that_a_plugin_fails_to_modify_is_an_error() -> None:
    host = PluginHost()
    host.register(listener("mutatenn_modify_plan", lambda plan: plan["x"]), "bad")
    with pytest.raises(PluginError, match=r"plugin 'bad': .* raised TypeError"):
        host.modify_plan([], "cpu")


def assert_isolated(caplog: pytest.LogCaptureFixture, event: str, arguments: Sequence[str]) -> None:
    """Assert that listeners get the payload, and that one that raises is named and silences no other."""
    heard: list[dict[str, object]] = []
    parameters = ", ".join(arguments)
    listen = eval(f"lambda {parameters}: heard.append(locals() | {{}})", {"heard": heard})

    def fail() -> None:
        raise RuntimeError("boom")

    host = PluginHost()
    for name, function in (("before", listen), ("bad", fail), ("after", listen)):
        host.register(listener(event, function), name)
    payload = {name: object() for name in arguments}
    with caplog.at_level(logging.ERROR):
        host.emit(event, **payload)
    assert heard == [payload, payload]
    assert f"plugin bad failed in {event}" in caplog.text
    assert "RuntimeError: boom" in caplog.text


def test_mutatenn_stage_started(caplog: pytest.LogCaptureFixture) -> None:
    assert_isolated(caplog, "mutatenn_stage_started", ["stage"])


def test_mutatenn_campaign_start(caplog: pytest.LogCaptureFixture) -> None:
    assert_isolated(caplog, "mutatenn_campaign_start", ["run"])


def test_mutatenn_baseline_finished(caplog: pytest.LogCaptureFixture) -> None:
    assert_isolated(caplog, "mutatenn_baseline_finished", ["run", "baseline"])


def test_mutatenn_trial_finished(caplog: pytest.LogCaptureFixture) -> None:
    assert_isolated(caplog, "mutatenn_trial_finished", ["run", "verdict"])


def test_mutatenn_campaign_finish(caplog: pytest.LogCaptureFixture) -> None:
    assert_isolated(caplog, "mutatenn_campaign_finish", ["run", "error"])


def test_listeners_hear_in_order() -> None:
    order: list[str] = []
    host = PluginHost()
    for name in ("one", "two", "three"):
        host.register(listener("mutatenn_campaign_start", lambda name=name: order.append(name)), name)
    host.emit("mutatenn_campaign_start", run=None)
    assert order == ["three", "two", "one"]


def test_an_interrupt_is_not_isolated() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    host = PluginHost()
    host.register(listener("mutatenn_campaign_start", interrupt), "plugin")
    with pytest.raises(KeyboardInterrupt):
        host.emit("mutatenn_campaign_start", run=None)


def test_a_reporter_may_follow_along() -> None:
    class Follower(Reporter):
        """Follows along."""

        name = "follower"
        heard = 0

        @hookimpl
        def mutatenn_campaign_start(self) -> None:
            self.heard += 1

        def report(self, run: Any, directory: Any) -> str:
            return f"{self.heard}"

    host, follower = PluginHost(), Follower()
    host.register(follower, "reporter:follower")
    host.emit("mutatenn_campaign_start", run=None)
    host.unregister("reporter:follower")
    host.emit("mutatenn_campaign_start", run=None)
    assert follower.heard == 1


def test_a_payload_that_does_not_fit_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="mutatenn_trial_finished takes run, verdict"):
        PluginHost().emit("mutatenn_trial_finished", run=None)
