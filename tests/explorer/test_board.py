"""Messages to the browser and from it."""

import re

import numpy as np

from segnb.explorer import board
from segnb.explorer.album import Scene
from segnb.labels import STREET


def test_the_board_is_sent_pictures_and_panels_together():
    shown = board.Board(STREET, label="Test")
    assert len(shown.palette) == len(shown.scale) == 3 * 256 and shown.names == list(STREET.names)
    image, labels = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 7, np.uint8)
    sent = []
    shown.send_state = lambda key=None: sent.append(set(key))
    panels = [
        board.panel("network", "A", "note", 4, classes=labels, confidence=None),
        board.panel("changed", "B", "", 4, mask=labels > 0),
        board.panel("map", "C", "", 4, values=np.full((2, 2), 127.0)),
    ]
    shown.show(Scene("", {4: image}, {4: labels}, number=0), [4], panels)
    assert sent == [{"pictures", "panels"}]
    assert shown.pictures[0]["truth"] == labels.tobytes() and len(shown.pictures[0]["image"]) == 48
    assert shown.panels[0]["classes"] == labels.tobytes() and "confidence" not in shown.panels[0]
    assert shown.panels[1]["mask"] == b"\1" * 16 and shown.panels[2]["values"] == b"\x7f" * 4
    shown.show(Scene("", {4: image}, number=0), [4], panels[:1])
    assert "truth" not in shown.pictures[0]


def test_a_dropped_file_arrives_and_other_messages_do_not():
    shown, taken = board.Board(STREET), []
    shown.listen(board.Turns(), lambda name, content: taken.append((name, content)))
    message = {"content": {"data": {"method": "custom", "content": {"kind": "file", "name": "a"}}}}
    shown._handle_msg(message | {"buffers": [memoryview(b"xy")]})
    shown._handle_msg(message | {"buffers": []})
    shown._handle_msg(
        {"content": {"data": {"method": "custom", "content": {"kind": "other"}}}, "buffers": [b""]}
    )
    assert taken == [("a", b"xy")]


def test_what_runs_in_the_browser_loads_nothing():
    for file in (board.Board._esm, board.Board._css):
        assert not re.search(r"https?:|\bimport\b|@import|url\(|eval|innerHTML", str(file))
