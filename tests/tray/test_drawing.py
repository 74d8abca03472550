"""The pictures: every look can be told from every other, with and without colour, at every size."""

import itertools

import pytest
from PIL import ImageChops

from scheduler_app.desktop.drawing import draw
from scheduler_app.desktop.observation import Look

SIZES = (16, 22, 32, 64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(Look, 2)])
def test_two_looks_differ_in_colour_and_in_shape(one, other, size):
    pictures = draw(one, size), draw(other, size)
    assert all(picture.size == (size, size) for picture in pictures)

    # Shape: what is light and what is dark, colours taken away.
    grey = [picture.convert("LA").convert("L") for picture in pictures]
    differing = sum(value > 40 for value in ImageChops.difference(*grey).tobytes())

    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert differing >= size * size * 0.04


@pytest.mark.parametrize("look", Look)
def test_an_icon_stands_out_on_light_and_on_dark_panels(look):
    light, alpha = draw(look, 22).convert("LA").split()
    brightness = [value for value, cover in zip(light.tobytes(), alpha.tobytes(), strict=True) if cover > 200]

    assert min(brightness) < 140
    assert max(brightness) > 200
