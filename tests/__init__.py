"""The tests: one file for each module, real parts by default."""
