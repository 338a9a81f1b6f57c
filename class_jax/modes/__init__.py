"""What the command line does: one file for each mode, and the configuration in force."""
