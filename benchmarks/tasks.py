"""What the benchmarks measure; each task runs in a process of its own and prints one line of JSON."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def inference(*, campaign: str, rounds: int, images: int, default_pipeline: bool) -> dict[str, Any]:
    """Time one image through our engine, onnxruntime and TVM's default pipeline, taking turns.

    Returns lists of seconds, one item per turn, and the largest difference between ours and onnxruntime's.
    """
    from mutatenn.engine.evaluate import Evaluator

    setup = _set_up(campaign)
    toolchain = setup.toolchains["cpu"]
    evaluator = Evaluator(toolchain.backend.open())
    linked = evaluator.link(toolchain.program)
    contenders: dict[str, Callable[[Any], Any]] = {
        "ours": lambda image: evaluator.device.fetch(evaluator.output(linked, image)),
        "onnxruntime": _onnxruntime(setup.campaign.model.path),
    }
    if default_pipeline:
        contenders["tvm_default"] = _virtual_machine(setup.model.module, toolchain.target)[0]
    prepared = setup.inputs["cpu"][:images]
    pictures = [prepared[turn % len(prepared)] for turn in range(rounds)]
    for run in contenders.values():  # twice: the first run meets cold memory, the second cold caches
        run(pictures[0]), run(pictures[0])
    times: dict[str, list[float]] = {name: [] for name in contenders}
    worst = 0.0
    for picture in pictures:
        outputs = {}
        for name, run in contenders.items():
            outputs[name], seconds = _timed(run, picture)
            times[name].append(seconds)
        worst = max(worst, float(np.abs(outputs["ours"] - outputs["onnxruntime"]).max()))
    return {"seconds": times, "worst_difference": worst}


def rebuild(*, campaign: str, mutants: int, images: int) -> dict[str, Any]:
    """Time the naive way: build a mutant's whole model with ``tvm.compile``, run images through the VM.

    Takes graph mutants spread over the campaign's. Returns seconds per build and per image.
    """
    from mutatenn.host.options import create

    setup = _set_up(campaign)
    toolchain = setup.toolchains["cpu"]
    planned = [mutant for mutant in setup.plans()["cpu"].mutants if mutant.stage == "graph"]
    chosen = [planned[index * len(planned) // mutants] for index in range(min(mutants, len(planned)))]
    builds, runs = [], []
    for mutant in chosen:
        mutator = create(setup.host.get("mutator", mutant.operator), mutant.options)
        started = time.perf_counter()
        module = mutator.apply(setup.model.module, [site.ordinal for site in mutant.sites])
        run, _ = _virtual_machine(module, toolchain.target)
        builds.append(time.perf_counter() - started)
        runs += [_timed(run, image)[1] for image in setup.inputs["cpu"][:images]]
    return {"builds": builds, "runs": runs}


def campaign(*, campaign: str, out: str, workers: int, reuse: bool) -> dict[str, Any]:
    """Time a campaign from its file to its last verdict; verdicts are summed up in a digest."""
    import mutatenn

    started = time.perf_counter()
    run = mutatenn.run(campaign, out, workers=workers, reuse=reuse)
    seconds = time.perf_counter() - started
    verdicts = [
        (record.id, verdict.status, verdict.killed_images)
        for record in run.mutants
        for verdict in record.verdicts.values()
    ]
    slowest = sorted((v.seconds for record in run.mutants for v in record.verdicts.values()), reverse=True)
    digest = hashlib.sha256(repr(verdicts).encode()).hexdigest()
    counts = {"mutants": len(verdicts), "images": len(run.image_names)}
    return {"seconds": seconds, **counts, "verdicts": digest, "trials": slowest}


def count(*, campaign: str) -> dict[str, Any]:
    """Count the mutants of a campaign."""
    return {"mutants": len(_set_up(campaign).plans()["cpu"].mutants)}


def plan(*, campaign: str, out: str, trials: int) -> dict[str, Any]:
    """Time a huge campaign up to its stored plan and through its first verdicts, then interrupt it.

    Returns seconds and the peak resident memory of the campaign's process in MiB.
    """
    import mutatenn
    from mutatenn.host.plugin_host import PluginHost

    host, started = PluginHost.installed(), time.perf_counter()
    times: list[float] = []

    class Watch:
        @mutatenn.hookimpl
        def mutatenn_campaign_start(self) -> None:
            times.append(time.perf_counter() - started)

        @mutatenn.hookimpl
        def mutatenn_trial_finished(self) -> None:
            times.append(time.perf_counter() - started)
            if len(times) > trials:
                raise KeyboardInterrupt

    host.register(Watch(), "watch")
    try:
        mutatenn.run(campaign, out, host=host)
    except KeyboardInterrupt:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"planned": times[0], "first_verdict": times[1], "trials": len(times) - 1, "peak_mib": peak}
    raise SystemExit("the campaign ended before it was interrupted: plan more mutants than trials")


def prepare(*, campaign: str, images: int, alone: bool) -> dict[str, Any]:
    """Time the preparation of so many images, the campaign's own over and over: ours, or by Pillow alone.

    Pillow alone decodes, scales and cuts on one processor, normalises nothing and keeps nothing.
    """
    import attrs

    from mutatenn.campaign.config.load import load_campaign
    from mutatenn.campaign.inputs.dataset import Dataset, open_dataset
    from mutatenn.campaign.inputs.decode import decoded
    from mutatenn.campaign.inputs.fit import fitted
    from mutatenn.campaign.inputs.load import load_images

    setup = _set_up(campaign)
    spec, section = setup.model.input, load_campaign(campaign, {}).preprocess
    own = open_dataset(attrs.evolve(setup.campaign.dataset, limit=None)).paths
    paths = tuple(own[index % len(own)] for index in range(images))
    names = tuple(f"{index:06}" for index in range(images))
    size = spec.shape[2:] if spec.shape[1] in (1, 3) else spec.shape[1:3]
    mode = "L" if 1 in (spec.shape[1], spec.shape[3]) else "RGB"
    started = time.perf_counter()
    if alone:
        for path in paths:
            fitted(decoded(path, mode, exif=True), path, section, size)
    else:
        load_images(Dataset(names, paths), section, spec)
    return {"seconds": time.perf_counter() - started}


def _set_up(campaign: str) -> Any:
    from mutatenn.campaign.execution.setup import set_up
    from mutatenn.host.plugin_host import PluginHost

    return set_up(campaign, PluginHost.installed())


def _onnxruntime(path: Path) -> Callable[[Any], Any]:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # old models list their weights as inputs, which it warns of
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image[np.newaxis]})[0]


def _virtual_machine(module: Any, target: Any) -> tuple[Callable[[Any], Any], Any]:
    """Compile a graph as TVM does by default; return a function of one image, and the virtual machine."""
    import tvm
    from tvm import relax

    machine = relax.VirtualMachine(tvm.compile(module, target), tvm.cpu())
    main = machine["main"]
    return lambda image: main(tvm.runtime.tensor(image[np.newaxis])).numpy(), machine


def _timed(run: Callable[[Any], Any], image: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    output = run(image)
    return output, time.perf_counter() - started


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task for task in (inference, rebuild, campaign, count, plan, prepare)
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
