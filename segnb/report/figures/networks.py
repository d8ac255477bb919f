"""Drawings of the networks; `segnb.report.network_parts` derives what they show from the networks.

There are two layouts. A **ladder** has a row per grid, finest first, and goes down on the left and up on the
right; it shows whole networks. A **flow** goes from top to bottom; it shows a block or a gate.
"""

import re
from collections.abc import Callable
from os.path import commonprefix

from matplotlib.patches import FancyBboxPatch

from segnb.claims.wording import counted, listed, sentence
from segnb.models.registry import VARIANTS
from segnb.models.unet import BLOCKS
from segnb.report.figures.style import INK, QUIET, SMALL, WIDTH, Picture, figure, wrapped
from segnb.report.network_parts import CONCATENATE, Part, block_parts, gate_parts, network_parts
from segnb.study.study import Study

GATE_NAMES = {"strided": "gate 1", "additive": "gate 2", "class": "class gate"}  # the study's
INPUTS = {"images": "image", "skip": "skip", "below": "level\nbelow"}
NEW, COARSE = "#1467b8", "#dfe8f2"
FONT = SMALL  # points
PAD, GAP, MARGIN = 0.08, 0.17, 0.08  # inches: around a text, between rows, and to an arrow around a flow
NEAR = 0.12  # inches between two parts of a row, at least
ROUND = ("gate", "function", "merge")  # parts with round corners
STRIP, COLUMNS = 0.79, 3  # inches for the sizes of grids; drawings in a row


# ---- layouts: the column, from 0 to 1, and the row of each part -----------------------------------------


def _ancestors(parts: dict[str, Part], name: str) -> set[str]:
    return {name}.union(*(_ancestors(parts, read) for read in parts[name].reads))


def ladder(parts: dict[str, Part]) -> dict[str, tuple[float, int]]:
    """Place all parts except poolings and enlargements, which are arrows; input and result are on top."""
    first, *_, last = parts
    inner = [
        name for name, part in parts.items() if part.kind not in ("input", "pool", "up") and name != last
    ]
    rows: dict[int, tuple[list[str], list[str]]] = {}
    for name in sorted(inner, key=lambda name: -parts[name].side):
        side = parts[name].side
        up = any(parts[other].side < side for other in _ancestors(parts, name))
        rows.setdefault(side, ([], []))[up].append(name)
    end = max(len(down) + len(up) for down, up in rows.values()) - 1
    places: dict[str, tuple[float, int]] = {first: (0.0, 0), last: (1.0, 0)}
    for row, (down, up) in enumerate(rows.values(), start=1):
        places |= {name: (i / end, row) for i, name in enumerate(down)}
        places |= {name: (1 - i / end, row) for i, name in enumerate(reversed(up))}
    if len(down) == 1 and not up:
        places[down[0]] = 0.5, row  # the bottom, between encoder and decoder
    return places


def flow(parts: dict[str, Part]) -> dict[str, tuple[float, int]]:
    """Place all parts: left what depends on the skip alone, right on the decoder, in the middle on both."""
    inputs = {name for name, part in parts.items() if part.kind == "input"}
    below: dict[str, int] = {}
    for name in reversed(parts):
        below[name] = max((below[n] + 1 for n, part in parts.items() if name in part.reads), default=0)
    rows: dict[int, dict[str, float]] = {}
    for name in parts:
        reached = inputs & _ancestors(parts, name)
        column = 0.5 if reached == inputs else 1.0 - ("skip" in reached)
        rows.setdefault(0 if name in inputs else max(below.values()) - below[name], {})[name] = column
    places = {}
    for row, columns in rows.items():
        if len({*columns.values()}) < len(columns):
            columns = dict(zip(columns, (0.0, 1.0), strict=True))  # both ways through a residual block
        places |= {name: (column, row) for name, column in columns.items()}
    return places


# ---- drawing -------------------------------------------------------------------------------------------


