"""Cost of a network: parameters, FLOPs, seconds per image and memory of a training step.

Claims F7, F8 and U8 compare the costs. Networks are timed in alternating rounds and without the feature
cache. On a CPU with one thread per run, other steps may run meanwhile: times are then processor time, which
leaves out waiting for a core. Work on other cores still shares caches and memory, and slows all networks
alike because they alternate. With several threads or on a GPU, no other process should run.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.study.study import Study
from segnb.training.autotune import Bench

# Rounds over all networks, so that a slow minute of the machine affects all of them. The spread between
# rounds shows how reliable a comparison is. No verdict rests on times, so three rounds of one timing suffice.
ROUNDS = 3
GPU_SECONDS = 0.1  # minimum seconds per timing on a GPU, where a step takes milliseconds


def measure(
    study: Study, variants: list[str], clock: Callable[[], float] = time.perf_counter
) -> dict[str, dict]:
    """Measure the cost of each network at the study's sizes, batch sizes, precision and threads.

    Args:
        study: the study
        variants: networks
        clock: time.process_time if other steps run meanwhile, which needs a CPU and one thread

    Returns:
        For each network:
            parameters, trained_parameters: counts
            gflops: 10⁹ floating-point operations of a forward pass per image; a multiply-add counts as two
            train_gflops: the same for a training step, per image
            train_seconds: median seconds per image of a training step (forward, backward, optimiser)
            predict_seconds: median seconds per image of a forward pass without gradients
            train_samples, predict_samples: the timings, one list per round. A list has one number, in files
                of older versions several.
            memory_mib: peak memory of a training step in MiB. On a GPU it is the allocated memory; on a CPU
                the sum of parameters, buffers, gradients, optimiser state and the activations saved for the
                backward pass.
    """
    rows: dict[str, dict] = {name: {"train_samples": [], "predict_samples": []} for name in variants}
    study.machine.apply()
    for _ in range(ROUNDS):
        for name, row in rows.items():
            _one_round(study, name, row, clock)
    for row in rows.values():
        for timed in ("train", "predict"):
            row[f"{timed}_seconds"] = median(sum(row[f"{timed}_samples"], []))
    return rows


def _one_round(study: Study, name: str, row: dict, clock: Callable[[], float]) -> None:
    """Add the timings of a round to a network's row, and in the first round the numbers that are counted."""
    recipe, classes = study.recipe(VARIANTS[name].family), len(study.classes)
    torch.manual_seed(0)
    bench = Bench(build(name, classes, recipe.width), recipe, study.machine, classes)
    if "parameters" not in row:
        parameters = list(bench.model.parameters())
        row["parameters"] = sum(p.numel() for p in parameters)
        row["trained_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
        with torch.no_grad():
            row["gflops"] = _flops(lambda: bench.model.eval()(bench.images[:1])) / 1e9
        row["train_gflops"] = _flops(bench.step) / 1e9 / len(bench.images)
        row["memory_mib"] = _step_memory(bench) / 2**20
    for timed, work in (("train", bench.step), ("predict", bench.forward)):
        row[f"{timed}_samples"].append([_seconds(work, study.machine.device, clock) / len(bench.images)])


def _seconds(work: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    """Time a call of `work`; on a GPU, the result is the median of many calls."""
    shortest = GPU_SECONDS if device == "cuda" else 0.0

    def measured() -> float:
        seconds: list[float] = []
        while not seconds or sum(seconds) < shortest:
            start = clock()
            work()
            seconds.append(clock() - start)
        return median(seconds)

    measured()  # warm-up: the first calls set up kernels and optimiser state, and the GPU raises its clock
    return measured()


def _flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _step_memory(bench: Bench) -> int:
    """Return the peak memory of a training step in bytes; `measure` lists the parts that count on a CPU."""
    if bench.machine.device == "cuda":
        bench.step()
        torch.cuda.reset_peak_memory_stats()
        bench.step()
        return torch.cuda.max_memory_allocated()
    saved: dict[int, int] = {}  # bytes by storage, because several saved tensors may share a storage

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = [*bench.model.parameters(), *bench.model.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        bench.step()
    for tensor in own:  # parameters and buffers are not activations
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    gradients = [p.grad for p in own if p.grad is not None]
    state = [v for s in bench.optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
    return sum(tensor.nbytes for tensor in (*own, *gradients, *state)) + sum(saved.values())
