"""The pictures of previews and pages, pixel by pixel."""

from io import BytesIO

import numpy as np
import pytest

from gpustack import Offsets, stack, write_page, write_preview
from gpustack.drawing import (
    EMPTY,
    FRAME,
    Panel,
    brightness,
    counted,
    draw,
    png,
    signed_rejections,
)
from gpustack.show.pictures import pictures
from webpage import Checked

pytest.importorskip("matplotlib", reason="pictures need the extra plot")

from matplotlib.colors import to_rgb
from matplotlib.image import imread


def test_pixels_without_a_value_have_one_colour_that_is_told(tmp_path):
    data = np.random.default_rng(1).normal(500, 8, (5, 40, 60))
    data[:, :10] = np.nan
    result = stack(data, look=True)
    (shown,) = pictures(result.look, 5)
    assert shown.panels[0].note == "mean, every pixel; violet: no value"
    write_preview(result, tmp_path / "a.png")
    violet = [round(255 * part) for part in to_rgb(EMPTY)]
    for drawn, width in (((tmp_path / "a.png").read_bytes(), 430), (png(shown.panels[0]), 60)):
        pixels = (255 * imread(BytesIO(drawn))).round()[..., :3]
        found = (pixels == violet).all(axis=-1)
        rows = np.flatnonzero(found.any(axis=1))
        assert found[rows[len(rows) // 2]].sum() >= 0.9 * width
    whole = stack(data[:, 10:], look=True)
    assert "violet" not in pictures(whole.look, 5)[0].panels[0].note


@pytest.mark.parametrize("values", [[1.7e308, 1.7e308], [-1.7e308, 1.7e308], [1, 1, 1, 1e300]])
def test_values_near_the_ends_of_float64_have_finite_colours(values):
    norm = brightness(np.array([values], float)).norm
    assert np.isfinite([norm.vmin, norm.vmax]).all()


@pytest.mark.filterwarnings("ignore:frame .. left out")
def test_a_pixel_that_all_frames_reach_is_bright_where_others_are_left_out(monkeypatch, tmp_path):
    data = np.random.default_rng(1).normal(500, 8, (6, 60, 50))
    away = [(0, 0)] * 3 + [(900, 0)] * 3
    result = stack(data, align=Offsets(away, "reference"), look=True)
    drawn = []
    monkeypatch.setattr("gpustack.show.draw", lambda rows: drawn.extend(rows) or b"")
    write_preview(result, tmp_path / "a.png")
    count = drawn[0][2]
    assert count.note == "3 of 3"
    assert count.colours.norm(3) == 1
    write_page(result, tmp_path / "a.html")
    text = "".join(Checked((tmp_path / "a.html").read_text(encoding="utf-8")).text)
    assert "3 of 3" in text
    assert "3 frames, and 3 left out." in text


LONG = {
    "wide": ((3, 2000), "; 133 times as high", (7, 2), "aspect-ratio:3"),
    "tall": ((2000, 3), "; 133 times as wide", (2.5, 1.5), "aspect-ratio:0.3333"),
    "square": ((300, 300), "", (4.5, 3.5), None),
}


@pytest.mark.parametrize(("shape", "told", "size", "style"), LONG.values(), ids=LONG)
def test_long_images_are_stretched_so_that_rows_are_seen(tmp_path, shape, told, size, style):
    result = stack(np.random.default_rng(1).normal(500, 8, (5, *shape)), look=True)
    whole = pictures(result.look, 5)[0]
    assert whole.panels[1].note == f"nothing rejected{told}"
    write_preview(result, tmp_path / "a.png")
    drawn = (255 * imread(tmp_path / "a.png")).round()[..., :3]
    most, least = size
    assert least < drawn.shape[1] / drawn.shape[0] < most
    assert (drawn == [round(255 * part) for part in to_rgb(FRAME)]).all(axis=-1).any()
    write_page(result, tmp_path / "a.html")
    tags = Checked((tmp_path / "a.html").read_text(encoding="utf-8")).tags
    assert next(attrs for tag, attrs in tags if tag == "img").get("style") == style


def test_the_first_row_is_at_the_bottom():
    image = np.array([[5, 5], [1, 1]])
    panel = Panel("Count", "", image, counted(image, 5))
    pixels = imread(BytesIO(png(panel)))[..., :3].sum(axis=-1)
    assert (pixels[1] > pixels[0]).all()
    drawn = imread(BytesIO(draw([[panel]])))[..., :3].sum(axis=-1)
    assert drawn[400, 200] > drawn[100, 200]


def test_the_side_with_more_rejections_is_shown():
    assert signed_rejections([0, 1, 0, 1, 3, 9], [0, 0, 1, 1, 2, 2]).tolist() == [
        0,
        -1,
        1,
        1,
        -3,
        -4,
    ]
