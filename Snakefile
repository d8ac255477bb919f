# The study as a graph: data -> trained runs -> evaluations -> verdicts -> chapters -> report.
#
#   snakemake --profile profiles/local --cores 2 --config study=NAME variants=A,B seeds=0,1
#
# `segnb report` creates the study and calls Snakemake. To call it yourself, get NAME from `segnb study`.
import glob
import os
import shlex
import sys
import time
from pathlib import Path

import yaml

from segnb.claims.related_studies import COMPANIONS, alike
from segnb.models.registry import FAMILIES, VARIANTS, parse_variants
from segnb.params import parse_seeds
from segnb.pipeline import resources
from segnb.report import CHAPTERS
from segnb.runtime.machine import ALLOCATOR
from segnb.study.provenance import evaluated_otherwise
from segnb.study.study import open_study
from segnb.training import EVALUATION_CODE, evaluation_digest

for needed in ("study", "variants", "seeds"):
    if needed not in config:
        raise WorkflowError(f"--config: no {needed}=... (expected study, variants and seeds)")

study = open_study(str(config["study"]))
variants = parse_variants(str(config["variants"]))
seeds = [str(seed) for seed in parse_seeds(config["seeds"])]
folder = f"runs/{study.name}"
# Runs that diverged are left out: they are not repeated, and no other step waits for them.
lost = {(run.variant, str(run.seed)) for run in study.diverged()}
runs = [f"{folder}/{name}/seed{seed}" for name in variants for seed in seeds if (name, seed) not in lost]
tests = [f"{run}/test_confusion.npz" for run in runs]
shown = {"study": study.name, "variants": ",".join(variants), "seeds": ",".join(seeds)}
# Every step replaces the shell that starts it, and ends with Snakemake in whatever way that ends.
segnb = f"exec {shlex.quote(sys.executable)} -m segnb.runtime.processes $PPID segnb.cli"
os.environ.update(ALLOCATOR)  # read when a process starts


def code(*places):
    """Return all files of rooms (folders of segnb/) and single modules."""
    below = [glob.glob(f"segnb/{place}/**/*.*", recursive=True) or [f"segnb/{place}"] for place in places]
    return sorted(path for paths in below for path in paths if "__pycache__" not in path)


# A change of a room repeats its step and all later ones: after a change of a claim, verdicts are computed again;
# after a change of a colour, figures are drawn again. No such change repeats a training: a study's name contains
# the digest of the training code.
EVALUATING = code(*EVALUATION_CODE)
DECIDING = code("claims", "audit", "stats")
DRAWING = code("report", "models/registry.py", "labels.py", "presets.py", "study")


def as_yaml(parameters):
    """Return parameters in one line, for `segnb run`."""
    return yaml.safe_dump(parameters, default_flow_style=True, width=float("inf")).strip()


def run_parameters(wildcards):
    """Return the parameters of train.ipynb for one run."""
    run = {"variant": wildcards.variant, "seed": int(wildcards.seed), "study": study.name}
    return as_yaml(study.settings["request"] | run)


# On a cluster the number of cores is unknown before a job runs: rules for all cores get those of a run.
on_cluster = workflow.remote_exec or workflow.resource_settings.cores is None
every_core = study.machine.threads if on_cluster else workflow.cores
gpu = {"gpu": 1} if study.machine.device == "cuda" else {}
parallel = resources.timed_in_parallel(study.machine)
aside = {resources.ASIDE: 1}  # one such step at a time leaves cores to trainings
before_training = 2 * len(seeds) + 2  # priority of steps that are not to wait for trainings


def urgency(wildcards):
    """Return the priority of a training, from 2 to 2 * len(seeds) + 1.

    Seeds come one after the other, so that an interrupted study has whole seeds. Within a seed the longest runs come
    first, so that no core waits for the last of them. Evaluation comes later: its short jobs fill the cores at the
    end.
    """
    return 2 * (len(seeds) - seeds.index(wildcards.seed)) + VARIANTS[wildcards.variant].trains_longest


def marks(paths, finished):
    """Return the files that mark images as there. A finished run does not ask for a missing one.

    Marks are missing after `make clean`, for example. Their rule then runs for new runs, and would repeat all others.
    """
    return [ancient(path) for path in paths if not finished or Path(path).exists()]


def images(wildcards):
    """Return the files that mark the images of every size as there."""
    done = study.run(wildcards.variant, int(wildcards.seed)).done
    return marks([f"{folder}/data-{size}.json" for size in study.sizes()], done)


def test_scenes(wildcards):
    """Return the file that marks the test scenes of a network's size as rendered."""
    run, size = study.run(wildcards.variant, int(wildcards.seed)), study.recipe(VARIANTS[wildcards.variant].family).size
    return marks([f"{folder}/scenes-{size}.json"], run in evaluated)


# An evaluation is repeated if the digest of the code that it records is not today's. Times of files cannot tell,
# because a checkout makes code new and copied runs are newer than it, nor can Snakemake's notes on earlier calls.
# Such runs therefore depend on a file that is new whenever Snakemake starts.
new, today = f"{folder}/outdated", evaluation_digest()
outdated = {run for run in study.finished() if evaluated_otherwise(run, today)}
evaluated = {*study.measured()} - outdated
if outdated:
    Path(new).write_text(str(time.time_ns()))  # a file with equal content would not count as new


def reason_to_evaluate(wildcards):
    """Return the new file if other code evaluated the run, and otherwise nothing."""
    return [new] if study.run(wildcards.variant, int(wildcards.seed)) in outdated else []


onstart:  # not in a dry run
    study.ask(variants, [int(seed) for seed in seeds])  # for `segnb status`, if `segnb report` did not do so


wildcard_constraints:
    seed=r"\d+",
    variant=r"\w+",


