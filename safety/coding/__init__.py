"""Coding: the words of a record, as they were typed, and the term of a dictionary beside them."""
