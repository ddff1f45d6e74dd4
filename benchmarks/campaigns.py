"""Writes the campaign files that the benchmarks run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import tomli_w

EPSILONS = ("store-minus-epsilon", "store-times-one-plus-epsilon")


@attrs.frozen
class Subject:
    """A model and its images: the sections ``model``, ``preprocess`` and ``dataset`` of a campaign file."""

    model: dict[str, Any]
    preprocess: dict[str, Any]
    dataset: dict[str, Any]

    @classmethod
    def of_options(cls, args: Any) -> Subject:
        """Return what the command line names; the bundled digits by default."""
        if args.campaign:
            return cls.of_campaign(args.campaign, args.limit)
        model = {"path": _path(args.model or "mutatenn:digits.onnx"), "label_offset": args.label_offset}
        preprocess = {"resize": args.resize, "crop": args.crop, "mean": args.mean, "std": args.std}
        bundled = "mutatenn:digits/*.png" if args.model is None else None
        images = args.images or bundled
        if images is None:
            raise SystemExit("give the images of --model: --images 'folder/*.jpg' (make: IMAGES=...)")
        return cls(model, _given(preprocess), {"images": _pattern(images), "limit": args.limit})

    @classmethod
    def of_campaign(cls, path: Path, limit: int) -> Subject:
        """Return what a campaign file names, with its environment and mutations left out."""
        from mutatenn.campaign.config.load import load_campaign

        parts = load_campaign(path, {}).to_dict()
        dataset = {**parts["dataset"], "limit": min(limit, parts["dataset"]["limit"] or limit)}
        return cls(*(_given(each) for each in (parts["model"], parts["preprocess"], dataset)))

    def write(self, path: Path, mutations: list[dict[str, Any]]) -> Path:
        """Write a campaign file of these mutations, with CPU schedules on."""
        environment = {"name": "cpu", "backend": "llvm", "options": {"schedules": True}}
        content = {"name": path.stem, **attrs.asdict(self)}
        content |= {"environments": [environment], "mutations": mutations}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps(content))
        return path


def sample(mutants: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return a seeded sample over the whole network: half graph mutants, half kernel (TIR) mutants.

    Of the paper's categories, whose mutants stay inside their buffers: what they compute is the same in every
    way of running them.
    """
    shares = {"LN": 0.1, "AN": 0.1, "NIO": 0.3, "AT": 0.2, "SV": 0.2, "CSO": 0.1}
    counts = {category: max(1, round(share * mutants)) for category, share in shares.items()}
    return [{"operator": name, "sites": {"sample": n, "seed": seed}} for name, n in counts.items()]


def epsilons(mutants: int, sites: int) -> list[dict[str, Any]]:
    """Return entries that come to at least ``mutants`` mutants where the two operators have ``sites``."""
    return [
        {"operator": operator, "options": {"epsilon": 1e-6 * (1 + step)}}
        for step in range(math.ceil(mutants / sites))
        for operator in EPSILONS
    ]


def _path(name: str) -> str:
    return name if name.startswith("mutatenn:") else str(Path(name).resolve())


def _pattern(name: str) -> str:
    """Return a glob pattern; a folder stands for all files in it that look like images."""
    if name.startswith("mutatenn:"):
        return name
    path = Path(name).absolute()
    return str(path / "*.[jpJP][npNP]*[gG]") if path.is_dir() else str(path)


def _given(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value is not None}
