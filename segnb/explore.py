"""Looking through a study's predictions by hand: what notebooks/explore.ipynb shows."""

import html

import ipywidgets as widgets

from segnb import figures, summary
from segnb.errors import SegnbError
from segnb.picture import DPI, WIDTH, Picture
from segnb.rundir import RunDir, open_study

VIEWS = ("ground truth", "prediction", "errors", "confidence")


def view(
    run: RunDir, image: int, view: str = "prediction", only: int | None = None, strength: float = 0.6
) -> Picture:
    """One kept test image of a run, and beside it the same with a view of it laid over.

    image:    position among the images that the run kept
    view:     one of VIEWS
    only:     id of the one class to show, or None for all
    strength: opacity of the overlay, 0 to 1
    """
    kept, classes = run.predictions(), run.study.classes
    truth, guess = kept["labels"][image], kept["predictions"][image]
    which = f"{summary.label(run.variant)}, seed {run.seed}"
    if view == "confidence":
        return figures.exploration(
            kept["images"][image],
            kept["confidence"][image],
            f"Confidence of {which}",
            classes,
            strength=strength,
            confidence=True,
        )
    if view == "errors":
        return figures.errors(
            kept["images"][image], truth, guess, f"Errors of {which}", classes, only, strength
        )
    values, title = (truth, "Ground truth") if view == "ground truth" else (guess, f"Prediction of {which}")
    return figures.exploration(kept["images"][image], values, title, classes, only, strength)


def tested(study: str) -> list[RunDir]:
    """The finished runs of a study; those that nobody has tested yet are tested first.

    None, and a printed sentence on what to do, where there is no such study yet.
    """
    try:
        runs = open_study(study).finished()
    except SegnbError as error:
        print(error)
        return []
    for run in runs:
        if not run.predictions_path.exists():
            from segnb.inference import measure  # brings torch, which takes seconds

            print(f"testing {summary.label(run.variant)}, seed {run.seed}, for the first time …")
            measure(run)
    return runs


def still(study: str) -> None:
    """Show one picture that stays when no kernel runs: errors of the first network on its first image."""
    for run in tested(study)[:1]:
        figures.show(view(run, 0, "errors"))


def explorer(study: str) -> widgets.Widget:
    """Controls and a picture that follows them, for the finished runs of a study.

    Without any, a sentence on what to do.
    """
    runs = tested(study)
    if not runs:
        return widgets.HTML(
            "There is no finished run to look at: run <code>make report</code> or notebooks/train.ipynb."
        )
    groups = summary.by_variant(runs)
    wide = {"style": {"description_width": "7em"}, "layout": {"width": "26em"}}
    variant = widgets.Dropdown(
        options=[(summary.label(name), name) for name in groups], description="Network", **wide
    )
    seed = widgets.Dropdown(options=[run.seed for run in groups[variant.value]], description="Seed", **wide)
    image = widgets.Dropdown(description="Test image", **wide)
    kind = widgets.Dropdown(options=VIEWS, value="prediction", description="Show", **wide)
    names = runs[0].study.classes.names
    only = widgets.Dropdown(
        options=[("all classes", None), *((name, i) for i, name in enumerate(names))],
        description="Class",
        **wide,
    )
    strength = widgets.FloatSlider(
        0.6, min=0, max=1, step=0.05, description="Overlay", continuous_update=False, **wide
    )
    picture = widgets.Image(layout={"max_width": "100%", "width": f"{WIDTH * DPI:.0f}px"})
    told = widgets.HTML()

    def chosen() -> RunDir:
        return runs[0].study.run(variant.value, seed.value)

    def new_variant(_=None) -> None:
        seed.options = [run.seed for run in groups[variant.value]]
        kept = [str(name) for name in chosen().predictions()["names"]]
        before = image.index or 0  # stay on the same image: the point is to compare networks on it
        image.options = [(name, i) for i, name in enumerate(kept)]
        image.index = min(before, len(kept) - 1)

    def draw(_=None) -> None:
        fig = view(chosen(), image.value, kind.value, only.value, strength.value)
        picture.value, told.value = fig.png(), html.escape(fig.alt)
        only.disabled = kind.value == "confidence"

    new_variant()
    draw()
    variant.observe(new_variant, "value")
    for control in (variant, seed, image, kind, only, strength):
        control.observe(draw, "value")
    controls = widgets.GridBox(
        [variant, kind, seed, only, image, strength],
        layout={"grid_template_columns": "repeat(auto-fit, minmax(26em, 1fr))", "max_width": "58em"},
    )
    return widgets.VBox([controls, picture, told])
