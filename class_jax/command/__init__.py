"""The command line: start of the process, dispatch, flags, streams."""
