"""Text on images stays within its width."""

from srtoolbox.plots.grid import font, wrap


def test_text_stays_within_its_column() -> None:
    face = font(15)
    for text in ("espcn_x3_t91_general100_bsds500_64_64_32_tanh", "x" * 90, "psnr 28.43  ssim 0.8113", "", "a\nb"):
        assert all(face.getlength(line) <= 200 for line in wrap(text, face, 200))
    assert wrap("one two", face, 200) == ["one two"]
    assert len(wrap("espcn_x3_t91_general100_bsds500", face, 180)) == 2
