"""``mutatenn init``: write a campaign to start from."""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutatenn.api.command import Command
from mutatenn.cli._model_contract import section_of
from mutatenn.cli._streams import tell
from mutatenn.errors import InputError, MutatennError
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse

    from mutatenn.campaign.config.values import ModelSection
    from mutatenn.host.plugin_host import PluginHost


STARTER = """\
# A campaign of mutatenn. A line such as `# seed = 0` is an optional key: its default, or an example.
# Paths are relative to this file; ~ is the home folder, mutatenn:NAME is bundled with the package.

name = "digits"                  # of the run directory, too
# seed = 0                       # of every random choice
# stop = { width = 0.1, confidence = 0.95 }  # once the score's interval is so narrow; default: run all
# time = { repeats = 30 }       # time the originals, in turns: see `mutatenn compare`
# execution = { executor = "worker" }        # who runs the mutants; default: what suits each backend
# reporters = [{ name = "json" }, { name = "terminal" }]  # who follows the run and presents it
# skip = [{ mutants = "store-int8.*", reason = "why" }]   # mutants not to run
# accept = [{ mutants = "store-int8.*", reason = "why" }] # survivors that are known

[model]
path = "mutatenn:digits.onnx"    # the classifier, a file or a folder; or, in its place:
# source = "url:https://example.org/net.onnx"   # or torchvision:NAME, python:MODULE:FUNCTION, ...
# sha256 = "0000000000000000000000000000000000000000000000000000000000000000"   # of what is downloaded
# frontend = "onnx"              # default: the one that reads such files
# options = {}                   # of the frontend
# label_offset = 0               # class c is output c + label_offset; 1 where output 0 is "background"
# scores = "auto"                # what the outputs are: probabilities, logits, or auto: by their looks
# threshold = 0.5                # of a model of one score: above it, an image is of class 1
# name = "float"                 # what environments call it, beside variants; default: that of its file
# variants = [{ name = "twin", path = "mutatenn:digits.onnx" }]   # its conversions, quantised twins

[preprocess]                     # how an image becomes the model's input, in this order
# central_fraction = 0.875       # first, the share of each side that is cut from its centre
# resize = 8                     # its shorter side, in pixels; or [height, width], to which it is stretched
# fit = "shorter-side"           # or "stretch", or "pad": all of it, with pixels around it, of value ...
# fill = 0                       # ... fill, 0 to 255
# crop = 8                       # what is cut from its centre, in pixels; or [height, width]
mean = 127.5                     # a pixel p, 0 to 255, becomes (p - mean) / std, as the model was trained;
std = 127.5                      # one number, or one for each channel
# resample = "bilinear"          # how to resize: nearest, box, bilinear, hamming, bicubic, lanczos
# antialias = false              # resize as OpenCV does, from the four nearest pixels
# exif = false                   # leave pixels as stored; default: turned as the EXIF orientation says
# layout = "NCHW"                # or NHWC; default: by the model
# channels = "RGB"               # or BGR, or L (grey); default: by the model

[dataset]
images = "mutatenn:digits/*.png" # a pattern, or a list of patterns
truth = "filename-prefix"        # 7_cat.png is of class 7; or "folder"; or a CSV file of image,class
# limit = 100                    # take the first so many, in the order of their names; of each folder

[[environments]]                 # where it runs; repeat this table to compare several
name = "cpu"
# backend = "llvm"               # `mutatenn plugins` lists all; "reference" is the model's own framework
# profile = "default"            # basic, default, extended, or { base = "default", off = ["FuseOps"] }
# options = { mcpu = "native" }  # of the backend
# route = "onnx"                 # how the frontend imports the model, where it knows several ways
# offline = false                # true: planned here, run elsewhere, from a bundle
# model = "twin"                 # a variant; default: the model itself
# may_fail = false               # true: that it cannot be compiled is a finding, and the others go on
# factors = { device = "board" } # what tables know it by

[[mutations]]                    # an operator, category, faults, bugs, paper, rounding, weights, tir, all
operator = "faults"              # what changes results: bugs and paper, without rounding
sites = { sample = 80, stratified = true }  # over operators and layers; or "each", "together", [0, 5]
# layers = "features.3"          # only in these layers of your network, or { types = ["Conv"], first = 5 }
# stage = "lowered"              # when kernels are changed: schedulable, scheduled, lowered
# order = 2                      # so many faults at once, with a sample
# options = {}                   # of the operator

[oracles]
# kill = "top-1"                 # decides what is noticed; with options: { name = "kl", threshold = 0.1 }
# also = ["max-abs"]             # measured and reported

[gate]                           # what the original must reach before any mutant runs
min_accuracy = 0.97              # share of images whose top-1 class is right; needs dataset.truth
# tolerance = 1e-4               # largest difference of a probability to the reference runtime's

[thresholds]                     # what the results must reach in every environment; else exit code 1
# min_score = 0.8                # the mutation score; or of some, { all = 0.8, CSO = 0.5, lt-to-le = 0.3 }
# min_low = 0.7                  # the low end of its interval, where it is sampled
# min_valid = 0.5                # share of mutants with a verdict: built, in time, machinery sound; 0: any
# max_new_survivors = 0          # neither accepted nor survivors of the run that --against names
# max_timed_out = 0              # mutants
# max_build_errors = 0
# max_infrastructure_errors = 0  # without it, one is exit code 4
# min_relative_accuracy = 0.99   # of the original: the share of the framework's accuracy
# max_label_changes = 0          # of the original: images whose label is not the framework's

[checks]
# bounds = "auto"                # check accesses that may leave a buffer; true: none may; false: no check

[limits]                         # of one mutant
# time_factor = 20.0             # processor time for an image: so many times what the original takes ...
# time_floor = 10.0              # ... but at least so many seconds
# build_seconds = 120.0          # processor time to derive and compile
# memory_factor = 4.0            # memory: so many times what the original's values of an image take ...
# memory_floor = 2147483648      # ... plus so many bytes
# shard_bytes = 402653184        # memory for the original's kept values of all images that run together
"""
COMMENT_COLUMN = 33


