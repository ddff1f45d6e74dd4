"""Measures the speed of campaigns: prints ``ratio NAME VALUE`` lines, writes JSON and plots."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from campaigns import EPSILONS, Subject, epsilons, sample
from light import NAMES, light_model
from plots import draw
from processes import run_task, run_watched

PARTS = ("inference", "light", "rebuild", "campaign", "plan", "images")
WORKERS = 2
SIZES = {  # option: (full, quick)
    "limit": (100, 40),
    "rounds": (3, 1),
    "turns": (20, 20),
    "mutants": (50, 50),
    "rebuilds": (3, 1),
    "planned": (100_000, 25_000),
    "prepared": (10_000, 1_000),
}
QUICK_LIGHT = "squeezenet,shufflenet"


@attrs.define
class Bench:
    """The measurements so far: every line printed, and the raw figures behind them."""

    args: argparse.Namespace
    subject: Subject
    lines: dict[str, dict[str, float]] = attrs.field(factory=lambda: {"ratio": {}, "figure": {}})
    raw: dict[str, Any] = attrs.field(factory=dict)

    @property
    def out(self) -> Path:
        """The folder of everything written."""
        return Path(self.args.out)

    @property
    def warm(self) -> Path:
        """The kernel cache that everything but a first run shares."""
        return self.out / "kernels"

    def say(self, kind: str, name: str, value: float) -> None:
        """Print and keep a line."""
        self.lines[kind][name] = value
        print(f"{kind} {name} {value:.{max(0, 3 - math.floor(math.log10(abs(value) or 1)))}f}", flush=True)

    def note(self, text: str) -> None:
        """Tell what is going on, apart from the results."""
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)

    def campaign(self) -> Path:
        """Return the sampled campaign's file."""
        return self.subject.write(self.out / "sample.toml", sample(self.args.mutants))

    def once(self, kind: str, *, kernels: Path, workers: int = WORKERS, reuse: bool = True) -> None:
        """Run the sampled campaign in a new run directory and keep what it took."""
        folder = self.out / "runs" / kind
        shutil.rmtree(folder, ignore_errors=True)
        seen = run_task(
            "campaign",
            kernels=kernels,
            campaign=str(self.campaign()),
            out=str(folder),
            workers=workers,
            reuse=reuse,
        )
        self.raw.setdefault("campaigns", {}).setdefault(kind, []).append(seen)
        self.note(f"campaign, {kind}: {seen['seconds']:.1f} s, {seen['tree_mib']:.0f} MiB")

    def seconds(self, kind: str) -> float:
        """Return the median time of a kind of campaign."""
        return float(statistics.median(each["seconds"] for each in self.raw["campaigns"][kind]))


def measure_inference(bench: Bench) -> None:
    """Compare the model under test with onnxruntime and TVM's default pipeline."""
    bench.note("inference")
    seen = _inference(bench, bench.campaign(), default_pipeline=True)
    bench.raw["inference"] = seen
    for name, times in seen["seconds"].items():
        bench.say("figure", f"{name}_ms_per_image", 1e3 * statistics.median(times))
    ours, reference, default = (seen["seconds"][n] for n in ("ours", "onnxruntime", "tvm_default"))
    bench.say("ratio", "inference_vs_onnxruntime", _paired(ours, reference))
    bench.say("ratio", "inference_vs_tvm_default", _paired(default, ours))


def measure_light(bench: Bench) -> None:
    """Compare known architectures with onnxruntime."""
    for name in filter(None, bench.args.light.split(",")):
        bench.note(f"inference, {name}")
        with light_model(name) as (model, image):
            scale = {"mean": 127.5, "std": 127.5}
            subject = Subject({"path": str(model)}, scale, {"images": str(image)})
            path = subject.write(bench.out / f"{name}.toml", sample(2))
            seen = _inference(bench, path, default_pipeline=False)
        bench.raw.setdefault("light", {})[name] = seen
        ours, reference = (seen["seconds"][n] for n in ("ours", "onnxruntime"))
        bench.say("ratio", f"inference_vs_onnxruntime_{name}", _paired(ours, reference))


