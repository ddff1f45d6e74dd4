"""A plugin object is taken in whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import attrs
import pytest

from mutatenn import Comparator, PluginError, hookimpl
from mutatenn.host.plugin_host import PluginHost


def comparator(**attributes: Any) -> type[Comparator]:
    promised: dict[str, Any] = {
        "__doc__": "Measures nothing.",
        "name": "nothing",
        "worse": "higher",
        "measure": lambda self, original, candidate: None,
    }
    return type("Nothing", (Comparator,), promised | attributes)


def plugin(returned: Any) -> object:
    class Plugin:
        @hookimpl
        def mutatenn_comparators(self) -> Any:
            return returned

    return Plugin()


def refuse(broken: object) -> str:
    host = PluginHost()
    with pytest.raises(PluginError) as caught:
        host.register(broken, "broken")
    assert not host._manager.has_plugin("broken")
    assert not any(hook.get_hookimpls() for hook in vars(host._manager.hook).values())
    assert host.comparators() == {}
    host._manager.check_pending()
    return str(caught.value)


@attrs.frozen(kw_only=True)
class NeedsOption(comparator()):  # type: ignore[misc]  # a class made by a function
    """Cannot be made without an option."""

    depth: int


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (comparator(name="Not_Kebab"), "names are kebab case"),
        (comparator(name="ends-"), "names are kebab case"),
        (comparator(name=3), "names are kebab case"),
        (comparator(__doc__=None), "no docstring"),
        (comparator(__doc__="\n  \n"), "no docstring"),
        (NeedsOption, "options without a default: depth"),
    ],
)
def test_a_class_that_is_no_capability_leaves_no_trace(cls: type, reason: str) -> None:
    assert reason in refuse(plugin([comparator(name="fine"), cls]))


@pytest.mark.parametrize("missing", ["name", "worse"])
def test_a_class_without_a_promised_attribute(missing: str) -> None:
    class Bare(Comparator):
        """Lacks something."""

        def measure(self, original: Any, candidate: Any) -> Any: ...

    for given in {"name": "bare", "worse": "higher"}.items():
        if given[0] != missing:
            setattr(Bare, *given)
    assert refuse(plugin([Bare])) == f"class {Bare.__qualname__} does not set {missing}"


def test_an_unknown_hook_leaves_no_trace() -> None:
    class Typo:
        @hookimpl
        def mutatenn_trial_finish(self) -> None: ...

    assert "did you mean 'mutatenn_trial_finished'?" in refuse(Typo())


def test_a_hook_may_be_optional() -> None:
    class Newer:
        @hookimpl(optionalhook=True)
        def mutatenn_of_a_later_version(self) -> None: ...

    host = PluginHost()
    host.register(Newer(), "newer")
    assert host._manager.has_plugin("newer")


def test_a_wrong_argument_leaves_no_trace() -> None:
    class Wrong:
        @hookimpl
        def mutatenn_campaign_start(self, run: object) -> None: ...

        @hookimpl
        def mutatenn_trial_finished(self, trial: object) -> None: ...

    assert "'trial'" in refuse(Wrong())


def test_a_missing_marker_leaves_no_trace() -> None:
    class Forgot:
        def mutatenn_campaign_start(self) -> None: ...

    assert "mutatenn_campaign_start would never be called" in refuse(Forgot())


def test_a_wrapper_leaves_no_trace() -> None:
    class Wrapper:
        @hookimpl(wrapper=True)
        def mutatenn_campaign_start(self) -> Generator[None, object, object]:
            return (yield)

    assert "mutatenn_campaign_start cannot be wrapped" in refuse(Wrapper())


def test_what_raises_anything_leaves_no_trace() -> None:
    class Hostile(type):
        @property
        def name(cls) -> str:
            raise RuntimeError("boom")

    assert refuse(plugin([object])).startswith("<class 'object'> is not a subclass")
    hostile: Callable[..., Any] = type("Meta", (Hostile, type(Comparator)), {})
    cls = hostile("Cls", (comparator(),), {"__doc__": "Raises."})
    assert refuse(plugin([cls])).startswith("RuntimeError: boom (test_registration.py, line ")


def test_a_second_plugin_of_the_same_name_leaves_the_first() -> None:
    host = PluginHost()
    host.register(plugin([comparator()]), "one")
    with pytest.raises(PluginError, match="'one' is already registered"):
        host.register(plugin([comparator(name="other")]), "one")
    assert list(host.comparators()) == ["nothing"]


def test_unregistering_takes_everything_back() -> None:
    host = PluginHost()
    host.register(plugin([comparator()]), "one")
    host.unregister("one")
    assert host.comparators() == {}
    host.register(plugin([comparator()]), "one")
    assert list(host.comparators()) == ["nothing"]
