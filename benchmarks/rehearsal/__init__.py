"""The whole way at the paper's size, from sketch files to a search, with a small network."""
