"""Malformed inputs: sound ones changed at random, and absurd ones by name; each made anew in a folder."""

from __future__ import annotations

import copy
import io
import os
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import tomli_w
from PIL import Image

Make = Callable[[Path], Sequence[object]]
"""Writes a case into a folder and returns the arguments of the command."""


@attrs.frozen
class Case:
    """A malformed input, and the exit codes that are honest: a change may also do no harm."""

    name: str
    make: Make
    codes: Sequence[int] = (0, 2, 3)


SOUND: dict[str, Any] = {
    "name": "sound",
    "seed": 1,
    "model": {"path": "net.onnx", "label_offset": 0, "scores": "auto"},
    "preprocess": {"resize": 8, "crop": 8, "mean": 127.5, "std": [127.5], "layout": "NCHW", "channels": "L"},
    "dataset": {"images": "images/*.png", "truth": "truth.csv", "limit": 3},
    "environments": [{"name": "cpu", "backend": "llvm", "profile": {"base": "default", "off": ["FuseOps"]}}],
    "mutations": [
        {"operator": "relu-to-sigmoid", "sites": [0]},
        {"operator": "store-int16", "sites": {"sample": 1, "seed": 2}, "stage": "lowered"},
        {"operator": "all", "sites": {"sample": 2}, "order": 2},
    ],
    "oracles": {"kill": {"name": "top-1"}, "also": ["max-abs", {"name": "kl", "threshold": 0.1}]},
    "gate": {"min_accuracy": 0.0, "tolerance": 0.001},
    "limits": {"time_factor": 20.0, "memory_floor": 10**9, "shard_bytes": 100000},
    "skip": [{"mutants": "relu-*", "reason": "known"}],
}
HOSTILE_TEXTS = (
    *("", " ", "\0", "\x1b[31m", "a\nb", "\u202egnp", "x" * 100_000, "../" * 3000, "~nobody/x", "mutatenn:"),
    *(
        "mutatenn:../../etc/passwd",
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        ".",
        "/",
        "*",
        "[",
        "**",
        "**/" * 50,
    ),
    *(
        "url:http://127.0.0.1:1/x.onnx",
        "url:file:///etc/passwd",
        "nan",
        "%s%n",
        "{0.__class__}",
        "é\u0301",
        "\U0001f600",
    ),
)
HOSTILE_VALUES: tuple[Any, ...] = (
    *HOSTILE_TEXTS,
    *(0, 1, -1, 2**31, 2**62, 2**63 - 1, -(2**63), 0.0, -0.0, 1e-320, 1e308, float("nan"), float("inf")),
    *(
        True,
        False,
        [],
        {},
        [[]],
        [{}],
        [1, "a"],
        {"a": {"b": {}}},
        {"": 1},
        {"\x1b": 1},
        [0] * 10_000,
        [[0] * 100] * 100,
    ),
    *(datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2020, 1, 1).date(), datetime(2020, 1, 1).time()),
)


def every(seed: int, count: int) -> list[Case]:
    """Return the named cases, and so many changed at random; the same for the same seed."""
    kinds = (
        _changed_campaign,
        _damaged_campaign,
        _damaged_model,
        _changed_model,
        _damaged_image,
        _damaged_truth,
    )
    kinds += (_odd_arguments,)
    drawn = [
        Case(f"{kind.__name__.strip('_')}-{number}", _drawn(kind, seed + number))
        for number in range(count)
        for kind in [kinds[number % len(kinds)]]
    ]
    return [*ABSURD, *drawn]


def _drawn(kind: Callable[[random.Random, Path], Sequence[object]], seed: int) -> Make:
    return lambda folder: kind(random.Random(seed), folder)


def lay_out(folder: Path, campaign: dict[str, Any] | None = None) -> Path:
    """Write a sound model, images, their classes and a campaign; return the campaign file."""
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"images/{number}.png")
    (folder / "truth.csv").write_text("image,class\n0.png,1\n1.png,2\n2.png,3\n")
    (folder / "net.onnx").write_bytes(network().SerializeToString())
    path = folder / "campaign.toml"
    path.write_bytes(tomli_w.dumps(campaign or SOUND).encode())
    return path


