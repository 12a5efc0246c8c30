"""Many patients at once, on Dask distributed: nothing is lost on the way, whatever ends a process."""
