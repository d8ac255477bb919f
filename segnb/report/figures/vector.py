"""Figures as small SVG files: a matplotlib renderer for the report.

matplotlib's own SVGs are three to five times as large, because they repeat styles at every mark and draw text
as outlines. Here, styles are classes, and equal marks are one path. Text is text: `textLength` gives it the
width that the layout expects, whatever font the reader has. Images are WebP files of their own pixels.
"""

import warnings
from html import escape

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

from segnb.report.html import embedded

# Verdana has the letter widths of DejaVu Sans, and Windows and macOS have it.
FONTS = "DejaVu Sans,Verdana,sans-serif"
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def drawing(figure: Figure) -> str:
    """Return a figure, whose layout is complete, as an SVG of `figure.dpi` CSS pixels per inch.

    Equal figures give equal text.
    """
    width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
    renderer = _Renderer(width, height, figure.dpi)
    figure.draw(renderer)
    return renderer.page()


def _short(number: float, digits: int = 1) -> str:
    text = f"{number:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class _Renderer(RendererBase):
    """A matplotlib renderer; matplotlib calls its public methods."""

    def __init__(self, width: int, height: int, dpi: float):
        super().__init__()
        self.width, self.height, self.dpi = width, height, dpi
        self._parts: list[str] = []
        self._definitions: dict[str, str] = {}  # id by content with "{}" for the id
        self._classes: dict[str, str] = {}  # class by style

    def page(self) -> str:
        """Return the SVG. Its own size is doubled, for a sharp PNG of it."""
        styles = "".join(f".{name}{{{style}}}" for style, name in self._classes.items())
        definitions = "".join(content.format(name) for content, name in self._definitions.items())
        size = f"width='{2 * self.width}' height='{2 * self.height}' viewBox='0 0 {self.width} {self.height}'"
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' {size}>"
            f"<style>*{{stroke-linejoin:round}}text{{font-family:{FONTS};white-space:pre}}"
            f"image{{image-rendering:pixelated}}{styles}</style>"
            f"<defs>{definitions}</defs>{''.join(self._parts)}</svg>"
        )

    # --- what matplotlib asks ---

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def points_to_pixels(self, points):
        return points * self.dpi / 72

    def option_image_nocomposite(self) -> bool:
        return True

    def option_scale_image(self) -> bool:
        return True

    def get_text_width_height_descent(self, s, prop, ismath):
        return self._measured(s, prop)[0]

    def _measured(self, s, prop) -> tuple[tuple[float, float, float], bool]:
        """Return width, height and descent of a text, and whether the font has all its letters.

        The reader's fonts may have the others.
        """
        with warnings.catch_warnings(record=True) as missing:
            warnings.simplefilter("always")
            sizes = self._text2path.get_text_width_height_descent(s, prop, False)
        return tuple(self.points_to_pixels(size) for size in sizes), not missing

    # --- what matplotlib draws ---

    def draw_path(self, gc, path, transform, rgbFace=None):
        filled = gc.get_hatch() is not None or rgbFace is not None
        how = {} if filled else {"clip": (0, 0, self.width, self.height), "simplify": path.should_simplify}
        if line := self._line(path, transform + self._flip, **how):
            self._parts.append(f"<path{self._looks(gc, rgbFace)} d='{line}'/>")

    def draw_markers(self, gc, marker_path, marker_trans, path, trans, rgbFace=None):
        corners = path.iter_segments(trans + self._flip, simplify=False)
        points = [ends[-2:] for ends, _ in corners if np.isfinite(ends[-2:]).all()]
        upright = marker_trans + Affine2D().scale(1, -1)
        if len(points) < 3:
            for place in points:
                line = self._line(marker_path, upright + Affine2D().translate(*place), 2)
                self._parts.append(f"<path{self._looks(gc, rgbFace)} d='{line}'/>")
        else:
            looks, line = self._looks(gc, rgbFace, clipped=False), self._line(marker_path, upright, 2)
            marker = "<marker id='{}' overflow='visible' markerUnits='userSpaceOnUse'>"
            name = self._define(f"{marker}<path{looks} d='{line}'/></marker>")
            # A path draws its marker at every corner.
            looks = self._classed(f"fill:none;marker:url(#{name});{self._clip(gc)}")
            self._parts.append(
                f"<path{looks} d='M{'L'.join(f'{_short(x)} {_short(y)}' for x, y in points)}'/>"
            )

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        words = escape("".join(letter for letter in s if letter >= " "), quote=False)
        (width, _, _), known = self._measured(s, prop)
        size = self.points_to_pixels(prop.get_size_in_points())
        style = f"font-size:{_short(size, 2)}px;{self._paint('fill', gc.get_rgb())}"
        if prop.get_weight() not in ("normal", 400):
            style += f"font-weight:{prop.get_weight()};"
        place = f"x='{_short(x)}' y='{_short(y)}'"
        turn = f" transform='rotate({_short(-angle)} {_short(x)} {_short(y)})'" if angle else ""
        length = f" textLength='{_short(width)}'" if len(s) > 1 and known else ""
        self._parts.append(f"<text{self._classed(style)} {place}{length}{turn}>{words}</text>")

    def draw_image(self, gc, x, y, im, transform):
        self._place(gc, im, Bbox(transform.transform([[0, 0], [1, 1]])).translated(x, y))

    def draw_quad_mesh(
        self, gc, transform, wide, high, coordinates, offsets, offset_transform, faces, antialiased, edges
    ):
        """Draw a regular mesh, such as a colour bar, as an image, and the lines between its cells."""
        first, across, last = transform.transform(coordinates[[0, 0, -1], [0, -1, -1]])
        colours = np.round(255 * np.asarray(faces)).astype(np.uint8).reshape(high, wide, 4)
        if abs(across - first).argmax() == 1:  # a row of the mesh runs upwards
            colours = colours.swapaxes(0, 1)
        self._place(gc, colours, Bbox([first, last] + offset_transform.transform(offsets)[0]))
        if gc.get_linewidth() and len(edges):
            ends = np.concatenate([coordinates[:, [0, -1]], coordinates[[0, -1]].swapaxes(0, 1)])
            lines = Path(ends.reshape(-1, 2), [Path.MOVETO, Path.LINETO] * len(ends))
            gc.set_foreground(edges[0], isRGBA=True)
            self.draw_path(gc, lines, transform)

    def _place(self, gc, pixels: np.ndarray, box: Bbox) -> None:
        """Draw an image, the first pixel of which is at the first corner of the box."""
        if box.y1 > box.y0:
            pixels = pixels[::-1]
        if (pixels[..., 3] == 255).all():
            pixels = pixels[..., :3]
        size = f"x='{_short(box.xmin, 2)}' y='{_short(self.height - box.ymax, 2)}'"
        size += f" width='{_short(abs(box.width), 2)}' height='{_short(abs(box.height), 2)}'"
        clip = self._classed(self._clip(gc)) if self._clip(gc) else ""
        source = embedded(Image.fromarray(np.ascontiguousarray(pixels)))
        self._parts.append(f"<image{clip} {size} preserveAspectRatio='none' href='{source}'/>")

    # --- styles and definitions ---

    @property
    def _flip(self) -> Affine2D:
        return Affine2D().scale(1, -1).translate(0, self.height)

    def _line(self, path: Path, transform, digits: int = 1, simplify: bool = False, clip=None) -> str:
        parts, last = [], ""
        for ends, code in path.iter_segments(transform, simplify=simplify, clip=clip):
            command = COMMANDS[code]
            numbers = "" if command == "Z" else " ".join(_short(number, digits) for number in ends)
            parts.append(f"{command}{numbers}" if command != last or command == "Z" else f" {numbers}")
            last = {"M": "L"}.get(command, command)  # further corners after M are lines
        return "".join(parts)

    def _looks(self, gc: GraphicsContextBase, face, clipped: bool = True) -> str:
        """Return the attribute with the class of a path."""
        fades = gc.get_alpha() if gc.get_forced_alpha() else 1
        if gc.get_hatch() is not None:
            style = f"fill:url(#{self._hatch(gc, face)});"
        else:
            style = "fill:none;" if face is None else self._paint("fill", face, gc.get_forced_alpha())
        if gc.get_linewidth():
            style += self._paint("stroke", gc.get_rgb(), gc.get_forced_alpha())
            style += f"stroke-width:{self._points(gc.get_linewidth())};"
            _, dashes = gc.get_dashes()
            if dashes is not None:
                style += f"stroke-dasharray:{','.join(map(self._points, dashes))};"
            if gc.get_joinstyle() != "round":
                style += f"stroke-linejoin:{gc.get_joinstyle()};"
            if gc.get_capstyle() != "butt":
                style += f"stroke-linecap:{gc.get_capstyle().replace('projecting', 'square')};"
        style += f"opacity:{_short(fades, 2)};" if fades != 1 else ""
        return self._classed(style + (self._clip(gc) if clipped else ""))

    def _points(self, points: float) -> str:
        return _short(self.points_to_pixels(points), 2)

    def _paint(self, name: str, colour, opaque: bool = False) -> str:
        alpha = 1 if opaque or len(colour) < 4 else colour[3]
        return f"{name}:{to_hex(colour)};" + (f"{name}-opacity:{_short(alpha, 2)};" if alpha != 1 else "")

    def _classed(self, style: str) -> str:
        style = style.rstrip(";")
        return f" class='{self._classes.setdefault(style, f'c{len(self._classes)}')}'"

    def _define(self, content: str) -> str:
        return self._definitions.setdefault(content, f"d{len(self._definitions)}")

    def _clip(self, gc: GraphicsContextBase) -> str:
        rectangle = gc.get_clip_rectangle()
        if rectangle is None:
            return ""
        x, y, width, height = rectangle.bounds
        corner = f"x='{_short(x)}' y='{_short(self.height - y - height)}'"
        inside = f"<rect {corner} width='{_short(width)}' height='{_short(height)}'/>"
        name = self._define(f"<clipPath id='{{}}'>{inside}</clipPath>")
        return f"clip-path:url(#{name});"

    def _hatch(self, gc: GraphicsContextBase, face) -> str:
        side = self.dpi
        line = self._line(gc.get_hatch_path(), Affine2D().scale(side, -side).translate(0, side))
        under = "none" if face is None else to_hex(face)
        ink = to_hex(gc.get_hatch_color())
        width = self._points(gc.get_hatch_linewidth())
        return self._define(
            f"<pattern id='{{}}' patternUnits='userSpaceOnUse' width='{side}' height='{side}'>"
            f"<rect width='{side}' height='{side}' fill='{under}'/>"
            f"<path d='{line}' fill='{ink}' stroke='{ink}' stroke-width='{width}'/></pattern>"
        )
