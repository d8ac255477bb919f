"""Part of the explorer for one network, with switches for its skips and gates."""

from functools import partial

import ipywidgets as widgets
import traitlets as t

from segnb.evaluation import ablation, evaluate
from segnb.evaluation.scores import image_miou
from segnb.explorer import album, board
from segnb.explorer.album import Scene
from segnb.labels import IGNORE_INDEX
from segnb.models.registry import VARIANTS
from segnb.report.figures.images import wrong_share
from segnb.report.figures.style import percent
from segnb.study.study import Run


def part(run: Run, kind: str, level: int) -> str:
    """Name a skip or gate: "skip 1", "gate 1", or "pool4" of an FCN."""
    fcn = kind == "skip" and level in ablation.FUSED and VARIANTS[run.variant].family == "fcn"
    return f"pool{level - 1}" if fcn else f"{kind} {level}"


class Inside:
    """One network with switches for its skips and gates: predictions, changed pixels, and gate maps.

    Args:
        state: the `Explorer` whose image and aspect are shown
    """

    def __init__(self, state):
        self.state, self.classes = state, state.classes
        self.run = board.dropdown("Network", [(album.named(run), run) for run in state.parted], board.LONG)
        self.run.value = state.parted_first
        self.switches = {
            (kind, level): widgets.Checkbox(True, indent=False, layout={"width": "15em"})
            for kind, levels in (("skip", range(1, 6)), ("gate", ablation.LEVELS))
            for level in levels
        }
        self.kind = board.dropdown("Gate of class", [(name, i) for i, name in enumerate(self.classes.names)])
        self.all_on, self.all_off = board.button("All on"), board.button("All skips off")
        self.board = board.Board(self.classes, label="One network")
        self.box = widgets.VBox(
            [
                board.row(self.run, self.kind, self.all_on, self.all_off),
                board.row(*(control for (kind, _), control in self.switches.items() if kind == "skip")),
                board.row(*(control for (kind, _), control in self.switches.items() if kind == "gate")),
                self.board.view_controls(),
                self.board,
            ]
        )
        self.whole: tuple[Run, Scene, evaluate.Prediction] | None = None  # the last prediction as trained
        self.fit()
        self.draw()
        turn = state.turns
        self.run.observe(turn(self.fit), "value")
        for control in (self.run, self.kind, *self.switches.values()):
            control.observe(turn(self.draw), "value")
        self.all_on.on_click(turn(lambda _: self.switch({"skip": True, "gate": True})))
        self.all_off.on_click(turn(lambda _: self.switch({"skip": False})))
        self.board.listen(turn)
        state.observe(self.draw, "scene")
        t.dlink((state, "aspect"), (self.board, "aspect"))

    def levels(self, kind: str) -> tuple[int, ...]:
        """Return the levels at which the network has a skip or a gate; kind is "skip" or "gate"."""
        variant = self.run.value.variant
        return (ablation.skip_levels if kind == "skip" else ablation.gate_levels)(variant)

    def fit(self, _=None) -> None:
        """Show the switches of the network's skips and gates."""
        for (kind, level), control in self.switches.items():
            name = part(self.run.value, kind, level)
            scale = "full" if level == 1 else f"1/{2 ** (level - 1)}"
            control.description = f"{name[0].upper()}{name[1:]}, {scale} resolution"
            board.hide(control, level not in self.levels(kind))
        board.hide(self.kind, VARIANTS[self.run.value.variant].gate != "class")

    def switch(self, to: dict[str, bool]) -> None:
        """Set all switches of a kind, such as {"skip": False}; the last drawing cancels the others."""
        for (kind, _), control in self.switches.items():
            control.value = to.get(kind, control.value)

    def off(self, kind: str) -> list[int]:
        """Return the levels of the network's skips or gates that are switched off."""
        return [level for level in self.levels(kind) if not self.switches[kind, level].value]

    def draw(self, _=None) -> None:
        """Show the network with and without the parts that are off."""
        skips = self.off("skip")
        for level in self.levels("gate"):  # a gate has no effect on a skip that is off
            self.switches["gate", level].disabled = level in skips
        gated = [level for level in self.off("gate") if level not in skips]
        self.state.turns.ask("inside", self.answer(self.run.value, self.state.scene, skips, gated))

    async def answer(self, run: Run, scene: Scene, skips: list[int], gated: list[int]) -> None:
        """Predict with and without parts, and show both.

        Args:
            run: the network
            scene: the image
            skips, gated: levels whose skips and gates are off
        """
        size, compute = run.recipe.size, self.state.turns.compute
        image = scene.images[size]
        with self.board.errors():
            self.board.busy = f"Running {album.named(run)} …"
            if self.whole is None or self.whole[:2] != (run, scene):
                self.whole = run, scene, await compute(partial(evaluate.predict, run, image))
            whole = now = self.whole[2]
            panels = [self.panel("As trained", whole)]
            text = "Nothing is switched off."
            if skips or gated:
                parts = [part(run, "skip", level) for level in skips]
                parts += [part(run, "gate", level) for level in gated]
                self.board.busy = f"Running {album.named(run)} without {', '.join(parts)} …"
                now = await compute(partial(evaluate.predict, run, image, skips, gated))
                changed = now.classes != whole.classes
                share = percent(changed.mean())
                panels.append(self.panel("Switched off", now))
                panels.append(board.panel("changed", "Changed pixels", share, size, mask=changed))
                text = f"Without {', '.join(parts)}, the class changes for {share} of the pixels."
                before, after = self.scores(whole), self.scores(now)
                text += f" Before: {before}. After: {after}." if before else ""
            panels += self.maps(now, size)
            self.board.said = text
            self.board.show(scene, [size], panels)
        self.board.busy = ""

    def maps(self, prediction: evaluate.Prediction, size: int) -> list[dict]:
        """Return panels of the gate maps, for class gates those of the chosen class."""
        panels = []
        for level, maps in prediction.maps.items():
            per_class = len(maps) > 1
            values = maps[self.kind.value if per_class else 0]
            title = f"Gate {level}" + (f", {self.classes.names[self.kind.value]}" if per_class else "")
            note = f"mean {values.mean():.2f} ± {values.std():.2f}"
            cells = {"cell": 2 ** (level - 1), "width": len(values[0])}  # pixels per cell, cells per row
            panels.append(board.panel("map", title, note, size, values=(255 * values).round()) | cells)
        return panels

    def panel(self, title: str, prediction: evaluate.Prediction) -> dict:
        """Return the panel of a prediction."""
        maps = {"classes": prediction.classes, "confidence": prediction.confidence}
        return board.panel("network", title, self.scores(prediction), len(prediction.classes), **maps)

    def scores(self, prediction: evaluate.Prediction) -> str:
        """Print the scores of a prediction on this image alone; "" without labelled pixels."""
        truth = self.state.scene.labels.get(len(prediction.classes))
        if truth is None or (truth == IGNORE_INDEX).all():
            return ""
        miou = image_miou(truth, prediction.classes, len(self.classes))
        return f"mIoU {miou:.3f}, {percent(wrong_share(truth, prediction.classes))} wrong"
