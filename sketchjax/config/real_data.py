"""Where real drawings are: in the folder that an environment variable names."""

import os

VARIABLE = "SKETCHJAX_DATA"


def real_data(*parts: str) -> str:
    """The path of these parts in the folder that SKETCHJAX_DATA names; "" where it is not set.

    For `data.source` and `data.split_file` of a config, which is then the same on every machine.
    """
    folder = os.environ.get(VARIABLE, "")
    return os.path.join(folder, *parts) if folder else ""
