"""Laws of the data commands, each against a slow version in plain loops."""

import csv
import io
import json
import math
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslprep.data.class_folders import list_images, natural
from sslprep.data.coco_labels import (
    REASONS,
    Annotation,
    Category,
    Image,
    Instances,
    presence,
    select,
)
from sslprep.data.image_lists import split_line
from sslprep.data.voc import combine, read_list
from sslprep.partition import row_formats
from sslprep.partition.images import Images, stored_prefix

edges = st.sampled_from(
    [0.0, 1.0, -1.0, 0.5, 99.0, 100.0, 639.0, 1e308, -1e308, math.inf, -math.inf, math.nan]
)
numbers = st.one_of(edges, st.floats(-700, 700, width=32), st.integers(-3, 103).map(float))
sizes = st.one_of(st.integers(0, 3), st.integers(1, 640)).map(float)


def plain_valid(
    box: tuple[float, ...], area: float, ignore: bool, width: float, height: float
) -> bool:
    """The sentence of the spec, word for word."""
    x, y, w, h = box
    x1, y1, x2, y2 = x, y, x + max(0, w - 1), y + max(0, h - 1)
    x1, x2 = (min(width - 1, max(0, v)) for v in (x1, x2))
    y1, y2 = (min(height - 1, max(0, v)) for v in (y1, y2))
    return not ignore and area > 0 and x2 > x1 and y2 > y1


class TestValidAnnotations:
    """ "An annotation counts when … its box, clipped …, keeps x2 > x1 and y2 > y1."""

    @settings(max_examples=300)
    @given(
        st.lists(
            st.tuples(
                st.tuples(numbers, numbers, numbers, numbers), numbers, st.booleans(), sizes, sizes
            ),
            min_size=1,
            max_size=30,
        )
    )
    def test_equals_the_plain_loop(self, rows: list) -> None:  # type: ignore[type-arg]
        found = presence(
            Instances(
                images=[Image(n, f"{n:03}", w, h) for n, (*_, w, h) in enumerate(rows)],
                annotations=[
                    Annotation(image_id=n, category_id=1, bbox=box, area=area, ignore=ignore)
                    for n, (box, area, ignore, _, _) in enumerate(rows)
                ],
                categories=[Category(1, "x")],
            )
        )
        assert found.labels[:, 0].tolist() == [plain_valid(*row) for row in rows]
        assert sum(found.uncounted.values()) == [plain_valid(*row) for row in rows].count(False)
        assert set(found.uncounted) <= set(REASONS)


@st.composite
def coco_files(draw: st.DrawFn) -> dict:  # type: ignore[type-arg]
    ids = draw(st.lists(st.integers(-5, 2**62), min_size=1, max_size=8, unique=True))
    classes = draw(st.lists(st.integers(-5, 99), min_size=1, max_size=4, unique=True))
    names = st.sampled_from([f"{c}.jpg" for c in "abcdeÄ"])
    side = st.integers(1, 60)
    boxes = st.tuples(*[st.integers(-10, 70) | st.floats(-10, 70)] * 4)
    annotation = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(ids),
            "category_id": st.sampled_from(classes),
            "bbox": boxes,
            "area": st.sampled_from([0, 1, 0.5]),
        },
        optional={"ignore": st.sampled_from([0, 1, False, True, None]), "iscrowd": st.just(1)},
    )
    return {
        "images": [
            {"id": i, "file_name": draw(names), "width": draw(side), "height": draw(side)}
            for i in ids
        ],
        "annotations": draw(st.lists(annotation, max_size=20)),
        "categories": [{"id": c, "name": f"class {c}"} for c in classes],
    }


def plain_presence(data: dict) -> dict[str, list[int]]:  # type: ignore[type-arg]
    images = {image["id"]: image for image in data["images"]}
    columns = [c["id"] for c in data["categories"]]
    rows = {name: [0] * len(columns) for name in sorted(i["file_name"] for i in data["images"])}
    for a in data["annotations"]:
        image = images[a["image_id"]]
        ignore = a.get("ignore", 0) == 1
        if plain_valid(a["bbox"], a["area"], ignore, image["width"], image["height"]):
            rows[image["file_name"]][columns.index(a["category_id"])] = 1
    return rows


def decode(data: dict) -> Instances:  # type: ignore[type-arg]
    return msgspec.json.decode(json.dumps(data), type=Instances)


class TestPresence:
    """ "Row = every image …; sorted by file_name. Column order: the order of categories."""

    @settings(max_examples=200)
    @given(coco_files())
    def test_equals_the_plain_loop(self, data: dict) -> None:  # type: ignore[type-arg]
        found = presence(decode(data))
        expected = plain_presence(data)
        assert found.file_names == list(expected)
        assert found.labels.tolist() == list(expected.values())

    @settings(max_examples=60)
    @given(coco_files(), st.data())
    def test_a_selection_and_its_rest_make_the_whole(self, data: dict, more: st.DataObject) -> None:  # type: ignore[type-arg]
        whole = presence(decode(data))
        ids = more.draw(st.sets(st.sampled_from(sorted(whole.rows))))
        inside, outside = (select(whole, ids, inside=flag) for flag in (True, False))
        rows = {
            **dict(zip(inside.file_names, inside.labels.tolist(), strict=True)),
            **dict(zip(outside.file_names, outside.labels.tolist(), strict=True)),
        }
        assert len(inside.file_names) + len(outside.file_names) == len(whole.file_names)
        assert [rows[name] for name in whole.file_names] == whole.labels.tolist()
        assert set(inside.file_names) == {whole.file_names[whole.rows[i]] for i in ids}


