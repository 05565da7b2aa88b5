"""A study: the runs, measurements and report that reproduce the tables of SketchMate."""