class InitCommand(Command):
    """Write a campaign to start from."""

    name = "init"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "file",
            metavar="FILE",
            nargs="?",
            default="campaign.toml",
            help="what to write (default: %(default)s)",
        )
        parser.add_argument(
            "--model",
            metavar="MODEL",
            help="a file, a folder, or a source such as torchvision:resnet18 (default: the bundled digits)",
        )
        parser.add_argument(
            "--images", metavar="IMAGES", help="the images: a folder, or a pattern such as 'photos/*.jpg'"
        )
        parser.add_argument("--force", action="store_true", help="overwrite FILE")

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Write the file and tell the next command."""
        path = Path(args.file)
        if any(path.suffix.lower() in cls.suffixes for cls in host.frontends().values()):
            raise InputError(f"{path} is a model by its name; give it with --model, and name what to write")
        if os.path.lexists(path) and not args.force:
            raise InputError(f"{path} exists; name another file, or overwrite it with --force")
        unknown = write_starter(path, args.model, args.images, host)
        todo = f"set {', '.join(unknown)} in it, then" if unknown else "next"
        name = shlex.quote(str(path))
        print(printable(f"wrote {path}; {todo}: mutatenn run {name}"))
        print(printable(f"(mutatenn plan {name} --estimate tells how long that takes)"))
        return 0


def write_starter(path: Path, model: str | None, images: str | None, host: PluginHost) -> list[str]:
    """Write a campaign for a model and images, by default the bundled ones; return the keys left to be set.

    ``model`` is a path or a source, ``images`` a folder or a pattern. Raises InputError if there is no such
    model, or no image in the folder, or the file cannot be written.
    """
    text = _starter(path, model, images, host)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file") from None
    except UnicodeEncodeError as error:
        raise InputError(f"the name {error.object!a} is not UTF-8; rename the file") from None
    unset = [key for key in ("mean", "std") if re.search(rf"^# {key} = ", text, re.MULTILINE)]
    return [*unset, *([] if images else ["images"])] if model else []


def _starter(path: Path, model: str | None, images: str | None, host: PluginHost) -> str:
    folder, classes = path.parent, None
    text = _set(STARTER, "name", re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-")[:100] or "campaign")
    if model is not None:
        text, classes = _for_model(text, model, folder, host)
    if images is not None:
        text = _for_images(text, images, folder, classes)
    elif model is not None:
        text = _off(_set(text, "images", "images/*.png"), "truth", "min_accuracy")
    return text


def _for_images(text: str, images: str, folder: Path, classes: int | None) -> str:
    from mutatenn.campaign.config.resources import resolve_pattern
    from mutatenn.campaign.inputs.suggest import patterns, truth

    found = [_pattern(each, folder) for each in patterns(images)]
    text = _off(_set(text, "images", found if len(found) > 1 else found[0]), "min_accuracy")
    place = truth([resolve_pattern(each, Path(os.path.abspath(folder))) for each in found], classes)
    if place is None:
        return _off(text, "truth")
    tell(f"the true classes are told by {place}, it seems; see dataset.truth")
    return _set(text, "truth", place if isinstance(place, str) else _moved(str(place), folder))


def _for_model(text: str, model: str, folder: Path, host: PluginHost) -> tuple[str, int | None]:
    """Return the text for a model, and how many classes it has, None where that cannot be told."""
    section = section_of(model, Path(os.path.abspath(folder)), host)
    if section.source is None:
        text = _set(text, "path", _moved(model, folder))
    else:
        text = _set(_off(text, "path"), "source", model)
    text = _off(text, "mean", "std")
    try:
        known, classes = _preparation(section, host)
    except MutatennError as error:
        tell(f"warning: set preprocess.crop, it cannot be told: {error}")
        return text, None
    for key, value in known.items():
        text = _set(text, key, value)
    return text, classes


def _preparation(section: ModelSection, host: PluginHost) -> tuple[dict[str, Any], int]:
    """Return what is known of how images become the model's input, and how many classes it has.

    Raises what importing it raises.
    """
    from mutatenn.campaign.config.values import Environment, PreprocessSection
    from mutatenn.campaign.inputs.input_contract import preset
    from mutatenn.campaign.inputs.models import import_models
    from mutatenn.campaign.inputs.preprocess import image_shape

    (imported,) = import_models(section, [Environment("model")], host).values()
    height, width, _ = image_shape(PreprocessSection(), imported.model.input)
    size = {"resize": max(height, width), "crop": height if height == width else [height, width]}
    classes = imported.model.output.shape[-1]
    return {**size, **preset(section.source, imported.model.source)}, classes


def _moved(place: str, folder: Path) -> str:
    """Return a path or pattern as a campaign file in ``folder`` names it."""
    from mutatenn.campaign.config.resources import PREFIX

    if place.startswith((PREFIX, "~")) or os.path.isabs(place):
        return place
    return os.path.relpath(place, folder)


def _pattern(place: str, folder: Path) -> str:
    """Return a pattern as a campaign file in ``folder`` names it; what exists with its brackets is meant."""
    moved = _moved(place, folder)
    parts, there = moved.split("/"), os.path.abspath(folder)
    for index, part in enumerate(parts):
        there = os.path.join(there, os.path.expanduser(part) or "/")
        if not os.path.exists(there):
            break
        parts[index] = glob.escape(part)
    return "/".join(parts)


def _set(text: str, key: str, value: Any) -> str:
    """Return the text with the first line of a key, optional or not, set to a value."""
    import tomli_w

    shown = " ".join(tomli_w.dumps({key: value}).split()) if _is_text(value) else f"{key} = {value}"
    return _line(key).sub(lambda found: f"{shown:<{COMMENT_COLUMN - 1}} {found['comment']}", text, count=1)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str))


def _off(text: str, *keys: str) -> str:
    """Return the text with the lines of these keys as optional ones."""
    for key in keys:
        text = _line(key).sub(
            lambda found: f"{'# ' + found['shown']:<{COMMENT_COLUMN - 1}} {found['comment']}", text, count=1
        )
    return text


def _line(key: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:# )?(?P<shown>{key} = [^#\n]*?) *(?P<comment>#.*)$", re.MULTILINE)
