"""How long a person waits in Chromium: from the end of a stroke to the pictures of what is found.

    sketchjax serve runs/quickstart --port 8000 &
    python -m benchmarks.strokes http://127.0.0.1:8000/ --json strokes.json

The mouse draws synthetic doodles on the page, stroke by stroke. A time begins with the browser's
event for the end of the stroke and ends after the frame that shows the answer. The same for a page
without a server: give the folder that `sketchjax export --page` wrote in place of the address.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import parser, report
from sketchjax.data.sketch import strokes
from sketchjax.data.sources.doodles import CATEGORIES, sketches

WARM = 5  # strokes that are not counted
# After the frame in which the list changed was painted, a message arrives. `seen` waits for it, as
# asking again and again would take the page's time.
WATCH = """() => {
  window.waits = [];
  let [start, wanted, found] = [null, 0, null];
  window.seen = (count) => new Promise((resolve) => {
    [wanted, found] = [count, resolve];
    if (window.waits.length >= count) resolve();
  });
  addEventListener("pointerup", (event) => (start = event.timeStamp), true);
  const changed = () => {
    if (start === null) return;
    const [begun, { port1, port2 }] = [start, new MessageChannel()];
    start = null;
    port1.onmessage = () => {
      if (window.waits.push(performance.now() - begun) >= wanted) found?.();
    };
    requestAnimationFrame(() => port2.postMessage(null));
  };
  new MutationObserver(changed).observe(document.getElementById("hits"), { childList: true });
}"""


def main(words: Sequence[str] | None = None) -> None:
    """Draw, and print how long the answers took."""
    arguments = _flags().parse_args(words)
    with _address(arguments.page) as address:
        waits = measure(address, arguments.strokes, arguments.seed)
    p50, p95, p99 = np.percentile(waits, (50, 95, 99)).round(1).tolist()
    figures = {"strokes": len(waits), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    report("strokes", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("page", help="the address of a page, or the folder of one without a server")
    flags.add_argument("--strokes", type=int, default=200)
    flags.add_argument("--seed", type=int, default=0)
    return flags


@contextlib.contextmanager
def _address(page: str) -> Iterator[str]:
    """The address of a page; a folder is served as any web host does."""
    if not Path(page).is_dir():
        yield page
        return
    handler = functools.partial(_Files, directory=page)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def measure(address: str, count: int, seed: int = 0) -> list[float]:
    """Milliseconds from the end of each stroke to its pictures.

    address: of a page.
    count: strokes.
    seed: of the doodles.
    """
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(address)
        page.wait_for_selector("#classes")
        page.evaluate(WATCH)
        done = 0
        for drawing in _doodles(seed):
            for stroke in drawing:
                _draw(page, stroke)
                done += 1
                page.evaluate("count => window.seen(count)", done)
                if done == count + WARM:
                    waits = page.evaluate("window.waits")
                    browser.close()
                    return waits[WARM:]
            page.locator("#clear").click()
    raise AssertionError("doodles never end")


def _doodles(seed: int) -> Iterator[list[np.ndarray]]:
    """Drawings without end, each as strokes u8[t 2]."""
    while True:
        for category in CATEGORIES:
            drawn = sketches(category, 1, seed=seed)
            yield [stroke[:, :2] for stroke in strokes(drawn.points_of(0))]
        seed += 1


def _draw(page: Any, stroke: np.ndarray) -> None:
    """Draw one stroke with the mouse."""
    box = page.locator("#canvas").bounding_box()
    places = (0.1 + 0.8 * stroke / 255.0) * box["width"] + (box["x"], box["y"])
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


if __name__ == "__main__":
    main()
