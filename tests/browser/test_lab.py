"""The notebooks in JupyterLab: run, watched, interrupted and run again."""

import re
from contextlib import contextmanager

import pytest
from PIL import Image

from segnb.models.registry import VARIANTS
from tests.browser.conftest import INSTALL
from tests.conftest import REPORTED

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=INSTALL).Axe
expect = pytest.importorskip("playwright.sync_api", reason=INSTALL).expect

PATIENCE = 300_000  # milliseconds; a cell takes seconds, and minutes on a machine that is busy
EPOCHS = 20  # take seconds: long enough to interrupt the training

# Collect every image that an element shows from now on.
WATCH = """
(shown) => {
  window.pictures = new Set();
  const keep = () => { for (const one of shown.querySelectorAll('img')) window.pictures.add(one.src); };
  new MutationObserver(keep).observe(shown, { subtree: true, childList: true, attributes: true });
}
"""


@pytest.fixture
def notebook(visit, lab):
    """Open a notebook in JupyterLab, ready to run."""

    @contextmanager
    def opened(name: str):
        with visit(lab.at(name), near=lab.address, high=4000) as visited:
            page = visited.page
            page.set_default_timeout(PATIENCE)
            idle(page)
            yield page
            choose(page, "Kernel", "Shut Down Kernel")
            assert visited.requests == []

    return opened


def choose(page, menu: str, item: str) -> None:
    """Choose an item of JupyterLab's menu bar."""
    page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{menu}$")).click()
    page.locator(".lm-Menu-item", has=page.get_by_text(item, exact=True)).click()


def idle(page) -> None:
    """Wait until the kernel is idle and no cell waits for it."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    expect(page.locator(".jp-InputPrompt", has_text="[*]")).to_have_count(0, timeout=PATIENCE)


def write(page, cell, source: str) -> None:
    """Replace the source of a cell, as pasting does."""
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(source)


def cell(page, source: str):
    """Return the code cell whose source contains a text."""
    editor = page.locator(".jp-InputArea-editor", has_text=source)
    return page.locator(".jp-CodeCell", has=editor)


def test_a_training_shows_itself_and_goes_on_where_it_was_stopped(notebook, lab):
    with notebook("train") as page:
        parameters = cell(page, "# Parameters")
        source = parameters.locator(".cm-content").evaluate("(lines) => lines.innerText")
        source = source.replace('preset = "quick"', 'preset = "smoke"')
        write(page, parameters, source.replace("epochs = None", f"epochs = {EPOCHS}"))
        choose(page, "Run", "Run All Cells")
        training = cell(page, "history = fit(")
        training.evaluate(WATCH)

        training.get_by_text(re.compile(rf"epoch +3/{EPOCHS} ")).wait_for()
        page.wait_for_function("window.pictures.size >= 3")  # the live curves, redrawn after each epoch
        choose(page, "Kernel", "Interrupt Kernel")
        training.get_by_text("KeyboardInterrupt").first.wait_for()
        idle(page)
        (history,) = [
            path
            for path in lab.project.glob("runs/*/UNet_Standard_256/seed0/history.csv")
            if not (path.parent / "done.json").exists()
        ]
        stopped = history.read_text()
        assert 3 <= stopped.count("\n") - 1 < EPOCHS

        choose(page, "Run", "Run All Cells")
        training.get_by_text(re.compile(rf"epoch {EPOCHS}/{EPOCHS} ")).wait_for()
        summary = cell(page, "run.summary")
        summary.locator("img").wait_for()
        summary.locator("th", has_text="best validation mIoU").wait_for()
        idle(page)
        page.get_by_role("button", name="Show predictions").click()
        cell(page, "predictions_button(run)").locator("img").wait_for()
        assert page.locator(".jp-OutputArea-output", has_text="Traceback").count() == 0
    *before, _ = stopped.splitlines()  # training may have stopped before the checkpoint of the last epoch
    whole = history.read_text().splitlines()
    assert whole[: len(before)] == before and len(whole) - 1 == EPOCHS
    assert (history.parent / "done.json").exists()


# --- the explorer ---

# The visible images of one part of the explorer, and their sizes.
PICTURES = """
(part) => [...part.querySelectorAll('canvas')].filter((canvas) => canvas.checkVisibility()).map((canvas) => {
  const box = canvas.getBoundingClientRect();
  return [canvas.toDataURL(), Math.round(box.width), Math.round(box.height)];
}).join()
"""
WORDS = "(part) => part.innerText"

# Names of all visible controls, without the thumbnails.
CONTROLS = """
(part) => [...part.querySelectorAll('select, input, button:not(.segnb-thumbs *)')]
  .filter((control) => control.checkVisibility())
  .map((control) => (control.labels?.[0] || control).textContent)
