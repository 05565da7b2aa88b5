"""sketchjax: deep hashing of free-hand sketches, from stroke files to a scored retrieval."""

__version__ = "0.1.0"
