"""QuickDraw's files from Google's public bucket, or from a mirror of it, into a folder.

A file takes its name only when it is whole, with size and md5 checked. Until then it is
`NAME.part`. The part is kept when a connection breaks, so that the next attempt, or the next run,
asks only for the missing bytes (an HTTP range).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sketchjax.data.sources.categories import all_categories, check_categories
from sketchjax.data.sources.fetch import Patience, Session, UnreachableError, fetch, part_of
from sketchjax.data.sources.forms import form_of
from sketchjax.errors import DataError, on_disk

BASE_URL = "https://storage.googleapis.com/quickdraw_dataset/"
FORMS = {  # form: where its files are in the bucket
    "simplified": "full/simplified/{}.ndjson",
    "raw": "full/raw/{}.ndjson",
    "bin": "full/binary/{}.bin",
    "sketchrnn": "sketchrnn/{}.npz",
}


class Job(NamedTuple):
    """One file to fetch."""

    url: str
    path: Path


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
    """Fetch one file for each category into `folder`. Run again, it resumes where it stopped.

    folder: made where it is missing; a file that is there already is kept.
    categories: names out of `all_categories`; None for all 345.
    form: a key of `FORMS`.
    base_url: the bucket or a mirror with the same paths, http or https.
    workers: files fetched at once.
    progress: whether to show a bar.
    patience: when to give up.
    Returns the paths in the order of the sorted names.
    Raises DataError where a name or form is unknown, the folder has a file or a part of this name
    in another form, the server cannot be reached, it does not have a file, or a file never arrives
    whole. The other files are still fetched unless the server is out of reach. Parts are kept,
    except one with a wrong md5 or in another form. Raises DiskError where the disk takes no more.
    """
    jobs = plan(folder, categories, form, base_url=base_url)
    _check_forms(jobs, form)
    missing = [job for job in jobs if not job.path.is_file()]
    with on_disk(f"{folder} cannot be made"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with _progress(not progress) as bar, ThreadPoolExecutor(max(1, workers)) as pool:
        count = _Count(bar, form, len(missing))
        session = Session(count.show, form, patience or Patience())
        futures = [pool.submit(fetch, job.url, job.path, session) for job in missing]
        for future in futures:
            future.add_done_callback(count.finish)
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
    """The files that `download` would fetch, with their addresses; the network is not touched.

    Raises DataError where a category or form is unknown or the address is not http or https.
    """
    if form not in FORMS:
        raise DataError(f"no form {form!r} of QuickDraw; known are {', '.join(FORMS)}")
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise DataError(f"{base_url!r} is not the address of a mirror; it starts with https://")
    names = all_categories() if categories is None else check_categories(categories)
    places = [Path(FORMS[form].format(name)) for name in names]
    base = base_url.rstrip("/")
    return [Job(f"{base}/{quote(str(place))}", Path(folder) / place.name) for place in places]


def _check_forms(jobs: list[Job], form: str) -> None:
    """Raise DataError where a file that would be kept, or continued, is of another form."""
    for path in (job.path for job in jobs if job.path.suffix == ".ndjson"):
        part = part_of(path)
        for file in filter(Path.is_file, (path, part)):
            found = form_of(file)
            if found not in (None, form):
                raise DataError(
                    f"{file} has {found} drawings, and a {form} file would have the same name; "
                    f"download {form} into another folder, such as {path.parent.resolve()}-{form}"
                )
            if file == part and found is None:
                with on_disk(f"{part} cannot be removed"):
                    part.unlink()  # Less than a stroke, so nothing says of which form.


def _wait(futures: list[Future[None]]) -> None:
    """Wait for all; raise at once what concerns every file, at the end what concerned one."""
    problems = []
    for future in as_completed(futures):
        error = future.exception()
        if isinstance(error, DataError) and not isinstance(error, UnreachableError):
            problems.append(str(error))
        elif error is not None:
            raise error
    if problems:
        raise DataError("\n".join(sorted(problems)))


class _Count:
    """Bytes so far, of the sizes known so far, and files done, on a bar."""

    def __init__(self, bar: Progress, form: str, files: int):
        self._bar, self._text = bar, form + ", {} of " + f"{files} files"
        self._task = bar.add_task(self._text.format(0), total=None)
        self._lock = threading.Lock()
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._done = 0

    def show(self, path: Path, have: int, size: int | None) -> None:
        with self._lock:
            self._sizes[path] = have, size or have
            completed, total = map(sum, zip(*self._sizes.values(), strict=True))
            self._bar.update(self._task, completed=completed, total=total)

    def finish(self, future: Future[None]) -> None:
        with self._lock:
            self._done += 1
            self._bar.update(self._task, description=self._text.format(self._done))


def _progress(disable: bool) -> Progress:
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    return Progress(TextColumn("{task.description}"), *columns, disable=disable)
