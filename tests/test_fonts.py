"""Chinese text in our PDFs: drawn by fonts that a package ships, on a machine without any."""

import subprocess

import pytest
import typst

from trialsite import fonts

SENTENCE = "受试者出现发热（38.5 °C），研究者判断为 3 级不良事件，与输注可能有关。"
RARE = "𪚥😀"  # four dragons, and no letter at all


def typeset(text, family, **options):
    """A PDF for decades, in which every character must be shown: the typesetter refuses what it cannot draw."""
    source = f'#set text(font: ("Libertinus Serif", "{family}"), fallback: false)\n#{{"{text}"}}'
    return typst.compile(source.encode(), ignore_system_fonts=True, pdf_standards=["a-2a"], **options)


def run(program, pdf, tmp_path):
    file = tmp_path / "text.pdf"
    file.write_bytes(pdf)
    return subprocess.run([program, file, *(["-"] if program == "pdftotext" else [])], capture_output=True, text=True, check=True).stdout  # fmt: skip


@pytest.mark.parametrize(("family", "face"), [(fonts.SANS, "NotoSansSC"), (fonts.SERIF, "NotoSerifSC")])
def test_a_chinese_sentence_is_drawn_with_an_embedded_font(tmp_path, family, face):
    pdf = typeset(SENTENCE, family, font_paths=fonts.font_paths())
    assert "".join(run("pdftotext", pdf, tmp_path).split()) == "".join(SENTENCE.split())
    [line] = [line for line in run("pdffonts", pdf, tmp_path).splitlines() if face in line]
    embedded, subset, unicode = line.split()[-5:-2]
    assert (embedded, subset, unicode) == ("yes", "yes", "yes")


def test_no_font_of_the_machine_is_used():
    with pytest.raises(typst.TypstError, match="could not be displayed"):
        typeset(SENTENCE, "Noto Serif CJK SC")


def test_what_no_font_has_is_told_by_its_code(tmp_path):
    text = f"{SENTENCE} {RARE} ≥ 5 × 10⁹/L"
    with pytest.raises(typst.TypstError, match="could not be displayed"):
        typeset(text, fonts.SERIF, font_paths=fonts.font_paths())
    shown = fonts.printable(text)
    assert shown == f"{SENTENCE} [U+2A6A5][U+1F600] ≥ 5 × 10⁹/L"
    assert "[U+1F600]" in run("pdftotext", typeset(shown, fonts.SERIF, font_paths=fonts.font_paths()), tmp_path)
