"""The binary form of answers, byte by byte."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nirfire.inspect.payload import TYPES, answer, pack, plain, unpack


def test_layout_is_as_promised():
    raw = pack({"z": 1.5, "name": "α"}, {"a": np.arange(3, dtype=np.int8), "b": np.array([[1.0, np.nan]], dtype=">f8")})
    assert raw[:4] == b"NFB1"
    (length,) = struct.unpack("<I", raw[4:8])
    header = json.loads(raw[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert header["meta"] == {"z": 1.5, "name": "α"}
    assert header["arrays"] == {
        "a": {"dtype": "i1", "shape": [3], "offset": 0},
        "b": {"dtype": "f8", "shape": [1, 2], "offset": 8},
    }
    assert raw[8 + length :] == b"\0\1\2" + b"\0" * 5 + struct.pack("<2d", 1.0, math.nan)


def test_what_is_all_the_same_is_sent_once():
    arrays = {"no": np.full(50_000, np.nan), "zero": np.zeros((200, 300), dtype="i4"), "one": np.ones(1)}
    raw = pack({}, arrays | {"signs": np.array([0.0, -0.0]), "none": np.zeros(0)})
    assert len(raw) < 500
    _, back = unpack(raw)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert np.signbit(back["signs"]).tolist() == [False, True] and back["none"].size == 0


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.sampled_from(TYPES).flatmap(
            lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=9))),
)
def test_what_goes_in_comes_out(arrays, meta):
    found, back = unpack(pack(meta, arrays))
    assert found == meta and list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].shape == array.shape and back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_no_nan_in_the_header():
    meta = {"a": math.nan, "b": [np.float32("inf"), np.int64(3), np.bool_(True), np.str_("x")], 7: {"c": (1.0, None)}}
    raw = pack(meta, {})
    assert unpack(raw)[0] == {"a": None, "b": [None, 3, True, "x"], "7": {"c": [1.0, None]}}
    assert b"NaN" not in raw and b"Infinity" not in raw


def test_flags_are_bytes_and_pieces_of_arrays_are_whole():
    image = np.arange(24, dtype="f4").reshape(4, 6)
    _, back = unpack(pack({}, {"mask": np.array([True, False]), "part": image[1:3, ::2], "turned": image.T}))
    assert back["mask"].tolist() == [1, 0] and back["mask"].dtype == np.uint8
    np.testing.assert_array_equal(back["part"], image[1:3, ::2])
    np.testing.assert_array_equal(back["turned"], image.T)


@pytest.mark.parametrize("array", [np.zeros(2, dtype=np.int64), np.array(["a"]), np.zeros(1, dtype=complex)])
def test_other_types_are_no_arrays(array):
    with pytest.raises(TypeError, match="array a is of"):
        pack({}, {"a": array})


@pytest.mark.parametrize("value", [b"raw", np.zeros(3), {1, 2}, object()])
def test_what_json_lacks_is_no_meta(value):
    with pytest.raises(TypeError, match="no form in JSON"):
        plain({"x": value})


@pytest.mark.parametrize("raw", [b"", b"NFB1", b"PNG\0\0\0\0\0\0\0"])
def test_nonsense_is_refused(raw):
    with pytest.raises(ValueError):
        unpack(raw)


def test_answer_is_of_its_media_type():
    found = answer({}, {"a": np.zeros(1, dtype="f4")}, {"ETag": '"x"'})
    assert found.headers["content-type"] == "application/octet-stream" and found.headers["etag"] == '"x"'
