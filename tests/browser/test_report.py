"""The report in a browser, as a reader has it: from a file, with every network cut off."""

import csv
import io
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import urldefrag
from xml.etree import ElementTree

import pytest
from PIL import Image

from segnb.claims.ledger import LEDGER
from segnb.claims.verdicts import WORDS
from segnb.report.figures.style import DPI, SMALL
from tests.browser.conftest import INSTALL
from tests.conftest import REPORTED
from tests.report.weights import weigh

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=INSTALL).Axe

SCREENS = [(1440, False), (1440, True), (390, False), (390, True)]

# What Tab stops at, in the order of the page; nothing that is folded away.
STOPS = """
() => [...document.querySelectorAll(
  'a[href], button, summary, input, select, textarea, [tabindex]:not([tabindex="-1"])'
)].filter((tag) => !tag.disabled && tag.checkVisibility({ visibilityProperty: true }))
"""

# Where the focus is: number of the stop, and what is wrong with how it looks there.
HERE = """
(all) => {
  const tag = document.activeElement, box = tag.getBoundingClientRect(), style = getComputedStyle(tag);
  const told = (tag.ariaLabel || tag.textContent).trim().slice(0, 60);
  const wrong = [];
  if (!tag.matches(':focus-visible') || style.outlineStyle === 'none' || !parseFloat(style.outlineWidth))
    wrong.push('shows no focus');
  if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth)
    wrong.push('is out of sight');
  return [all.indexOf(tag), tag.tagName.toLowerCase() + ' ' + told, wrong.join(' and ')];
}
"""

SHOW_CODE = "() => document.querySelector('.show-code').click()"
UNFOLD = "() => document.querySelectorAll('details').forEach((block) => { block.open = true; })"

# What is wider than the page and not inside a box that scrolls by itself.
WIDER = """
() => [...document.querySelectorAll('body *')].filter((tag) => {
  const box = tag.getBoundingClientRect();
  if (!box.width || box.right <= document.documentElement.clientWidth + 1) return false;
  for (let up = tag.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== 'visible') return false;
  return true;
}).map((tag) => tag.outerHTML.slice(0, 120))
"""

# Follows a link to each place in the page, from its top. How many, and for those that missed, where they led.
FOLLOW = """
async () => {
  const missed = {};
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const all = [...document.querySelectorAll('a[href^="#"]')].reverse();  // of equal links, the first is kept
  const links = new Map(all.map((link) => [link.hash, link])).values();
  let followed = 0;
  for (const link of links) {
    followed += 1;
    history.replaceState(null, '', location.pathname);
    document.querySelectorAll('details').forEach((block) => { block.open = false; });
    scrollTo(0, 0);
    link.click();
    await frame();
    const place = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const box = place && place.getBoundingClientRect();
    if (!place) missed[link.hash] = 'is not in the page';
    else if (!place.checkVisibility({ visibilityProperty: true }) || !box.height)
      missed[link.hash] = 'is not to be seen';
    else if (box.top < -1 || box.top >= innerHeight) missed[link.hash] = `is at ${box.top} of ${innerHeight}`;
    else if (link.closest('.contents') && !link.hasAttribute('aria-current'))
      missed[link.hash] = 'is not marked in the contents';
  }
  return { ...missed, followed };
}
"""

# Text, number of lines and right edge of cells.
CELLS = """
(all) => all.map((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const lines = new Set([...range.getClientRects()].map((line) => Math.round(line.top)));
  return [cell.textContent, lines.size, cell.getBoundingClientRect().right];
})
"""


def overhang(page) -> tuple[int, list[str]]:
    """By how many pixels the page is wider than the screen, and what is."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide, page.evaluate(WIDER)


@pytest.fixture(
    scope="module", params=SCREENS, ids=lambda screen: f"{screen[0]}{'-dark' if screen[1] else ''}"
)
def screen(visit, report, request):
    """The report as it opens, on one screen. Nothing is changed on it."""
    wide, dark = request.param
    with visit(report.as_uri(), wide=wide, dark=dark) as opened:
        yield opened


@pytest.fixture
def own(visit, report, request):
    """The report on a page of the test's own: on a small screen, where controls cover each other sooner."""
    with visit(report.as_uri(), wide=getattr(request, "param", 390)) as opened:
        yield opened


