"""Errors become one line and an exit code; bugs keep their trace."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable

import pytest

from mutatenn import BaselineError, Command, InfrastructureError, InputError, __version__
from mutatenn.cli import main as command_line
from mutatenn.cli.plugins import PluginsCommand
from mutatenn.host.plugin_host import PluginHost

Install = Callable[..., None]
COMMANDS = [*(command.name for command in command_line.OWN), *PluginHost.installed().commands()]


def raising(error: BaseException) -> Callable[[Command, Namespace, PluginHost], int]:
    def execute(self: Command, args: Namespace, host: PluginHost) -> int:
        raise error

    return execute


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("bad file"), 2), (BaselineError("red"), 3), (InfrastructureError("no disk"), 4)],
)
def test_an_error_on_purpose_is_one_line(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PluginsCommand, "execute", raising(error))
    assert command_line.main(["plugins"]) == code
    assert capsys.readouterr().err == f"mutatenn: error: {error}\n"


def test_a_bug_shows_its_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(PluginsCommand, "execute", raising(RuntimeError("a bug")))
    assert command_line.main(["plugins"]) == 4
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("RuntimeError: a bug\n")


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PluginsCommand, "execute", raising(KeyboardInterrupt()))
    assert command_line.main(["plugins"]) == 130
    assert capsys.readouterr().err == "mutatenn: interrupted\n"


def test_what_a_command_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PluginsCommand, "execute", lambda self, args, host: 1)
    assert command_line.main(["plugins"]) == 1


@pytest.mark.parametrize(
    "argv", [[], [""], ["--", "no-such-command"], ["no-such-command"], ["plugins", "--no-such-option"]]
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(argv)
    assert caught.value.code == 2
    assert "usage: mutatenn" in capsys.readouterr().err


def test_an_unknown_command_is_met_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(["comapre", "run"])
    assert caught.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == (
        "mutatenn: error: unknown command 'comapre'; did you mean 'compare'? `mutatenn --help` lists all"
    )


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mutatenn {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main([name, "--help"])
    assert caught.value.code == 0
    assert "--block-plugin" in capsys.readouterr().out


def test_a_closed_pipe_is_silent() -> None:
    program = [sys.executable, "-m", "mutatenn", "plugins", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_a_plugin_is_blocked_by_option(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("bad", "raise AssertionError('imported')")
    assert command_line.main(["plugins", "--block-plugin", "bad"]) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if " bad " in each)
    assert line.split() == ["-", "bad", "acme", "1.2", "blocked", "named", "by", *line.split()[-3:]]


def test_blocking_an_unknown_plugin_is_wrong_input(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("sign-flip", "")
    assert command_line.main(["plugins", "--block-plugin", "sign-flop"]) == 2
    err = capsys.readouterr().err
    assert "mutatenn: error: cannot block plugin 'sign-flop'" in err
    assert "did you mean 'sign-flip'?" in err
