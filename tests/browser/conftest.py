"""A browser that can reach only the addresses of a test, and that records errors."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from segnb.runtime.processes import stop
from segnb.storage.files import write_json
from tests.conftest import CHECKOUT, make_project
from tests.processes import until

INSTALL = "no Playwright: python -m pip install --editable '.[dev]'"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


class Visit(NamedTuple):
    """An open page with its errors and requests so far."""

    page: "playwright.sync_api.Page"  # noqa: F821  (not there where these tests are skipped)
    trouble: list[str]  # errors on the console and in scripts
    requests: list[str]  # refused addresses


@pytest.fixture(scope="package")
def browser():
    """Headless Chromium. Its event loop keeps running, so no test outside this folder may use it."""
    driver = pytest.importorskip("playwright.sync_api", reason=INSTALL)
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: install one of {', '.join(PROGRAMS)}, such as Debian's package chromium")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def visit(browser) -> Callable[..., Iterator[Visit]]:
    """Open an address in a new browser context: `with visit(address) as (page, trouble, requests)`.

    Its arguments: `near`, the beginning of further addresses that may be loaded, such as a local server;
    `wide` and `high`, the size of the screen in CSS pixels; `dark`, the colour scheme.
    """

    @contextmanager
    def opened(
        address: str, near: str | None = None, wide: int = 1440, high: int = 900, dark: bool = False
    ) -> Iterator[Visit]:
        context = browser.new_context(
            viewport={"width": wide, "height": high},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # no animation in screenshots
        )
        try:
            page = context.new_page()
            page.set_default_timeout(20_000)
            trouble, requests = [], []

            def ask(route) -> None:
                asked = route.request.url
                if asked == address or (near and asked.startswith(near)):
                    route.continue_()
                else:
                    requests.append(asked)
                    route.abort()

            context.route("**/*", ask)
            page.on("console", lambda told: told.type == "error" and trouble.append(told.text))
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.goto(address)
            yield Visit(page, trouble, requests)
        finally:
            context.close()

    return opened


@pytest.fixture(scope="package")
def report(reported) -> Path:
    """The report of `reported`, as no test has changed it."""
    return reported.parent / "report" / "index.html"


class Lab(NamedTuple):
    """A running JupyterLab in a project folder."""

    address: str  # of its server, on this machine
    token: str
    project: Path
    study: str  # of the report

    def at(self, notebook: str) -> str:
        """Return the address of a notebook, without the tabs of an earlier visit."""
        return f"{self.address}lab/tree/{notebook}.ipynb?reset&token={self.token}"


@pytest.fixture(scope="package")
def lab(browser, reported, tmp_path_factory) -> Iterator[Lab]:
    """Start JupyterLab as `make lab` does, in a copy of `reported`, with default settings.

    The server and its kernels end with these tests, even if a test fails.
    """
    folder = tmp_path_factory.mktemp("lab")
    project = make_project(folder / "project")
    (project / "notebooks").unlink()  # a link to the checkout, and JupyterLab saves notebooks
    shutil.copytree(CHECKOUT / "notebooks", project / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for made in ("runs", "cache"):  # hard links are safe: files there are replaced, never modified
        shutil.copytree(reported / made, project / made, copy_function=os.link)
    homes = {name: str(folder / name) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    write_json(
        folder / "JUPYTER_CONFIG_DIR" / "labconfig" / "page_config.json",
        {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}},  # would request news
    )
    token, log = secrets.token_hex(), folder / "log"
    with open(log, "w") as printed:
        server = subprocess.Popen(
            [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "jupyterlab", "--no-browser"]
            + ["--ip=127.0.0.1", "--port=0", "--allow-root", f"--notebook-dir={project / 'notebooks'}"],
            env=os.environ | homes | {"SEGNB_ROOT": str(project), "JUPYTER_TOKEN": token},
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        runtime = folder / "JUPYTER_RUNTIME_DIR"
        assert until(lambda: server.poll() is not None or any(runtime.glob("jpserver-*.json"))), (
            log.read_text()
        )
        assert server.poll() is None, log.read_text()
        (told,) = runtime.glob("jpserver-*.json")
        (study,) = [path.name for path in project.glob("runs/smoke-*")]
        yield Lab(json.loads(told.read_text())["url"], token, project, study)
    finally:
        stop(server, grace=10)
