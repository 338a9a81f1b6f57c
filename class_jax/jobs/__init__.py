"""Files in, files out: plans, marks, runs, videos."""
