"""The Kubernetes executor for pods that all mount the project folder, at one and the same path.

The plugin itself takes it that pods share no disk, and Snakemake then copies declared files through a storage
service. A training that goes on after its pod is gone needs the whole folder of its run.
"""

import shlex
from dataclasses import replace

from snakemake_executor_plugin_kubernetes import Executor as OfThePlugin
from snakemake_executor_plugin_kubernetes import ExecutorSettings
from snakemake_executor_plugin_kubernetes import common_settings as of_the_plugin

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = replace(
    of_the_plugin,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(OfThePlugin):
    def get_job_exec_prefix(self, job):
        return f"cd {shlex.quote(str(self.workflow.workdir_init))}"
