"""What the processes of a run agree on before it matters, and how an error of one ends them all.

Both go through the key-value store of jax's coordinator, which needs neither devices nor equal
shapes; process 0 holds it, and so leaves last.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import orjson
from jax._src import distributed
from jax.errors import JaxRuntimeError

from sketchjax.errors import ConfigError, SketchjaxError, Stopped

_Seen = TypeVar("_Seen")

# What a machine knows of a shared folder may be a minute old: NFS asks again after 60 s.
PATIENCE_SECONDS = 75.0
_FAILURE = "sketchjax/failure"
_POLL_SECONDS = 0.5
_WAIT_MILLISECONDS = 2_000
# A process that meets the same error by itself reports it better, and process 0 may be writing.
_GRACE_SECONDS, _GRACE_TO_WRITE_SECONDS = 1.0, 20.0
_LAST_SECONDS = 10.0
_LONGEST_TEXT = 4_000
_rounds = itertools.count()


# --- agreement -------------------------------------------------------------------------------


def agree(
    look: Callable[[], _Seen], facts: Callable[[_Seen], Mapping[str, Any]], patience: float = 0
) -> _Seen:
    """What `look` returns, once its facts are the same in all processes.

    look: of this process. Process 0 looks first; the others look when it has.
    facts: what has to be the same, as plain values by the name that messages give it.
    patience: seconds for which the others look again where theirs differ, as at a shared folder.

    All processes have to call it in the same order. One by itself just looks.
    Raises ConfigError in all processes alike, naming what differs and where.
    """
    store = _Store.of_run()
    if store is None:
        return look()
    key = f"sketchjax/agreed/{next(_rounds)}"
    if store.own == 0:
        seen = look()
        store.put(key, dict(facts(seen)))
        replies = [store.get(f"{key}/{number}") for number in range(1, store.total)]
        differing = [line for lines in replies for line in lines]
        store.put(f"{key}/all", differing)
    else:
        theirs = store.get(key)
        end = time.monotonic() + patience
        while True:
            seen = look()
            lines = _differing(store.own, dict(facts(seen)), theirs)
            if not lines or time.monotonic() >= end:
                break
            time.sleep(_POLL_SECONDS)
        store.put(f"{key}/{store.own}", lines)
        differing = store.get(f"{key}/all")
    if differing:
        heading = (
            "the processes of a run must have one command, one version, one workdir on a disk "
            "that all of them see, the same data, and equally many devices each"
        )
        raise ConfigError([heading, *differing])
    return seen


def _differing(own: int, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """One line for each fact that this process does not share with process 0."""
    ours = orjson.loads(orjson.dumps(ours))
    return [
        f"{name}: {_shown(theirs, name)} in process 0, and {_shown(ours, name)} in process {own}"
        for name in sorted({*ours, *theirs})
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]


def _shown(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return "nothing" if value is None else value if isinstance(value, str) else repr(value)


# --- errors ----------------------------------------------------------------------------------


@contextmanager
def one_ending(show: Callable[[Exception], None]) -> Iterator[None]:
    """Within it, the error of one process ends all of them within seconds, with its exit code.

    show: reports an error of this process.

    Without it, the others would wait for this process in a collective, and jax would let it wait
    for them. Stopped passes: all processes stop at the same point, by agreement.
    """
    store = _Store.of_run()
    assert store is not None, "join first"
    ending = threading.Lock()  # of the thread that ends this process
    threading.Thread(target=_watch, args=(store, ending), name="failures", daemon=True).start()
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        ending.acquire()
        # An error of jax, once a process has left, only says that it has.
        failure = None if isinstance(error, SketchjaxError) else store.failure()
        if failure is None:
            show(error)
            failure = store.fail(error)
        else:
            _say(failure)
        _end(store, failure)


class _Failure(NamedTuple):
    """The error that ends a run: the first one, where several processes have one."""

    process: int
    code: int
    text: str


class _Store:
    """The key-value store of the processes of a run."""

    def __init__(self, client: Any, own: int, total: int):
        self._client, self.own, self.total = client, own, total

    @classmethod
    def of_run(cls) -> _Store | None:
        """None where this process trains by itself."""
        state = distributed.global_state
        return state.client and cls(state.client, state.process_id, state.num_processes)

    def put(self, key: str, value: Any) -> None:
        """Set a key that has no value yet."""
        self._client.key_value_set(key, orjson.dumps(value).decode())

    def get(self, key: str) -> Any:
        """The value of a key, once it has one. Raises when another process has failed meanwhile."""
        while True:
            try:
                return orjson.loads(self._client.blocking_key_value_get(key, _WAIT_MILLISECONDS))
            except JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            if self.failure():
                raise RuntimeError("another process has failed")  # `one_ending` says which

    def try_get(self, key: str) -> Any:
        """The value of a key; None while it has none. Raises when the coordinator is gone."""
        try:
            return orjson.loads(self._client.key_value_try_get(key))
        except JaxRuntimeError as error:
            if "NOT_FOUND" not in str(error):
                raise
            return None

    def fail(self, error: Exception) -> _Failure:
        """Publish an error; returns the one that counts, which is another's if that came first."""
        code = error.exit_code if isinstance(error, SketchjaxError) else 1
        failure = _Failure(self.own, code, f"{type(error).__name__}: {error}"[:_LONGEST_TEXT])
        with suppress(JaxRuntimeError):
            self.put(_FAILURE, list(failure))
        return self.failure() or failure

    def failure(self) -> _Failure | None:
        with suppress(JaxRuntimeError):
            if found := self.try_get(_FAILURE):
                return _Failure(*found)
        return None


def _watch(store: _Store, ending: threading.Lock) -> None:
    """End this process when another one has failed, whatever it waits for."""
    try:
        while (found := store.try_get(_FAILURE)) is None:
            time.sleep(_POLL_SECONDS)
    except JaxRuntimeError:
        return  # the run is over
    end = time.monotonic() + (_GRACE_SECONDS if store.own else _GRACE_TO_WRITE_SECONDS)
    while time.monotonic() < end and not ending.locked():
        time.sleep(_POLL_SECONDS / 5)
    if ending.acquire(blocking=False):
        failure = _Failure(*found)
        _say(failure)
        _end(store, failure)


def _say(failure: _Failure) -> None:
    print(
        f"process {failure.process} ended with exit code {failure.code}, and so does this one: "
        f"{failure.text}",
        file=sys.stderr,
    )


def _end(store: _Store, failure: _Failure) -> None:
    """End this process, without jax's own end, in which it waits for the others.

    Process 0 waits until the others have left: without their coordinator jax would abort them.
    """
    with suppress(JaxRuntimeError):
        if store.own:
            store.put(f"sketchjax/gone/{store.own}", True)
        end = time.monotonic() + _LAST_SECONDS
        others = {f"sketchjax/gone/{number}" for number in range(1, store.total)}
        while store.own == 0 and others and time.monotonic() < end:
            others = {key for key in others if store.try_get(key) is None}
            time.sleep(_POLL_SECONDS)  # after the last one too: it is about to exit
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(failure.code)
