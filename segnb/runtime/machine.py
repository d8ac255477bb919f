"""Hardware settings of a study: device, threads, precision, memory layout, fused Adam, compilation."""

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

# From most to fewest digits. tf32 (GPUs only) rounds the inputs of convolutions and matrix products to ten
# bits. bf16 and fp16 are autocast; fp16 (GPUs only) has a loss scaler, because its range is small.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}
# By default glibc returns every large buffer to the system, which zeroes it again for the next step. With
# these settings it keeps them: a training step of a frozen FCN takes two thirds of the time, and numbers stay
# the same bit for bit. They have to be in the environment before a process starts.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
# Environment variables with which torch, NumPy and their libraries choose kernels and roundings. Variables of
# the number of threads are not among them, because `Machine.threads` sets it.
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
# On Linux: the limits of containers and batch jobs, and the control groups of this process.
CONTROL_GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def bits_environment(device: str) -> dict[str, str]:
    """Return the environment variables of this process that change the last digits of numbers on a device."""
    names = _BITS if device == "cpu" else f"{_BITS}|{_GPU_BITS}"
    return {name: value for name, value in sorted(os.environ.items()) if value and re.fullmatch(names, name)}


def _torch():
    """Return torch, whose import takes seconds that commands without training should not spend."""
    import torch

    return torch


@dataclass(frozen=True)
class Machine:
    """Hardware settings with which all runs of a study are trained and evaluated."""

    device: str  # "cpu" or "cuda"
    device_name: str  # the vendor's name
    threads: int  # per run; JOBS is the number of runs in parallel
    precision: str  # one of PRECISIONS
    channels_last: bool = True  # NHWC in memory
    fused: bool = True  # update each tensor with one kernel of Adam
    compile: bool = False  # torch.compile
    environment: dict[str, str] = field(default_factory=dict)  # see `bits_environment`

    def apply(self) -> None:
        """Make this process train and predict with these settings, bit for bit the same each time.

        Raises:
            SegnbError: environment variables, which libraries have already read, differ from the study's.
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
        # On a GPU, 2-D cross-entropy has no deterministic kernel; the report shows the spread.
        torch.use_deterministic_algorithms(self.device == "cpu")
        # It would also overwrite every new buffer, a debugging aid that costs a sixth of an epoch.
        torch.utils.deterministic.fill_uninitialized_memory = False
        if self.device == "cuda":  # by default convolutions use tf32, even if fp32 is chosen
            kind = "tf32" if self.precision == "tf32" else "ieee"
            torch.backends.cuda.matmul.fp32_precision = kind
            torch.backends.cudnn.conv.fp32_precision = kind

    def autocast(self):
        """Return the context of the forward pass: half precision for convolutions and products, or none."""
        torch = _torch()
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.precision not in kinds:
            return nullcontext()
        return torch.autocast(self.device, kinds[self.precision])

    def place(self, model: "torch.nn.Module") -> "torch.nn.Module":
        """Move a network to the device and into the memory layout of this machine."""
        torch = _torch()
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)

    def arrange(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return images, which are channels_last, in the memory layout of this machine."""
        return images if self.channels_last else images.contiguous()

    def adam(self, groups: list[dict]) -> "torch.optim.Adam":
        """Make the optimiser of these parameter groups."""
        return _torch().optim.Adam(groups, fused=self.fused)

    def scaler(self) -> "torch.amp.GradScaler":
        """Make the loss scaler, which does nothing in a precision other than fp16."""
        return _torch().amp.GradScaler(self.device, enabled=self.precision == "fp16")


def usable_cores() -> int:
    """Return the number of cores that this process may use, which containers and batch jobs limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [told.split() for told in control_group("cpu", "cpu.max")]
    quotas, periods = (control_group("cpu", f"cpu.cfs_{what}_us") for what in ("quota", "period"))
    shares += zip(quotas, periods, strict=False)
    # Microseconds of work per period; "max" or -1 is no limit.
    return min([cores, *(math.ceil(int(used) / int(period)) for used, period in shares if used.isdigit())])


def control_group(controller: str, name: str) -> list[str]:
    """Return the content of a file of this process's control group and of the groups around it.

    Inside a container, its own group may be the root of all visible groups, whatever its name is outside.

    Args:
        controller: such as "cpu" or "memory"
        name: file name, such as "cpu.max"
    """
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # not on Linux
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
        with suppress(OSError):  # missing
            told.append(file.read_text().strip())
    return told


def threads_of_one_run(cores: int) -> int:
    """Return the threads per run: a quarter of the cores, at least one.

    Small layers do not fill two threads: measured on two cores with preset quick, two runs of one thread each
    in parallel finish sooner than one after the other with two threads.
    """
    return max(1, cores // 4)


def cpu_name() -> str:
    """Return the model of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