each_width = pytest.mark.parametrize("own", [1440, 390], indirect=True)


def test_it_opens_without_an_error_or_a_request(screen, report):
    assert report.stat().st_size < 20e6
    assert screen.page.locator("main h2").count() >= 4
    assert (screen.trouble, screen.requests) == ([], [])


def test_it_is_as_light_or_dark_as_the_reader_wants(screen, request):
    ground = screen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) / 3
    _, dark = request.node.callspec.params["screen"]
    assert shade < 60 if dark else shade > 200
    look = "(image) => getComputedStyle(image).filter"
    for name, turns in (("fig-fcn-trimap", dark), ("fig-dataset-class-legend", False)):
        assert (screen.page.locator(f"#{name} img").evaluate(look) != "none") is turns


def test_it_does_not_scroll_sideways(screen):
    assert overhang(screen.page) == (0, [])


# Everything unfolded; colours differ by scheme and places by width, so two screens tell of all four.
@pytest.mark.parametrize(("wide", "dark"), [(1440, False), (390, True)])
def test_unfolded_axe_finds_nothing_and_it_does_not_scroll_sideways_either(visit, report, wide, dark):
    with visit(report.as_uri(), wide=wide, dark=dark) as (page, _, _):
        page.evaluate(SHOW_CODE)
        page.evaluate(UNFOLD)
        assert overhang(page) == (0, [])
        results = Axe().run(page)
    assert not results.violations_count, results.generate_report()


@each_width
def test_every_link_within_it_lands_where_it_says(own):
    """Each is clicked from the top of the page; what it names is then on the screen, unfolded if need be."""
    missed = own.page.evaluate(FOLLOW)
    assert missed.pop("followed") >= 30
    assert missed == {}
    assert own.trouble == []


def test_an_address_that_is_cut_off_breaks_nothing(own):
    own.page.evaluate("location.hash = '#%E0%A4%A'")
    own.page.evaluate("location.hash = '#references'")  # after both, the script has looked for their places
    own.page.wait_for_function("scrollY > 0")
    assert own.trouble == []


def test_every_page_beside_it_opens_and_leads_back(visit, report):
    with visit(report.as_uri()) as (page, _, _):
        links = page.locator("a[href]").evaluate_all("all => all.map((a) => a.href)")
    beside = sorted({urldefrag(link).url for link in links} - {report.as_uri()})
    assert len([link for link in beside if link.startswith("file:")]) >= len(REPORTED)
    for link in beside:
        if link.startswith("file:"):
            with visit(link, wide=390) as (page, trouble, requests):
                back = page.get_by_role("link", name="Back to the report").evaluate("(a) => a.href")
                assert (back, trouble, requests, overhang(page)) == (report.as_uri(), [], [], (0, []))
        else:
            assert link.startswith("https://")


def test_one_switch_shows_the_code_of_all_cells_and_a_click_folds_one(own):
    cells = own.page.locator("details.code")
    switch = own.page.get_by_role("button", name="Show code")
    own.page.locator("main h3").nth(2).scroll_into_view_if_needed()
    for pressed in ("true", "false", "true"):
        switch.click()
        assert switch.get_attribute("aria-pressed") == pressed
        shown = cells.evaluate_all("all => all.map((cell) => cell.open && cell.checkVisibility())")
        assert len(shown) > 20 and set(shown) == {pressed == "true"}
    inside = cells.first.locator(":scope > :not(summary)").first
    cells.first.locator("summary").click()
    assert not inside.is_visible()
    cells.first.locator("summary").click()
    assert inside.is_visible() and inside.bounding_box()["height"] > 20


