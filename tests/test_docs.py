"""README and docs/: links lead somewhere, and commands, settings, files and presets exist."""

import re
import shlex
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from segnb.cli import COMMANDS, _parser
from segnb.models.registry import VARIANTS
from segnb.params import StudyParams, assigned
from segnb.presets import FULL_WIDTH, PRESETS
from tests.conftest import CHECKOUT

PAGES = sorted(
    [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "segnb" / "README.md"]
    + [*(CHECKOUT / "docs").glob("*.md")]
)
README_LINES = 150
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())


def parts(page: Path) -> tuple[str, list[str]]:
    """Split a page into its prose and the lines of its fenced code."""
    prose, code, fenced = [], [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            code.append(line.strip())
        else:
            prose.append(line)
    return "\n".join(prose), code


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives to the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", parts(page)[0], re.M):
        text = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{text}-{seen[text]}" if seen[text] else text)
        seen[text] += 1
    return found


def spans(page: Path) -> list[str]:
    """The inline code of a page."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", parts(page)[0])


def commands(page: Path, name: str) -> list[list[str]]:
    """The arguments of each call of a command in the fenced code of a page."""
    calls = (re.search(rf"(?:^|\s){name} ([^#]+)", line) for line in parts(page)[1])
    return [shlex.split(call[1]) for call in calls if call]


def test_the_readme_stays_short():
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@each_page
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", parts(page)[0]):
        if re.match(r"\w+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or not file.is_relative_to(CHECKOUT):
            broken.append(target)
        elif fragment and fragment not in anchors(file):
            broken.append(target)
    assert not broken


def test_the_index_links_every_page():
    index = (CHECKOUT / "docs" / "index.md").read_text(encoding="utf-8")
    assert all(f"({page.name})" in index for page in (CHECKOUT / "docs").glob("*.md") if page.stem != "index")


def test_the_readme_counts_the_tests_that_changed():
    section = (CHECKOUT / "docs" / "methods.md").read_text(encoding="utf-8")
    section = section.partition("### Tests that changed")[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in section.splitlines() if re.match(r"\| [FU]\d", row)]
    became = Counter()
    for claims, _, before, _, now in rows:
        became[now if now != before else "the same"] += len(claims.split(", "))
    as_well = re.search(r"Tests\s+of ([FU\d, \sand]+) changed as well", section)[1]
    number = became.total() + len(re.findall(r"[FU]\d+", as_well))
    readme = " ".join((CHECKOUT / "README.md").read_text(encoding="utf-8").split())
    assert f"segnb changed the tests of {number} claims" in readme
    assert (
        f"{became['supported']} became supported and {became['inconclusive']} became inconclusive" in readme
    )
    assert became.keys() == {"supported", "inconclusive", "the same"}


@each_page
def test_make_targets_and_settings_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    settings = set(re.findall(r"^([A-Z_]+) +:=", MAKEFILE, re.M))
    calls = [shlex.split(span.removeprefix("make ")) for span in spans(page) if span.startswith("make ")]
    for words in calls + commands(page, "make"):
        assert words[0] in targets, words
        assert {word.partition("=")[0] for word in words[1:] if "=" in word} <= settings, words


@each_page
def test_segnb_commands_are_accepted(page):
    for words in commands(page, "segnb"):
        _parser(words).parse_args(words)  # exits if the command or an option does not exist
    named = [span.split() for span in spans(page) if re.match(r"segnb [a-z]", span)]
    assert {words[1] for words in named} <= COMMANDS.keys()


@each_page
def test_notebooks_have_the_parameters_that_are_given(page):
    for notebook, _, *options in commands(page, "papermill"):
        cells = nbformat.read(CHECKOUT / notebook, as_version=4).cells
        (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
        names = {name for flag, name in zip(options, options[1:], strict=False) if flag == "-p"}
        assert names and names <= {*assigned(cell.source)}


@each_page
def test_files_that_are_named_exist(page):
    for span in spans(page):
        path = span.split("::")[0]
        if re.fullmatch(r"(segnb|tests|docs|notebooks|benchmarks|results|profiles)/[\w./-]*", path) or (
            re.fullmatch(r"[\w/-]+/[\w-]+\.py", path)
        ):
            assert (CHECKOUT / path).exists() or (CHECKOUT / "segnb" / path).exists(), path


def test_every_network_and_setting_is_explained():
    usage = (CHECKOUT / "docs" / "usage.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in usage for name in VARIANTS)
    for name in (*StudyParams.model_fields, "variants", "seeds", "jobs", "offline"):
        assert f"\n| `{name.upper()}` |" in usage


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_have_the_sizes_that_are_printed(preset):
    fcn, unet = preset.fcn, preset.unet
    name = rf"^\| `{preset.name}`[^|]*"
    counts = f"| {preset.train} + {preset.val} / {preset.test} |"
    sizes = f"{fcn.size} / {unet.size} | {FULL_WIDTH * fcn.width} / {unet.width}"
    epochs = " / ".join("at most " * bool(one.patience) + str(one.epochs) for one in (fcn, unet))
    for page, row in (
        ("README.md", f"{counts} {preset.seeds} |"),
        ("docs/usage.md", f"{counts} {sizes} | {epochs} | {preset.seeds} |"),
    ):
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        assert re.search(name + re.escape(row), text, re.M), f"{page}: {row}"


@each_page
def test_versions_are_those_that_are_pinned(page):
    pins = set(re.findall(r"[\w-]+==[\w.]+", (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")))
    assert {*re.findall(r"[\w-]+==[\d][\w.]+", page.read_text(encoding="utf-8"))} <= pins