def _text(name: str, parts: dict[str, Part]) -> str:
    part = parts[name]
    before, kernel = sum(parts[read].channels for read in part.reads), "".join(part.kernels[:1])
    joins = part.kind == "block" and len(part.reads) > 1
    channels = f"{before}→{part.channels}" if joins else f"{part.channels}"
    return {
        "input": f"{INPUTS.get(part.words, 'input')}\n{channels}",
        "stage": f"{part.words}\n{len(part.kernels)} conv\n{channels}",
        "block": channels,
        "layer": f"conv {kernel}\n{channels}",
        "up": f"logits\n{channels}" if name == [*parts][-1] else f"up-conv\n{kernel}\n{channels}",
        "gate": "gate",
        "merge": part.words + f"\n{channels}" * (part.words == CONCATENATE),
        "function": part.words + f"\n{channels}" * (before != part.channels),
    }[part.kind]


def _extent(text: str) -> tuple[float, float]:
    """Return width and height of the box of a text, in inches."""
    lines = text.split("\n")
    if len(text) == 1:
        return 0.26, 0.26  # a circle
    return max(map(len, lines)) * 0.61 * FONT / 72 + PAD, len(lines) * 1.2 * FONT / 72 + PAD


class Panel:
    """Drawing of a network, a block or a gate.

    Attributes:
        texts: {name of a part: text in it}
        places: {name of a part: column and row}
        arrows: {(from, to, factor of an enlargement on the way, or "")}
        marks: arrows and parts, to compare panels
    """

    def __init__(self, title: str, parts: dict[str, Part], layout: Callable):
        self.title, self.parts, self.layout, self.places = title, parts, layout, layout(parts)
        self.texts = {name: _text(name, parts) for name in self.places}
        self.arrows = set()
        for name in self.places:
            for read in parts[name].reads:
                way = [name]
                while read not in self.places:
                    way.append(read)
                    (read,) = parts[read].reads
                factors = [parts[step].words for step in way if parts[step].kind == "up"]
                marked = factors and layout is ladder and parts[name].kind != "gate"
                self.arrows.add((read, name, factors[0] if marked else ""))
        self.marks = self.arrows | {self._mark(name) for name in self.texts}

    def _mark(self, name: str) -> tuple:
        part = self.parts[name]
        return name, self.texts[name], part.kernels if part.kind != "gate" else ()

    def draw(self, ax, left: float, top: float, width: float, new: set) -> tuple[float, dict[int, float]]:
        """Draw in an axis whose unit is an inch, and return the lower end and {size of a grid: y}.

        new: marks to highlight
        """
        rows: dict[int, dict[str, float]] = {}
        for name, (column, row) in sorted(self.places.items(), key=lambda item: item[1][::-1]):
            rows.setdefault(row, {})[name] = column
        texts = self.texts
        if any(sum(_extent(texts[n])[0] + 0.1 for n in row) > width + 0.1 for row in rows.values()):
            texts = {name: text.replace("conv ", "conv\n") for name, text in texts.items()}
        sizes = {name: _extent(text) for name, text in texts.items()}
        half = [
            max((sizes[n][0] for row in rows.values() for n in row if row[n] == x), default=0) / 2
            for x in (0, 1)
        ]
        finest, y, spots, grids = max(part.side for part in self.parts.values()), top, {}, []
        for row in rows.values():
            high = max(sizes[name][1] for name in row)
            y -= high / 2 + GAP * (row is not rows[0])
            grids.append((min(self.parts[name].side for name in row), y))
            for name, column in row.items():
                spots[name] = left + half[0] + (width - sum(half)) * column, y
            if len(row) == 3:  # equal gaps
                one, two, three = row
                ends = spots[one][0] + sizes[one][0] / 2, spots[three][0] - sizes[three][0] / 2
                spots[two] = sum(ends) / 2, y
            elif self.layout is flow and len(row) == 2:
                one, two = row
                gap = spots[two][0] - spots[one][0] - (sizes[one][0] + sizes[two][0]) / 2
                spots[two] = spots[two][0] + max(NEAR - gap, 0), y
            y -= high / 2
        shapes = {}
        for name, (x, middle) in spots.items():
            part, (wide, high) = self.parts[name], sizes[name]
            colour = NEW if self._mark(name) in new else INK
            shapes[name] = FancyBboxPatch(
                (x - wide / 2, middle - high / 2),
                wide,
                high,
                boxstyle=f"round,pad=0,rounding_size={0.13 if part.kind in ROUND else 0.03}",
                ec=colour,
                fc=COARSE if self.layout is flow and part.side < finest else "white",
                lw=1.3,
                zorder=3,
            )
            ax.add_patch(shapes[name])
            how = {"ha": "center", "va": "center", "linespacing": 1.1, "zorder": 4}
            ax.text(x, middle, texts[name], fontsize=FONT, color=colour, **how)
        margins = left - MARGIN, left + width + MARGIN
        for arrow in sorted(self.arrows):
            self._arrow(ax, arrow, spots, shapes, margins, NEW if arrow in new else QUIET)
        return y, grids

    def _arrow(self, ax, arrow, spots, shapes, margins, colour) -> None:
        """Draw an arrow, along the margin if it would cross other parts."""
        source, target, factor = arrow
        (x, y), (x2, y2) = spots[source], spots[target]
        crossed = [n for n, (a, b) in spots.items() if y2 < b < y and (a == x or x != x2)]
        how = {"arrowstyle": "-|>", "color": colour, "lw": 1.3, "mutation_scale": 11}
        how |= {"shrinkA": 0, "shrinkB": 0}
        if crossed:
            to_left = min(x, x2) < sum(margins) / 2 - 0.01
            edge = x + (-0.5 if to_left else 0.5) * shapes[source].get_width()
            margin = margins[not to_left]
            ax.plot([edge, margin, margin], [y, y, y2], color=colour, lw=1.3, zorder=2)
            ax.annotate("", (x2, y2), (margin, y2), arrowprops=how | {"patchB": shapes[target]})
            return
        ends = {"patchA": shapes[source], "patchB": shapes[target]}
        ax.annotate("", (x2, y2), (x, y), arrowprops=how | ends)
        if factor:
            ax.text((x + x2) / 2 + 0.07, (y + y2) / 2, factor, va="center", fontsize=FONT, color=colour)


