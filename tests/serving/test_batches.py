"""What waits for a thread is answered several at a time, and each as it would be by itself."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from doodle_server import GridEncoder, doodle_app, doodle_index
from starlette.testclient import TestClient

from sketchjax.errors import DataError
from sketchjax.serving.app import create_app
from sketchjax.serving.batches import Batches
from sketchjax.serving.limits import MOST_WAITING, Workers
from sketchjax.serving.problems import Refused
from sketchjax.serving.settings import Settings

SQUARE = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]


class Doubling:
    """Doubles numbers once its gate is open, and remembers what it was given together."""

    def __init__(self):
        self.gate, self.batches = threading.Event(), []
        self.started = threading.Semaphore(0)

    def __call__(self, items):
        self.batches.append(list(items))
        self.started.release()
        assert self.gate.wait(20)
        for item in items:
            yield DataError(f"no {item}") if item < 0 else 2 * item


def run(scenario, threads=1, most=3):
    """Run scenario(batches, work, workers) in an event loop."""

    async def whole():
        work, workers = Doubling(), Workers(threads)
        try:
            return await scenario(Batches(work, most, workers), work, workers)
        finally:
            work.gate.set()
            workers.close()

    return asyncio.run(whole())


async def begun(work):
    """A thread has taken something."""
    assert await asyncio.to_thread(work.started.acquire, timeout=20)


async def task(coroutine):
    """A task that has run until it waits."""
    started = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return started


def test_a_free_thread_takes_one_at_once():
    async def scenario(batches, work, workers):
        work.gate.set()
        return [await batches.run(1), await batches.run(2)], work.batches

    assert run(scenario) == ([2, 4], [[1], [2]])


def test_what_waits_is_taken_together_in_its_order():
    async def scenario(batches, work, workers):
        first = await task(batches.run(0))
        await begun(work)
        others = [await task(batches.run(item)) for item in range(1, 6)]
        work.gate.set()
        return await asyncio.gather(first, *others), work.batches

    assert run(scenario) == ([0, 2, 4, 6, 8, 10], [[0], [1, 2, 3], [4, 5]])


def test_two_threads_share_what_waits():
    async def scenario(batches, work, workers):
        first = [await task(batches.run(0)), await task(batches.run(1))]
        await begun(work)
        await begun(work)
        others = [await task(batches.run(item)) for item in range(2, 10)]
        work.gate.set()
        await asyncio.gather(*first, *others)
        return work.batches

    batches = run(scenario, threads=2, most=8)
    assert sorted(item for batch in batches for item in batch) == list(range(10))
    assert [len(batch) for batch in batches[:3]] == [1, 1, 4]


def test_one_that_fails_fails_by_itself():
    async def scenario(batches, work, workers):
        first = await task(batches.run(0))
        await begun(work)
        others = [await task(batches.run(item)) for item in (1, -2, 3)]
        work.gate.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    found = run(scenario)
    assert (found[0], found[1], found[3]) == (0, 2, 6)
    assert str(found[2]) == "no -2"


def test_work_that_breaks_fails_what_it_had_and_the_next_is_answered():
    async def scenario(batches, work, workers):
        first = await task(batches.run(0))
        await begun(work)
        others = [await task(batches.run(item)) for item in (1, None, 3)]
        work.gate.set()
        found = await asyncio.gather(first, *others, return_exceptions=True)
        return found, await batches.run(5)

    found, after = run(scenario)
    assert found[:2] == [0, 2]
    assert [type(each) for each in found[2:]] == [TypeError, TypeError]
    assert after == 10


def test_a_client_that_left_is_not_worked_for():
    async def scenario(batches, work, workers):
        first = await task(batches.run(0))
        await begun(work)
        left, stays = await task(batches.run(1)), await task(batches.run(2))
        left.cancel()
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(first, stays)
        await asyncio.sleep(0.05)
        return work.batches, workers.admitted

    assert run(scenario) == ([[0], [2]], 0)


def test_other_work_gets_its_turn_between_batches():
    async def scenario(batches, work, workers):
        order = []
        first = await task(batches.run(0))
        await begun(work)
        others = [await task(batches.run(item)) for item in range(1, 13)]
        other = await task(workers.run(lambda: order.append(len(work.batches))))
        work.gate.set()
        await asyncio.gather(first, *others, other)
        return order, len(work.batches)

    order, batches = run(scenario)
    assert batches == 5
    assert order == [1]


def test_too_many_are_turned_away():
    async def scenario(batches, work, workers):
        count = workers.threads + MOST_WAITING
        waiting = [await task(batches.run(item)) for item in range(count)]
        with pytest.raises(Refused) as refused:
            await batches.run(99)
        work.gate.set()
        return refused.value.status, await asyncio.gather(*waiting)

    status, found = run(scenario, threads=2)
    assert status == 503
    assert found == [2 * item for item in range(34)]


class Slow(GridEncoder):
    """Holds every pass until several requests wait, and refuses drawings of three points."""

    def __init__(self):
        self.passes, self.slow = [], threading.Event()

    def outputs(self, drawings):
        if self.slow.is_set():
            threading.Event().wait(0.05)
        given = drawings if isinstance(drawings, list) else [drawings]
        self.passes.append(len(given))
        if any(len(points) == 3 for points in given):
            raise DataError("drawing of three points")
        return super().outputs(drawings)


def without_times(answer):
    return {name: value for name, value in answer.items() if name != "milliseconds"}


def test_searches_at_once_get_the_answers_that_each_gets_by_itself():
    encoder = Slow()
    app = create_app(doodle_index(), encoder, Settings(threads=1))
    app.state.service.warm()
    item = doodle_index().snapshot().get([5])
    bodies = [
        *({"drawing": [[[x, x, 255], [0, y, y]], [[0, 9], [0, 200]]], "k": 1 + x // 20}
          for x in range(0, 200, 40) for y in (100, 200)),
        {"like": "5", "k": 3},
        {"code": item.codes[0].tobytes().hex(), "k": 2, "points": False},
        {"drawing": SQUARE, "categories": ["sun"]},
        {"drawing": SQUARE, "categories": ["no such"]},
        {"drawing": [[[0, 255, 0], [0, 0, 255]]], "form": "simplified"},
    ]  # fmt: skip
    with TestClient(app, base_url="http://localhost") as client:

        def answer(body):
            given = client.post("/v1/search", json=body)
            return given.status_code, json.loads(given.content)

        alone = [answer(body) for body in bodies]
        encoder.passes.clear()
        encoder.slow.set()
        with ThreadPoolExecutor(len(bodies)) as pool:
            together = list(pool.map(answer, bodies))
    assert max(encoder.passes) == 3  # `at_once` of the encoder
    assert [status for status, _ in alone] == [200] * 13 + [422] * 2
    assert "three points" in alone[-1][1]["detail"]
    for (status, own), (expected_status, expected) in zip(together, alone, strict=True):
        assert status == expected_status
        assert without_times(own) == without_times(expected)


def test_drawings_of_one_request_are_encoded_in_passes():
    drawings = [[[[0, x, 255], [0, 255, x]]] for x in (0, 40, 80, 120, 160, 200, 240)]
    with TestClient(doodle_app(), base_url="http://localhost") as client:
        codes = client.post("/v1/encode", json={"drawings": drawings}).json()["codes"]
        each = [client.post("/v1/encode", json={"drawings": [own]}).json() for own in drawings]
    assert codes == [own["codes"][0] for own in each]
    assert len(set(codes)) == len(codes)