image_ids = st.text("abé0.-", min_size=1, max_size=3)
blanks = st.sampled_from([" ", "  ", "\t", " \t "])


class TestVocLists:
    """ "Lines: image id, then 1, -1 or 0, any white space between; LF or CRLF."""

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.dictionaries(image_ids, st.sampled_from([1, 0, -1]), min_size=1),
            min_size=1,
            max_size=4,
        ),
        blanks,
        st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
    )
    def test_reading_and_joining_equal_the_plain_loop(
        self, lists: list[dict[str, int]], blank: str, end: str
    ) -> None:
        mark = {1: "1", 0: "-1", -1: "0"}
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "cat_train.txt")
            read = []
            for own in lists:
                lines = "".join(f"{image}{blank}{mark[v]}{end}" for image, v in own.items())
                path.write_bytes(lines.encode())
                read.append(read_list(path))
        assert read == lists
        ids, labels = combine(read)
        assert ids == sorted(set().union(*lists))
        assert labels.tolist() == [[d.get(i, -1) for d in lists] for i in ids]


class TestFolders:
    """ "Only files with an image suffix, any case; hidden files … are skipped."""

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.text("aJPGpngjpeg.~", min_size=1, max_size=9), max_size=8))
    def test_lists_what_the_plain_loop_lists(self, names: set[str]) -> None:
        with tempfile.TemporaryDirectory() as place:
            wanted = sorted(n for n in names if n not in (".", ".."))
            for name in wanted:
                Path(place, name).touch()
            found = list_images(Path(place))
            images = [
                n
                for n in wanted
                if n[0] != "." and n.lower().endswith((".jpg", ".jpeg", ".png", ".jpe"))
            ]
            assert [*found.names] == images
            assert found.skipped == len(wanted) - len(images)

    @given(st.lists(st.integers(0, 10**6)))
    def test_natural_order_is_that_of_the_numbers(self, numbers: list[int]) -> None:
        names = sorted(map(str, numbers), key=natural)
        assert names == [str(n) for n in sorted(numbers)]


class TestLists:
    """ "csv quoting and `;`, tab, comma alike"."""

    @settings(max_examples=200)
    @given(
        st.text("ab ,;'ü", min_size=1, max_size=6).map(lambda t: f"x{t}y.jpg"),
        st.sampled_from([",", ";", "\t"]),
        st.integers(0, 999).map(str) | st.sampled_from(["cat", "traffic light"]),
    )
    def test_a_quoted_line_comes_back(self, image: str, delimiter: str, label: str) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerow([image, label])
        assert split_line(text.getvalue().strip()) == (image, label)

    @given(
        st.text("ab ,;ü", min_size=1, max_size=6).map(lambda t: f"x{t}y.jpg"),
        st.integers(0, 999).map(str),
        st.sampled_from([" ", ",", ";", "\t", "  ", ", "]),
    )
    def test_a_number_is_the_label_whatever_stands_before_it(
        self, image: str, label: str, between: str
    ) -> None:
        assert split_line(f"{image}{between}{label}") == (image, label)


paths = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)


class TestRows:
    """ "jsonl and csv (one row an image: file_name, label(s), split)": nothing gets lost."""

    @settings(max_examples=60)
    @given(st.lists(paths | st.text(',"\r\n a', min_size=1), min_size=1, max_size=5), st.data())
    def test_csv_and_jsonl_read_back(self, images: list[str], more: st.DataObject) -> None:
        shape = more.draw(st.sampled_from([(len(images),), (len(images), 2)]))
        labels = np.arange(math.prod(shape), dtype=np.int64).reshape(shape) % 3 - 1
        for kind in ("csv", "jsonl"):
            file = io.BytesIO()
            row_formats.write(file, kind, images, labels, "train", ["a", "b"])
            text = file.getvalue().decode()
            if kind == "csv":
                rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
                found = [(row[0], [int(v) for v in row[1:-1]]) for row in rows]
            else:
                objects = [json.loads(line) for line in text.split("\n")[:-1]]
                found = [(o["file_name"], o.get("labels", None) or [o["label"]]) for o in objects]
            assert found == [
                (i, np.atleast_1d(v).tolist()) for i, v in zip(images, labels, strict=True)
            ]


class TestImages:
    """Paths in groups are the paths; a root and a stored path make the path."""

    @given(
        st.lists(st.tuples(st.text("ab/", max_size=3), st.lists(st.text("xy.", min_size=1)))),
    )
    def test_groups_hold_what_was_put_in(self, groups: list[tuple[str, list[str]]]) -> None:
        found = Images(groups)
        expected = [prefix + name for prefix, names in groups for name in names]
        assert list(found) == expected
        assert len(found) == len(expected)
        assert [found[row] for row in range(len(found))] == expected
        assert found.width == max(map(len, expected), default=0)

    @given(
        st.lists(
            st.tuples(st.text("aü/", max_size=9), st.lists(paths, min_size=1, max_size=4)),
            min_size=1,
        )
    )
    def test_the_file_is_numpys(self, groups: list[tuple[str, list[str]]]) -> None:
        ours, theirs = io.BytesIO(), io.BytesIO()
        Images(groups).write(ours)
        np.save(theirs, np.array([prefix + name for prefix, names in groups for name in names]))
        assert ours.getvalue() == theirs.getvalue()

    @pytest.mark.parametrize("root", ["/", "/a", "/a/b", "/a/b/"])
    def test_root_and_stored_path_make_the_path(self, root: str) -> None:
        assert Path(root) / stored_prefix(Path("/a/b"), Path(root)) == Path("/a/b")