def measure_campaigns(bench: Bench) -> None:
    """Run the same campaign cold, warm, without reuse and with one worker, taking turns."""
    for _ in range(bench.args.rounds):
        cold = bench.out / "kernels-first"
        shutil.rmtree(cold, ignore_errors=True)
        bench.once("first", kernels=cold)
        bench.once("second", kernels=cold)
        bench.once("no-reuse", kernels=cold, reuse=False)
        bench.once("one-worker", kernels=cold, workers=1)
        bench.once("second", kernels=cold)
    runs = [each for kind in bench.raw["campaigns"].values() for each in kind]
    bench.say("figure", "campaign_seconds", bench.seconds("second"))
    bench.say("ratio", "reuse_gain", bench.seconds("no-reuse") / bench.seconds("second"))
    bench.say("ratio", "second_run", bench.seconds("first") / bench.seconds("second"))
    bench.say("ratio", "two_workers", bench.seconds("one-worker") / bench.seconds("second"))
    bench.say("figure", "peak_memory_mib", max(each["tree_mib"] for each in runs))
    bench.say("figure", "different_verdicts", len({each["verdicts"] for each in runs}) - 1)


def compare_campaign(bench: Bench) -> None:
    """Set the campaign against onnxruntime's arithmetic and against rebuilding every mutant."""
    ours = bench.seconds("second")
    mutants = bench.raw["campaigns"]["second"][0]["mutants"]
    images = bench.raw["campaigns"]["second"][0]["images"]
    if "inference" in bench.raw:
        reference = statistics.median(bench.raw["inference"]["seconds"]["onnxruntime"])
        floor = mutants * images * reference / WORKERS
        bench.say("ratio", "campaign_vs_onnxruntime_floor", ours / floor)
    if "rebuild" in bench.raw:
        build, image = (statistics.mean(bench.raw["rebuild"][part]) for part in ("builds", "runs"))
        naive = mutants * (build + images * image)
        bench.say("figure", "rebuild_scaled_mutants", mutants / len(bench.raw["rebuild"]["builds"]))
        bench.say("figure", "rebuild_scaled_images", images / min(images, bench.args.rebuild_images))
        bench.say("figure", "rebuild_campaign_seconds", naive)
        bench.say("ratio", "campaign_vs_rebuild", naive / ours)
        bench.say("ratio", f"campaign_vs_rebuild_on_{WORKERS}_cores", naive / WORKERS / ours)


def measure_rebuild(bench: Bench) -> None:
    """Time the naive tool: the whole model built for every mutant, every image from its first layer."""
    bench.note("rebuilding whole models")
    numbers = {"mutants": bench.args.rebuilds, "images": bench.args.rebuild_images}
    seen = run_task("rebuild", kernels=bench.warm, campaign=str(bench.campaign()), **numbers)
    bench.raw["rebuild"] = seen
    bench.say("figure", "rebuild_build_seconds", statistics.mean(seen["builds"]))
    bench.say("figure", "rebuild_image_seconds", statistics.mean(seen["runs"]))


