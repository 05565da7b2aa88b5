"""Sketch files to a data folder: `convert.convert` is the entry point, the others its parts."""