def network(
    nodes: Sequence[Any] = (), shape: Sequence[int] = (1, 1, 8, 8), last: str = "x", **weights: Any
) -> Any:
    """Return an ONNX model: these nodes, then a convolution, ReLU, pooling and a dense layer."""
    from onnx import helper, numpy_helper

    numbers = np.random.default_rng(1)
    weights = {
        "filters": numbers.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "dense": numbers.normal(size=(4, 10)).astype(np.float32),
        **weights,
    }
    tail = [
        helper.make_node("Conv", [last, "filters"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["y"]),
    ]
    graph = helper.make_graph(
        [*nodes, *tail],
        "network",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, [1, 10])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=9)


def _damaged(chance: random.Random, content: bytes) -> bytes:
    """Return bytes cut short, with bits flipped, a part doubled, left out or overwritten."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place, length = chance.randrange(len(data) or 1), chance.randint(1, 40)
        change = chance.randrange(6)
        if change == 0:
            del data[place:]
        elif change == 1 and data:
            data[place % len(data)] ^= 1 << chance.randrange(8)
        elif change == 2:
            data[place:place] = data[place : place + length]
        elif change == 3:
            del data[place : place + length]
        elif change == 4:
            data[place : place + length] = chance.randbytes(length)
        else:
            data[place : place + length] = b"\xff" * length
    return bytes(data)


def _command(chance: random.Random, path: Path) -> Sequence[object]:
    return chance.choice([("plan", path), ("plan", path, "--list"), ("run", path, "--out", "run")])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) within plain data."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _changed_campaign(chance: random.Random, folder: Path) -> Sequence[object]:
    campaign = copy.deepcopy(SOUND)
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(list(_places(campaign)))
        how = chance.randrange(8)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, dict):
            container[chance.choice(HOSTILE_TEXTS)] = container.pop(key)
        elif how == 2:
            container[key] = {"a": container[key]}
        elif how == 3:
            container[key] = [container[key]] * chance.choice([0, 2, 50])
        else:
            container[key] = chance.choice(HOSTILE_VALUES)
    return _command(chance, lay_out(folder, campaign))


def _damaged_campaign(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    path.write_bytes(_damaged(chance, path.read_bytes()))
    return _command(chance, path)


def _damaged_model(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    model = folder / "net.onnx"
    content = _damaged(chance, model.read_bytes())
    if chance.random() < 0.1:
        model.rename(folder / "net.tflite")
        content = content[:4] + b"TFL3" + content[8:]
        path.write_text(path.read_text().replace("net.onnx", "net.tflite"))
        model = folder / "net.tflite"
    model.write_bytes(content)
    return _command(chance, path)


def _changed_model(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    model = network()
    for _ in range(chance.randint(1, 3)):
        _change_model(chance, model)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return _command(chance, path)


def _change_model(chance: random.Random, model: Any) -> None:
    """Change one thing of a model that its schema allows."""
    graph = model.graph
    node, tensor = chance.choice(list(graph.node)), chance.choice(list(graph.initializer))
    size = chance.choice([0, -1, 1, 2, 1000, 16385, 2**31 - 1, 2**31, 2**40, 2**62, -(2**62)])
    text = chance.choice(HOSTILE_TEXTS).replace("\0", "\x01")
    value = chance.choice([*graph.input, *graph.output])
    changes: list[Callable[[], object]] = [
        lambda: setattr(
            node, "op_type", chance.choice([text, "Loop", "If", "Scan", "Resize", "TopK", "Sin"])
        ),
        lambda: setattr(node, "domain", text),
        lambda: setattr(node, "name", text),
        lambda: node.input.append(text),
        lambda: node.input.__setitem__(0, chance.choice(["y", "c", "f", text])),
        lambda: node.output.__setitem__(0, chance.choice(["x", "r", text])),
        lambda: node.ClearField("input"),
        lambda: setattr(
            value.type.tensor_type, "elem_type", chance.choice([0, 2, 7, 8, 16, 23, 99, 2**31 - 1])
        ),
        lambda: setattr(chance.choice(value.type.tensor_type.shape.dim), "dim_value", size),
        lambda: setattr(chance.choice(value.type.tensor_type.shape.dim), "dim_param", text),
        lambda: value.type.tensor_type.shape.ClearField("dim"),
        lambda: setattr(value, "name", text),
        lambda: setattr(tensor, "data_type", chance.choice([0, 2, 7, 8, 99])),
        lambda: tensor.dims.__setitem__(0, size),
        lambda: tensor.ClearField("dims"),
        lambda: setattr(tensor, "raw_data", chance.randbytes(chance.randint(0, 300))),
        lambda: setattr(tensor, "raw_data", b"\xff" * len(tensor.raw_data)),
        lambda: setattr(tensor, "name", text),
        lambda: _move_away(chance, tensor, text),
        lambda: graph.node.extend([node]),
        lambda: graph.node.remove(node),
        lambda: graph.initializer.remove(tensor),
        lambda: graph.initializer.extend([tensor]),
        lambda: setattr(chance.choice(model.opset_import), "version", size),
        lambda: model.ClearField("opset_import"),
        lambda: setattr(model, "ir_version", chance.choice([0, 1, 99, 2**40])),
        lambda: _add_attribute(chance, node, size),
    ]
    try:
        chance.choice(changes)()
    except (ValueError, IndexError, TypeError):  # another change made this one impossible, or protobuf does
        return


def _move_away(chance: random.Random, tensor: Any, text: str) -> None:
    tensor.data_location = 1
    for key, value in (
        ("location", text),
        ("offset", chance.choice(["0", "-1", "x", str(2**62)])),
        ("length", "9" * 20),
    ):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _add_attribute(chance: random.Random, node: Any, size: int) -> None:
    from onnx import helper

    name = chance.choice(["pads", "strides", "dilations", "group", "kernel_shape", "axis", "auto_pad", "to"])
    value = chance.choice(
        [size, [size] * 2, [size] * 4, [], 1.5, float("nan"), "SAME_LOWER", [1.5], ["a"], b"\xff"]
    )
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value, attr_type=7 if value == [] else None)])


def _damaged_image(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    kind = chance.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"])
    content = io.BytesIO()
    side = chance.choice([1, 8, 300])
    mode = "RGB" if kind in ("JPEG", "WEBP") else chance.choice(["L", "RGB"])
    Image.fromarray(np.zeros((side, side), np.uint8)).convert(mode).save(content, kind)
    (folder / "images/1.png").write_bytes(_damaged(chance, content.getvalue()))
    return _command(chance, path)


def _damaged_truth(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    truth = folder / "truth.csv"
    rows = truth.read_text()
    changed = chance.choice(
        [
            rows.replace("1.png", chance.choice(HOSTILE_TEXTS)),
            rows.replace(",2", f",{chance.choice(['-1', '2.0', '9' * 30, '', 'x', '٣', '10', '999999999'])}"),
            rows.replace(",", chance.choice([";", "\t", ",,", '","', "\0"])),
            rows.replace("\n", chance.choice(["\r", "\r\n", "\n\n", '\n"'])),
            f"{rows}1.png,{chance.randint(0, 9)}\n",
            rows * 2,
            "",
        ]
    )
    encoded = changed.encode(chance.choice(["utf-8", "utf-8", "utf-16", "utf-8-sig"]), "surrogatepass")
    truth.write_bytes(_damaged(chance, encoded) if chance.random() < 0.4 else encoded)
    return _command(chance, path)


COMMANDS = (
    "init",
    "plan",
    "run",
    "show",
    "report",
    "score",
    "compare",
    "images",
    "bundle",
    "ingest",
    "plugins",
)
OPTIONS = (
    *(
        "--out",
        "--workers",
        "--only",
        "--reporter",
        "--min-score",
        "--kill",
        "--option",
        "--model",
        "--images",
    ),
    *(
        "--json",
        "--list",
        "--layers",
        "--environment",
        "--force",
        "--block-plugin",
        "--no-reuse",
        "--nonsense",
    ),
)


def _odd_arguments(chance: random.Random, folder: Path) -> Sequence[object]:
    path = lay_out(folder)
    places = [path, folder, folder / "images", folder / "net.onnx", folder / "nothing", "", ".", "/dev/null"]
    argv: list[object] = [chance.choice(COMMANDS), chance.choice(places)]
    for _ in range(chance.randint(0, 4)):
        option = chance.choice([*OPTIONS, None])
        argv += [option] if option else []
        argv += [chance.choice([*HOSTILE_TEXTS, *places, "1", "0.5", "a=b"])] if chance.random() < 0.8 else []
    return [str(each).replace("\0", "\x01") for each in argv]


def _with(change: Callable[[Path, dict[str, Any]], object], *argv: object) -> Make:
    def make(folder: Path) -> Sequence[object]:
        campaign = copy.deepcopy(SOUND)
        path = lay_out(folder)
        change(folder, campaign)
        path.write_bytes(tomli_w.dumps(campaign).encode())
        return argv or ("plan", path)

    return make


def _of_model(build: Callable[[], Any]) -> Make:
    return _with(lambda folder, _: (folder / "net.onnx").write_bytes(build().SerializeToString()))


def _of_text(text: Callable[[], str]) -> Make:
    def make(folder: Path) -> Sequence[object]:
        path = lay_out(folder)
        path.write_text(text() + path.read_text())
        return ("plan", path)

    return make


def _pipe(place: str) -> Callable[[Path, dict[str, Any]], object]:
    def change(folder: Path, _: dict[str, Any]) -> None:
        (folder / place).unlink(missing_ok=True)
        os.mkfifo(folder / place)

    return change


def _link(place: str, target: str) -> Callable[[Path, dict[str, Any]], object]:
    def change(folder: Path, _: dict[str, Any]) -> None:
        (folder / place).unlink(missing_ok=True)
        (folder / place).symlink_to(target)

    return change


def _sparse(place: str, size: int) -> Callable[[Path, dict[str, Any]], object]:
    return lambda folder, _: os.truncate(folder / place, size)


def _circles(folder: Path, campaign: dict[str, Any]) -> None:
    (folder / "links").mkdir()
    for name in "abc":
        (folder / "links" / name).symlink_to(".")
    campaign["dataset"]["images"] = "links/**/*.png"


def _bomb(folder: Path, _: dict[str, Any]) -> None:
    Image.new("1", (30_000, 30_000)).save(folder / "images/1.png")


def _node(operator: str, *inputs: str, domain: str = "", output: str = "big", **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(operator, inputs, [output], domain=domain, **attributes)


def _laughing() -> Any:
    """Return a model of functions that call the one before ten times."""
    from onnx import helper

    sets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    model = network([_node("f11", "x", domain="local")], last="big")
    for level in range(12):
        name, domain = (f"f{level - 1}", "local") if level else ("Relu", "")
        values = ["a", *(f"t{place}" for place in range(9)), "b"]
        nodes = [helper.make_node(name, [values[n]], [values[n + 1]], domain=domain) for n in range(10)]
        model.functions.append(helper.make_function("local", f"f{level}", ["a"], ["b"], nodes, sets))
    return model


def _chain(length: int) -> Any:
    names = ["x", *(f"t{number}" for number in range(length))]
    return network(
        [_node("Relu", one, output=other) for one, other in pairwise(names)],
        last=names[-1],
    )


def _typed(place: str, number: int) -> Any:
    model = network()
    if place == "input":
        model.graph.input[0].type.tensor_type.elem_type = number
    else:
        model.graph.initializer[0].data_type = number
    return model


def _reduced(*nodes: Any, **weights: Any) -> Any:
    """Return a model that adds the mean of ``big`` to the image."""
    mean = _node("ReduceMean", "big", output="mean", keepdims=0)
    return network([*nodes, mean, _node("Add", "x", "mean", output="sum")], last="sum", **weights)


ABSURD = [
    Case("no-harm", _with(lambda folder, campaign: None), (0,)),
    *(
        Case(
            f"{what}-{place.replace('/', '-')}", _with(change), (0, 2) if place == "images/1.png" else (2,)
        )  # what is no file matches no pattern
        for place in ("net.onnx", "truth.csv", "images/1.png")
        for what, change in {
            "pipe": _pipe(place),
            "zero": _link(place, "/dev/zero"),
            "circle": _link(place, Path(place).name),
            "sparse": _sparse(place, 2**40),
        }.items()
    ),
    Case(
        "campaign-pipe",
        lambda folder: (os.mkfifo(folder / "pipe.toml"), ("plan", folder / "pipe.toml"))[1],
        (2,),
    ),
    Case("campaign-zero", lambda folder: ("plan", "/dev/zero"), (2,)),
    Case("campaign-null", lambda folder: ("plan", "/dev/null"), (2,)),
    Case(
        "campaign-sparse",
        lambda folder: (
            lay_out(folder),
            os.truncate(folder / "campaign.toml", 2**40),
            ("plan", folder / "campaign.toml"),
        )[2],
        (2,),
    ),
    Case("links-to-the-folder", _with(_circles), (2,)),
    Case("pixels", _with(_bomb), (2,)),
    Case(
        "ordinals",
        _with(
            lambda folder, campaign: campaign.update(
                mutations=[{"operator": "relu-to-sigmoid", "sites": list(range(100_000))}]
            )
        ),
        (2,),
    ),
    Case(
        "too-many-ordinals",
        _with(
            lambda folder, campaign: campaign.update(
                mutations=[{"operator": "relu-to-sigmoid", "sites": list(range(10**6))}]
            )
        ),
        (2,),
    ),
    Case("long-key", _of_text(lambda: "a." * 50_000 + "b = 1\n"), (2,)),
    Case("long-table", _of_text(lambda: "[" + "a." * 50_000 + "b]\n"), (2,)),
    Case("many-keys", _of_text(lambda: "".join(f"a.b.c.k{number} = 1\n" for number in range(50_000))), (2,)),
    Case("nested-lists", _of_text(lambda: "a = " + "[" * 50_000 + "\n"), (2,)),
    Case("nested-tables", _of_text(lambda: "a = " + "{a=" * 50_000 + "\n"), (2,)),
    Case("long-word", _of_text(lambda: "a" * 1_000_000 + "\n"), (2,)),
    Case("digits", _of_text(lambda: "a = " + "9" * 100_000 + "\n"), (2,)),
    *(
        Case(
            f"input-of-{height}x{width}",
            _of_model(lambda h=height, w=width: network(shape=(1, 1, h, w))),
            (2,),
        )
        for height, width in ((200_000, 200_000), (30_000, 30_000), (2**31, 2**31), (2**62, 2), (20_000, 2))
    ),
    Case(
        "pads",
        _of_model(
            lambda: network([_node("MaxPool", "x", kernel_shape=[3, 3], pads=[2**31 - 1] * 4)], last="big")
        ),
        (2,),
    ),
    Case(
        "convolution-pads",
        _of_model(
            lambda: network(
                [_node("Conv", "x", "k", pads=[2**31 - 1] * 4)],
                last="big",
                k=np.ones((1, 1, 3, 3), np.float32),
            )
        ),
        (2,),
    ),
    Case(
        "convolution-dilations",
        _of_model(
            lambda: network(
                [_node("Conv", "x", "k", dilations=[2**31 - 1] * 2)],
                last="big",
                k=np.ones((1, 1, 3, 3), np.float32),
            )
        ),
        (2,),
    ),
    Case(
        "padded",
        _of_model(
            lambda: network([_node("Pad", "x", "p")], last="big", p=np.array([0, 0, 50_000, 50_000] * 2))
        ),
        (2,),
    ),
    Case(
        "tiled",
        _of_model(lambda: network([_node("Tile", "x", "s")], last="big", s=np.array([1, 1, 10_000, 10_000]))),
        (2,),
    ),
    Case(
        "resized",
        _of_model(
            lambda: network(
                [_node("Resize", "x", "", "s")], last="big", s=np.array([1, 1, 2e4, 2e4], np.float32)
            )
        ),
        (2,),
    ),
    Case(
        "constant",
        _of_model(lambda: _reduced(_node("ConstantOfShape", "s"), s=np.array([100_000, 100_000]))),
        (2,),
    ),
    Case(
        "expanded",
        _of_model(
            lambda: _reduced(
                _node("Expand", "one", "s"), s=np.array([100_000, 100_000]), one=np.ones(1, np.float32)
            )
        ),
        (2,),
    ),
    Case(
        "range",
        _of_model(
            lambda: _reduced(
                _node("Range", "a", "b", "c"), a=np.float32(0), b=np.float32(4e9), c=np.float32(1)
            )
        ),
        (2,),
    ),
    Case(
        "concatenated",
        _of_model(lambda: network([_node("Concat", *["x"] * 50_000, axis=2)], last="big")),
        (2,),
    ),
    Case(
        "doubled",
        _of_model(
            lambda: network(
                [
                    _node("Concat", *[f"d{n}" if n else "x"] * 2, axis=2, output=f"d{n + 1}")
                    for n in range(40)
                ],
                last="d40",
            )
        ),
        (2,),
    ),
    Case("laughs", _of_model(_laughing), (2,)),
    Case("chain", _of_model(lambda: _chain(100_000)), (2,)),
    *(
        Case(f"type-{place}-{number}", _of_model(lambda p=place, n=number: _typed(p, n)), (2,))
        for place in ("input", "weight")
        for number in (0, 24, 99, -1)
    ),
]
