"""Whatever is wrong with the input is told in one line with a remedy, and harms no earlier results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.campaign.config.resources import data_folder

Command = Callable[..., Any]
Write = Callable[..., Path]

MODEL, IMAGES = "mutatenn:digits.onnx", "mutatenn:digits/*_00*.png"


def rejected(done: Any, *parts: str) -> None:
    """Check that a command refused its input in one line that holds all these parts."""
    assert done.code == 2
    assert all(line.endswith(" ...") for line in done.out.splitlines()), "stages that were begun, no more"
    assert done.err.startswith("mutatenn: error: ")
    assert done.err.count("\n") == 1
    for part in parts:
        assert part in done.err


@pytest.fixture
def run(finished: Any, command: Command) -> Command:
    """Run a campaign in the finished run's directory; check that the results there stay what they are."""

    def run(campaign: Path, *options: str) -> Any:
        before = mutatenn.open_run(finished.directory).mutants
        done = command("run", campaign, "--out", finished.directory, *options)
        after = mutatenn.open_run(finished.directory)
        assert after.mutants == before
        assert after.outputs("cpu", before[0].id).shape == (25, 10)
        return done

    return run


def test_no_campaign_file(run: Command, write: Write) -> None:
    rejected(
        run(write().with_name("campain.toml")),
        "no campaign file",
        "did you mean 'campaign.toml'?",
        "mutatenn init",
    )


def test_no_model_file(run: Command, write: Write, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    rejected(run(write((MODEL, "nett.onnx"))), "model.path: no file 'nett.onnx'", "did you mean 'net.onnx'?")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("net.onnx/x", "no file 'x' in '{tmp}/net.onnx', which is a file, not a folder"),
        ("net.onnx/x/y", "no folder 'x' in '{tmp}/net.onnx', which is a file, not a folder"),
        ("loop", "the file 'loop' in '{tmp}' is a link that leads nowhere"),
        ("loop/x", "the folder 'loop' in '{tmp}' is a link that leads nowhere"),
        ("dangling", "the file 'dangling' in '{tmp}' is a link that leads nowhere"),
    ],
)
def test_a_model_that_is_not_where_it_seems(
    run: Command, write: Write, tmp_path: Path, path: str, message: str
) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    rejected(run(write((MODEL, path))), f"model.path: {message.format(tmp=tmp_path)}")


@pytest.mark.parametrize(("label", "offset"), [(10, 0), (999999999, 0), (9, 1), (0, -1)])
def test_a_true_class_that_the_model_does_not_have(
    command: Command, write: Write, tmp_path: Path, label: int, offset: int
) -> None:
    (tmp_path / f"{label}_x.png").write_bytes((data_folder() / "digits" / "0_0000.png").read_bytes())
    campaign = write((IMAGES, "*.png"), ("[preprocess]", f"label_offset = {offset}\n[preprocess]"))
    for argv in (("plan", campaign), ("run", campaign, "--out", tmp_path / "run")):
        rejected(
            command(*argv), f"the true class {label}", f"of {label}_x.png", "0 to 9", "model.label_offset"
        )


