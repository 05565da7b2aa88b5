"""The command line in the process of the tests."""

import sys

from sketchjax import cli


def call(*words: object) -> int:
    """Run `sketchjax` with these words; returns its exit code."""
    before = sys.argv
    sys.argv = ["sketchjax", *map(str, words)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0
