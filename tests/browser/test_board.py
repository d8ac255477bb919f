"""The explorer's board in the browser, without a kernel."""

import pytest

from segnb.explorer import board
from tests.browser.conftest import INSTALL

expect = pytest.importorskip("playwright.sync_api", reason=INSTALL).expect

# A board of 4x4 pixels with two networks, and a button next to it as in an output of JupyterLab. The model
# stands in for the kernel: it records what the board sends.
START = """
async (source) => {
  const bytes = (...values) => Uint8Array.from(values);
  const plain = (id) => new Uint8Array(16).fill(id);
  const handlers = [];
  window.sent = [];
  window.model = {
    values: {
      label: "Test", names: ["Road", "Car", "Sky"], palette: bytes(...Array(768).keys()), scale: plain(0),
      marks: { wrong: "#ff0000", missed: "#00ff00", found: "#0000ff", changed: "#00ffff" },
      pictures: [{ size: 4, image: new Uint8Array(48), truth: plain(1) }], heading: ["Image", "test 1"],
      panels: [
        { kind: "network", title: "One", note: "1% wrong", size: 4, classes: plain(0) },
        { kind: "network", title: "Two", note: "", size: 4 },
      ],
      view: 0, only: 0, strength: 0.7, across: 150, aspect: 1, point: [], pending: {},
      answers: { point: [], values: {} }, thumbs: [], picked: -1, said: "Ready.", busy: "", takes: 0,
    },
    get(name) { return this.values[name]; },
    set(name, value) { this.values[name] = value; this.fire(`change:${name}`); },
    save_changes() {},
    send(message) { sent.push(message.kind); },
    on(names, act) { for (const name of names.split(" ")) handlers.push([name, act]); },
    off() {},
    fire(name, ...values) { for (const [one, act] of handlers) if (one === name) act(...values); },
  };
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  document.body.innerHTML = `<div style="height: 3000px"></div><div class="jp-OutputArea-output">
    <button id="control">Ask</button><div style="height: 400px"></div><div id="board"></div></div>
    <div style="height: 3000px"></div>`;
  module.default.render({ model, el: document.querySelector("#board") });
}
"""


@pytest.fixture
def page(visit):
    with visit("about:blank") as (page, trouble, _):
        style = str(board.Board._css)
        page.add_style_tag(content=style)
        page.evaluate(START, str(board.Board._esm))
        yield page
        assert trouble == []


def set_trait(page, name: str, value) -> None:
    page.evaluate("([name, value]) => model.set(name, value)", [name, value])


def texts(page, selector: str) -> list[str]:
    """Return the texts of elements, read in one go: the board may draw its table again in between."""
    return page.evaluate("(s) => [...document.querySelectorAll(s)].map((node) => node.innerText)", selector)


def in_view(page, selector: str) -> bool:
    return page.locator(selector).evaluate(
        "(node) => { const { top, bottom } = node.getBoundingClientRect();"
        " return top >= -1 && bottom <= innerHeight + 1; }"
    )


def test_a_click_is_answered_where_one_looks_network_by_network(page):
    page.evaluate("scrollTo(0, document.querySelector('.segnb-grid').offsetTop - innerHeight + 250)")
    page.locator(".segnb-frame").nth(2).click(position={"x": 70, "y": 70})
    assert in_view(page, ".segnb-table")  # before the kernel answers
    assert page.locator(".segnb-frame").nth(2).evaluate("(node) => node.getBoundingClientRect().top >= 0")
    lines, captions = ".segnb-table tbody tr", ".segnb-grid figcaption em"
    assert texts(page, lines) == ["One\twaiting …", "Two\twaiting …"]
    assert texts(page, captions) == ["", "Here: Car", "Here: Road", ""]
    assert page.evaluate("sent") == ["there?"]

    point = page.evaluate("model.get('point')")
    set_trait(page, "pending", {"Two": "running …"})
    set_trait(page, "answers", {"point": point, "values": {"One": [0.6, 0.396, 0.004]}})
    expect(page.locator(lines).nth(1)).to_have_text("Tworunning …")
    heads = texts(page, ".segnb-table thead th")
    assert [head.split("\n")[0] for head in heads] == ["Car", "Road"]  # the ground truth first
    assert "(ground truth)" in heads[0]
    assert texts(page, lines)[0].split() == ["One", "40%", "60%"]
    assert texts(page, ".segnb-best") == ["60%"]
    assert texts(page, captions)[2] == "Here: Road, 60%"

    set_trait(page, "point", [0.1, 0.1])  # these are not the probabilities of another point
    assert texts(page, lines)[0] == "One\twaiting …"
    assert texts(page, captions)[2] == "Here: Road"


def test_names_are_shown_as_they_are_written(page):
    set_trait(page, "names", ["<b>Road</b>", "Car", "Sky"])
    set_trait(page, "point", [0.1, 0.1])
    set_trait(page, "answers", {"point": [0.1, 0.1], "values": {"One": [1, 0, 0]}})
    assert "<b>Road</b>" in page.locator(".segnb-table thead").inner_text()


def test_a_control_brings_its_result_into_view_and_a_silent_kernel_is_named(page):
    page.evaluate("scrollTo(0, document.querySelector('#control').offsetTop - innerHeight + 60)")
    assert not in_view(page, ".segnb-grid figure >> nth=0")
    said = page.locator(".segnb-said")
    page.locator("#control").click()
    assert in_view(page, ".segnb-grid figure >> nth=0") and in_view(page, "#control")
    assert page.evaluate("sent") == ["there?"] and said.inner_text() == "Ready."
    expect(said).to_have_text("Waiting for the kernel. If it has stopped, run all cells again.", timeout=3000)
    page.evaluate("model.fire('msg:custom', { kind: 'here' })")
    assert said.inner_text() == "Ready."
    set_trait(page, "busy", "Running One (network 1 of 2) …")
    assert said.inner_text() == "Running One (network 1 of 2) …"
    page.locator("#control").click()
    page.evaluate("model.fire('msg:custom', { kind: 'here' })")
    page.wait_for_timeout(1200)  # the answer came in time
    assert said.inner_text() == "Running One (network 1 of 2) …"
