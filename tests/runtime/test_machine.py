"""The machine: what a container lets a process use, and what in its environment changes numbers."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from segnb.errors import SegnbError
from segnb.runtime import machine
from segnb.runtime.machine import Machine, bits_environment, control_group, usable_cores

CPU = Machine("cpu", "any", 1, "fp32")
CORES = 64


def container(monkeypatch, folder: Path, groups: str, files: dict[str, str]) -> None:
    """Let this process be in these control groups (/proc/self/cgroup), whose files say this."""
    for name, told in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(told + "\n")
    (folder / "groups").write_text(groups + "\n")
    monkeypatch.setattr(machine, "CONTROL_GROUPS", folder)
    monkeypatch.setattr(machine, "OWN_GROUPS", folder / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)), raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {"cpu.max": "max 100000"}, CORES),
        ("0::/", {"cpu.max": "250000 100000"}, 3),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/job/step", {"job/cpu.max": "400000 100000", "job/step/cpu.max": "max 100000"}, 4),
        # In a container, which sees its own as the root.
        ("0::/system/docker-1", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {}, CORES),
        (
            "3:cpu,cpuacct:/job\n0::/",
            {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"},
            64,
        ),
        (
            "3:cpu,cpuacct:/job\n2:cpuset:/",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "150000", "cpu,cpuacct/job/cpu.cfs_period_us": "50000"},
            3,
        ),
    ],
)
def test_cores_are_those_of_the_quota(monkeypatch, tmp_path, groups, files, cores):
    container(monkeypatch, tmp_path, groups, files)
    assert usable_cores() == cores


def test_a_file_of_a_group_is_read_from_the_inside_out(monkeypatch, tmp_path):
    limits = {"memory/a/b/limit": "1", "memory/limit": "3", "memory/a/c/limit": "2", "limit": "4"}
    container(monkeypatch, tmp_path, "4:memory:/a/b", limits)
    assert control_group("memory", "limit") == ["1", "3"]
    assert control_group("cpu", "limit") == []
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")  # as where there is no Linux
    assert control_group("memory", "limit") == []


CHANGE_BITS = {
    "cpu": "ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA ONEDNN_DEFAULT_FPMATH_MODE MKL_CBWR"
    " DNNL_CPU_ISA_HINTS MKL_ENABLE_INSTRUCTIONS OPENBLAS_CORETYPE OMP_THREAD_LIMIT GLIBC_TUNABLES"
    " NPY_DISABLE_CPU_FEATURES TORCHINDUCTOR_MAX_AUTOTUNE",
    "cuda": "NVIDIA_TF32_OVERRIDE CUBLAS_WORKSPACE_CONFIG CUBLASLT_WORKSPACE_SIZE TORCH_BLAS_PREFER_CUBLASLT"
    " TORCH_ALLOW_TF32_CUBLAS_OVERRIDE PYTORCH_TUNABLEOP_ENABLED ATEN_CPU_CAPABILITY",
}
KEEP_BITS = (
    "ONEDNN_VERBOSE DNNL_JIT_DUMP MKL_NUM_THREADS OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_VERBOSE"
    " TORCHINDUCTOR_CACHE_DIR CUDNN_LOGINFO_DBG CUDNN_VERSION CUDA_VISIBLE_DEVICES PATH"
)


@pytest.mark.parametrize("device", CHANGE_BITS)
def test_what_changes_bits_is_told_from_what_does_not(monkeypatch, device):
    for name in " ".join([*CHANGE_BITS.values(), KEEP_BITS]).split():
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MKL_DYNAMIC", "")  # as if it were not set
    found = set(bits_environment(device))
    assert found >= set(CHANGE_BITS[device].split()) and not found & {*KEEP_BITS.split(), "MKL_DYNAMIC"}
    assert bool(found & {"NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"}) == (device == "cuda")


@pytest.mark.parametrize(
    ("meant", "here", "told"),
    [
        ({}, "avx2", "ATEN_CPU_CAPABILITY is avx2 .* 'env -u ATEN_CPU_CAPABILITY'"),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, "", "is not set .* 'env ATEN_CPU_CAPABILITY=avx2'"),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, "default", "is default .* 'env ATEN_CPU_CAPABILITY=avx2'"),
    ],
)
def test_a_process_of_another_environment_is_refused(monkeypatch, meant, here, told):
    for name in bits_environment("cpu"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", here)
    with pytest.raises(SegnbError, match=told):
        replace(CPU, environment=meant).apply()
    replace(CPU, environment={"ATEN_CPU_CAPABILITY": here} if here else {}).apply()