def _sheet(panels: list[Panel], reading: str, finding: str) -> Picture:
    """Draw panels in rows; what the most similar earlier panel has not is blue."""
    fig = Picture(height=1)
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    strip = STRIP if panels[0].layout is ladder else MARGIN + 0.1
    low, space = 0.17, (WIDTH - strip - 0.1) / COLUMNS
    for start in range(0, len(panels), COLUMNS):
        row, top = panels[start : start + COLUMNS], low - 0.3
        titles = [wrapped(panel.title, 20) for panel in row]
        under = top - 0.2 * (1 + max(title.count("\n") for title in titles))
        for i, (panel, title) in enumerate(zip(row, titles, strict=True), start=start):
            width = space - (2 * MARGIN + 0.16 if panel.layout is flow else 0.2)
            left = strip + (i - start) * space + (MARGIN if panel.layout is flow and i else 0)
            earlier = [other for other in panels[:i] if other.layout is panel.layout]
            new = min((panel.marks - other.marks for other in earlier), key=len, default=set())
            ax.text(left + width / 2, top, title, ha="center", va="top", fontsize=FONT, weight="bold")
            end, grids = panel.draw(ax, left, under - 0.08, width, new)
            low = min(low, end)
            for side, y in grids if i == start and panel.layout is ladder else []:
                ax.text(strip - 0.1, y, f"{side}×{side}", ha="right", va="center", fontsize=FONT, color=QUIET)
    fig.set_size_inches(WIDTH, 0.1 - low)
    ax.set(xlim=(0, WIDTH), ylim=(low - 0.1, 0))
    texts = ["; ".join(text.replace("\n", ", ") for text in panel.texts.values()) for panel in panels]
    alt = [f"{panel.title}: {text}." for panel, text in zip(panels, texts, strict=True)]
    return fig.described(
        f"{counted(len(panels), 'drawing')}, with the channels of each box. {' '.join(alt)}",
        f"{finding} {reading} Blue marks what the most similar drawing before it does not have.",
    )


# ---- figures ---------------------------------------------------------------------------------------------


