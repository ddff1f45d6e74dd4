"""Imports the architectures of torchvision and timm, by .pt2 and by ONNX, and writes how far each is off.

    python scripts/architectures.py                       # all, an hour or two
    python scripts/architectures.py timm:ghostnet_100     # those named; other rows stay

Needs the extra torch, torchvision, timm and onnxscript, which PyTorch's exporter to ONNX wants. The networks
have random weights, seeded, none of them zero or so small that a layer does nothing, and the statistics of
random images in their batch normalisations: nothing is downloaded. Each is exported, compiled by the default
profile and run on the CPU, and judged by the gate of a campaign, in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError
from mutatenn.campaign.config.values import Gate
from mutatenn.campaign.gate.gate import nudged, scores_of
from mutatenn.campaign.gate.reference import compare
from mutatenn.campaign.promises import load_model, run_reference
from mutatenn.compiler.outline import operators
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.original import run_original
from mutatenn.host.installed import installed_backend
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGE = Path(__file__).parents[1] / "docs/architectures.md"
BEGIN, END = "<!-- architectures -->", "<!-- end of architectures -->"
HEADING = "| network | image | operators | by .pt2 | of a rounding | by ONNX |\n|---|---|---|---|---|---|\n"
QUIET = {"TVM_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
IMAGES, SECONDS = 4, 1800
NEARLY_ZERO = 1e-3
NAMES = {
    "torchvision": """
        alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3
        maxvit_t mnasnet0_5 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_400mf
        regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
        squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_32 wide_resnet50_2
    """,
    "timm": """
        mobilenetv4_conv_small mobilenetv4_hybrid_medium tf_efficientnetv2_b0 convnext_atto
        swin_tiny_patch4_window7_224 vit_tiny_patch16_224 regnety_002 ghostnet_100 mobileone_s0
        cait_xxs24_224 coat_lite_tiny convmixer_768_32 convnextv2_atto cspresnet50
        deit_tiny_patch16_224 dla34 dpn68 edgenext_xx_small efficientformer_l1 efficientvit_b0
        fastvit_t8 fbnetc_100 ghostnetv2_100 hardcorenas_a hrnet_w18_small lcnet_050 levit_128s
        maxvit_tiny_rw_224 mixer_s32_224 mixnet_s mobilenetv3_small_050 mobilevit_xxs
        mobilevitv2_050 nf_resnet50 pit_ti_224 poolformer_s12 pvt_v2_b0 repvgg_a0 repvit_m0_9
        res2net50_26w_4s resnest14d resnetv2_50 rexnet_100 seresnet18 skresnet18 tinynet_e tresnet_m
        twins_pcpvt_small vgg11 xcit_nano_12_p16_224
    """,
}
"""One of each kind, the smallest."""


def network(library: str, name: str) -> tuple[Any, tuple[int, int]]:
    """Return a network of which every layer does something, and the (height, width) of its image."""
    torch = import_module("torch")
    torch.manual_seed(3)
    if library == "timm":
        model = import_module("timm").create_model(name, pretrained=False)
        size = tuple(model.pretrained_cfg["input_size"][1:])
    else:
        models = import_module("torchvision.models")
        model = models.get_model(
            name, weights=None, **({"init_weights": True} if "inception" in name else {})
        )
        size = (models.get_model_weights(name).DEFAULT.transforms().crop_size[0],) * 2
    with torch.no_grad():
        for parameter in model.parameters():
            if (
                parameter.abs().max() < NEARLY_ZERO
                and parameter.ndim > 1
                and parameter.numel() > parameter.shape[0]
            ):
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        for module in model.modules():
            for kind, parameter in module.named_parameters(recurse=False):
                if kind != "bias" and parameter.abs().max() < NEARLY_ZERO:
                    torch.nn.init.uniform_(parameter, 0.5, 1.5)
        _set_statistics(torch, model, size)
    return model.eval(), size


def _set_statistics(torch: Any, model: Any, size: tuple[int, int]) -> None:
    """Give batch normalisations the statistics of images."""
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 1.0
    model(torch.from_numpy(pictures(8, size)))


def pictures(count: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return seeded images ``[count, 3, *size]``, about of mean 0 and deviation 1, of soft blobs."""
    coarse = np.random.default_rng(3).normal(size=(count, 3, 7, 7)).astype(np.float32)
    torch = import_module("torch")
    fine = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=size, mode="bicubic")
    images: NDArray[np.float32] = fine.numpy()
    return images


