"""Chromium and onnxruntime-web, for the tests of the page."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The npm package of onnxruntime-web that SKETCHJAX_ORT names."""
    path = os.environ.get("SKETCHJAX_ORT")
    if not path:
        pytest.skip("SKETCHJAX_ORT is not set: it names the npm package of onnxruntime-web")
    return Path(path)
