"""Models named by a source: downloaded by core, or made by a frontend."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import attrs
import pytest

from mutatenn import Frontend, InputError, PluginError, hookimpl
from mutatenn.campaign.config.resources import data_folder
from mutatenn.campaign.execution.setup import Setup, set_up
from mutatenn.host.plugin_host import PluginHost
from mutatenn_frontends.onnx import Onnx

DIGITS = data_folder() / "digits.onnx"
SHA256 = hashlib.sha256(DIGITS.read_bytes()).hexdigest()
CAMPAIGN = """
name = "t"
[model]
{model}
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/0_000*.png"
[[mutations]]
operator = "relu-to-sigmoid"
"""


@attrs.frozen(kw_only=True)
class Zoo(Onnx):
    """Makes models of its own: copies of the bundled one."""

    name: ClassVar[str] = "zoo"
    suffixes: ClassVar[tuple[str, ...]] = (".zoo",)
    schemes: ClassVar[tuple[str, ...]] = ("zoo",)
    made: ClassVar[list[tuple[str, Path]]] = []
    edition: int = 1
    labels: str | None = attrs.field(default=None, metadata={"path": True})

    def obtain(self, scheme: str, name: str, folder: Path) -> Path:
        assert (scheme, folder.is_dir()) == ("zoo", True)
        self.made.append((name, folder))
        path = folder / f"{name}.onnx"
        if name != "lost":
            shutil.copy(DIGITS, path)
        return path


@hookimpl
def frontends() -> list[type[Frontend]]:
    return [Zoo]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Setup]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    Zoo.made.clear()
    host = PluginHost.installed()
    host.register(SimpleNamespace(mutatenn_frontends=frontends), "zoo")

    def load(model: str) -> Setup:
        path = tmp_path / "t.toml"
        path.write_text(CAMPAIGN.format(model=model))
        return set_up(path, host)

    return load


@pytest.fixture
def server() -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=data_folder())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_downloaded_model(load: Callable[[str], Setup], server: str, tmp_path: Path) -> None:
    model = f'source = "url:{server}/digits.onnx"\nsha256 = "{SHA256}"'
    setup = load(model)
    frontend = setup.imported["cpu"].frontend
    assert (setup.model.name, frontend.name, setup.model.digest) == ("digits", "onnx", SHA256)
    assert setup.model.source.is_relative_to(tmp_path / "xdg" / "mutatenn" / "models")
    assert load(model).model.source == setup.model.source
    assert load(f'source = "url:{server}/digits.onnx?again"').model.source != setup.model.source


def test_it_is_kept_when_the_server_is_gone(load: Callable[[str], Setup], server: str) -> None:
    model = f'source = "url:{server}/digits.onnx"'
    first = load(model)
    (kept,) = first.model.source.parent.glob("*.onnx")
    changed = kept.stat().st_mtime_ns
    assert load(model).model.digest == SHA256
    assert kept.stat().st_mtime_ns == changed


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("digits.onx", "no frontend knows '.onx' files ("),
        ("gone.onnx", "gone.onnx: HTTP 404 File not found; check the address"),
        ("README.md", "no frontend knows '.md' files"),
        ('README.md"\nfrontend = "onnx', "(delete the file to download it again)"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line(
    load: Callable[[str], Setup], server: str, place: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(f'source = "url:{server}/{place}"')
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_digest(load: Callable[[str], Setup], server: str) -> None:
    with pytest.raises(InputError, match=f"has the sha256 {SHA256}, not 0000"):
        load(f'source = "url:{server}/digits.onnx"\nsha256 = "{"0" * 64}"')


def test_a_frontend_makes_what_its_scheme_names(load: Callable[[str], Setup]) -> None:
    assert load('source = "zoo:small"').model.name == "small"
    load('source = "zoo:small"\noptions = { edition = 2 }')
    load('source = "zoo:other"')
    load('source = "zoo:small"\noptions = { labels = "mutatenn:digits.onnx" }')
    names, folders = zip(*Zoo.made, strict=True)
    assert names == ("small", "small", "other", "small")
    assert len(set(folders)) == 3
    assert folders[3] == folders[0]


def test_paths_among_options_start_at_the_campaign_file(load: Callable[[str], Setup], tmp_path: Path) -> None:
    given = {"labels.txt": tmp_path / "labels.txt", "mutatenn:digits.onnx": DIGITS}
    for text, path in given.items():
        setup = load(f'source = "zoo:small"\noptions = {{ labels = "{text}" }}')
        assert setup.imported["cpu"].frontend == Zoo(labels=str(path))
        assert setup.campaign.model.options == {"labels": str(path)}
    assert load('source = "zoo:small"').campaign.model.options == {}


def test_a_scheme_of_another_frontend(load: Callable[[str], Setup]) -> None:
    with pytest.raises(InputError, match=r"zoo:small: frontend onnx does not know this scheme \(none\)"):
        load('source = "zoo:small"\nfrontend = "onnx"')


def test_a_frontend_that_breaks_its_promise(load: Callable[[str], Setup]) -> None:
    with pytest.raises(PluginError, match="frontend zoo says that zoo:lost is"):
        load('source = "zoo:lost"')


def test_a_cache_folder_that_cannot_be_made(load: Callable[[str], Setup], tmp_path: Path) -> None:
    (tmp_path / "xdg").write_text("a file")
    with pytest.raises(InputError, match="set XDG_CACHE_HOME to another"):
        load('source = "zoo:small"')


def test_a_folder_that_others_may_write_to_holds_no_models(
    load: Callable[[str], Setup], tmp_path: Path
) -> None:
    (tmp_path / "xdg" / "mutatenn" / "models").mkdir(parents=True)
    (tmp_path / "xdg" / "mutatenn" / "models").chmod(0o777)
    with pytest.raises(
        InputError, match=r"others may write to it; set XDG_CACHE_HOME to a folder of your own"
    ):
        load('source = "zoo:small"')