def panels(family: str, study: Study) -> list[Panel]:
    """Draw the networks of a family at the sizes of a study, and for U-Nets their blocks.

    A network that consists of parts and arrows of the networks before it has no panel.
    """
    recipe, drawn = study.recipe(family), []
    for variant in VARIANTS.values():
        if variant.family == family:
            parts = network_parts(variant.name, len(study.classes), recipe.width, recipe.size)
            panel = Panel(variant.label, parts, ladder)
            same = next((other for other in drawn if other.marks == panel.marks), None)
            if same:
                words = [title.replace(",", "").split() for title in (same.title, panel.title)]
                same.title = " ".join(commonprefix(words)) or same.title
            elif panel.marks - set().union(*(other.marks for other in drawn)):
                drawn.append(panel)
    for kind, block in BLOCKS.items() if family == "unet" else ():
        title = re.sub("(?<=.)(?=[A-Z])", " ", block.__name__).capitalize()
        drawn.append(Panel(title, block_parts(kind, recipe.width, recipe.size), flow))
    return drawn


def gate_panels(study: Study) -> list[Panel]:
    """Draw the first level of a U-Net's decoder with each kind of gate, up to its block."""
    recipe = study.recipe("unet")
    sizes = len(study.classes), recipe.width, recipe.size
    return [Panel(name.capitalize(), gate_parts(kind, *sizes), flow) for kind, name in GATE_NAMES.items()]


@figure
def fcns(panels: list[Panel]) -> Picture:
    """Draw FCNs from `panels`."""
    texts = []
    for panel in panels:
        parts = panel.parts
        sums = [part for part in parts.values() if part.kind == "merge"]
        scores = [parts[read] for part in sums for read in part.reads if parts[read].kind == "layer"]
        added = listed([parts[score.reads[0]].words for score in scores])
        factors = listed([part.words[1:] for part in parts.values() if part.kind == "up"])
        texts.append(
            f"{panel.title} {f'adds the scores of {added} and ' if added else ''}enlarges by {factors}"
        )
    stages = [part for part in panels[0].parts.values() if part.kind == "stage"]
    counts = " or ".join(sorted({f"{len(part.kernels)}" for part in stages}))
    kernels = listed(sorted({kernel for part in stages for kernel in part.kernels}))
    return _sheet(
        panels,
        "Each row is a grid, with its size on the left; the last number in a box is its channels."
        f" {stages[0].words} to {stages[-1].words} are the stages of the backbone, with {counts} convolutions"
        f" of {kernels} and a max pooling each; ×n is learned upsampling by n. Frozen and fine-tuned networks"
        " differ only in training, and activations are not drawn.",
        sentence("; ".join(texts)),
    )


@figure
def unets(panels: list[Panel]) -> Picture:
    """Draw U-Nets and their blocks from `panels`."""
    texts = []
    for panel in panels:
        parts = panel.parts.values()
        skips = sum(part.kind == "block" and len(part.reads) > 1 for part in parts)
        gates = sum(part.kind == "gate" for part in parts)
        gated = f" ({counted(gates, 'gate')})" if gates else ""
        layers = sum(len(part.kernels) for part in parts if part.kind != "up")
        if panel.layout is ladder:
            texts.append(f"{panel.title}: {counted(skips, 'skip connection')}{gated}, {layers} convolutions")
    return _sheet(
        panels,
        "Each row is a grid, with its size on the left. Each box is a block with the number of its channels;"
        " with a skip connection, the number that it reads and the number that it returns. Arrows down are"
        " max pooling, ×2 is an up-convolution, and the last drawings show what is in a block, without"
        " normalisation.",
        sentence("; ".join(texts)),
    )


@figure
def gates(panels: list[Panel]) -> Picture:
    """Draw gates from `gate_panels`."""
    maps = [next(part for part in panel.parts.values() if part.words == "sigmoid") for panel in panels]
    texts = [
        f"{panel.title.lower()} computes {counted(part.channels, 'map')} of {part.side}×{part.side}"
        for panel, part in zip(panels, maps, strict=True)
    ]
    return _sheet(
        panels,
        "The gating signal is the decoder's level below: gate 1 reads it before the up-convolution, gate 2"
        " after it. The map multiplies (×) the skip; the class gate mixes its maps into one factor per"
        " channel. Numbers are channels, and shaded boxes are on the coarser grid.",
        sentence(f"at the first level, {'; '.join(texts)}"),
    )
