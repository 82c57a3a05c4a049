"""Make `sft_probe/report/fonts/chinese.ttf`: the glyphs of all word catalogues, out of Droid Sans Fallback.

apt-get download fonts-droid-fallback && dpkg-deb -x fonts-droid-fallback_*.deb droid
python tests/golden/make_font.py droid/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf
"""

from __future__ import annotations

import string
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font

from sft_probe.report.charts import CHINESE, FONT
from sft_probe.report.words import phrases_of

PACKAGES = ("sft_probe.report", "sft_probe.calibration")


def letters() -> set[str]:
    """Every character that a figure's own words may hold."""
    phrases = (phrase for package in PACKAGES for phrase in phrases_of(package).values())
    told = {letter for phrase in phrases for text in phrase.values() for letter in text}
    return {letter for letter in told | set(string.printable) if letter.isprintable()}


def main(source: Path) -> None:
    options = Options(hinting=False, layout_features=[], glyph_names=False, notdef_outline=True)
    font = load_font(str(source), options)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=[ord(letter) for letter in letters()])
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 6, 16):  # a font that was changed needs a name of its own
            record.string = CHINESE.replace(" ", "") if record.nameID == 6 else CHINESE
    save_font(font, str(FONT), options)
    print(f"{FONT}: {FONT.stat().st_size:,} bytes, {len(font.getGlyphOrder())} glyphs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
