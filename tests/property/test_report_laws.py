"""Laws of the report: nothing in a manifest is trusted, and nothing escapes."""

from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sslprep.drawing.axes import Scale, round_ticks
from sslprep.drawing.svg import Drawing, clean
from sslprep.report.blocks import short
from sslprep.report.collect import Count, read_fields
from sslprep.report.partitions import tally

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


class Sample(msgspec.Struct):
    """One field of each kind that the report reads."""

    n: Count = 0
    share: float | None = None
    on: bool = False
    name: str = ""
    names: list[str] = []
    inner: dict[str, Any] = {}


class TestFields:
    """Each field is of the kind that it promises, whatever stands there."""

    @given(json, st.sampled_from(["n", "share", "on", "name", "names", "inner"]))
    def test_kinds(self, value: Any, name: str) -> None:
        for found in (read_fields(value, Sample), read_fields({name: value}, Sample)):
            assert type(found.n) is int
            assert 0 <= found.n <= 2**53
            assert found.share is None or isinstance(found.share, float)
            assert type(found.on) is bool
            assert all(isinstance(text, str) for text in (found.name, *found.names))
            assert isinstance(found.inner, dict)

    @given(json)
    def test_a_wrong_field_spoils_no_other(self, value: Any) -> None:
        assert read_fields({"names": value, "n": 3}, Sample).n == 3


class TestTexts:
    """Every text comes out of a drawing as it went in, but for what no page can hold."""

    @given(st.text(st.characters(exclude_categories=[]), max_size=30))
    def test_round_trip(self, text: str) -> None:
        drawing = Drawing(1, 1, title=text)
        drawing.text(0, 0, text)
        root = ElementTree.fromstring(drawing.__html__().encode("utf-8"))
        [node] = root.iter("text")
        assert (node.text or "") == clean(text)
        assert clean(clean(text)) == clean(text)

    @given(st.text(max_size=90), st.integers(1, 60))
    def test_short_is_short(self, text: str, length: int) -> None:
        assert len(short(text, length)) <= length or short(text, length) == text


class TestTicks:
    """Ticks are few, round, rising, and cover the values."""

    @given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.booleans())
    @settings(max_examples=200)
    def test_cover(self, low: float, span: float, whole: bool) -> None:
        high = low + span
        ticks = round_ticks(low, high, whole=whole)
        assert ticks == sorted(set(ticks))
        assert 2 <= len(ticks) <= 14
        slack = 1e-6 * max(1.0, abs(low), abs(high))
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack

    @given(st.floats(1e-6, 1e6), st.floats(1.1, 1e6))
    def test_scales_keep_order_and_ends(self, low: float, factor: float) -> None:
        for log in (False, True):
            scale = Scale(low, low * factor, 10, 90, log=log)
            middle = scale(low * factor**0.5)
            assert abs(scale(low) - 10) < 1e-6
            assert abs(scale(low * factor) - 90) < 1e-6
            assert 10 - 1e-6 <= middle <= 90 + 1e-6


class TestTally:
    """Counting in blocks equals counting in a loop."""

    @given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
    def test_matrix(self, rows: int, width: int, seed: int) -> None:
        labels = np.random.default_rng(seed).integers(-1, 2, (rows, width)).astype(np.int32)
        found = tally(labels, width)
        assert found.present.tolist() == [sum(v == 1 for v in c) for c in labels.T.tolist()]
        assert found.ignored is not None
        assert found.ignored.tolist() == [sum(v == -1 for v in c) for c in labels.T.tolist()]
        assert found.per_image is not None
        assert int(found.per_image.sum()) == rows
        assert int(found.per_image @ np.arange(len(found.per_image))) == int(found.present.sum())

    @given(st.lists(st.integers(-5, 9), max_size=30), st.integers(1, 6))
    def test_ids(self, ids: list[int], classes: int) -> None:
        found = tally(np.array(ids, np.int64), classes)
        assert found.present.tolist() == [ids.count(i) for i in range(classes)]
        assert found.outside + int(found.present.sum()) == len(ids)
