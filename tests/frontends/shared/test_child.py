"""A module is asked in a process of its own, which leaves nothing behind however either of the two ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutatenn import InfrastructureError, InputError
from mutatenn_frontends._shared.child import ask

Asked = Callable[..., tuple[dict[str, Any], bytes]]
WAITS = """
import os, time
from pathlib import Path

def respond(request, payload):
    Path(request["file"]).write_text(f"{os.getpid()} ")
    time.sleep(600)
"""
ASKS = """
import signal, sys
from mutatenn_frontends._shared.child import ask
signal.signal(signal.SIGINT, signal.default_int_handler)
ask("the child", "responder", {"file": sys.argv[1]})
"""


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Ask a module of these lines, in the body of ``respond`` unless they have that themselves."""

    def asked(lines: str, request: Any = None, payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        body = f"import os, sys\ndef respond(request, payload):\n {lines}"
        (tmp_path / "responder.py").write_text(lines if "def respond" in lines else body)
        environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return ask("the child", "responder", request or {}, payload, environment)

    return asked


def test_an_answer_and_its_bytes(asked: Asked) -> None:
    request, payload = {"numbers": [1, 2.5], "text": "ö\n"}, bytes(range(256)) * 5000
    assert asked("return request, payload[::-1]", request, payload) == (request, payload[::-1])
    assert asked("return {}, payload") == ({}, b"")


def test_a_refusal(asked: Asked) -> None:
    code = "import mutatenn\ndef respond(*_): raise mutatenn.InputError('is none; give one')"
    with pytest.raises(InputError, match=r"^is none; give one$"):
        asked(code)


def test_garbage_is_no_answer(asked: Asked, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('from the start')")
    noise = "print('{}'); os.write(1, b'[]'); os.write(2, b'noise')"
    assert asked(f"{noise}; return {{'is': 1}}, b'it'") == ({"is": 1}, b"it")
    files = "[int(fd) for fd in os.listdir('/proc/self/fd') if os.path.isfile('/dev/fd/' + fd)]"
    with pytest.raises(InfrastructureError, match="ended with exit code 0 and no answer"):
        asked(f"[os.write(fd, b'{{}}') for fd in {files}]; os._exit(0)")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("os.kill(os.getpid(), 9)", "the child died of SIGKILL (it said nothing); run again"),
        (
            "os.write(2, b'first\\n out of luck\\n\\n'); os.abort()",
            "died of SIGABRT (out of luck); run again",
        ),
        (
            "raise MemoryError('9 GiB')",
            "ended with exit code 1 and no answer (MemoryError: 9 GiB); run again",
        ),
        ("sys.exit(3)", "ended with exit code 3 and no answer (it said nothing)"),
        ("os.write(2, b'x' * 9999); os._exit(0)", "ended with exit code 0 and no answer (xxx"),
        ("return {'an': object()}, b''", "is not JSON serializable); run again"),
    ],
)
def test_no_answer(asked: Asked, line: str, told: str) -> None:
    with pytest.raises(InfrastructureError) as caught:
        asked(line)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_counts_whatever_comes_after(asked: Asked) -> None:
    assert asked("import atexit; atexit.register(os.abort); return {'is': 1}, b''") == ({"is": 1}, b"")


def test_who_leaves_a_process_behind_is_not_waited_for(asked: Asked) -> None:
    start = time.monotonic()
    answer, _ = asked("import subprocess; return {'pid': subprocess.Popen(['sleep', '600']).pid}, b''")
    os.kill(answer["pid"], signal.SIGKILL)
    assert time.monotonic() - start < 300


def test_modules_of_the_current_folder(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "here"
    place.mkdir()
    for name in ("json", "mutatenn", "mutatenn_frontends", "responder", "other"):
        (place / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(place)
    found = "from importlib.util import find_spec; return {'is': find_spec('other'), 'at': os.getcwd()}, b''"
    assert asked(found) == ({"is": None, "at": str(place)}, b"")


def test_arguments_are_not_the_modules(asked: Asked) -> None:
    assert asked("return {'argv': sys.argv, 'stdin': sys.stdin.read()}, b''")[0] == {
        "argv": ["-c"],
        "stdin": "",
    }


def test_every_framework_computes_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no environment is asked for; oneDNN's kernels round as the processor does it best."""
    (tmp_path / "told.py").write_text("import os\ndef respond(*_): return dict(os.environ), b''")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    found, _ = ask("the child", "told", {})
    assert (found["TF_ENABLE_ONEDNN_OPTS"], found["OMP_NUM_THREADS"]) == ("0", "1")


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    """Return a process that asks, and the number of the one that is asked and takes its time."""
    (tmp_path / "responder.py").write_text(WAITS)
    file = tmp_path / "pid"
    asking = subprocess.Popen(
        [sys.executable, "-c", ASKS, str(file)],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait(lambda: file.exists() and file.read_text().endswith(" "))
    yield asking, int(file.read_text())
    asking.kill()
    asking.communicate()


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


def test_it_ends_with_the_process_that_asked(pair: Any) -> None:
    asking, child = pair
    assert not is_gone(child)
    asking.kill()
    wait(lambda: is_gone(child), 10)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the one", "from the terminal"])
def test_an_interrupt(pair: Any, send: Callable[[int, int], None]) -> None:
    """It is for the process that asks to take, even if the other gets it as well."""
    asking, child = pair
    os.kill(child, signal.SIGINT)
    time.sleep(0.2)
    assert not is_gone(child)
    send(asking.pid, signal.SIGINT)
    _, said = asking.communicate(timeout=30)
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert is_gone(child)
