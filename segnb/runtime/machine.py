"""Hardware settings of a study: device, threads, precision, memory layout, optimiser kernel, compilation."""

import os
import platform
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# From most to fewest digits: fp32; tf32, GPUs only, rounds what convolutions and matrix products read to ten
# bits; bf16 and fp16 are autocast, fp16, GPUs only, with a loss scaler because its range is small.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}
# glibc gives every large buffer back to the system and has it zeroed again at the next step; told to keep
# them, a training step of a frozen FCN takes two thirds of the time. Numbers stay the same bit for bit. To be
# in the environment before a process starts.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def _torch():
    """Return torch. It takes seconds to import, and what only reads the files of runs goes without."""
    import torch

    return torch


@dataclass(frozen=True)
class Machine:
    device: str  # "cpu" or "cuda"
    device_name: str  # as the vendor prints it
    threads: int  # of one run; how many runs go side by side is another matter (JOBS)
    precision: str  # one of PRECISIONS
    channels_last: bool = True  # NHWC in memory
    fused: bool = True  # Adam's update of a tensor in one kernel
    compile: bool = False  # torch.compile

    def apply(self) -> None:
        """Make this process train and predict with these settings, bit for bit the same each time."""
        torch = _torch()
        torch.set_num_threads(self.threads)
        # On a GPU 2-D cross-entropy has no deterministic kernel; the report shows the spread there.
        torch.use_deterministic_algorithms(self.device == "cpu")
        # Overwriting every new buffer, a debugging aid that comes with it, costs a sixth of an epoch.
        torch.utils.deterministic.fill_uninitialized_memory = False
        if self.device == "cuda":  # convolutions take tf32 unless told otherwise, which is not fp32
            kind = "tf32" if self.precision == "tf32" else "ieee"
            torch.backends.cuda.matmul.fp32_precision = kind
            torch.backends.cudnn.conv.fp32_precision = kind

    def autocast(self):
        """Context of the forward pass: half precision for convolutions and matrix products, or nothing."""
        torch = _torch()
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.precision not in kinds:
            return nullcontext()
        return torch.autocast(self.device, kinds[self.precision])

    def place(self, model: "torch.nn.Module") -> "torch.nn.Module":
        """The network on the device and in the memory layout of this machine."""
        torch = _torch()
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)

    def arrange(self, images: "torch.Tensor") -> "torch.Tensor":
        """Images in the memory layout of this machine; batches come in channels_last."""
        return images if self.channels_last else images.contiguous()

    def adam(self, groups: list[dict]) -> "torch.optim.Adam":
        return _torch().optim.Adam(groups, fused=self.fused)

    def scaler(self) -> "torch.amp.GradScaler":
        """Loss scaling for fp16, which does nothing in any other precision."""
        return _torch().amp.GradScaler(self.device, enabled=self.precision == "fp16")


def usable_cores() -> int:
    """Cores that this process may use; on a shared machine fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_one_run(cores: int) -> int:
    """One thread up to four cores, then a quarter of them.

    Measured with the quick preset on two cores: two one-thread runs side by side finish sooner than
    the same two one after the other on two threads, because the small layers do not fill two.
    """
    return max(1, cores // 4)


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