def test_a_click_or_a_key_unfolds_a_claim_and_a_button_all_of_a_chapter(own):
    first, second = (own.page.locator("details.claim").nth(n) for n in (0, 1))
    inside = first.locator(":scope > :not(summary)").first
    assert not inside.is_visible()
    first.locator("summary").first.click()
    assert inside.is_visible() and inside.bounding_box()["height"] > 20
    second.locator("summary").first.focus()
    own.page.keyboard.press("Enter")
    assert second.evaluate("(claim) => claim.open")
    buttons = own.page.get_by_role("button", name=re.compile("^(Open|Close) all claims"))
    assert buttons.count() >= 1
    for button in buttons.all():
        claims = button.locator("xpath=ancestor::article").locator("details.claim")
        for wanted in (True, False):
            button.click()
            assert claims.evaluate_all("(all, open) => all.every((claim) => claim.open === open)", wanted)


@each_width
def test_tab_alone_reaches_everything_in_order_and_shows_where_it_is(own, request):
    """On a large screen as the page opens, on a small one with everything unfolded."""
    page = own.page
    if request.node.callspec.params["own"] == 390:
        page.evaluate(UNFOLD)
    stops = page.evaluate_handle(STOPS)
    count = page.evaluate("(all) => all.length", stops)
    assert count > 50
    reached, poor = [], []
    for _ in range(count):
        page.keyboard.press("Tab")
        number, told, wrong = page.evaluate(HERE, stops)
        reached.append(number)
        poor += [f"{told}: {wrong}"] if wrong else []
    assert reached == list(range(count))
    assert poor == []


# --- what the script adds: tables, figures, the matrix of images ---


def column(table, position: int) -> list[str]:
    """What that column says, from the top."""
    cells = f":scope > tbody > tr:not(.group) > :nth-child({position})"
    return table.locator(cells).all_inner_texts()


def numbers(cells: list[str]) -> list[float]:
    """The numbers with which the cells begin; what is missing is the largest, as it comes last."""
    plain = [cell.replace(",", "").replace("\N{MINUS SIGN}", "-") for cell in cells]
    found = [re.match(r"[^\w.+-]*([+-]?\d[\d.]*)", cell) for cell in plain]
    return [float(one[1]) if one else float("inf") for one in found]


def test_tables_sort_up_and_down_and_back_by_their_heads(own):
    """A mean stays below what it is the mean of, a missing number below all; a row stays together."""
    own.page.evaluate(UNFOLD)  # long tables are folded
    tables = own.page.locator("article table:has(.sort):has(td.number):not(.claim *, :has(tbody + tbody))")
    assert tables.count() >= 5
    for table in tables.all():
        head = table.locator("thead tr:last-child > .number:has(.sort)").first
        place = head.evaluate("(head) => head.cellIndex + 1")

        def rows(table=table, place=place) -> list[tuple[str, str]]:
            every = list(zip(column(table, 1), column(table, place), strict=True))
            means = [row for row in every if row[0].lower().startswith("mean") or row[0] == "mIoU"]
            assert every[len(every) - len(means) :] == means
            return every[: len(every) - len(means)]

        before = rows()
        head.locator(".sort").click()
        assert head.get_attribute("aria-sort") == "ascending"
        up = rows()
        assert numbers(cell for _, cell in up) == sorted(numbers(cell for _, cell in before))
        assert sorted(up) == sorted(before)
        own.page.keyboard.press("Enter")  # the focus has stayed
        assert head.get_attribute("aria-sort") == "descending"
        down = [-number for number in numbers(cell for _, cell in rows())]
        there = [number for number in down if number > float("-inf")]
        assert there == sorted(there) and set(down[len(there) :]) <= {float("-inf")}
        own.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") is None and rows() == before
    assert own.trouble == []


