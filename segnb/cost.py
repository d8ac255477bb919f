"""What a network costs: parameters, FLOPs, seconds an image and memory of a training step.

Measured on a machine that does nothing else, variants interleaved, nothing cached (CLAIMS F7, F8, U8).
"""

import time
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from segnb.machine import Machine
from segnb.models.variants import VARIANTS, build, parameter_groups
from segnb.presets import Recipe
from segnb.rundir import Study
from segnb.training import train_step

ROUNDS = 2  # passes over all variants, so that a slow minute of the machine hits all of them
REPEATS = 5  # timed steps a variant in each round


def measure(study: Study, variants: list[str]) -> dict[str, dict]:
    """Cost by variant at the study's size, width, batch size, precision and threads.

    parameters, trained_parameters: counts
    gflops:          10⁹ floating-point operations of one image forwards; a multiply-add is two
    train_seconds:   median seconds an image of a training step (forwards, backwards, optimiser)
    predict_seconds: median seconds an image of a forward pass without gradients
    memory_mib:      peak of a training step: allocated on the GPU; on a CPU the sum of parameters,
                     gradients, optimiser state and the activations saved for the backward pass
    """
    study.machine.apply()
    rows: dict[str, dict] = {}
    for _ in range(ROUNDS):
        for name in variants:
            row = rows.setdefault(name, {"train": [], "predict": []})
            _one_round(study, name, row)
    for row in rows.values():
        row["train_seconds"] = median(row.pop("train"))
        row["predict_seconds"] = median(row.pop("predict"))
    return rows


def _one_round(study: Study, name: str, row: dict) -> None:
    machine = study.machine
    recipe = study.recipe(VARIANTS[name].family)
    torch.manual_seed(0)
    model = build(name, len(study.classes), recipe.width)
    machine.place(model)
    optimizer = machine.adam(parameter_groups(model, recipe.learning_rate, recipe.trunk_learning_rate))
    scaler = machine.scaler()
    images, labels = _random_batch(recipe, len(study.classes), machine)

    def step():
        model.train()
        return train_step(model, images, labels, optimizer, scaler, machine)[0].item()  # waits for a GPU

    @torch.no_grad()
    def forward():
        model.eval()
        with machine.autocast():
            return model(images).argmax(1)[0, 0, 0].item()

    if "parameters" not in row:
        row["parameters"] = sum(p.numel() for p in model.parameters())
        row["trained_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(images[:1])
        row["gflops"] = counter.get_total_flops() / 1e9
        row["memory_mib"] = _step_memory(model, optimizer, step, machine.device) / 2**20
    for timed, work in (("train", step), ("predict", forward)):
        work()  # the first call sets up kernels and optimiser state
        for _ in range(REPEATS):
            start = time.perf_counter()
            work()
            row[timed].append((time.perf_counter() - start) / recipe.batch_size)


def _random_batch(recipe: Recipe, classes: int, machine: Machine) -> tuple[torch.Tensor, torch.Tensor]:
    """What the pictures show does not change what a step costs."""
    shape = (recipe.batch_size, 3, recipe.size, recipe.size)
    images = torch.randn(shape, device=machine.device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (shape[0], *shape[2:]), device=machine.device)
    return machine.arrange(images), labels


def _step_memory(model, optimizer, step, device: str) -> int:
    """Bytes at the peak of a training step; see `measure` for what counts on a CPU."""
    if device == "cuda":
        step()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()
    saved: dict[int, int] = {}  # by storage, since several saved tensors may share one

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    activations = sum(size for pointer, size in saved.items() if pointer not in own)
    weights = sum(p.nbytes for p in [*model.parameters(), *model.buffers()])
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    state = sum(v.nbytes for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v))
    return weights + gradients + state + activations
