import io
import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sslprep import manifest
from sslprep.color import counting
from sslprep.color import images as images_module
from sslprep.color.bins import color_bins, read_table
from sslprep.color.counting import Settings, count_chunk
from sslprep.color.generate import generate_color_bins
from sslprep.color.histogram import color_histogram, named
from sslprep.color.images import Chunk
from sslprep.color.priors import standard_errors, zhang_bins
from sslprep.data.folders import write_folders
from sslprep.errors import (
    ArrayError,
    ImagesError,
    ManifestError,
    OutputError,
    ParameterError,
    SslprepError,
)
from sslprep.input_files import sha256_of

Pair = tuple[np.ndarray, np.ndarray]
TABLE = "ab_histogram_train_imagenet.npy"
UNREADABLE = "ab_histogram_train_imagenet_unreadable.json"
MANIFEST = "ab_histogram_train_imagenet.manifest.json"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def odd_files(folder: Path, photo: str) -> list[str]:
    """Write the photo as grey, CMYK, alpha, palette, 16-bit and truncated files."""
    picture = Image.open(photo)
    folder.mkdir()
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("LA").save(folder / "grey_alpha.png")
    cv2.imwrite(str(folder / "sixteen.png"), np.asarray(picture).astype(np.uint16) * 251)
    data = Path(photo).read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    return sorted(map(str, folder.iterdir()))


class TestFairGridIsTheScriptOf2019:
    @pytest.mark.parametrize("size", [1, 5, 7, 10, 15, 20, 32, 64, 128])
    def test_bit_for_bit(
        self,
        photos: list[str],
        tmp_path: Path,
        oracle: Callable[..., tuple[np.ndarray, np.ndarray]],
        size: int,
    ) -> None:
        paths = [*photos[:10], *odd_files(tmp_path / "odd", photos[3])]
        np.save(tmp_path / "list.npy", np.array(paths))
        out = tmp_path / "out"
        generate_color_bins(
            data_file=str(tmp_path / "list.npy"),
            output_path=out,
            grid="fair",
            bin_size=(size,),
            jobs=1,
        )
        points = np.load(out / f"pts_in_hull_train_imagenet_bin{size}.npy")
        priors = np.load(out / f"priors_train_imagenet_bin{size}.npy")
        expected_points, expected_priors = oracle(paths, size)
        assert points.dtype == np.int64
        assert priors.dtype == np.float64
        assert np.array_equal(points, expected_points)
        assert priors.tobytes() == expected_priors.tobytes()


class TestSameBytes:
    def test_on_one_core_and_on_several(self, photo_list: Path, tmp_path: Path) -> None:
        for jobs in (1, 3):
            color_histogram(data_file=str(photo_list), output_path=tmp_path / str(jobs), jobs=jobs)
        assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "3")
        assert set(bytes_of(tmp_path / "1")) == {TABLE, UNREADABLE, MANIFEST}

    def test_opencv_has_its_threads_back(self, photo_list: Path, tmp_path: Path) -> None:
        before = cv2.getNumThreads()
        color_histogram(photo_list, tmp_path / "a", jobs=1, worker_timeout=0.5)
        assert cv2.getNumThreads() == before
        assert (tmp_path / "a" / UNREADABLE).read_bytes() == b"[]\n"


def _as_shards(photos: Sequence[str], folder: Path, kind: str, suffix: str) -> None:
    folder.mkdir()
    for number in range(3):
        with tarfile.open(folder / f"shard-{number:03d}{suffix}", f"w:{kind}") as shard:
            for path in photos[number * 40 : (number + 1) * 40]:
                shard.add(path, f"{'deep/' * 30}{Path(path).name}")  # a name that needs pax
                label = tarfile.TarInfo(Path(path).stem + ".cls")
                label.size = 1
                shard.addfile(label, io.BytesIO(b"7"))