def export(model: Any, size: tuple[int, int], folder: Path) -> dict[str, Path | str]:
    """Return the files of a network by kind, or why PyTorch cannot write one."""
    torch, image = import_module("torch"), import_module("torch").zeros(1, 3, *size)
    found: dict[str, Path | str] = {}

    def to_program(path: Path) -> None:
        torch.export.save(torch.export.export(model, (image,)), path)

    def to_onnx(path: Path) -> None:
        torch.onnx.export(model, (image,), path, dynamo=True, verbose=False)

    for suffix, write in (("pt2", to_program), ("onnx", to_onnx)):
        path = folder / f"net.{suffix}"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                write(path)
            found[suffix] = path
        except Exception as error:  # whatever PyTorch may raise
            found[suffix] = f"not exported: {type(error).__name__}"
    return found


def measure(library: str, name: str, folder: Path) -> dict[str, Any]:
    """Return what comes of a network by either way."""
    warnings.simplefilter("ignore")
    frontends = PluginHost.installed().frontends()
    model, size = network(library, name)
    images = pictures(IMAGES, size)
    row: dict[str, Any] = {"image": list(size)}
    for suffix, path in export(model, size, folder).items():
        frontend = frontends["pytorch" if suffix == "pt2" else "onnx"]()
        row[suffix] = {"problem": path} if isinstance(path, str) else _judged(frontend, path, images)
    return row


def _judged(frontend: Any, path: Path, images: NDArray[np.float32]) -> dict[str, Any]:
    try:
        model = load_model(frontend, path)
    except InputError as error:
        return {"problem": str(error).removeprefix(f"{path}: ")}
    expected = call_isolated(lambda: run_reference(frontend, model, images))
    backend = installed_backend("llvm")
    found, _ = call_isolated(
        lambda: run_original(backend, Toolchain(model, backend, Profile()).program, images)
    )
    others = call_isolated(lambda: [run_reference(frontend, model, each) for each in nudged(images)])
    told = compare(found, scores_of(expected, "auto"), Gate().tolerance, lambda: others)
    spread = float(np.ptp(expected))
    return {
        "problem": "; ".join(told.problems),
        "difference": float(abs(found - expected).max()) / spread,
        "rounding": max(float(abs(other - expected).max()) for other in others) / spread,
        "operators": sum(operators(model.module["main"]).values()),
        "alike": bool(np.ptp(expected, axis=0).max() < 1e-3 * spread),
    }


def row_of(source: str, found: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "error" in found:
        return f"| `{source}` | | | {found['error']} | | |\n"
    program, onnx = found["pt2"], found["onnx"]
    known = program if "operators" in program else onnx
    size = " x ".join(map(str, found["image"]))
    rounding = f"{known['rounding']:.0e}" if "rounding" in known else ""
    cells = [size, str(known.get("operators", "")), _cell(program), rounding, _cell(onnx)]
    return f"| `{source}` | {' | '.join(cells)} |\n"


def _cell(found: dict[str, Any]) -> str:
    text = found["problem"] or ("all images alike" if found["alike"] else f"{found['difference']:.0e}")
    return str(text).replace("|", "/").replace("\n", " ")


def _in_process(source: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure", source, folder]
        try:
            done = subprocess.run(  # noqa: S603, PLW1510
                command, env=os.environ | QUIET, text=True, capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not done in {SECONDS} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Replace the rows of the named networks, or of all, in the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="LIBRARY:NETWORK", help="default: all")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        source, folder = given.measure
        library, _, name = source.partition(":")
        print(json.dumps(measure(library, name, Path(folder))))
        return
    known = [f"{library}:{name}" for library, names in NAMES.items() for name in names.split()]
    for source in given.names or known:
        new = row_of(source, _in_process(source))
        print(new, end="", flush=True)
        before, _, rest = PAGE.read_text().partition(BEGIN)
        rows, _, after = rest.partition(END)
        kept = {line.split("`")[1]: f"{line}\n" for line in rows.splitlines() if "`" in line}
        kept[source] = new
        listed = "".join(kept[name] for name in [*known, *sorted(kept.keys() - {*known})] if name in kept)
        PAGE.write_text(f"{before}{BEGIN}\n{HEADING}{listed}{END}{after}")


if __name__ == "__main__":
    main()
