"""What Snakemake makes of profiles/kubernetes: its pods are run here, by a stand-in for Kubernetes.

No cluster has run this yet. What is checked: that Snakemake reads the profile, that a pod mounts the volume
and asks for what a job needs, and that the pod's command does its job, in the project folder.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, make_project

PLUGIN = "snakemake_executor_plugin_kubernetes"
if importlib.util.find_spec(PLUGIN) is None:
    pytest.skip(f"{PLUGIN} is not installed: pip install -e '.[cluster]'", allow_module_level=True)

# In the place of a cluster: keeps what a pod was to be, and runs its command to the end if there is room.
STAND_IN = """
import json, subprocess, sys
from types import SimpleNamespace as Some
import kubernetes

class Cluster:
    codes = {}
    def create_namespaced_job(self, namespace, body):
        pod = body.spec.template.spec
        with open("pods", "a") as file:
            print(json.dumps(kubernetes.client.ApiClient().sanitize_for_serialization(pod)), file=file)
        container = pod.containers[0]
        command = [*container.command, *container.args] if room else ["false"]
        self.codes[body.metadata.name] = subprocess.run(command, cwd="elsewhere").returncode
    def read_namespaced_job_status(self, name, namespace):
        failed = self.codes[name] != 0
        return Some(status=Some(failed=int(failed), succeeded=int(not failed)))
    def list_namespaced_pod(self, **asked):
        return Some(items=[])
    def create_namespaced_secret(self, *asked): pass
    def delete_namespaced_secret(self, *asked, **how): pass
    def delete_namespaced_job(self, *asked, **how): pass

kubernetes.config.load_kube_config = lambda: None
kubernetes.client.CoreV1Api = kubernetes.client.BatchV1Api = Cluster
from snakemake.cli import main
room = sys.argv[1] == "room"
main(sys.argv[2:])
"""


def snakemake(project: Path, study: str, rule: str, room: bool) -> subprocess.CompletedProcess:
    (project / "elsewhere").mkdir()  # where a pod begins
    quick = ["--retries", "0", "--seconds-between-status-checks", "1", "--until", rule]
    asked = ["--config", f"study={study}", "variants=UNet_Standard_256", "seeds=0"]
    command = [sys.executable, "-c", STAND_IN, "room" if room else "full"]
    return subprocess.run(
        [*command, "--profile", "profiles/kubernetes", *quick, *asked],
        cwd=project,
        env=os.environ
        | {"SEGNB_ROOT": str(project), "PYTHONPATH": str(CHECKOUT / "profiles" / "kubernetes")},
        capture_output=True,
        text=True,
    )


def settled(project: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "segnb.cli", "study", "--preset", "smoke"],
        env=os.environ | {"SEGNB_ROOT": str(project)},
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_pod_mounts_the_volume_asks_for_memory_and_does_its_job(tmp_path):
    project = make_project(tmp_path / "project")
    study = settled(project)
    made = project / "runs" / study / "data-64.json"
    done = snakemake(project, study, "data", room=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(made.read_text())["train"] == 8
    (pod,) = [json.loads(line) for line in (project / "pods").read_text().splitlines()]
    container = pod["containers"][0]
    assert container["args"][1].startswith(f"cd {project} && {sys.executable} -m snakemake")
    assert {"mountPath": "/segnb", "name": "segnb"} in container["volumeMounts"]
    assert {"name": "segnb", "persistentVolumeClaim": {"claimName": "segnb"}} in pod["volumes"]
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]  # the study is on a CPU


def test_a_pod_that_trains_on_a_gpu_asks_for_one(tmp_path):
    project = make_project(tmp_path / "project")
    study = settled(project)
    path = project / "runs" / study / "study.json"
    told = json.loads(path.read_text())
    told["machine"]["device"] = "cuda"
    path.write_text(json.dumps(told))
    (path.parent / "data-64.json").write_text("{}")
    assert snakemake(project, study, "train", room=False).returncode == 1
    (pod,) = [json.loads(line) for line in (project / "pods").read_text().splitlines()]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["nvidia.com/gpu"]