def test_a_truncated_model(run: Command, write: Write, tmp_path: Path) -> None:
    content = (data_folder() / "digits.onnx").read_bytes()
    (tmp_path / "net.onnx").write_bytes(content[: len(content) // 2])
    rejected(run(write((MODEL, "net.onnx"))), "net.onnx: ")


def test_no_image_classifier(run: Command, write: Write, tmp_path: Path) -> None:
    save_filter(tmp_path / "net.onnx")
    rejected(run(write((MODEL, "net.onnx"))), "net.onnx: ")


def save_filter(path: Path) -> None:
    """Save a model from image to image."""
    import onnx
    from onnx import TensorProto, helper

    shape = [1, 1, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "filter",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_a_wrong_input_size(run: Command, write: Write) -> None:
    rejected(
        run(write(("[dataset]", "resize = 16\ncrop = 16\n[dataset]"))), "16x16", "1x1x8x8", "set crop = 8"
    )


def test_a_file_that_is_no_image(run: Command, write: Write, tmp_path: Path) -> None:
    (tmp_path / "0_zero.png").write_text("no picture")
    rejected(run(write((IMAGES, "*.png"))), "0_zero.png: not an intact image", "replace it or leave it out")


def test_an_empty_folder_of_images(run: Command, write: Write, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rejected(
        run(write((IMAGES, "photos/*.png"))), "dataset.images: no image matches '*.png'", "it holds nothing"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "store-int16",
            "store-int17",
            "unknown operator or group 'store-int17'; did you mean 'store-int16'?",
        ),
        ("[dataset]", '[[environments]]\nname = "cpu"\nbackend = "llmv"\n[dataset]', "did you mean 'llvm'?"),
        (
            "[dataset]",
            '[oracles]\nkill = "max-asb"\n[dataset]',
            "unknown comparator 'max-asb'; did you mean 'max-abs'?",
        ),
        ("[dataset]", "[dataset]\nimage = 1", "dataset.image: unknown key; did you mean 'images'?"),
        ("[dataset]", "layouts = 1\n[dataset]", "preprocess.layouts: unknown key; did you mean 'layout'?"),
        ("name =", "name", "not valid TOML"),
    ],
)
def test_a_wrong_name(run: Command, write: Write, old: str, new: str, message: str) -> None:
    rejected(run(write((old, new))), message)


def test_all_mistakes_at_once(run: Command, write: Write) -> None:
    done = run(write((MODEL, "net.onnx"), ("std = 127.5", "std = 0"), ("sites = [1]", "sites = [-1]")))
    assert (done.code, done.out) == (2, "")
    first, *rest = done.err.splitlines()
    assert first.startswith("mutatenn: error: ")
    assert first.endswith(": 3 problems")
    assert [line.partition(":")[0] for line in rest] == [
        "model.path",
        "preprocess.std",
        "mutations[0].sites[0]",
    ]


@pytest.mark.parametrize(
    ("mutations", "parts"),
    [
        ("", ["the campaign asks for no mutations", "[[mutations]]"]),
        (
            '[[mutations]]\noperator = "gt-to-ge"',
            ["no mutants to run: gt-to-ge found no site in this model", "choose other operators"],
        ),
        (
            '[[mutations]]\noperator = "relu-to-sigmoid"\nsites = [7]',
            ["relu-to-sigmoid has no site 7", "0 to 6"],
        ),
    ],
)
def test_nothing_to_run(
    command: Command, write: Write, tmp_path: Path, mutations: str, parts: list[str]
) -> None:
    campaign, out = write(mutations=mutations), tmp_path / "run"
    rejected(command("run", campaign, "--out", out), *parts)
    rejected(command("run", campaign, "--out", out), *parts)  # the directory does not stand in the way
    rejected(command("report", out), str(out))


def test_another_configuration(run: Command, write: Write) -> None:
    done = run(write(("sites = [1]", "sites = [2]")))
    rejected(
        done,
        "was made from another configuration",
        "(mutations[0].sites[0]: 2 here, 1 there)",
        "choose another with --out",
    )


def test_what_differs_is_told(write: Write, command: Command, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(data_folder() / "digits", images, ignore=shutil.ignore_patterns("[1-9]_*"))
    pictures = (IMAGES, f"{images}/*.png")
    assert command("run", write(pictures), "--out", tmp_path / "run").code == 0
    first, second, *_ = sorted(images.iterdir())
    first.write_bytes(second.read_bytes())
    done = command(
        "run", write(pictures, ('truth = "filename-prefix"', "limit = 9")), "--out", tmp_path / "run"
    )
    told = ("dataset.limit: 9 here, none there", "dataset.truth: none here, 'filename-prefix' there")
    rejected(done, *told, "1 image changed", "missing here")


@pytest.mark.parametrize("out", ["{tmp}/campaign.toml/run", "{tmp}/campaign.toml", "/proc/mutatenn/run"])
def test_a_run_directory_that_cannot_be_written(
    command: Command, write: Write, tmp_path: Path, out: str
) -> None:
    campaign = write()
    out = out.format(tmp=tmp_path)
    rejected(
        command("run", campaign, "--out", out),
        f"cannot write run directory {out}",
        "choose another with --out",
    )


def test_a_folder_of_something_else(command: Command, write: Write, tmp_path: Path) -> None:
    done = command("run", write(), "--out", tmp_path)
    rejected(done, f"{tmp_path} is no run directory and not empty (campaign.toml", "choose another")
    assert (tmp_path / "campaign.toml").exists()


@pytest.mark.parametrize("workers", ["0", "-1", "x", "1.5", ""])
def test_bad_workers(run: Command, write: Write, workers: str) -> None:
    rejected(run(write(), f"--workers={workers}"), "--workers takes a number of processes, 1 or more")


@pytest.mark.parametrize("score", ["-0.1", "1.1", "nan", "x"])
def test_a_bad_score(run: Command, write: Write, score: str) -> None:
    rejected(run(write(), f"--min-score={score}"), "--min-score takes a number from 0 to 1")


def test_an_unknown_reporter(run: Command, write: Write, finished: Any, command: Command) -> None:
    message = "unknown reporter 'terminl'; did you mean 'terminal'?"
    rejected(run(write(), "--reporter", "terminl"), message)
    rejected(command("report", finished.directory, "--reporter", "terminl"), message)


@pytest.mark.parametrize("argv", [["report"], ["show", "MUTANT"], ["score"]])
@pytest.mark.parametrize("place", ["nowhere", "empty", "file", "garbage", "early"])
def test_what_is_no_run_directory(command: Command, tmp_path: Path, argv: list[str], place: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, content in (("garbage", b"garbage " * 1000), ("early", b"")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "campaign.sqlite").write_bytes(content)
    name, *rest = argv
    message = {"garbage": "is damaged", "early": "holds nothing yet"}.get(place, "is not a run directory")
    rejected(command(name, tmp_path / place, *rest), str(tmp_path / place), message)


def test_an_unknown_mutant(finished: Any, command: Command) -> None:
    done = command("show", finished.directory, "stor-int16.softmax.1")
    rejected(done, "no mutant 'stor-int16.softmax.1'", "did you mean 'store-int16.softmax.1.")
    rejected(command("show", finished.directory, "store-"), "2 mutants begin with 'store-': store-int16.")


def test_an_unknown_environment(finished: Any, command: Command) -> None:
    message = "unknown environment 'cup'; did you mean 'cpu'?"
    rejected(command("show", finished.directory, "transpose", "--environment", "cup"), message)
    rejected(command("plan", finished.campaign, "--environment", "cup"), message)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--kill", "max-asb"], "unknown comparator 'max-asb'; did you mean 'max-abs'?"),
        (["--option", "treshold=1"], "top-1 has no option 'treshold'; did you mean 'threshold'?"),
        (["--option", "threshold"], "--option takes KEY=VALUE"),
        (["--option", "threshold=much"], "top-1 cannot take threshold = 'much'"),
    ],
)
def test_a_bad_oracle(finished: Any, command: Command, argv: list[str], message: str) -> None:
    rejected(command("score", finished.directory, *argv), message)
