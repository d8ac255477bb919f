"""The parts of the explorer as a notebook shows them."""

from segnb import explorer
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import Explorer, board


def test_without_runs_each_part_says_what_to_do(project, capsys):
    empty = Explorer("latest")
    empty.networks()
    empty.inside()
    told = capsys.readouterr().out
    assert told.count("make report") == 3


def test_every_control_says_what_it_is(networks, inside):
    def every(box):
        return [
            deep
            for child in box.children
            for deep in (every(child) if hasattr(child, "children") else [child])
        ]

    for control in every(networks.box) + every(inside.box):
        assert getattr(control, "description", "") or getattr(control, "label", "")


def test_each_part_shows_its_picture_before_its_widget(state, monkeypatch):
    """The figure has its place before the widget, and is drawn after it."""
    shown = []

    class Place:
        def update(self, what, **how):
            shown.append(what)

    def display(what, display_id=False):
        shown.append(what)
        return Place() if display_id else None

    monkeypatch.setattr(explorer, "display", display)
    state.networks()
    state.inside()
    kinds = [type(one).__name__ for one in shown]
    assert kinds == 2 * ["HTML", "HTML", "VBox", "dict", "HTML"]
    assert "Opening" in shown[0].data and state.first.name in shown[3]["text/plain"]
    assert "Red pixels are wrong." in shown[4].data  # the caption
    style = str(board.Board._css)  # hides the figure if the widget is there
    child = ".jp-OutputArea-child"
    assert f"{child}:has(+ {child} .segnb-board),\n{child}:has(+ {child} + {child} .segnb-board)" in style


def test_a_damaged_network_takes_only_its_figure_away(state, monkeypatch):
    def damaged(run):
        raise SegnbError("model.safetensors is damaged <here>")

    told = []
    place = type("Place", (), {"update": lambda self, what, **how: told.append(what)})()
    monkeypatch.setattr(evaluate, "network", damaged)
    monkeypatch.setattr(explorer, "display", lambda what, display_id=False: place)
    state.inside()
    assert told[0].data == "<p>model.safetensors is damaged &lt;here&gt;</p>"