def saved(page, button) -> tuple[str, bytes]:
    """The file that a button gives: its name and what is in it."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_table_is_saved_as_it_stands(own):
    """Each cell is in the file, none is broken by a comma or a quote in it, and all lines are as long."""
    own.page.evaluate(UNFOLD)  # long tables are folded
    buttons = own.page.get_by_role("button", name="Download this table as CSV")
    labels = buttons.evaluate_all("all => all.map((button) => button.ariaLabel)")
    assert len(labels) >= 5 and all("(table-" in label for label in labels) and len({*labels}) == len(labels)
    table = own.page.locator(".table:has(+ .tools) > table").first
    name, content = saved(own.page, buttons.first)
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert name.endswith(".csv") and len({len(line) for line in lines}) == 1
    assert len(lines) == 1 + table.locator(":scope > tbody > tr:not(.group)").count()
    told = {re.sub(r"\W", "", cell) for line in lines for cell in line}
    assert {re.sub(r"\W", "", cell) for cell in column(table, 1)} <= told


def test_a_figure_is_enlarged_and_saved(own):
    figure = own.page.locator("figure.picture:has(.tools):not(.claim *)").first
    enlarge = figure.get_by_role("button", name="Enlarge")
    enlarge.focus()
    own.page.keyboard.press("Enter")
    dialog = own.page.get_by_role("dialog")
    large = dialog.locator("img")
    assert large.get_attribute("alt") == figure.locator("img").first.get_attribute("alt")
    narrow = own.page.viewport_size["width"] == 390
    for name, inside in (("Full size", True), ("Fit to window", False)):
        if narrow:  # starts at the size at which its text is readable
            name, inside = ("Fit to window", False) if inside else ("Full size", True)
        box, image = (part.bounding_box() for part in (dialog.locator(".scroll"), large))
        fits = image["width"] <= box["width"] + 1 and image["height"] <= box["height"] + 1
        assert fits == inside and box["y"] + box["height"] < own.page.viewport_size["height"]
        dialog.get_by_role("button", name=name).click()
    assert Axe().run(own.page, context=".viewer").generate_snapshot() == ""
    own.page.keyboard.press("Escape")
    assert dialog.count() == 0 and enlarge.evaluate("(button) => button === document.activeElement")

    name, content = saved(own.page, figure.get_by_role("button", name="Download this figure as PNG"))
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(content)).width == figure.locator("img").first.evaluate(
        "(image) => image.naturalWidth"
    )
    name, content = saved(own.page, figure.get_by_role("button", name="Download this figure as SVG"))
    assert name.endswith(".svg") and ElementTree.fromstring(content).tag.endswith("svg")  # noqa: S314
    assert (own.trouble, own.requests) == ([], [])


def test_verdicts_of_one_kind_alone_are_shown(own):
    own.page.evaluate(UNFOLD)  # long tables are folded
    rows = own.page.locator("table.verdicts tbody tr:has(td.verdict)")
    every = rows.count()
    assert every == len(LEDGER)
    bar = own.page.get_by_role("group", name="Filter claims by verdict")
    bar.get_by_role("button", name=re.compile("^inconclusive")).click()
    shown = [row.locator("td.verdict").first.inner_text() for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < every and all("inconclusive" in verdict for verdict in shown)
    bar.get_by_role("button", name=re.compile("^all")).click()
    assert sum(row.is_visible() for row in rows.all()) == every


@each_width
def test_claims_are_sorted_by_verdict_and_show_it_with_their_effect(own):
    """Supported ones come first, of all groups; nothing of a claim is off the screen."""
    own.page.evaluate(UNFOLD)  # long tables are folded
    table = own.page.locator("table.verdicts")
    before = table.locator("tbody tr th").all_inner_texts()
    head = table.locator("thead th", has_text="Verdict").get_by_role("button")
    head.click()
    shown = [" ".join(text.split()[1:]) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert shown == sorted(shown, key=WORDS.index) and len({*shown}) > 1
    assert not table.locator(".group").first.is_visible()
    head.click()
    head.click()
    assert table.locator("tbody tr th").all_inner_texts() == before
    cells = table.locator("tbody tr:not(.group) > *").evaluate_all(CELLS)
    assert max(right for _, _, right in cells) <= own.page.viewport_size["width"]
    assert {lines for text, lines, _ in cells if text.endswith(("supported", "refuted", "conclusive"))} == {1}


@each_width
def test_no_caption_or_word_is_cut_off_and_rows_of_claims_are_apart(own):
    own.page.evaluate(UNFOLD)
    beyond = own.page.locator(".table > table > caption").evaluate_all(
        "all => all.map((caption) => caption.getBoundingClientRect().right"
        " - caption.closest('.table').getBoundingClientRect().right)"
    )
    assert len(beyond) > 20 and max(beyond) <= 0
    rows = (
        own.page.locator(".overview ol")
        .first.locator(".in-short")
        .evaluate_all(
            "all => all.map((words) => words.getBoundingClientRect()).map((box) => [box.top, box.bottom])"
        )
    )
    inside = own.page.locator(".overview svg text").evaluate_all(
        "all => all.map((word) => word.ownerSVGElement.getBoundingClientRect().right"
        " - word.getBoundingClientRect().right)"
    )
    assert inside and min(inside) >= 0
    gaps = [after[0] - before[1] for before, after in pairwise(rows)]
    assert len(gaps) > 20 and min(gaps) > 3


@each_width
def test_text_in_figures_can_be_read(own):
    """Letters of a figure are at least ten pixels high on any screen; what does not fit scrolls."""
    own.page.evaluate(UNFOLD)
    drawn = own.page.locator("figure.picture img").evaluate_all(
        "all => all.map((image) => image.getBoundingClientRect().width / image.getAttribute('width'))"
    )
    assert min(drawn) * SMALL * DPI / 72 > 10


@each_width
def test_the_same_images_go_through_every_network(own):
    """Filtered by class, as errors, and one picture laid over another."""
    page, matrix = own.page, own.page.locator("#fig-claims-matrix")
    first = matrix.locator(".case").first
    assert first.locator(".pictures b").count() == 2 + len(REPORTED)
    right = matrix.locator(".case:visible img:visible").evaluate_all(
        "all => Math.max(...all.map((image) => image.getBoundingClientRect().right))"
    )
    assert right <= page.viewport_size["width"]  # no network is off the screen
    guess = first.locator(".guess").first

    seen = [guess.get_attribute("src")]
    for label, value in (
        ("Show", "errors"),
        ("Class", "Road"),
        ("Show", "predictions"),
        ("Class", "all classes"),
    ):
        matrix.locator("label", has_text=re.compile(f"^{label}")).locator("select").select_option(value)
        page.wait_for_function(
            "([image, before]) => image.src !== before", arg=[guess.element_handle(), seen[-1]]
        )
        seen.append(guess.get_attribute("src"))
    assert len(set(seen)) == 4 and seen[-1] == seen[0]

    guess.click()
    dialog = page.get_by_role("dialog")
    left, right = dialog.locator("img.left"), dialog.locator("img.right")
    truth = first.locator(".truth").first
    assert left.get_attribute("src") == seen[0] and right.get_attribute("src") == truth.get_attribute("src")
    colours = [part.get_by_role("list", name="Colours").inner_text() for part in (dialog, matrix)]
    assert colours[0] == colours[1] and "Road" in colours[0]
    divider = dialog.get_by_role("slider", name="Divider")
    shown = left.bounding_box()["width"]
    divider.focus()
    before = left.evaluate("(image) => getComputedStyle(image).clipPath")
    page.keyboard.press("ArrowRight")
    assert left.evaluate("(image) => getComputedStyle(image).clipPath") != before
    page.mouse.click(left.bounding_box()["x"] + shown / 4, left.bounding_box()["y"] + 5)
    assert divider.input_value() == "25"
    assert Axe().run(page, context=".viewer").generate_snapshot() == ""
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert (own.trouble, own.requests) == ([], [])


# --- paper ---

# A4 without the margins of page.css, in CSS pixels.
PAPER = (round((210 - 2 * 16) / 25.4 * 96), round((297 - 2 * 18) / 25.4 * 96))


def test_print_cuts_nothing_off_and_takes_no_more_pages_than_there_is_text(visit, report):
    with visit(report.as_uri(), wide=PAPER[0]) as (page, trouble, _):
        pdf = page.pdf(format="A4", prefer_css_page_size=True)
        page.emulate_media(media="print")
        page.evaluate(UNFOLD)
        assert overhang(page) == (0, [])
        assert not page.locator("nav").first.is_visible()
        high = page.evaluate("document.documentElement.scrollHeight")
        chapters = page.locator("article").count()
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    # What must not be broken leaves part of a page empty, and each chapter begins on a new one.
    assert high / PAPER[1] - 1 < pages < 1.5 * high / PAPER[1] + chapters
    assert trouble == []


def test_no_kind_of_content_is_heavy(report):
    weigh(report.read_text())
