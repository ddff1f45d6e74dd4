"""Nothing but a right message is taken from a mutant's process, and nobody waits for the rest of one."""

from __future__ import annotations

import json
import multiprocessing
import os
import struct
from typing import Any

import numpy as np
import pytest

from mutatenn.engine import isolate, messages
from mutatenn.engine.messages import End, GarbledError, Inbox, Phase

REPORT: dict[str, Any] = {
    "mutant": "m",
    "outcome": "ran",
    "message": "",
    "executed": 5,
    "kernels": ["ab"],
    "program": "cd",
    "masked": {"relu": 1},
    "seconds": {"total": 0.5},
    "signal": None,
    "images": 5,
    "infected": [0, 2],
    "rows": [0, 2],
    "memory": "",
    "again": None,
    "spent": False,
    "damaged": False,
}
AGAIN = {"images": 5, "infected": [0, 1], "rows": [1]}
NOTHING = {"images": 0, "infected": [], "rows": []}
OUTPUTS = np.arange(8, dtype=np.float32).tobytes()


def parsed(chain: Any, message: Any, outputs: bytes = b"") -> messages.Message:
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return messages.parse(text + b"\n" + outputs, "m", chain.job({}))


def test_a_report_is_an_observation(chain: Any) -> None:
    end = parsed(chain, REPORT, OUTPUTS)
    assert isinstance(end, End)
    assert (end.seen.mutant, end.seen.outcome, end.spent) == ("m", "ran", False)
    assert end.seen.infected.tolist() == [True, False, True, False, False]
    assert end.seen.rows.tolist() == [0, 2]
    assert end.seen.outputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    shaken = parsed(chain, REPORT | {"again": AGAIN, "memory": "leaves"}, OUTPUTS + OUTPUTS[16:])
    assert isinstance(shaken, End)
    assert shaken.seen.again is not None
    assert shaken.seen.outputs.tolist() == end.seen.outputs.tolist()
    assert shaken.seen.again.infected.tolist() == [True, True, False, False, False]
    assert shaken.seen.again.outputs.tolist() == [[4, 5, 6, 7]]
    crashed = parsed(chain, REPORT | NOTHING | {"outcome": "crashed", "message": "why \U0001f600"})
    assert isinstance(crashed, End)
    assert (crashed.seen.outcome, crashed.seen.message, len(crashed.seen.rows)) == (
        "crashed",
        "why \U0001f600",
        0,
    )
    phase = parsed(chain, {"phase": "image 3", "cpu": 0.25})
    assert isinstance(phase, Phase)
    assert (phase.phase, phase.cpu) == ("image 3", 0.25)


PLAIN = [b"", b"\xff", b"hello", b"{", b"[" * 100_000, 7, None, [1, 2], {}, {"phase": 3, "cpu": 0}]
PLAIN += [{"phase": "build"}, {"phase": "build", "cpu": -1}, {"phase": "build", "cpu": 0, "more": 1}]
PLAIN += [b'{"phase": "build", "cpu": NaN}', b'{"phase": "build", "cpu": 1e999}', {"ready": True}]
PLAIN += [{"phase": "build", "cpu": 0, "ready": 1}, b'{"problem": "\\ud800"}', {"spent": False}]
WRONG: list[dict[str, Any]] = [
    {"mutant": "another"},
    {"outcome": "excellent"},
    {"outcome": []},
    {"message": 1},
    {"executed": -1},
    {"executed": 2**70},
    {"executed": True},
    {"kernels": "ab"},
    {"kernels": [1]},
    {"masked": {"relu": 0.5}},
    {"seconds": {"total": "1"}},
    {"message": "\ud800"},
    {"signal": 9},
    {"images": 4},
    {"images": -1},
    {"images": 2**62},
    {"infected": [0, 5]},
    {"infected": [2, 0]},
    {"infected": [-1, 0]},
    {"rows": [2, 0]},
    {"rows": [0, 0]},
    {"rows": [0, 5]},
    {"rows": [0, 2**70]},
    {"rows": [3, -(2**63), -2, 4]},
    {"rows": [0]},
    {"rows": [0, 1, 2]},
    {"spent": 0},
    {"damaged": None},
    {"memory": 1},
    {"again": AGAIN},  # without its outputs
    {"again": AGAIN | {"rows": [5]}},
    {"again": AGAIN | {"images": 4}},
    {"again": AGAIN | {"more": 1}},
    {"again": {"rows": [1]}},
    {"again": []},
    {"outcome": "crashed"},
    {"more": 1},
]


@pytest.mark.parametrize("message", PLAIN, ids=range(len(PLAIN)))
def test_what_is_no_message_is_garbled(chain: Any, message: Any) -> None:
    with pytest.raises(GarbledError):
        parsed(chain, message)


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_report_with_a_wrong_part_is_garbled(chain: Any, change: dict[str, Any]) -> None:
    with pytest.raises(GarbledError):
        parsed(chain, REPORT | change, OUTPUTS)


@pytest.mark.parametrize("name", sorted(REPORT.keys() - {"again"}))
def test_a_report_without_a_part_is_garbled(chain: Any, name: str) -> None:
    with pytest.raises(GarbledError):
        parsed(chain, {key: value for key, value in REPORT.items() if key != name}, OUTPUTS)


@pytest.mark.parametrize("change", [{"rows": []}, NOTHING | {"again": AGAIN | {"rows": []}}], ids=str)
def test_a_mutant_that_did_not_run_has_no_images(chain: Any, change: dict[str, Any]) -> None:
    with pytest.raises(GarbledError, match="more than its process can know"):
        parsed(chain, REPORT | {"outcome": "crashed"} | change)


def test_a_phase_has_no_outputs(chain: Any) -> None:
    with pytest.raises(GarbledError):
        parsed(chain, {"phase": "build", "cpu": 0}, OUTPUTS)


def test_half_a_message_is_left_for_later() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        inbox = Inbox(receiver)
        isolate.send(sender, number=1)
        os.write(sender.fileno(), struct.pack("!i", 5) + b"he")
        assert [json.loads(each) for each in inbox.take(100)] == [{"number": 1}]
        assert inbox.take(100) == []
        os.write(sender.fileno(), b"llo")
        assert inbox.take(100) == [b"hello"]
        sender.close()
        assert inbox.take(100) == []
        assert inbox.ended


@pytest.mark.parametrize("size", [-1, 101, 2**31 - 1])
def test_a_message_is_not_as_long_as_it_likes(size: int) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        os.write(sender.fileno(), struct.pack("!i", size))
        with pytest.raises(GarbledError, match=str(size)):
            Inbox(receiver).take(100)


def test_a_text_can_be_sent_and_stored() -> None:
    assert messages.clean("a\ud800b") == "a?b"
    assert len(messages.clean("x" * 10**6)) == messages.LONGEST_TEXT
