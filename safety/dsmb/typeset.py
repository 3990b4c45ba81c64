"""Typesets one report, as a program of its own: `python -I typeset.py FOLDER FONTS...`.

A typesetter that crashes, hangs or takes all memory must not take the worker with it, so render.py runs this with a
time limit. FOLDER holds report.typ, report.json and the figures, and gets report.pdf. No Django, no network: the
fonts are the ones in the typst wheel and in the folders FONTS, and there are no packages."""

import os
import resource
import sys

import typst

MOST_MEMORY = 4 * 2**30  # bytes of address space; a listing of 20,000 rows takes about a third


def main(folder, *fonts):
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    typst.compile(
        os.path.join(folder, "report.typ"),
        output=os.path.join(folder, "report.pdf"),
        root=folder,
        ignore_system_fonts=True,
        font_paths=list(fonts),
        package_path=folder,
        package_cache_path=folder,
        pdf_standards=["a-2a"],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
