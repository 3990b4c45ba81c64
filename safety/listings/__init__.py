"""The listings that investigators review: what they have in common (table.py), which there are (catalogue.py), and the
pictures of the same data (pictures.py)."""
