"""The losses: one file each, their declarations in `table`, their sum in `objective`."""
