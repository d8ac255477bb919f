"""What this machine trains with: device, threads of one run, precision. Settled once, by trying.

Two threads and one thread, or fp32 and bf16, give slightly different numbers; so the choice is part
of a study's identity and is kept in runs/machine.json. Delete that file to choose again; set
SEGNB_PRECISION=fp32 (or bf16) to force it.
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from segnb.errors import SegnbError
from segnb.files import read_json, write_json

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Machine:
    device: str  # "cpu" or "cuda"
    device_name: str  # as the vendor prints it
    threads: int  # of one run; how many runs go side by side is another matter (JOBS)
    precision: str  # "fp32", or "bf16" for autocast of convolutions and matrix products

    def apply(self) -> None:
        """Make this process train and predict with these settings, bit for bit the same each time."""
        import torch

        torch.set_num_threads(self.threads)
        # On a GPU 2-D cross-entropy has no deterministic kernel; the report shows the spread there.
        torch.use_deterministic_algorithms(self.device == "cpu")
        # Overwriting every new buffer, a debugging aid that comes with it, costs a sixth of an epoch.
        torch.utils.deterministic.fill_uninitialized_memory = False


def settle(runs: Path) -> Machine:
    """This machine's settings: from `runs/machine.json` if they are for it, otherwise by trying."""
    import torch

    forced = os.environ.get("SEGNB_PRECISION")
    if forced is not None and forced not in PRECISIONS:
        raise SegnbError(f"SEGNB_PRECISION={forced!r} is unknown; choose from {', '.join(PRECISIONS)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else _cpu_name()
    threads = threads_of_one_run(usable_cores())
    if forced:
        return Machine(device, name, threads, forced)
    key = f"{name}, {usable_cores()} cores, torch {torch.__version__}"
    path = runs / "machine.json"
    known = read_json(path) if path.exists() else {}
    if key not in known:
        seconds = time_precisions(device, threads)
        # bf16 rounds more, so it has to be worth it; where it fails, fp32 stays.
        precision = "bf16" if seconds.get("bf16", 1e9) < 0.8 * seconds["fp32"] else "fp32"
        known[key] = asdict(Machine(device, name, threads, precision)) | {"seconds_a_step": seconds}
        write_json(path, known)
    return Machine(**{field: known[key][field] for field in Machine.__dataclass_fields__})


def usable_cores() -> int:
    """Cores that this process may use; on a shared machine fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_one_run(cores: int) -> int:
    """One thread up to four cores, then a quarter of them.

    Measured with the quick preset on two cores: two one-thread runs side by side finish sooner than
    the same two one after the other on two threads, because the small layers do not fill two.
    """
    return max(1, cores // 4)


def time_precisions(device: str, threads: int) -> dict[str, float]:
    """Seconds of a small U-Net training step in each precision; one that crashes is left out.

    Each is timed in a process of its own, because a half-supported precision may take the process down.
    """
    seconds = {}
    for precision in PRECISIONS:
        command = [sys.executable, "-m", "segnb.machine", device, str(threads), precision]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if result.returncode == 0:
            seconds[precision] = json.loads(result.stdout.splitlines()[-1])
        elif precision == "fp32":
            last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
            raise SegnbError(
                f"a trial training step on {device} failed: {last}; check the torch installation"
            )
    return seconds


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _time_step(device: str, threads: int, precision: str) -> float:
    """Best of a few steps, in seconds (the best, since other work can only make a step slower)."""
    import torch

    from segnb.models.variants import build
    from segnb.training import autocast, criterion

    torch.set_num_threads(threads)
    model = build("UNet_Standard_256", width=16).to(device, memory_format=torch.channels_last)
    images = torch.randn(4, 3, 128, 128, device=device).to(memory_format=torch.channels_last)
    labels = torch.zeros(4, 128, 128, dtype=torch.long, device=device)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        with autocast(device, precision):
            loss = criterion(model(images), labels)
        loss.backward()
        loss.item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return min(times[2:])


if __name__ == "__main__":
    print(_time_step(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