rule report:
    input:
        chapters=expand(f"{folder}/chapters/{{chapter}}.ipynb", chapter=CHAPTERS),
        claims=f"{folder}/claims.json",
        code=code("report"),
    output:
        "report/index.html",
    params:
        **shown,
    resources:
        **resources.SMALL,
    message:
        "report: joining chapters"
    shell:
        "{segnb} export {input.chapters:q} --out {output:q}"
        " --study {params.study:q} --variants {params.variants:q} --seeds {params.seeds:q}"


rule chapter:
    input:
        notebook="notebooks/{chapter}.ipynb",
        code=EVALUATING + DECIDING + DRAWING,
        tests=tests,
        cost=f"{folder}/cost.json",
        claims=f"{folder}/claims.json",
    output:
        f"{folder}/chapters/{{chapter}}.ipynb",
    params:
        yaml=as_yaml(shown),
    log:
        f"{folder}/chapters/{{chapter}}.log",
    resources:
        **resources.SMALL,
    # The chapters of networks draw most of the figures. They come first, so that no core waits for the last of them.
    priority: lambda w: int(w.chapter in FAMILIES)
    message:
        "chapter: {wildcards.chapter}"
    shell:
        "{segnb} run {input.notebook:q} {output:q} -y {params.yaml:q} --log {log:q}"


# Verdicts; some claims compare with studies of other data, if they exist.
related = [other.name for place in COMPANIONS for other in alike(study, place)]


rule claims:
    input:
        code=DECIDING,
        tests=tests,
        cost=f"{folder}/cost.json",
        companions=[
            test for name in related for test in sorted(glob.glob(f"runs/{name}/*/seed*/test_confusion.npz"))
        ],
    output:
        f"{folder}/claims.json",
    params:
        related=related,  # so that a study that is gone counts as a change
        **shown,
    log:
        f"{folder}/claims.log",
    resources:
        **resources.SMALL,
    message:
        "claims: computing verdicts"
    shell:
        "{segnb} claims --study {params.study:q} --variants {params.variants:q}"
        " --seeds {params.seeds:q} --out {output:q} > {log:q} 2>&1"


rule measure:
    input:
        run=f"{folder}/{{variant}}/seed{{seed}}/train.ipynb",
        scenes=test_scenes,
        outdated=reason_to_evaluate,
    output:
        # Some networks also write gates.npz and shift_confusion.npz, before the last of these files.
        [
            f"{folder}/{{variant}}/seed{{seed}}/{name}.npz"
            for name in ("test_confusion", "predictions", "predicted", "boundary", "objects")
        ],
    params:
        run=f"{folder}/{{variant}}/seed{{seed}}",
    log:
        f"{folder}/{{variant}}/seed{{seed}}/measure.log",
    threads: study.machine.threads
    resources:
        mem_mb=lambda w, attempt: attempt * resources.testing(study, w.variant)["mem_mb"],
        runtime=lambda w: resources.testing(study, w.variant)["runtime"],
        **gpu,
    message:
        "measure: {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "{segnb} measure {params.run:q} --log {log:q} > {log:q} 2>&1"


# The result of a run is its folder; the executed notebook is declared, because it is written last. last.pt is
# not declared: Snakemake deletes declared outputs of a failed job, and the next try resumes from it.
rule train:
    input:
        images,
    output:
        f"{folder}/{{variant}}/seed{{seed}}/train.ipynb",
    params:
        yaml=run_parameters,
    log:
        f"{folder}/{{variant}}/seed{{seed}}/train.log",
    threads: study.machine.threads
    resources:
        # On a cluster, a try after a failure asks for more memory, in case the estimate was too low.
        mem_mb=lambda w, attempt: attempt * resources.training(study, w.variant)["mem_mb"],
        runtime=lambda w: resources.training(study, w.variant)["runtime"],
        **gpu,
    priority: urgency
    message:
        "train: {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "{segnb} run notebooks/train.ipynb {output:q} -y {params.yaml:q} --log {log:q}"


# Includes networks measured before, so that a report of fewer networks does not lose them.
timed = sorted({*variants, *VARIANTS.keys() & study.cost().index})


# It runs next to trainings if they do not disturb its times, and otherwise alone on the machine, on all cores.
rule cost:
    input:
        code="segnb/evaluation/cost.py",
    output:
        f"{folder}/cost.json",
    params:
        study=study.name,
        variants=",".join(timed),
    threads: study.machine.threads if parallel else every_core
    resources:
        **resources.costing(study, timed),
        **gpu,
        **aside,
    priority: before_training if parallel else 0
    message:
        "cost: timing all networks"
    shell:
        "{segnb} cost --study {params.study:q} --variants {params.variants:q}"


rule data:
    output:
        touch(f"{folder}/data-{{size}}.json"),
    params:
        study=study.name,
    threads: every_core
    resources:
        **resources.preparing(study, every_core),
    priority: before_training + 1  # all trainings wait for it
    message:
        "data: images of {wildcards.size} px per side"
    shell:
        "{segnb} arrays --study {params.study:q} --size {wildcards.size}"


# Trainings do not wait for scenes that only evaluation needs. They are rendered next to trainings.
rule scenes:
    input:
        data=ancient(f"{folder}/data-{{size}}.json"),
    output:
        touch(f"{folder}/scenes-{{size}}.json"),
    params:
        study=study.name,
    threads: study.machine.threads
    resources:
        **resources.preparing(study, study.machine.threads),
        **aside,
    priority: before_training
    message:
        "scenes: test scenes of {wildcards.size} px per side for evaluation"
    shell:
        "SEGNB_PROCESSES={threads} {segnb} arrays --study {params.study:q} --size {wildcards.size} --evaluation"
