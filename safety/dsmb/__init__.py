"""The report to the safety board: compute (figures.py, snapshot.py, compute.py) -> draw -> render."""
