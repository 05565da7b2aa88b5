"""The study of objectives: every way to codes on the features of the same runs."""
