import numpy as np
import pytest

from nnx.data.dataset import RawArray
from nnx.data.pixels import as_pixels
from nnx.errors import InputError


def found(values):
    return RawArray(values, "file", lambda row, column: f"file[{row}, {column}]")


def judged(*values):
    images, maximum, notes = as_pixels([found(np.asarray(v)) for v in values])
    return images[0], maximum, " ".join(notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, ">i2"])
def test_whole_numbers_become_bytes(dtype):
    images, maximum, notes = judged(np.array([[0, 255, 7]], dtype))
    assert images.dtype == np.uint8
    assert images.tolist() == [[0, 255, 7]]
    assert (maximum, notes) == (255, "")


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float64])
def test_binary_images_say_so(dtype):
    images, maximum, notes = judged(np.array([[0, 1, 1]], dtype))
    assert images.dtype == np.uint8
    assert maximum == 1
    assert "binary" in notes


def test_black_images_are_bytes():
    assert judged(np.zeros((2, 3)))[1] == 255


@pytest.mark.parametrize("decimals", [4, 9])
def test_bytes_that_were_scaled_are_bytes_again(decimals):
    values = np.arange(256).reshape(16, 16)
    images, maximum, notes = judged(np.round(values / 255, decimals))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, values)
    assert maximum == 255
    assert "pixels are already in [0, 1]" in notes


def test_fractions_are_kept():
    images, maximum, notes = judged([[0.0, 0.5, 0.123]])
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.float32([[0.0, 0.5, 0.123]]))
    assert maximum == 1
    assert "pixels are already in [0, 1]" in notes


def test_fractions_up_to_255_are_divided():
    images, maximum, notes = judged([[0.5, 255.0]])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, [[0.5 / 255, 1]], rtol=1e-6)
    assert maximum == 1
    assert "divided by 255" in notes


def test_parts_are_judged_together():
    images, maximum, _ = judged([[0.0, 1.0]], [[0.0, 200.0]])
    assert (images.dtype, maximum) == (np.uint8, 255)
    images, maximum, _ = judged([[0, 1]], [[0.5, 200.0]])
    assert (images.max(), maximum) == (np.float32(1 / 255), 1)


def test_all_rows_of_a_large_part_are_judged_together():
    values = np.zeros((5000, 400))
    values[0, 0], values[-1, -1] = 200, 1
    assert judged(values)[1] == 255
    values[0, 0] = 0.123
    assert judged(values)[0][0, 0] == np.float32(0.123)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("brightest", [0.6, 1])
def test_parts_on_two_scales_are_refused(order, brightest):
    """A test part that was divided before would be all but black."""
    parts = [[[0, 255]], [[0.5, brightest]]]
    with pytest.raises(InputError, match="file: pixels from 0 to 1, beside .* 255: "):
        judged(*parts[::order])


def test_read_only_input_is_left_as_it_is():
    values = np.array([[0.25, 0.5], [0.75, 300 / 255 - 0.2]])
    values.flags.writeable = False
    before = values.copy()
    judged(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "nan is not a finite number"),
        (np.inf, "inf is not a finite number"),
        (-1, "-1 is outside 0-255"),
        (256, "256 is outside 0-255"),
    ],
)
def test_refuses_a_pixel_by_row_and_column(value, said):
    values = np.zeros((5000, 400))
    values[4321, 123] = value
    with pytest.raises(InputError, match=rf"file\[4321, 123\]: pixel value {said}"):
        judged(values)
