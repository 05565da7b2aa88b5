"""A hand that draws on the page in Chromium, and what it sees there."""

import re
import time

HOUSE = [
    [(0.2, 0.5), (0.2, 0.9), (0.8, 0.9), (0.8, 0.5), (0.2, 0.5)],
    [(0.2, 0.5), (0.5, 0.1), (0.8, 0.5)],
]
DOOR = [(0.45, 0.9), (0.45, 0.7), (0.55, 0.7), (0.55, 0.9)]


def until(page, expression: str) -> None:
    """Wait until JavaScript is true; the CSP refuses what `wait_for_function` does."""
    end = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def at(page, point):
    box = page.locator("#canvas").bounding_box()
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def draw(page, *strokes):
    """Draw with the mouse."""
    for stroke in strokes:
        page.mouse.move(*at(page, stroke[0]))
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*at(page, point), steps=5)
        page.mouse.up()


def strokes_on(page) -> int:
    """The number of strokes that a screen reader hears of."""
    label = page.locator("#canvas").get_attribute("aria-label")
    found = re.search(r"(\d+) stroke", label)
    return int(found[1]) if found else 0


def shown(page) -> list[str]:
    """The ids of the hits, once there is an answer to everything that was asked."""
    page.wait_for_selector("#results[aria-busy=false] #hits:not([hidden]):not(.stale) li")
    return page.locator("#hits li").evaluate_all("all => all.map((li) => li.dataset.id)")
