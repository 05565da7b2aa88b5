"""The program `sketchjax`, and what its commands share.

A command imports what it needs when it runs, so that `--help` answers at once and the commands for
data never load jax. A new one is a function under `@app.command()` in the room of its kind; it
raises the project's errors, which `cli.main` turns into a message and an exit code.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer
import typer.core

import sketchjax
from sketchjax.errors import ConfigError, Stopped
from sketchjax.fields import home_path

app = typer.Typer(
    name="sketchjax",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def path(metavar: str, meaning: str) -> Any:
    """An argument that is a path."""
    return typer.Argument(parser=home_path, metavar=metavar, help=meaning)


class OnBad(StrEnum):
    """What to do with bad input."""

    STOP = "stop"
    SKIP = "skip"


Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--categories",
        "--classes",
        metavar="NAMES",
        help="Only these categories: names separated by commas, or the option repeated. A name "
        "with a comma is quoted: '\"salt, pepper\",cat'.",
    ),
]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, not only its message.")
    ] = False,
) -> None:
    """Sketch files, data folders, codes. Training: python -m sketchjax.main --help"""
    del debug  # `main` takes it from any place; it is here for --help
    if version:
        print(f"sketchjax {sketchjax.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@contextmanager
def stoppable(
    what: str, remedy: str = "finished work is kept: rerun the same command to resume"
) -> Iterator[None]:
    """Raise Stopped on SIGTERM and SIGINT.

    jax is imported before, where it is used: an exception in the middle of that ends Python.

    what: is stopped.
    remedy: what became of it, and what to do.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"{what} was stopped; {remedy}") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def names_of(values: list[str] | None) -> list[str] | None:
    """Category names from options that may hold several, separated by commas; None: all.

    Raises ConfigError where the option is there and names none, as an unset variable gives it.
    """
    if not values:
        return None
    from sketchjax.config import split_list

    names = [name for value in values for name in split_list(value) if name]
    if not names:
        raise ConfigError("--categories names no category; leave it out for all categories")
    return names
