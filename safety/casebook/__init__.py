"""The casebook of one patient: what its page draws, and what its certified copy holds."""
