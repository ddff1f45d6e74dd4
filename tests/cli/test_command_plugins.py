"""Commands are plugins: another's is called, refused and blamed as a built-in one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutatenn.cli.main import OWN, main

Install = Callable[[str], None]
Mutatenn = Callable[..., Any]

BLAMED = "error: command 'greet' of acme 1.0: execute"
GREET = '''
class Greet(Command):
    """Greet 100 % of the users.

    At length.
    """
    name = "greet"
    def configure(self, parser):
        parser.add_argument("--loudly", action="store_true", help="in capitals")
    def execute(self, args, host):
        text = f"hello from {len(host.backends()) > 3} {host.get('comparator', 'top-1').name}"
        print(text.upper() if args.loudly else text)
        return 7

@hookimpl
def mutatenn_commands(): return [Greet]
'''


def greet(execute: str = "return 0", configure: str = "pass") -> str:
    """Return a command plugin with other bodies."""
    return (
        "import sys\nclass Odd(InputError): exit_code = 0\n"
        'class Greet(Command):\n    """Greet."""\n    name = "greet"\n'
        f"    def configure(self, parser): {configure}\n    def execute(self, args, host): {execute}\n"
        "@hookimpl\ndef mutatenn_commands(): return [Greet]\n"
    )


@pytest.fixture
def mutatenn(install: Install, tmp_path: Path) -> Mutatenn:
    """Return a function that calls the command in a process of its own, where ``acme`` is installed."""

    def mutatenn(source: str, *argv: str) -> subprocess.CompletedProcess[str]:
        install(source)
        kept = [path for path in (os.environ.get("PYTHONPATH"),) if path]
        more = {
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *kept]),
            "MUTATENN_BLOCK_PLUGINS": "",
        }
        program = [sys.executable, "-m", "mutatenn", *argv]
        return subprocess.run(program, env=os.environ | more, text=True, capture_output=True)

    return mutatenn


def test_it_is_called_with_the_host(mutatenn: Mutatenn) -> None:
    done = mutatenn(GREET, "greet", "--loudly")
    assert (done.returncode, done.stdout, done.stderr) == (7, "HELLO FROM TRUE TOP-1\n", "")


def test_it_is_in_the_help_after_what_is_cores_own(mutatenn: Mutatenn) -> None:
    done = mutatenn(GREET, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"^ {4}(\S+)", done.stdout, re.MULTILINE)
    own = [command.name for command in OWN]
    assert listed[: len(own)] == own
    assert listed[len(own) :] == [
        "bundle",
        "check",
        "compare",
        "completion",
        "greet",
        "images",
        "ingest",
        "show",
    ]
    assert "    greet     Greet 100 % of the users.\n" in done.stdout


def test_its_help(command: Callable[..., Any], install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(GREET)
    with pytest.raises(SystemExit) as caught:
        command("greet", "--help")
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: mutatenn greet [-h] [--loudly] [--block-plugin NAME]\n")
    assert "in capitals" in told


def test_it_is_listed(command: Callable[..., Any], install: Install) -> None:
    install(GREET)
    rows = command("plugins", "--kind", "command").out.splitlines()
    (row,) = (line.split() for line in rows if "acme" in line)
    assert row[:7] == ["command", "greet", "acme", "1.0", "active", "Greet", "100"]


def test_wrong_usage_of_it(command: Callable[..., Any], install: Install) -> None:
    install(GREET)
    with pytest.raises(SystemExit) as caught:
        command("greet", "--softly")
    assert caught.value.code == 2


@pytest.mark.parametrize("place", ["option", "equals", "variable"])
@pytest.mark.parametrize("name", ["greet", "compare", "images", "bundle", "ingest", "show"])
def test_a_blocked_one_is_gone_and_the_error_says_so(
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    name: str,
) -> None:
    install(GREET)
    plugin = "acme" if name == "greet" else f"commands.{name}"
    options = {"option": ["--block-plugin", plugin], "equals": [f"--block-plugin={plugin}"]}.get(place, [])
    if place == "variable":
        monkeypatch.setenv("MUTATENN_BLOCK_PLUGINS", plugin)
    with pytest.raises(SystemExit) as caught:
        main([name, *options])
    assert caught.value.code == 2
    known = "its plugin is blocked: named by --block-plugin or MUTATENN_BLOCK_PLUGINS"
    reason = "unknown command 'greet';" if name == "greet" else f"command {name!r} is not available: {known}"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"mutatenn: error: {reason}")
    with pytest.raises(SystemExit) as caught:
        main(["--help", *options])
    assert caught.value.code == 0
    assert f"    {name} " not in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["plugins", "--help"]])
@pytest.mark.parametrize(
    "source",
    ["import no_such_module", "raise SystemExit(3)", greet().replace("[Greet]", "[3]"), "class"],
    ids=["import", "exit", "no class", "syntax"],
)
def test_a_broken_one_breaks_no_help(mutatenn: Mutatenn, source: str, argv: list[str]) -> None:
    done = mutatenn(source, *argv)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr.startswith("mutatenn: plugin acme is broken: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "raised"),
    [
        ("parser.add_argument('--block-plugin')", "ArgumentError"),
        ("parser.add_argument('--all', help='50 % of all')", "TypeError"),
        ("parser.add_argument('-a', type=lambda text: 1 / 0)", "ZeroDivisionError"),
        ("sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_one_that_cannot_declare_its_options(
    command: Callable[..., Any], install: Install, body: str, raised: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(greet(configure=body))
    options = ["-a", "1"] if "-a'" in body else ["--help"]
    done = command("greet", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mutatenn: error: command 'greet' of acme 1.0: configure raised {raised}")
    assert done.err.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("raise RuntimeError('boom')", 2, f"{BLAMED} raised RuntimeError: boom"),
        ("raise OSError(2, 'gone')", 2, f"{BLAMED} raised FileNotFoundError"),
        ("sys.exit(0)", 2, f"{BLAMED} raised SystemExit: 0"),
        ("raise Odd('fine')", 2, f"{BLAMED} raised Odd: fine"),
        ("raise InputError('mend it')", 2, "error: mend it\n"),
        ("raise BaselineError('red')", 3, "error: red\n"),
        ("raise InfrastructureError('no disk')", 4, "error: no disk\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("pass", 2, f"{BLAMED} must return an exit code, 0 to 255, not None"),
        ("return True", 2, f"{BLAMED} must return an exit code, 0 to 255"),
        ("return 256", 2, f"{BLAMED} must return an exit code, 0 to 255"),
    ],
)
def test_however_it_ends_it_is_one_line(
    command: Callable[..., Any], install: Install, body: str, code: int, told: str
) -> None:
    install(greet(execute=body))
    done = command("greet")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"mutatenn: {told}")
    assert done.err.count("\n") == 1


def test_a_closed_pipe_is_nobodys_fault(command: Callable[..., Any], install: Install) -> None:
    install(greet(execute="raise BrokenPipeError"))
    done = command("greet")
    assert (done.code, done.err) == (141, "")


def test_a_name_of_cores_own_cannot_be_taken(mutatenn: Mutatenn) -> None:
    done = mutatenn(GREET.replace('"greet"', '"plugins"'), "plugins", "--kind", "command")
    clash = (
        "command 'plugins' comes from plugins 'mutatenn itself' and 'acme'; "
        "block all but one, as in --block-plugin acme or MUTATENN_BLOCK_PLUGINS=acme"
    )
    assert (done.returncode, done.stderr) == (0, f"mutatenn: {clash}\n")
    (row,) = (line for line in done.stdout.splitlines() if "acme  " in line)
    assert row.split()[:5] == ["command", "plugins", "acme", "1.0", "clash"]
    assert row.endswith(clash)


def test_the_name_of_a_built_in_plugin_is_nobodys(mutatenn: Mutatenn) -> None:
    done = mutatenn(GREET.replace('"greet"', '"compare"'), "compare", "run")
    assert (done.returncode, done.stdout) == (2, "")
    warning, error = done.stderr.splitlines()
    clash = "command 'compare' comes from plugins 'acme' and 'commands.compare'; block all but one, as in "
    assert warning.startswith(f"mutatenn: {clash}")
    assert error.startswith(f"mutatenn: error: {clash}")


def test_blocking_ends_the_clash(command: Callable[..., Any], install: Install) -> None:
    install(GREET.replace('"greet"', '"compare"'))
    done = command("compare", "--block-plugin", "commands.compare")
    assert (done.code, done.out, done.err) == (7, "hello from True top-1\n", "")
