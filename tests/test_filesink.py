"""The object that stands for an image in a file, used like an array."""

import numpy as np
import pytest

from gpustack import ToFile, stack


@pytest.fixture
def image(tmp_path):
    cube = np.random.default_rng(1).normal(size=(3, 4, 5))
    return stack(cube, outputs=ToFile(tmp_path / "out.fits")).data


def test_a_truth_value_is_no_row(image):
    whole = np.asarray(image)
    for key in (True, False, np.True_, (True, 2)):
        np.testing.assert_array_equal(image[key], whole[key])


def test_no_array_shares_its_memory(image):
    with pytest.raises(ValueError, match="read from a file, got copy=False"):
        np.asarray(image, copy=False)
    assert np.array(image, copy=True).shape == (4, 5)


def test_an_array_of_it_has_the_dtype_that_is_asked_for(image):
    assert np.asarray(image).dtype == image.dtype == np.float64
    single = np.asarray(image, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, np.asarray(image).astype(np.float32))


@pytest.mark.parametrize("key", [0, (1, 2), np.ones((4, 5), bool), slice(None, 2)], ids=str)
def test_an_image_in_a_file_is_read_only(image, key):
    with pytest.raises(TypeError, match="a result in a file is read-only"):
        image[key] = 1


def test_a_written_image_takes_no_more_rows(image):
    with pytest.raises(ValueError, match="the result is written, and read-only"):
        image[1:2] = np.zeros((1, 5))