class TestSources:
    @pytest.fixture
    def expected(self, photo_list: Path, tmp_path: Path) -> bytes:
        color_histogram(data_file=str(photo_list), output_path=tmp_path / "expected", jobs=1)
        return (tmp_path / "expected" / TABLE).read_bytes()

    def _table(self, data_file: object, tmp_path: Path, jobs: int = 1) -> bytes:
        color_histogram(data_file=str(data_file), output_path=tmp_path / "out", jobs=jobs)
        return (tmp_path / "out" / TABLE).read_bytes()

    def test_bytes_in_a_npy_list(self, photos: list[str], expected: bytes, tmp_path: Path) -> None:
        np.save(tmp_path / "b.npy", np.array([path.encode() for path in photos]))
        assert self._table(tmp_path / "b.npy", tmp_path) == expected

    def test_a_text_file(self, photos: list[str], expected: bytes, tmp_path: Path) -> None:
        lines = "\r\n\n".join(photos) + "\n\n"
        (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
        assert self._table(tmp_path / "list.txt", tmp_path) == expected
        record = manifest.read(tmp_path / "out" / MANIFEST)
        assert record.counts["images"] == len(photos)
        assert record.inputs[0].sha256 is not None

    def test_a_folder_with_folders_and_links(
        self, photos: list[str], expected: bytes, tmp_path: Path
    ) -> None:
        folder = tmp_path / "tree"
        (folder / "n01").mkdir(parents=True)
        real = tmp_path / "elsewhere"
        real.mkdir()
        for number, path in enumerate(photos):
            shutil.copy(path, (folder, folder / "n01", real)[number % 3])
        (folder / "n02").symlink_to(real)
        (folder / "n01" / "up").symlink_to(folder)  # a loop
        (folder / "notes.txt").write_text("no image")
        (folder / "._0001.jpg").write_text("AppleDouble")
        (folder / "._shard.tar").write_text("AppleDouble")
        for junk in ("@eaDir", ".thumbnails", "__MACOSX"):  # a storage box's own small copies
            (folder / "n01" / junk).mkdir()
            shutil.copy(photos[0], folder / "n01" / junk)
        assert self._table(folder, tmp_path) == expected
        record = manifest.read(tmp_path / "out" / MANIFEST)
        assert record.inputs[0].files_used == len(photos)

    @pytest.mark.parametrize(
        ("kind", "suffix"), [("", ".tar"), ("gz", ".tar.gz"), ("xz", ".tar.xz"), ("gz", ".tgz")]
    )
    def test_tar_shards(
        self, photos: list[str], expected: bytes, tmp_path: Path, kind: str, suffix: str
    ) -> None:
        _as_shards(photos, tmp_path / "shards", kind, suffix)
        assert self._table(tmp_path / "shards", tmp_path, jobs=2) == expected
        assert manifest.read(tmp_path / "out" / MANIFEST).counts["images"] == len(photos)

    def test_a_list_at_home(
        self, expected: bytes, photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert self._table(f"~/{photo_list.name}", tmp_path) == expected

    def test_a_list_of_shards(self, photos: list[str], expected: bytes, tmp_path: Path) -> None:
        _as_shards(photos, tmp_path / "shards", "", ".tar")
        names = sorted(map(str, (tmp_path / "shards").iterdir()))
        (tmp_path / "list.txt").write_text("\n".join(names))
        assert self._table(tmp_path / "list.txt", tmp_path) == expected

    @pytest.mark.parametrize("name", ["shard-{000..002}.tar", "*.tar"])
    def test_a_pattern_says_what_to_do(self, photos: list[str], tmp_path: Path, name: str) -> None:
        _as_shards(photos, tmp_path / "shards", "", ".tar")
        with pytest.raises(ImagesError, match="A pattern is not read; let the shell list: printf"):
            self._table(tmp_path / "shards" / name, tmp_path)

    def test_a_tar_of_tars_says_what_to_do(self, photos: list[str], tmp_path: Path) -> None:
        _as_shards(photos, tmp_path / "shards", "", ".tar")
        with tarfile.open(tmp_path / "all.tar", "w") as outer:
            outer.add(tmp_path / "shards" / "shard-000.tar", "shard-000.tar")
        with pytest.raises(ImagesError, match="a tar within a tar; unpack the outer one"):
            self._table(tmp_path / "all.tar", tmp_path)

    def test_a_shard_with_many_tars_counts_once(
        self, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images_module, "CHUNK_IMAGES", 2)  # a lone shard has several chunks
        with tarfile.open(tmp_path / "all.tar", "w") as outer:
            for number, path in enumerate(photos[:6]):
                outer.add(path, f"{number}.jpg")
                outer.add(path, f"{number}.tar")
        run = {"images": tmp_path / "all.tar", "output": tmp_path / "out", "jobs": 1}
        with pytest.raises(ImagesError, match=r"1 of 1 shards are damaged.*\(100 %\)"):
            color_histogram(**run, max_unreadable=0.5)
        result = color_histogram(**run, max_unreadable=1)
        assert (result.images, result.unreadable) == (12, 6)
        assert manifest.read(tmp_path / "out" / MANIFEST).counts["damaged_shards"] == 1

    def test_shards_are_walked_by_their_workers_alone(
        self, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _as_shards(photos, tmp_path / "shards", "", ".tar")
        monkeypatch.setattr(images_module, "members", None)  # as the client would call it
        source = images_module.open_images(str(tmp_path / "shards"), None, manifest.Inputs())
        assert [chunk.span for chunk in source.chunks()] == [(0, None)] * 3

    def test_a_shard_that_changed_is_another_input(self, photos: list[str], tmp_path: Path) -> None:
        _as_shards(photos, tmp_path / "shards", "", ".tar")

        def identity() -> str:
            shards = str(tmp_path / "shards")
            return images_module.open_images(shards, None, manifest.Inputs()).identity

        first = identity()
        assert identity() == first
        os.utime(tmp_path / "shards" / "shard-001.tar", (1, 1))
        second = identity()
        with open(tmp_path / "shards" / "shard-001.tar", "ab") as file:
            file.write(b"\0")
        os.utime(tmp_path / "shards" / "shard-001.tar", (1, 1))
        assert len({first, second, identity()}) == 3

    def test_a_folder_that_changes_meanwhile_is_noticed(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        for path in photos[:3]:
            shutil.copy(path, tmp_path)
        source = images_module.open_images(str(tmp_path), None, manifest.Inputs())
        shutil.copy(photos[4], tmp_path)
        with pytest.raises(ImagesError, match="changed while"):
            list(source.chunks())

    @pytest.mark.parametrize("mode", ["w", "w:gz"], ids=["plain", "compressed under a plain name"])
    def test_one_shard_is_cut_at_its_members(
        self,
        photos: list[str],
        expected: bytes,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
    ) -> None:
        monkeypatch.setattr(images_module, "CHUNK_IMAGES", 7)
        with tarfile.open(tmp_path / "all.tar", mode) as shard:
            for path in photos:
                shard.add(path, f"{'é' * 90}/{Path(path).name}")
        assert self._table(tmp_path / "all.tar", tmp_path) == expected
        source = images_module.open_images(str(tmp_path / "all.tar"), None, manifest.Inputs())
        assert len(list(source.chunks())) == (15 if mode == "w" else 1)

    def test_members_behind_are_forgotten(self, photos: list[str], tmp_path: Path) -> None:
        """A shard of ten million would take gigabytes."""
        with tarfile.open(tmp_path / "all.tar", "w") as shard:
            for path in photos[:20]:
                shard.add(path, Path(path).name)
        with open(tmp_path / "all.tar", "rb") as file:
            assert {len(archive.members) for archive, _ in images_module.members(file)} == {1}

    def test_urls(self, photos: list[str], expected: bytes, tmp_path: Path) -> None:
        fsspec = pytest.importorskip("fsspec")
        memory = fsspec.filesystem("memory")
        for path in photos:
            memory.pipe(f"/set/{Path(path).name}", Path(path).read_bytes())
        memory.pipe("/lists/all.txt", "\n".join(f"file://{path}" for path in photos).encode())
        try:
            assert self._table("memory://set", tmp_path) == expected
            shutil.rmtree(tmp_path / "out")
            assert self._table("memory://lists/all.txt", tmp_path) == expected
            record = manifest.read(tmp_path / "out" / MANIFEST).inputs[0]
            assert record.path == "memory://lists/all.txt"
            with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as shard:
                for path in photos:
                    shard.add(path, Path(path).name)
            memory.pipe("/set.tar.gz", (tmp_path / "all.tar.gz").read_bytes())
            shutil.rmtree(tmp_path / "out")
            assert self._table("memory://set.tar.gz", tmp_path) == expected
        finally:
            memory.store.clear()

    def test_relative_paths_may_start_from_a_url(
        self, photos: list[str], expected: bytes, tmp_path: Path
    ) -> None:
        memory = pytest.importorskip("fsspec").filesystem("memory")
        for path in photos:
            memory.pipe(f"/set/{Path(path).name}", Path(path).read_bytes())
        (tmp_path / "list.txt").write_text("\n".join(Path(path).name for path in photos))
        try:
            color_histogram(tmp_path / "list.txt", tmp_path / "out", root="memory://set", jobs=1)
        finally:
            memory.store.clear()
        assert (tmp_path / "out" / TABLE).read_bytes() == expected
        assert manifest.read(tmp_path / "out" / MANIFEST).parameters["root"] == "memory://set"

    def test_lists_of_one_name_in_one_process_are_told_apart(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        memory = pytest.importorskip("fsspec").filesystem("memory")
        tables = []
        try:
            for number, url in enumerate(("a/train.txt", "b/train.txt", "a/train.txt")):
                memory.pipe(f"/{url}", photos[number].encode())
                out = tmp_path / str(number)
                color_histogram(f"memory://{url}", out, global_resize_img=8, jobs=1)
                tables.append((out / TABLE).read_bytes())
        finally:
            memory.store.clear()
        assert len(set(tables)) == 3

    def test_the_query_of_a_signed_url_is_no_part_of_its_name(self) -> None:
        assert images_module.is_shard("https://host/set-000.TAR.gz?X-Amz-Signature=a.jpg")
        assert not images_module.is_shard("https://host/a.jpg?next=b.tar")
        assert images_module.is_shard("what?.tar")

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"<!DOCTYPE HTML>\n<html lang='en'>", "is a web page"),
            (b"\xff\xfea\0.\0j\0p\0g\0", "is UTF-16 text.*Save it as UTF-8"),
            (b"\x1f\x8b\x08\0", "is a gzip file"),
            (b"a.jpg\nb\0", "not a text file"),
        ],
        ids=["page", "utf-16", "gzip", "binary"],
    )
    def test_a_remote_list_that_is_none_is_called_what_it_is(
        self, tmp_path: Path, data: bytes, text: str
    ) -> None:
        memory = pytest.importorskip("fsspec").filesystem("memory")
        memory.pipe("/lists/a.txt", data)
        try:
            with pytest.raises(ImagesError, match=rf"^memory://lists/a\.txt.*: {text}"):
                color_histogram("memory://lists/a.txt", tmp_path / "out", jobs=1)
        finally:
            memory.store.clear()

    def test_a_url_that_is_missing_is_listed(self, photos: list[str], tmp_path: Path) -> None:
        pytest.importorskip("fsspec")
        entries = [*photos[:3], "memory://set/none.jpg", f"file://{photos[4]}[1].jpg", photos[5]]
        (tmp_path / "list.txt").write_text("\n".join(entries))
        color_histogram(
            data_file=str(tmp_path / "list.txt"),
            output_path=tmp_path / "out",
            max_unreadable=0.5,
            jobs=1,
        )
        listed = json.loads((tmp_path / "out" / UNREADABLE).read_bytes())
        assert [(x["index"], x["reason"]) for x in listed] == [(3, "missing"), (4, "missing")]


class TestUnreadable:
    @pytest.fixture
    def entries(self, photos: list[str], tmp_path: Path) -> list[str]:
        folder = tmp_path / "bad"
        folder.mkdir()
        data = Path(photos[0]).read_bytes()
        (folder / "zero.jpg").write_bytes(b"")
        (folder / "page.jpg").write_text("<html>")
        (folder / "half.jpg").write_bytes(data[: len(data) // 2])
        (folder / "half.png").write_bytes(
            bytes(cv2.imencode(".png", cv2.imread(photos[0]))[1])[:99]
        )
        (folder / "dir.jpg").mkdir()
        bad = [folder / n for n in ("zero.jpg", "page.jpg", "half.jpg", "half.png", "dir.jpg")]
        entries = list(photos[:40])
        for number, path in enumerate([*bad, folder / "none.jpg"]):
            entries.insert(number * 7, str(path))
        np.save(tmp_path / "list.npy", np.array(entries))
        return entries

    def _run(self, tmp_path: Path, **options: object) -> list[dict[str, object]]:
        color_histogram(
            data_file=str(tmp_path / "list.npy"),
            output_path=tmp_path / "out",
            **{"max_unreadable": 0.2, "jobs": 1, **options},  # type: ignore[arg-type]
        )
        listed: list[dict[str, object]] = json.loads((tmp_path / "out" / UNREADABLE).read_bytes())
        return listed

    def test_each_is_listed_with_its_reason(self, entries: list[str], tmp_path: Path) -> None:
        listed = self._run(tmp_path)
        reasons = [
            "zero bytes",
            "not an image (a web page, maybe what a failed download left)",
            "truncated",
            "decode failed",
            "not a file",
            "missing",
        ]
        assert [entry["reason"] for entry in listed] == reasons
        assert (tmp_path / "out" / UNREADABLE).read_bytes().endswith(b"}\n]\n")
        assert [entry["path"] for entry in listed] == entries[:36:7]
        assert [entry["index"] for entry in listed] == [0, 7, 14, 21, 28, 35]
        assert [entry["counted"] for entry in listed] == [False, False, True, False, False, False]
        counts = manifest.read(tmp_path / "out" / MANIFEST).counts
        assert counts["images"] == 46
        assert counts["images"] - counts["unreadable"] == 41
        assert counts["unreadable"] == 5
        assert counts["truncated"] == 1
        assert counts["pixels"] == 41 * 65536

    def test_they_never_change_the_counts_of_the_others(
        self, entries: list[str], photos: list[str], tmp_path: Path
    ) -> None:
        self._run(tmp_path, strict_decode=True)
        np.save(tmp_path / "good.npy", np.array(photos[:40]))
        color_histogram(data_file=str(tmp_path / "good.npy"), output_path=tmp_path / "good", jobs=1)
        assert (tmp_path / "out" / TABLE).read_bytes() == (tmp_path / "good" / TABLE).read_bytes()

    def test_strict_decoding_leaves_truncated_ones_out(
        self, entries: list[str], tmp_path: Path
    ) -> None:
        listed = self._run(tmp_path, strict_decode=True)
        assert listed[2]["reason"] == "truncated"
        assert listed[2]["counted"] is False

    def test_several_cores_list_the_same(self, entries: list[str], tmp_path: Path) -> None:
        one = self._run(tmp_path)
        shutil.rmtree(tmp_path / "out")
        assert self._run(tmp_path, jobs=2) == one

    def test_too_many_are_an_error_and_the_table_is_kept(
        self, entries: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ImagesError, match="5 of 46 images cannot be read") as caught:
            self._run(tmp_path, max_unreadable=0.1)
        assert "raise --max-unreadable" in str(caught.value)
        assert not any((tmp_path / "out" / name).exists() for name in (TABLE, MANIFEST))

        def never(*arguments: object) -> None:
            raise AssertionError("counted again")

        monkeypatch.setattr(counting, "count_chunk", never)
        assert len(self._run(tmp_path, max_unreadable=0.11)) == 6

    def test_repaired_images_are_counted_with_recount(
        self, entries: list[str], photos: list[str], tmp_path: Path
    ) -> None:
        with pytest.raises(ImagesError):
            self._run(tmp_path, max_unreadable=0.1)
        for name in ("zero.jpg", "page.jpg"):
            shutil.copy(photos[0], tmp_path / "bad" / name)
        assert len(self._run(tmp_path, max_unreadable=0.1, recount=True)) == 4

    def test_not_one_readable_writes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("none.jpg\nnor this.jpg\n")
        with pytest.raises(ImagesError, match="none of 2 images can be read") as caught:
            color_histogram(
                data_file=str(tmp_path / "list.txt"),
                output_path=tmp_path / "a" / "b",
                max_unreadable=1.0,
                jobs=1,
            )
        assert "none.jpg: missing" in str(caught.value)
        assert not (tmp_path / "a").exists()

    def test_names_that_are_no_utf8(self, photos: list[str], tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_bytes(b"\n".join([photos[0].encode(), b"caf\xe9.jpg"]))
        color_histogram(
            data_file=str(tmp_path / "list.txt"),
            output_path=tmp_path / "out",
            max_unreadable=0.5,
            jobs=1,
        )
        listed = json.loads((tmp_path / "out" / UNREADABLE).read_bytes())
        assert listed[0]["path"] == "caf\\xe9.jpg"


class TestDamagedShards:
    @pytest.fixture
    def shard(self, photos: list[str], tmp_path: Path) -> bytearray:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as shard:
            for path in photos[:20]:
                shard.add(path, Path(path).name)
        return bytearray(file.getvalue())

    def _listed(self, tmp_path: Path, data: bytes, name: str = "s.tar") -> list[tuple[str, str]]:
        (tmp_path / name).write_bytes(data)
        color_histogram(
            data_file=str(tmp_path / name),
            output_path=tmp_path / "out",
            max_unreadable=1.0,
            jobs=1,
        )
        listed = json.loads((tmp_path / "out" / UNREADABLE).read_bytes())
        return [(Path(entry["path"]).name, entry["reason"]) for entry in listed]

    def test_a_shard_cut_within_an_image(self, shard: bytearray, tmp_path: Path) -> None:
        listed = self._listed(tmp_path, bytes(shard[: len(shard) // 2 + 300]))
        assert listed == [("s.tar", "damaged shard (unexpected end of data)")]

    def test_a_header_overwritten(self, shard: bytearray, tmp_path: Path) -> None:
        position = shard.index(b"0011.jpg")
        shard[position : position + 4] = b"XXXX"
        listed = self._listed(tmp_path, bytes(shard))
        assert "damaged shard (bad checksum at byte" in listed[0][1]
        assert manifest.read(tmp_path / "out" / MANIFEST).counts["images"] == 12

    def test_a_size_below_zero_does_not_lead_back(self, shard: bytearray, tmp_path: Path) -> None:
        with tarfile.open(fileobj=io.BytesIO(shard)) as archive:
            start = archive.getmember("0011.jpg").offset_data - 512
        shard[start + 124 : start + 136] = b"\xff" * 10 + b"\xf6\0"  # GNU's base 256: -2560
        shard[start + 148 : start + 156] = b" " * 8
        shard[start + 148 : start + 156] = b"%06o\0 " % sum(shard[start : start + 512])
        listed = self._listed(tmp_path, bytes(shard))
        assert listed == [("s.tar", f"damaged shard (an impossible size at byte {start - 2048:,})")]

    def test_no_tar_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(ImagesError, match=r"none of 1 images.*no tar header at byte 0"):
            self._listed(tmp_path, b"x" * 2000)

    def test_a_compressed_shard_cut_short(self, shard: bytearray, tmp_path: Path) -> None:
        import gzip

        data = gzip.compress(bytes(shard))
        listed = self._listed(tmp_path, data[: len(data) * 3 // 4], "s.tar.gz")
        assert "damaged shard" in listed[-1][1]

    def test_one_that_holds_no_image(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "no.tar", "w") as shard:
            shard.add(__file__, "notes.txt")
        with pytest.raises(ImagesError, match=r"no\.tar: holds no images"):
            color_histogram(tmp_path / "no.tar", tmp_path / "out", jobs=1)

    def test_links_are_not_followed(self, photos: list[str], tmp_path: Path) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as shard:
            shard.add(photos[0], "a.jpg")
            shard.add(photos[1], "b.jpg")
            link = tarfile.TarInfo("c.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, photos[2]
            shard.addfile(link)
        assert self._listed(tmp_path, file.getvalue()) == [("c.jpg", "a link within the shard")]

    def test_a_shard_without_its_end_blocks_is_whole(
        self, shard: bytearray, tmp_path: Path
    ) -> None:
        with tarfile.open(fileobj=io.BytesIO(bytes(shard))) as tar:
            last = tar.getmembers()[-1]
        end = last.offset_data + -(-last.size // 512) * 512
        assert self._listed(tmp_path, bytes(shard[:end])) == []

    @pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
    def test_a_shard_behind_another_is_not_left_out_in_silence(
        self, shard: bytearray, tmp_path: Path, name: str
    ) -> None:
        """`cat a.tar b.tar`: readers of tar stop at the end of the first."""
        import gzip

        both = bytes(shard) * 2
        listed = self._listed(tmp_path, gzip.compress(both) if name.endswith("gz") else both, name)
        ((path, reason),) = listed
        assert path == name
        assert reason.startswith("damaged shard (more follows its end at byte ")
        assert manifest.read(tmp_path / "out" / MANIFEST).counts["images"] == 21

    def test_a_compressed_shard_whose_last_bytes_are_gone(
        self, shard: bytearray, tmp_path: Path
    ) -> None:
        import lzma

        listed = self._listed(tmp_path, lzma.compress(bytes(shard))[:-30], "s.tar.xz")
        assert "damaged shard" in listed[0][1]

    def test_one_of_two_is_too_many_whatever_share_of_the_images_it_seems_to_be(
        self, shard: bytearray, tmp_path: Path
    ) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "a.tar").write_bytes(shard)
        (tmp_path / "set" / "b.tar").write_bytes(shard[: len(shard) // 2 + 300])
        options = {"global_resize_img": 8, "jobs": 1}
        with pytest.raises(ImagesError, match="1 of 2 shards are damaged or hold tars"):
            color_histogram(tmp_path / "set", tmp_path / "out", max_unreadable=0.2, **options)
        made = color_histogram(tmp_path / "set", tmp_path / "out", max_unreadable=0.5, **options)
        assert "1 shards are damaged or hold tars: not all in them was counted" in made.warnings
        counts = manifest.read(tmp_path / "out" / MANIFEST).counts
        assert (counts["shards"], counts["damaged_shards"]) == (2, 1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"type": "a\\b"}, ParameterError, "--type is"),
            ({"sample": 1.0}, ParameterError, "--sample is 1"),
            ({"worker_timeout": 0}, ParameterError, "--worker-timeout is 0"),
            ({"type": "a/b"}, ParameterError, "--type is 'a/b'"),
            ({"type": ""}, ParameterError, "--type is ''"),
            ({"dataset": "../x"}, ParameterError, "--dataset is"),
            ({"global_resize_img": 0}, ParameterError, "--global-resize-img is 0"),
            ({"max_unreadable": 1.5}, ParameterError, "--max-unreadable is 1.5"),
            ({"jobs": 0}, ParameterError, "--jobs is 0"),
            ({"data_file": "gone.npy"}, ImagesError, "gone.npy: no such file"),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
    )
    def test_bad_parameters(
        self,
        photo_list: Path,
        tmp_path: Path,
        options: dict[str, object],
        error: type[SslprepError],
        text: str,
    ) -> None:
        arguments = {"data_file": str(photo_list), "output_path": tmp_path / "out", **options}
        with pytest.raises(error, match=text):
            color_histogram(**arguments)  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()

    def test_lists_that_are_none(self, tmp_path: Path) -> None:
        cases = {
            "numbers.npy": np.arange(3),
            "square.npy": np.array([["a", "b"]]),
            "empty.npy": np.array([], "<U5"),
        }
        for name, array in cases.items():
            np.save(tmp_path / name, array)
        (tmp_path / "image.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
        (tmp_path / "empty.txt").write_text("\n\n")
        (tmp_path / "folder").mkdir()
        for name in (*cases, "image.jpg", "empty.txt", "folder"):
            with pytest.raises((ImagesError, ArrayError), match=name):
                color_histogram(
                    data_file=str(tmp_path / name), output_path=tmp_path / "out", jobs=1
                )
        assert not (tmp_path / "out").exists()

    def test_an_existing_histogram_is_kept(self, photo_list: Path, tmp_path: Path) -> None:
        color_histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1)
        before = bytes_of(tmp_path)
        for images in (photo_list, tmp_path / "none.npy"):  # before any input is read
            with pytest.raises(OutputError, match="exists already"):
                color_histogram(data_file=str(images), output_path=tmp_path, jobs=1)
        color_histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1, overwrite=True)
        assert bytes_of(tmp_path) == before

    @pytest.mark.parametrize(
        "table",
        [
            np.zeros((256, 256), np.int64),
            np.full((256, 256), -1),
            np.ones((256, 255), np.int64),
            np.ones((256, 256)),
            np.full((256, 256), 2**63, np.uint64),
        ],
        ids=["empty", "negative", "shape", "floats", "overflow"],
    )
    def test_tables_that_are_none(self, tmp_path: Path, table: np.ndarray) -> None:
        np.save(tmp_path / TABLE, table)
        with pytest.raises(ArrayError, match=TABLE):
            read_table(tmp_path / TABLE)


class TestGenerate:
    def test_equals_histogram_and_bins(self, photo_list: Path, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        arguments = {"bin_size": (5, 10), "weights": True}
        generate_color_bins(data_file=str(photo_list), output_path=one, jobs=1, **arguments)
        color_histogram(data_file=str(photo_list), output_path=two, jobs=1)
        color_bins(histogram=(two / TABLE,), **arguments)
        left, right = bytes_of(one), bytes_of(two)
        assert left.keys() == right.keys()
        assert {n for n in left if left[n] != right[n]} <= {
            f"pts_in_hull_train_imagenet_bin{size}.manifest.json" for size in (5, 10)
        }  # they name their input as it was given
        assert manifest.verify(folder=one).ok

    def test_points_that_do_not_go_with_the_grid_are_refused_before_the_pass(
        self, photo_list: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "points.npy", np.array([[0, 0], [10, 0]]))
        with pytest.raises(ParameterError, match="--points is one set of centres"):
            generate_color_bins(
                photo_list, tmp_path / "out", points=tmp_path / "points.npy", grid="fair", jobs=1
            )
        assert not (tmp_path / "out").exists()

    def test_uses_a_finished_histogram(
        self, photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = generate_color_bins(data_file=str(photo_list), output_path=tmp_path, jobs=1)
        assert first.resumed_after == 0

        def never(*arguments: object) -> None:
            raise AssertionError("counted again")

        with monkeypatch.context() as patch:
            patch.setattr(counting, "count_chunk", never)
            again = generate_color_bins(
                data_file=str(photo_list), output_path=tmp_path, bin_size=(5,), jobs=1
            )
            assert again.resumed_after == again.images == first.images
        anew = generate_color_bins(
            data_file=str(photo_list), output_path=tmp_path, recount=True, overwrite=True, jobs=1
        )
        assert anew.resumed_after == 0

    def test_a_broken_manifest_is_replaced_when_told_to(
        self, photo_list: Path, tmp_path: Path
    ) -> None:
        (tmp_path / MANIFEST).write_text("{")
        with pytest.raises(OutputError, match="exists already"):
            generate_color_bins(photo_list, tmp_path, jobs=1, global_resize_img=8)
        generate_color_bins(photo_list, tmp_path, jobs=1, global_resize_img=8, overwrite=True)
        assert manifest.verify(folder=tmp_path).ok

    def test_counts_anew_when_the_list_or_the_table_differs(
        self, photos: list[str], photo_list: Path, tmp_path: Path
    ) -> None:
        generate_color_bins(data_file=str(photo_list), output_path=tmp_path, jobs=1)
        with open(tmp_path / TABLE, "r+b") as file:
            file.seek(-1, 2)
            file.write(b"\1")
        with pytest.raises(OutputError, match="exists already"):
            generate_color_bins(
                data_file=str(photo_list), output_path=tmp_path, bin_size=(5,), jobs=1
            )
        np.save(photo_list, np.array(photos[:50]))
        result = generate_color_bins(
            data_file=str(photo_list), output_path=tmp_path, overwrite=True, jobs=1
        )
        assert result.resumed_after == 0
        assert result.images == 50

    def test_a_list_at_a_url_that_differs_is_one_input(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        """It is fetched to see whether the histogram is of it, and not once more to count."""
        memory = pytest.importorskip("fsspec").filesystem("memory")
        given = {"images": "memory://set/list.txt", "jobs": 1, "global_resize_img": 8}
        try:
            memory.pipe("/set/list.txt", "\n".join(photos[:3]).encode())
            generate_color_bins(**given, output=tmp_path / "again")
            memory.pipe("/set/list.txt", "\n".join(photos[:5]).encode())
            generate_color_bins(**given, output=tmp_path / "again", overwrite=True)
            generate_color_bins(**given, output=tmp_path / "fresh")
        finally:
            memory.store.clear()
        made = [(tmp_path / name / MANIFEST).read_bytes() for name in ("again", "fresh")]
        assert made[0] == made[1]

    def test_existing_bins_are_an_error_before_any_work(
        self, photo_list: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "priors_train_imagenet_bin10.npy").write_text("mine")
        with pytest.raises(OutputError, match="exists already"):
            generate_color_bins(data_file=str(photo_list), output_path=tmp_path, jobs=1)
        assert {path.name for path in tmp_path.iterdir()} == {
            "priors_train_imagenet_bin10.npy",
            photo_list.name,
        }


class TestOutputsOfOurOwn:
    """The lists that `sslprep data` writes, in every format, wherever the images are."""

    @pytest.fixture
    def tree(self, photos: list[str], tmp_path: Path) -> Path:
        for number, path in enumerate(photos[:12]):
            for split in ("train", "val"):
                target = tmp_path / "Places 205" / split / "abc"[number % 3]
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / f"{number}, {split} 1.jpg")
        return tmp_path / "Places 205"

    @pytest.mark.parametrize(
        "name", ["train_images.npy", "train.csv", "train.jsonl", "train.txt", "train.parquet"]
    )
    def test_names_and_root_come_from_the_partition(
        self, tree: Path, tmp_path: Path, name: str
    ) -> None:
        lists = tmp_path / "lists"
        write_folders(
            data_source_dir=tree,
            output_dir=lists,
            relative_to=tree,
            format=("npy", "csv", "jsonl", "txt", "parquet"),
        )
        result = color_histogram(lists / name, tmp_path / "out", global_resize_img=8, jobs=1)
        assert result.images == 12
        assert result.unreadable == 0
        assert result.written[0].name == "ab_histogram_train_places-205.npy"

    def test_a_list_is_hashed_once_for_names_and_root(
        self, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lists = tmp_path / "lists"
        write_folders(data_source_dir=tree, output_dir=lists, format=("npy", "txt"))
        hashed: list[Path] = []

        def noted(path: Path) -> str:
            hashed.append(path)
            return sha256_of(path)

        monkeypatch.setattr(images_module, "sha256_of", noted)
        for _ in range(2):  # the second uses the histogram of the first
            generate_color_bins(
                lists / "train.txt", tmp_path / "o", global_resize_img=8, jobs=1, overwrite=True
            )
        assert hashed == [lists / "train.txt"] * 2

    @pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "train.parquet"])
    def test_a_table_that_was_changed_since_is_refused(
        self, tree: Path, tmp_path: Path, name: str
    ) -> None:
        lists = tmp_path / "lists"
        formats = ("npy", "csv", "jsonl", "parquet")
        write_folders(data_source_dir=tree, output_dir=lists, format=formats)
        with open(lists / name, "ab") as file:
            file.write(b"\n")
        with pytest.raises(ImagesError, match="is a table that no finished partition"):
            color_histogram(lists / name, tmp_path / "out", jobs=1)

    @pytest.mark.parametrize("root", [7, ["a"], {"a": 1}, True])
    def test_an_odd_root_in_the_manifest_is_one_line(
        self, tree: Path, tmp_path: Path, root: object
    ) -> None:
        write_folders(data_source_dir=tree, output_dir=tmp_path / "lists")
        own = tmp_path / "lists" / "train.manifest.json"
        record = json.loads(own.read_bytes())
        record.setdefault("details", {})["root"] = root
        own.write_text(json.dumps(record))
        with pytest.raises(ManifestError, match=r"train\.manifest\.json: says that images lie in"):
            color_histogram(tmp_path / "lists" / "train_images.npy", tmp_path / "out", jobs=1)

    def test_a_broken_manifest_is_not_taken_for_none(self, tree: Path, tmp_path: Path) -> None:
        write_folders(data_source_dir=tree, output_dir=tmp_path / "lists")
        (tmp_path / "lists" / "train.manifest.json").write_text("{")
        with pytest.raises(ManifestError, match=r"train\.manifest\.json: "):
            color_histogram(tmp_path / "lists" / "train_images.npy", tmp_path / "out", jobs=1)

    def test_a_manifest_of_another_program_does_not_matter(
        self, photo_list: Path, tmp_path: Path
    ) -> None:
        own = photo_list.rename(tmp_path / "mine.npy").with_suffix(".manifest.json")
        for text in ('{"files": ["a.jpg"]}', "[]", "{"):
            own.write_text(text)
            color_histogram(
                tmp_path / "mine.npy", tmp_path / "o", jobs=1, overwrite=True, sample=0.1
            )

    def test_another_root_and_other_names_may_be_given(self, tree: Path, tmp_path: Path) -> None:
        lists = tmp_path / "lists"
        write_folders(data_source_dir=tree, output_dir=lists, relative_to=tree)
        tree.rename(tmp_path / "moved")
        options = {"global_resize_img": 8, "jobs": 1}
        with pytest.raises(ImagesError, match="none of 12 images"):
            color_histogram(lists / "val_images.npy", tmp_path / "out", **options)
        result = color_histogram(
            lists / "val_images.npy",
            tmp_path / "out",
            root=tmp_path / "moved",
            dataset="mine",
            **options,
        )
        assert result.written[0].name == "ab_histogram_val_mine.npy"

    def test_voc_has_its_short_name(self, photos: list[str], tmp_path: Path) -> None:
        (tmp_path / "test.txt").write_text(photos[0])
        manifest_ = {
            "schema": 1,
            "sslprep": "0",
            "kind": "partition",
            "command": "data voc",
            "parameters": {},
            "inputs": [],
            "outputs": [
                {"file": "test.txt", "bytes": 1, "sha256": sha256_of(tmp_path / "test.txt")}
            ],
            "details": {"dataset": "VOC2007"},
        }
        (tmp_path / "test.manifest.json").write_text(json.dumps(manifest_))
        for name, words in (("test.txt", ("test", "voc07")), ("none.txt", ("train", "imagenet"))):
            given = {"images": tmp_path / name, "root": None, "type": None, "dataset": None}
            assert (named(given)["type"], named(given)["dataset"]) == words


class TestSample:
    def test_priors_and_their_errors_fit_those_of_all_images(self, photos: list[str]) -> None:
        """Of many draws, the mean squared deviation in standard errors is near 1."""
        chunk = Chunk(number=0, names=tuple(photos * 4))

        def tables(**options: float) -> np.ndarray:
            settings = Settings(global_resize_img=16, **options)  # type: ignore[arg-type]
            found = count_chunk(settings, chunk)
            assert not options or 80 < found.images < 160
            flat = np.zeros((32 if options else 1) * 65536, np.int64)
            flat[found.cells] = found.pixels
            return flat.reshape(-1, 256, 256)

        everything = zhang_bins(tables()[0], 20, 5.0).priors
        squares = []
        for seed in range(12):
            groups = tables(sample=0.3, seed=seed)
            bins = zhang_bins(groups.sum(0), 20, 5.0)
            errors = standard_errors(groups, bins, 0.3, fair_size=None, sigma=5.0)
            often = everything > 0.01
            squares.append((((bins.priors - everything) / errors)[often] ** 2).mean())
        assert 0.4 < np.mean(squares) < 2.2

    def test_share_and_seed_stand_in_the_manifest(self, photo_list: Path, tmp_path: Path) -> None:
        options = {"sample": 0.3, "seed": 11, "global_resize_img": 16, "jobs": 1}
        made = generate_color_bins(photo_list, tmp_path, **options)
        assert made.images < 60
        priors = np.load(tmp_path / "priors_train_imagenet_bin10.npy")
        errors = np.load(tmp_path / "standard_errors_train_imagenet_bin10.npy")
        assert errors.shape == priors.shape
        record = manifest.read(tmp_path / "ab_histogram_train_imagenet.manifest.json")
        assert (record.seed, record.parameters["sample"]) == (11, 0.3)

    def test_one_that_draws_no_image_says_so(self, photo_list: Path, tmp_path: Path) -> None:
        with pytest.raises(ImagesError, match=r"--sample 1e-06 draws no image.*larger --sample"):
            color_histogram(photo_list, tmp_path / "out", sample=1e-6, jobs=1)
        assert not (tmp_path / "out").exists()

    def test_groups_of_another_run_are_refused(self, photo_list: Path, tmp_path: Path) -> None:
        color_histogram(photo_list, tmp_path, sample=0.5, global_resize_img=16, jobs=1)
        groups = tmp_path / "ab_histogram_train_imagenet_groups.npy"
        np.save(groups, np.load(groups)[::-1] * 2)
        with pytest.raises(ArrayError, match="is not the sum of its groups"):
            color_bins((tmp_path / TABLE,), output=tmp_path / "bins")
        assert not (tmp_path / "bins").exists()

    def test_errors_follow_later_from_the_groups_on_any_grid(
        self, photo_list: Path, tmp_path: Path
    ) -> None:
        color_histogram(photo_list, tmp_path, sample=0.5, global_resize_img=16, jobs=2)
        for grid in ("fair", "zhang"):
            made = color_bins((tmp_path / TABLE,), grid=grid, output=tmp_path / grid)  # type: ignore[arg-type]
            errors = np.load(tmp_path / grid / "standard_errors_train_imagenet_bin10.npy")
            assert len(errors) == made.bins[10]
            assert (errors >= 0).all()
            assert errors.max() > 0
        color_histogram(photo_list, tmp_path, global_resize_img=16, jobs=1, overwrite=True)
        assert not list(tmp_path.glob("*_groups.npy"))


def test_a_picture_above_the_limit_of_pixels_is_listed(photos: list[str], tmp_path: Path) -> None:
    """In a worker, whose OpenCV is imported by us: the limit is read at import."""
    np.save(tmp_path / "list.npy", np.array([*photos[:5], str(tmp_path / "large.png")]))
    (tmp_path / "large.png").write_bytes(_empty_png(1 << 15, (1 << 13) + 1))
    color_histogram(tmp_path / "list.npy", tmp_path / "out", max_unreadable=0.5, jobs=2)
    (listed,) = json.loads((tmp_path / "out" / UNREADABLE).read_bytes())
    assert "decode failed" in listed["reason"]
    assert "PIXELS" in listed["reason"]


def _empty_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((width + 1) * 9)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")
