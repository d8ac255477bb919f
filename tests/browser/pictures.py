"""Take the pictures of README.md from the published report, after `segnb claims --publish`.

Run `python -m tests.browser.pictures`.
"""

import shutil

from playwright.sync_api import sync_playwright

from tests.browser.conftest import PROGRAMS
from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"
PICTURES = {"predictions.png": "#fig-claims-glance .pictures", "report.png": "#fig-claims-overview"}
WIDE = 1040  # CSS pixels, in which the overview has two columns
STYLE = (
    f"nav {{ display: none }} .overview, .matrix .pictures {{ width: {WIDE}px; margin: 0 }}"
    " .matrix .pictures { grid-template-columns: repeat(6, 1fr) }"
)

if __name__ == "__main__":
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport={"width": WIDE + 60, "height": 1000})
        page.goto((DOCS / "report/index.html").as_uri())
        page.add_style_tag(content=STYLE)
        for name, place in PICTURES.items():
            page.locator(place).screenshot(path=DOCS / name)
        browser.close()
