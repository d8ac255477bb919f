"""The browser of these tests reports requests, errors and barriers."""

import pytest

from tests.browser.conftest import INSTALL

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=INSTALL).Axe

BAD = """<!DOCTYPE html><title>bad</title>
<img src="http://example.invalid/far.png"><img src="near.png">
<p style="color: #999; background: #888; width: 5000px">pale and wide</p>
<script>console.error("told"); undefined.thrown;</script>
"""


def test_requests_errors_and_barriers_are_seen(visit, tmp_path):
    (tmp_path / "near.png").write_bytes(b"")
    bad = tmp_path / "bad.html"
    bad.write_text(BAD)
    with visit(bad.as_uri()) as (page, trouble, requests):
        found = {violation["id"] for violation in Axe().run(page).response["violations"]}
    assert sorted(requests) == [(tmp_path / "near.png").as_uri(), "http://example.invalid/far.png"]
    assert "told" in trouble and any("thrown" in error for error in trouble)
    assert {"image-alt", "color-contrast"} <= found
