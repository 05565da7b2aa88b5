"""Stroke files into a data folder: `convert.convert` is the whole of it, the others its parts."""