"""


class Part:
    """One part of the explorer, and the controls used so far."""

    def __init__(self, page, source: str):
        self.page, self.area = page, cell(page, source).locator(".jp-OutputArea")
        self.area.locator(".segnb-grid canvas").first.wait_for()
        self.used: set[str] = set()

    def changes(self, name: str, act, seen: str = PICTURES) -> None:
        """Use a control and check that the part looks different afterwards."""
        before = self.area.evaluate(seen)
        act()
        self.page.wait_for_function(
            f"([part, before]) => ({seen})(part) !== before",
            arg=[self.area.element_handle(), before],
            polling=50,
        )
        self.settle()
        self.used.add(name)

    def settle(self) -> None:
        """Wait until the part stops changing."""
        idle(self.page)
        before = None
        while before != (now := self.area.evaluate(PICTURES) + self.area.inner_text()):
            before = now
            self.page.wait_for_timeout(100)

    def choose(self, name: str, *options: str | int, seen: str = PICTURES) -> None:
        """Choose options of a list one after the other, by name or position."""
        chooser = self.area.get_by_label(name, exact=True)
        for option in options:
            how = {"index": option} if isinstance(option, int) else {"label": option}
            self.changes(name, lambda how=how: chooser.select_option(**how), seen)

    def find(self, name: str, option: str | int) -> None:
        """Choose an option that sorts the images; their order may stay the same, but not their numbers."""
        self.choose(name, option, seen=WORDS)

    def choose_another(self, name: str) -> None:
        """Choose the next option of a list."""
        chosen, count = self.area.get_by_label(name, exact=True).evaluate(
            "(s) => [s.selectedIndex, s.length]"
        )
        self.choose(name, (chosen + 1) % count)

    def press(self, name: str) -> None:
        self.changes(name, self.area.get_by_role("button", name=name, exact=True).click)

    def tick(self, name: str) -> None:
        self.changes(name, self.area.get_by_label(name, exact=True).click)

    def slide(self, name: str, *keys: str) -> None:
        slider = self.area.get_by_label(name, exact=True)
        for key in keys:
            self.changes(name, lambda key=key: slider.press(key))

    def look(self) -> None:
        """Use the controls that need no kernel, and the crosshair."""
        self.choose("Show", "errors", "confidence", "prediction")
        self.choose("Only class", "Road", "all classes")
        self.slide("Overlay", "Home", "End")
        self.slide("Panel width", "End", "Home")
        self.changes("a click", self.area.locator(".segnb-grid canvas").nth(1).click, WORDS)
        self.changes("an arrow key", lambda: self.page.keyboard.press("ArrowRight"), WORDS)

    def unused(self) -> set[str]:
        return set(self.area.evaluate(CONTROLS)) - self.used


def test_every_control_of_the_explorer_changes_what_is_to_be_seen(notebook, lab, tmp_path):
    own = tmp_path / "own.png"
    Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB").save(own)
    with notebook("explore") as page:
        write(
            page, cell(page, "# Parameters"), f'# Parameters\nstudy = "{lab.study}"'
        )  # a test before this one may have made a later study
        choose(page, "Run", "Run All Cells")
        networks = Part(page, "explorer.networks()")
        if "Seed" in networks.unused():  # a test before this one has trained another seed
            networks.choose("Seed", 1, 0)
        networks.choose_another("Image")
        networks.press("Next image")
        networks.press("Previous image")
        another = networks.area.locator(".segnb-thumbs button[aria-pressed=false]").nth(2)
        networks.changes("a thumbnail", another.click)
        networks.look()
        panels = networks.area.locator(".segnb-grid figure")  # with the image itself and its ground truth
        probabilities = networks.area.locator(".segnb-table tbody tr:not(:has(.segnb-pending))")
        assert panels.count() - 2 == 6
        expect(probabilities).to_have_count(6, timeout=PATIENCE)
        count = len(REPORTED)
        networks.press(f"Show all {count} networks")
        expect(probabilities).to_have_count(count, timeout=PATIENCE)
        fold = networks.area.get_by_text(f"Networks shown: {count} of {count}", exact=True)
        fold.click()
        for name in REPORTED:
            networks.tick(VARIANTS[name].label)
        expect(probabilities).to_have_count(0)
        networks.press(f"Show all {count} networks")
        networks.press("Show 6 networks")
        expect(probabilities).to_have_count(6, timeout=PATIENCE)
        networks.used.add(f"Show all {count} networks")
        networks.area.get_by_text(f"Networks shown: 6 of {count}", exact=True).click()
        networks.find("Find images", "worst first")
        networks.find("Worst for", 1)
        networks.find("Find images", "most different first")
        # Networks of preset smoke may all differ in every pixel; from itself, the last one differs in none.
        networks.find("Between", VARIANTS[REPORTED[-1]].label)
        networks.find("and", VARIANTS["UNet_Standard_256"].label)
        networks.find("Find images", "with a class")
        networks.find("Class", "Road")
        chooser = networks.area.locator("input[type=file]")
        name = chooser.evaluate("(input) => input.labels[0].textContent")
        networks.changes(name, lambda: chooser.set_input_files(own))
        networks.tick("Square, as the networks see it")
        chosen = networks.area.get_by_label("Image", exact=True).locator("option:checked")
        expect(chosen).to_have_text(f"your image: {own.name}")
        expect(panels.first).to_contain_text(f"Your image{own.name}")
        networks.changes("a test image", networks.area.locator(".segnb-thumbs button").nth(1).click)
        expect(panels.first).not_to_contain_text("Your image")
        assert networks.unused() == set()

        inside = Part(page, "explorer.inside()")
        inside.look()
        inside.choose("Network", VARIANTS["ClassAttentionResidualUNet_256"].label + ", seed 0")
        inside.choose("Gate of class", "Road")
        inside.press("All skips off")
        inside.press("All on")
        for name in sorted(inside.unused()):  # before and after are next to each other while a part is off
            inside.tick(name)
            inside.tick(name)
        assert inside.unused() == set() and len(inside.used) > 8

        result = Axe().run(page, context=".jp-OutputArea:has(canvas)")
        assert not result.violations_count, result.generate_report()
        assert page.locator(".jp-OutputArea-output", has_text="Traceback").count() == 0
