"""Hardware settings of a study: device, threads, precision, memory layout, optimiser kernel, compilation."""

import math
import os
import platform
import re
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segnb.errors import SegnbError

if TYPE_CHECKING:
    import torch

# From most to fewest digits: fp32; tf32, GPUs only, rounds what convolutions and matrix products read to ten
# bits; bf16 and fp16 are autocast, fp16, GPUs only, with a loss scaler because its range is small.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}
# glibc gives every large buffer back to the system and has it zeroed again at the next step; told to keep
# them, a training step of a frozen FCN takes two thirds of the time. Numbers stay the same bit for bit. To be
# in the environment before a process starts.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
# Variables of the environment by which torch, NumPy and what these stand on choose kernels and roundings. How
# many threads there are, which has variables of its own, is settled by `Machine.threads`.
_BITS = (
    r"ATEN_CPU_CAPABILITY|(ONEDNN|DNNL)_(?!.*(VERBOSE|JIT|CACHE))\w+|TORCH_MKLDNN\w+|TORCH_LINEAR_FLATTEN_3D"
    r"|MKL_(CBWR|DEBUG_CPU_TYPE|DISABLE_FAST_MM|DOMAIN_NUM_THREADS|DYNAMIC|ENABLE_INSTRUCTIONS|NUM_STRIPES)"
    r"|OMP_(DYNAMIC|THREAD_LIMIT)|OPENBLAS_CORETYPE|NPY_(DISABLE|ENABLE)_CPU_FEATURES|GLIBC_TUNABLES"
    r"|TORCHINDUCTOR_(?!.*(CACHE|DIR|LOG|DEBUG|THREADS))\w+|TORCH(DYNAMO|_COMPILE)_DISABLE"
)
_GPU_BITS = (
    r"NVIDIA_TF32_OVERRIDE|CUBLAS_WORKSPACE_CONFIG|CUBLASLT_WORKSPACE_SIZE|DISABLE_ADDMM_CUDA_LT"
    r"|CUDNN_(?!.*(LOG|VERSION))\w+|TORCH_(ALLOW_TF32|BLAS|CUBLASLT|CUDNN|LINALG)\w+"
    r"|PYTORCH_TUNABLEOP_(?!.*(VERBOSE|LOG|FILENAME))\w+"
)
# Of Linux: what a container or a batch job may use, and which of the groups this process is in.
CONTROL_GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def bits_environment(device: str) -> dict[str, str]:
    """Return the variables of this process's environment that change the last digits of numbers there."""
    names = _BITS if device == "cpu" else f"{_BITS}|{_GPU_BITS}"
    return {name: value for name, value in sorted(os.environ.items()) if value and re.fullmatch(names, name)}


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
    environment: dict[str, str] = field(default_factory=dict)  # see `bits_environment`

    def apply(self) -> None:
        """Make this process train and predict with these settings, bit for bit the same each time.

        Raises SegnbError if variables of its environment, which libraries have read by now, are others.
        """
        here, meant = bits_environment(self.device), self.environment
        differ = [name for name in sorted(here | meant) if here.get(name) != meant.get(name)]
        if differ:
            told = ", ".join(f"{name} is {here.get(name, 'not set')}" for name in differ)
            mended = " ".join(f"{name}={meant[name]}" if name in meant else f"-u {name}" for name in differ)
            raise SegnbError(
                f"{told} in the environment, which changes the last digits of numbers and was otherwise when"
                f" the study was created: put 'env {mended}' before the command, or run 'make report' for a"
                " study of its own"
            )
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
    """Cores that this process may use; on a shared machine, or in a container, fewer than there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [told.split() for told in control_group("cpu", "cpu.max")]
    quotas, periods = (control_group("cpu", f"cpu.cfs_{what}_us") for what in ("quota", "period"))
    shares += zip(quotas, periods, strict=False)
    # Microseconds of work in each period; "max" or -1: as many as there are.
    return min([cores, *(math.ceil(int(used) / int(period)) for used, period in shares if used.isdigit())])


def control_group(controller: str, name: str) -> list[str]:
    """Return what a file of this process's control group says, and what it says in the groups around it.

    In a container its own group may be the root of all that it sees, whatever the group is called outside.
    """
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # no Linux
        return []
    files = {}
    for _, controllers, group in (line.split(":", 2) for line in lines):
        if controller in controllers.split(","):  # version 1
            tops = [CONTROL_GROUPS / controller, CONTROL_GROUPS / controllers]
        else:
            tops = [] if controllers else [CONTROL_GROUPS, CONTROL_GROUPS / "unified"]
        for top in tops:
            inner = top / group.lstrip("/")
            files |= dict.fromkeys(
                place / name for place in (inner, *inner.parents) if place.is_relative_to(top)
            )
    told = []
    for file in files:
        with suppress(OSError):  # not there
            told.append(file.read_text().strip())
    return told


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
