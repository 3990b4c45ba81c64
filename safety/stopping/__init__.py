"""Stopping rules: boundaries and their exact characteristics (pure), whether a rule is met (pure), and the watch
that opens halts. docs/stopping.md has the formulas and how the figures were checked."""
