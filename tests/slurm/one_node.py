"""A Slurm of one node on this machine, private to a folder: what tests/pipeline/test_slurm.py submits to.

    sudo python tests/slurm/one_node.py FOLDER      # prints what to set in another shell; Ctrl-C ends it

Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge (Slurm 22.05 was tried); no
systemd, no cgroups, no database. It takes ports of its own and touches no Slurm that is there already. Memory
is counted when jobs are placed; nothing stops a job that takes more.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

PROGRAMS = ("setpriv", "munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
PATIENCE = 30  # seconds until the node takes jobs
GRACE = 10  # seconds in which a daemon, or a job, ends when told to

CONFIGURATION = """\
ClusterName=segnb
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000
KillWait={grace}
MinJobAge=300
JobRequeue=1
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs that are not installed; Debian keeps the daemons where only root looks."""
    return [name for name in PROGRAMS if _program(name) is None]


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start the three daemons, yield what Slurm's commands need in their environment, and end them.

    folder: an empty or a new one; logs and state go there

    Raises RuntimeError with a daemon's last lines if it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    controller, node = _free_ports(2)
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            host=host,
            controller=controller,
            node=node,
            cpus=len(os.sched_getaffinity(0)),
            memory=int(psutil.virtual_memory().available / 2**20),
            grace=GRACE,
        )
    )
    # Snakemake's plugin starts srun without SLURM_CONF, as it is where Slurm is installed for all.
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF="{configuration}" exec {_program("srun")} "$@"\n')
    srun.chmod(0o755)
    environment = {"SLURM_CONF": str(configuration), "PATH": f"{srun.parent}:{os.environ['PATH']}"}
    with ExitStack() as daemons:
        # By force: munge wants a socket that everybody can reach, and this one is for root.
        told = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        daemons.enter_context(
            _daemon(["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *told], folder)
        )
        _wait(lambda: (folder / "munge.socket").exists(), folder / "munged.out")
        daemons.enter_context(_daemon(["slurmctld", "-D", "-f", str(configuration)], folder))
        daemons.enter_context(_daemon(["slurmd", "-D", "-N", host, "-f", str(configuration)], folder))
        _wait(lambda: _idle(environment), folder / "slurmctld.out")
        try:
            yield environment
        finally:
            _end_jobs(environment)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@contextmanager
def _daemon(command: list[str], folder: Path) -> Iterator[None]:
    """A daemon in the foreground of a process of its own, ended with the block."""
    with open(folder / f"{command[0]}.out", "wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", _program(command[0]), *command[1:]],  # it outlives nobody
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for who started this, which then ends them in order
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    return done.stdout.strip()


def _idle(environment: dict[str, str]) -> bool:
    return _ask(environment, "sinfo", "--noheader", "--format=%T") == "idle"


def _end_jobs(environment: dict[str, str]) -> None:
    _ask(environment, "scancel", "--user=root")
    end = time.monotonic() + 2 * GRACE
    while _ask(environment, "squeue", "--noheader") and time.monotonic() < end:
        time.sleep(0.2)


def _wait(ready, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            last = log.read_text(errors="replace").splitlines()[-3:]
            raise RuntimeError(f"Slurm did not come up within {PATIENCE} s; {log}: {' / '.join(last)}")
        time.sleep(0.2)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.geteuid() or missing():
        sys.exit(f"needs root, and these programs: {', '.join(missing()) or 'all there'}")
    place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="slurm-")).resolve()
    try:
        with one_node(place) as found:
            print(*(f'export {name}="{value}"' for name, value in found.items()), sep="\n", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
