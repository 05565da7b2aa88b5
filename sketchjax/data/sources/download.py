"""QuickDraw's files from Google's public bucket, or a mirror of it, to a folder.

A file takes its name only when it is whole: size and md5 are checked first. Until then it is
`NAME.part`, which is kept when the connection breaks, so that the next attempt, or the next run,
asks only for the bytes that are missing (an HTTP range).
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sketchjax.data.sources.fetch import Patience, Session, UnreachableError, fetch
from sketchjax.errors import DataError

BASE_URL = "https://storage.googleapis.com/quickdraw_dataset/"
FORMS = {  # form: where its files are in the bucket
    "simplified": "full/simplified/{}.ndjson",
    "raw": "full/raw/{}.ndjson",
    "bin": "full/binary/{}.bin",
    "sketchrnn": "sketchrnn/{}.npz",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One file to fetch."""

    url: str
    path: Path


def all_categories() -> list[str]:
    """The names of QuickDraw's 345 categories, sorted."""
    return (Path(__file__).parent / "categories.txt").read_text(encoding="utf-8").splitlines()


def check_categories(names: Iterable[str]) -> list[str]:
    """The names without repetition, sorted. Raises DataError, with near names, for unknown ones."""
    known = all_categories()
    wanted = sorted(set(names))
    lines = []
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name.strip(), known, n=1)
            near = near or difflib.get_close_matches(name.strip().lower(), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            lines.append(f"no QuickDraw category is called {name!r}{hint}")
    if lines:
        raise DataError("\n".join(lines))
    return wanted


def download(
    folder: Path | str,
    categories: Sequence[str] | None = None,
    form: str = "simplified",
    *,
    base_url: str = BASE_URL,
    workers: int = 4,
    progress: bool = True,
    patience: Patience | None = None,
) -> list[Path]:
    """Fetch one file for each category into `folder`; run again, it goes on where it stopped.

    categories: names out of `all_categories`; None for all 345.
    form: a key of `FORMS`.  base_url: the bucket or a mirror with the same paths, http or https.
    workers: files fetched at once.  progress: show a bar.  patience: when to give up.
    Returns the paths in the order of the sorted names.  A file that is there already is kept.
    Raises DataError where a name or form is unknown, the server cannot be reached, a file does not
    exist there, or one never arrives whole; the other files are fetched all the same unless the
    server is out of reach. Parts are kept, except one with a wrong md5.
    """
    jobs = plan(folder, categories, form, base_url=base_url)
    missing = [job for job in jobs if not job.path.exists()]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}") from None
    with _shown(progress, form, len(missing)) as bar, ThreadPoolExecutor(max(1, workers)) as pool:
        session = Session(bar, patience or Patience())
        futures = [pool.submit(fetch, job.url, job.path, session) for job in missing]
        try:
            _wait(futures)
        except BaseException:  # Ctrl-C as well: the others stop at their next block.
            session.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [job.path for job in jobs]


def plan(
    folder: Path | str,
    categories: Sequence[str] | None = None,
    form: str = "simplified",
    *,
    base_url: str = BASE_URL,
) -> list[Job]:
    """The files that `download` would fetch, with their addresses; no network is touched.

    Raises DataError where a category or form is unknown or the address is not http or https.
    """
    if form not in FORMS:
        raise DataError(f"no form {form!r} of QuickDraw; known are {', '.join(FORMS)}")
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise DataError(f"{base_url!r} is not the address of a mirror; it starts with https://")
    names = all_categories() if categories is None else check_categories(categories)
    jobs = []
    for name in names:
        place = FORMS[form].format(name)
        url = base_url.rstrip("/") + "/" + quote(place)
        jobs.append(Job(url, Path(folder) / Path(place).name))
    return jobs


def _wait(futures: list[Future[None]]) -> None:
    """Wait for all; raise at once what concerns every file, at the end what concerned one."""
    problems: list[str] = []
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_EXCEPTION)
        for future in done:
            error = future.exception()
            if isinstance(error, DataError) and not isinstance(error, UnreachableError):
                problems.append(str(error))
            elif error is not None:
                raise error
    if problems:
        raise DataError("\n".join(sorted(problems)))


class _Bar:
    """Bytes so far against the sizes that the server has told so far, and files done of all."""

    def __init__(self, progress: Progress, form: str, count: int):
        self._progress = progress
        self._label = form + ", {} of " + f"{count} files"
        self._task = progress.add_task(self._label.format(0), total=None)
        self._lock = threading.Lock()
        self._total = self._done = 0

    def expect(self, size: int) -> None:
        with self._lock:
            self._total += size
            self._progress.update(self._task, total=self._total)

    def advance(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def finish(self) -> None:
        with self._lock:
            self._done += 1
            self._progress.update(self._task, description=self._label.format(self._done))


@contextmanager
def _shown(progress: bool, form: str, count: int) -> Iterator[_Bar]:
    """A bar on the terminal, or one that shows nothing."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        yield _Bar(bar, form, count)
