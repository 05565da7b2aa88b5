"""The losses: one file each, declared in `table` and summed in `objective`."""