def measure_plan(bench: Bench) -> None:
    """Plan, store, begin, report and list a campaign of very many mutants."""
    bench.note(f"planning {bench.args.planned} mutants")
    entries = [{"operator": operator} for operator in EPSILONS]
    probe = bench.subject.write(bench.out / "probe.toml", entries)
    sites = run_task("count", kernels=bench.warm, campaign=str(probe))["mutants"]
    path = bench.subject.write(bench.out / "plan.toml", epsilons(bench.args.planned, sites))
    folder = bench.out / "runs" / "plan"
    shutil.rmtree(folder, ignore_errors=True)
    trials = bench.args.trials
    seen = run_task("plan", kernels=bench.warm, campaign=str(path), out=str(folder), trials=trials)
    bench.raw["plan"] = seen
    bench.say("figure", "plan_mutants", len(epsilons(bench.args.planned, sites)) // 2 * sites)
    bench.say("figure", "plan_stored_seconds", seen["planned"])
    bench.say("figure", "plan_first_verdict_seconds", seen["first_verdict"])
    bench.say("figure", "plan_peak_mib", seen["peak_mib"])
    for name, words in (("report", ("report", folder)), ("list", ("plan", "--list", path))):
        command = [sys.executable, "-m", "mutatenn", *map(str, words)]
        shown = run_watched(command, bench.warm)
        bench.raw[f"plan_{name}"] = {key: shown[key] for key in ("wall", "tree_mib")}
        bench.say("figure", f"plan_{name}_seconds", shown["wall"])
        bench.say("figure", f"plan_{name}_peak_mib", shown["tree_mib"])


def measure_images(bench: Bench) -> None:
    """Prepare very many images, and have Pillow decode, scale and cut the same."""
    bench.note(f"preparing {bench.args.prepared} images")
    path = bench.subject.write(bench.out / "images.toml", [])
    ours, alone = (
        run_task("prepare", kernels=bench.warm, campaign=str(path), images=bench.args.prepared, alone=alone)
        for alone in (False, True)
    )
    bench.raw["images"] = {"ours": ours, "pillow": alone}
    bench.say("figure", "images_prepared_seconds", ours["seconds"])
    bench.say("figure", "images_peak_mib", ours["tree_mib"])
    bench.say("ratio", "images_vs_pillow", ours["seconds"] / alone["seconds"])


def _inference(bench: Bench, campaign: Path, *, default_pipeline: bool) -> dict[str, Any]:
    return run_task(
        "inference",
        kernels=bench.warm,
        campaign=str(campaign),
        rounds=bench.args.turns,
        images=8,
        default_pipeline=default_pipeline,
    )


def _paired(one: list[float], other: list[float]) -> float:
    """Return the median ratio of turns that stood side by side: a disturbance meets both alike."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0))
    return {"cpu": model, "cores": cores, "python": platform.python_version(), "load": os.getloadavg()}


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images, rounds and models")
    parser.add_argument("--model", help="ONNX model (default: the bundled digits)")
    parser.add_argument("--images", help="folder or glob pattern of its images")
    parser.add_argument("--campaign", type=Path, help="take model, preprocessing and images of this file")
    parser.add_argument("--label-offset", type=int, default=0)
    parser.add_argument("--resize", type=int, help="shorter side, in pixels")
    parser.add_argument("--crop", type=int, help="pixels, from the centre")
    parser.add_argument("--mean", type=float, default=127.5)
    parser.add_argument("--std", type=float, default=127.5)
    parser.add_argument("--parts", default=",".join(PARTS), help="which of %(default)s")
    parser.add_argument("--light", help="light models, comma-separated")
    for name, (full, quick) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, help=f"default {full}, quick {quick}")
    parser.add_argument("--rebuild-images", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10, help="verdicts of the planned campaign")
    parser.add_argument("--out", default="build/bench", help="folder for JSON, plots, caches and runs")
    args = parser.parse_args(argv)
    for name, sizes in SIZES.items():
        if getattr(args, name) is None:
            setattr(args, name, sizes[args.quick])
    if args.light is None:
        args.light = QUICK_LIGHT if args.quick else ",".join(NAMES)
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; return 1 if verdicts differed between ways of running the same campaign."""
    args = _parse(argv)
    bench = Bench(args, Subject.of_options(args))
    bench.out.mkdir(parents=True, exist_ok=True)
    steps = {
        "inference": measure_inference,
        "light": measure_light,
        "rebuild": measure_rebuild,
        "campaign": measure_campaigns,
        "plan": measure_plan,
        "images": measure_images,
    }
    started = time.perf_counter()
    for part in args.parts.split(","):
        steps[part](bench)
    if "campaigns" in bench.raw:
        compare_campaign(bench)
    bench.note(f"all done in {time.perf_counter() - started:.0f} s")
    command = " ".join(sys.argv if argv is None else argv)
    result = {"command": command, "machine": _machine(), **bench.lines, "raw": bench.raw}
    (bench.out / "results.json").write_text(json.dumps(result, indent=1))
    draw(result, bench.out)
    return int(bench.lines["figure"].get("different_verdicts", 0) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
