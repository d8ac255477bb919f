"""A chapter of the report: the study, runs and verdicts that its notebook uses."""

from functools import cached_property

from IPython.display import display

from segnb.claims.decide import decide
from segnb.claims.effects import Effects
from segnb.claims.findings import on_claim
from segnb.claims.saved import of_runs, references, stored
from segnb.claims.verdicts import StudyVerdicts
from segnb.errors import SegnbError
from segnb.params import ReportParams, parse_seeds
from segnb.report.claim_blocks import block
from segnb.report.figures.claims import pictures
from segnb.report.text import say
from segnb.study.study import Run, by_variant, of_family, open_study


class Chapter:
    """The study of a chapter, its evaluated runs and its verdicts.

    Args:
        params: Study, variants and seeds.
        family: "fcn" or "unet" limits the chapter to the runs of that family; "" for all.

    Raises:
        SegnbError: No run with these seeds is evaluated, though others are.
    """

    def __init__(self, params: ReportParams, family: str = ""):
        self.params = params
        self.study = open_study(params.study)
        runs: list[Run] = self.study.measured(params.variants)
        evaluated = of_family(runs, family) if family else runs
        seeds = {run.seed for run in evaluated} if params.seeds == "all" else {*parse_seeds(params.seeds)}
        self.runs = [run for run in evaluated if run.seed in seeds]
        if evaluated and not self.runs and seeds.isdisjoint(run.seed for run in self.study.diverged()):
            known = ", ".join(map(str, sorted({run.seed for run in evaluated})))
            raise SegnbError(
                f"seeds {params.seeds}: no evaluated run (this study has seeds {known})."
                " Choose among these, or all."
            )
        self.by_variant = by_variant(self.runs)

    @cached_property
    def effects(self) -> Effects:
        return Effects(self.study, self.params.variants, self.params.seeds)

    @cached_property
    def verdicts(self) -> StudyVerdicts:
        """The verdicts of claims.json, or computed ones if that file is about other networks or seeds."""
        variants, seeds = self.params.variants, self.params.seeds
        written = of_runs(self.study, self.study.measured(variants, seeds))
        return written or decide(self.study, variants, seeds)

    @cached_property
    def saved(self) -> list[StudyVerdicts]:
        """The reference studies. A study in results/ is its own reference only with one seed."""
        own = self.verdicts if self.verdicts.several_seeds else None
        return list(references(stored(), without=own).values())

    def show_claims(self, *names: str) -> None:
        """Display the named claims of the ledger in order, each as a block with its figures.

        A finding of the first page is repeated above its claim, so that a section begins with an answer.
        """
        for name in names:
            claim = self.verdicts.by_id[name]
            say(on_claim(self.verdicts, name))
            display(block(claim, pictures(claim, self.effects), self.saved))
