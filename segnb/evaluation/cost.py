"""What a network costs: parameters, FLOPs, seconds an image and memory of a training step.

Measured on a machine that does nothing else, variants interleaved, nothing cached (CLAIMS F7, F8, U8).
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from segnb.models.build import build, parameter_groups
from segnb.models.registry import VARIANTS
from segnb.study.study import Study
from segnb.training.loop import train_step

# Passes over all variants, so that a slow minute of the machine hits all of them; how far passes differ says
# how sure a comparison is.
ROUNDS = 3
REPEATS = 2  # times measured per variant and round
GPU_SECONDS = 0.2  # of steps per variant and round on a GPU, where one of them takes milliseconds


def measure(study: Study, variants: list[str]) -> dict[str, dict]:
    """Cost by variant at the study's size, width, batch size, precision and threads.

    parameters, trained_parameters: counts
    gflops:          10⁹ floating-point operations of one image forwards; a multiply-add is two
    train_gflops:    the same of a training step, per image
    train_seconds:   median seconds an image of a training step (forwards, backwards, optimiser)
    predict_seconds: median seconds an image of a forward pass without gradients
    train_samples, predict_samples: what they are the medians of: a list a round, all variants alike
    memory_mib:      peak of a training step: allocated on the GPU; on a CPU the sum of parameters,
                     gradients, optimiser state and the activations saved for the backward pass
    """
    rows: dict[str, dict] = {name: {"train_samples": [], "predict_samples": []} for name in variants}
    study.machine.apply()
    for _ in range(ROUNDS):
        for name, row in rows.items():
            _one_round(study, name, row)
    for row in rows.values():
        for timed in ("train", "predict"):
            row[f"{timed}_seconds"] = median(sum(row[f"{timed}_samples"], []))
    return rows


class Bench:
    """A variant at work on a batch of noise: what the images show does not change what a step costs."""

    def __init__(self, study: Study, name: str):
        self.machine, recipe = study.machine, study.recipe(VARIANTS[name].family)
        torch.manual_seed(0)
        self.model = self.machine.place(build(name, len(study.classes), recipe.width))
        groups = parameter_groups(self.model, recipe.learning_rate, recipe.backbone_learning_rate)
        self.optimizer, self.scaler = self.machine.adam(groups), self.machine.scaler()
        shape = (recipe.batch_size, 3, recipe.size, recipe.size)
        images = torch.randn(shape, device=self.machine.device).to(memory_format=torch.channels_last)
        self.images = self.machine.arrange(images)
        self.labels = torch.randint(0, len(study.classes), (shape[0], *shape[2:]), device=self.machine.device)

    def step(self) -> float:
        """Train on the batch once."""
        batch = self.model.train(), self.images, self.labels
        return train_step(*batch, self.optimizer, self.scaler, self.machine)[0].item()  # waits for a GPU

    @torch.no_grad()
    def forward(self) -> int:
        """Predict the batch."""
        self.model.eval()
        with self.machine.autocast():
            return self.model(self.images).argmax(1)[0, 0, 0].item()


def _one_round(study: Study, name: str, row: dict) -> None:
    bench = Bench(study, name)
    if "parameters" not in row:
        parameters = list(bench.model.parameters())
        row["parameters"] = sum(p.numel() for p in parameters)
        row["trained_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            bench.model.eval()(bench.images[:1])
        row["gflops"] = counter.get_total_flops() / 1e9
        row["train_gflops"] = _step_flops(bench) / 1e9 / len(bench.images)
        row["memory_mib"] = _step_memory(bench) / 2**20
    for timed, work in (("train", bench.step), ("predict", bench.forward)):
        seconds = _seconds(work, study.machine.device)
        row[f"{timed}_samples"].append([second / len(bench.images) for second in seconds])


def _seconds(work: Callable[[], object], device: str) -> list[float]:
    """Measure REPEATS times what a call of `work` takes: the call itself, or on a GPU the median of many."""
    shortest = GPU_SECONDS / REPEATS if device == "cuda" else 0.0

    def measured() -> float:
        seconds: list[float] = []
        while not seconds or sum(seconds) < shortest:
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return median(seconds)

    measured()  # first calls set up kernels and optimiser state, and let a GPU raise its clock
    return [measured() for _ in range(REPEATS)]


def _step_flops(bench: Bench) -> int:
    with FlopCounterMode(display=False) as counter:
        bench.step()
    return counter.get_total_flops()


def _step_memory(bench: Bench) -> int:
    """Return the bytes at the peak of a training step; see `measure` for what counts on a CPU."""
    if bench.machine.device == "cuda":
        bench.step()
        torch.cuda.reset_peak_memory_stats()
        bench.step()
        return torch.cuda.max_memory_allocated()
    saved: dict[int, int] = {}  # by storage, since several saved tensors may share one

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = [*bench.model.parameters(), *bench.model.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        bench.step()
    for tensor in own:  # which are no activations
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    gradients = [p.grad for p in own if p.grad is not None]
    state = [v for s in bench.optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
    return sum(tensor.nbytes for tensor in (*own, *gradients, *state)) + sum(saved.values())
