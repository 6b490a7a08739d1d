"""URLs: one request for many, asked for again, and a store's own errors in one line."""

import importlib
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.color.store import CUT, Store

from sslprep.color import images
from sslprep.color.histogram import color_histogram
from sslprep.errors import ImagesError, MissingExtraError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(images, "RETRIES", (0.0, 0.0))
    for number in range(5):
        system.pipe(f"/set/{number}.jpg", b"%d" % number)
    yield system
    system.store.clear()


URLS = [f"memory://set/{number}.jpg" for number in range(5)]


def test_many_are_one_request_and_a_missing_one_is_not_asked_for_again(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[int] = []
    real = type(memory).cat_ranges

    def counted(self: Any, paths: list[str], *arguments: Any, **options: Any) -> Any:
        requests.append(len(paths))
        found = real(self, paths, *arguments, **options)
        refused = PermissionError("private")
        return [refused if "private" in path else x for path, x in zip(paths, found, strict=True)]

    monkeypatch.setattr(type(memory), "cat_ranges", counted)
    found = images.read_many([*URLS, "memory://set/none.jpg", "memory://set/private.jpg"])
    assert [found[url] for url in URLS] == [b"0", b"1", b"2", b"3", b"4"]
    assert isinstance(found["memory://set/none.jpg"], FileNotFoundError)
    assert isinstance(found["memory://set/private.jpg"], PermissionError)
    assert requests == [7]


def test_what_fails_for_a_moment_is_asked_for_again(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = {"/set/1.jpg": 1, "/set/3.jpg": 9}
    asked: list[list[str]] = []
    real = type(memory).cat_ranges

    def flaky(self: Any, paths: list[str], *arguments: Any, **options: Any) -> Any:
        asked.append(list(paths))
        found = real(self, paths, *arguments, **options)
        for at, path in enumerate(paths):
            if failures.get(path, 0) > 0:
                failures[path] -= 1
                found[at] = TimeoutError("slow down")
        return found

    monkeypatch.setattr(type(memory), "cat_ranges", flaky)
    found = images.read_many(URLS)
    assert [found[url] for url in URLS[:3]] == [b"0", b"1", b"2"]
    assert isinstance(found[URLS[3]], TimeoutError)
    assert asked[1:] == [["/set/1.jpg", "/set/3.jpg"], ["/set/3.jpg"]]


class NoCredentialsError(Exception):
    """An error of a store's own, such as botocore's, that is no OSError."""


@pytest.mark.parametrize("call", ["info", "ls"])
def test_a_stores_own_error_is_one_line(
    memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NoCredentialsError("Unable to locate credentials\nmore")

    monkeypatch.setattr(type(memory), call, refuse)
    with pytest.raises(ImagesError, match="cannot read: Unable to locate credentials") as caught:
        color_histogram("memory://set", tmp_path / "out", jobs=1)
    assert "more" not in str(caught.value)
    assert str(caught.value).endswith("Check the URL and your credentials.")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_walked_in_order_and_none_is_left_out_in_silence(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b/2.jpg", "a/10.jpg", "a/9.jpg", "a/deep/0.jpg"):
        memory.pipe(f"/set/{name}", b"x")
    below = [f"memory:///set/{x}" for x in ("a/10.jpg", "a/9.jpg", "a/deep/0.jpg", "b/2.jpg")]
    assert list(images.walk("memory://set")) == [u.replace("//set", "///set") for u in URLS] + below
    real = type(memory).ls

    def with_itself(self: Any, path: str, **options: Any) -> Any:  # as stores with folders' marks
        return [*real(self, path, **options), {"name": f"{path}/", "type": "directory"}]

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "ls", with_itself)
        assert list(images.walk("memory://set"))[5:] == below

    def flaky(self: Any, path: str, **options: Any) -> Any:
        if path == "/set/a/deep":
            raise OSError(5, "Slow Down")
        return real(self, path, **options)

    monkeypatch.setattr(type(memory), "ls", flaky)
    with pytest.raises(ImagesError, match="memory:///set/a/deep: cannot read: Slow Down"):
        list(images.walk("memory://set"))


def test_a_shard_that_changed_is_another_input_and_a_missing_one_is_named(memory: Any) -> None:
    shards = [url.replace("jpg", "tar") for url in URLS]
    for shard in shards:
        memory.pipe(shard.removeprefix("memory:/"), b"one")
    first = images.Images("list", lambda: shards).identity
    assert images.Images("list", lambda: shards).identity == first
    memory.pipe("/set/3.tar", b"another")
    assert images.Images("list", lambda: shards).identity != first
    with pytest.raises(ImagesError, match=r"none\.tar\?sig=a: no such file\. Check the path"):
        images.look_at("memory://set/none.tar?sig=a")
    with pytest.raises(ImagesError, match=r"set/none\.tar: no such file"):
        images.Images("list", lambda: [*shards, "memory://set/none.tar"])


def test_an_unknown_store_in_a_list_costs_its_images_alone(memory: Any, tmp_path: Path) -> None:
    found = images.read_many([URLS[0], "nowhere://a.jpg"])
    assert found[URLS[0]] == b"0"
    assert "nowhere" in str(found["nowhere://a.jpg"])


def test_an_unknown_store_and_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImagesError, match="nowhere"):
        images.look_at("nowhere://set")
    known = importlib.import_module("fsspec.registry").known_implementations
    monkeypatch.setitem(known, "odd", {"class": "no_such.Odd"})
    with pytest.raises(MissingExtraError, match="pip install fsspec"):
        images.look_at("odd://set")


def test_a_server_that_does_not_answer_is_not_called_a_missing_file(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(ImagesError, match=r"a\.txt: no such file \(.*127\.0\.0\.1"):
        color_histogram("http://127.0.0.1:9/a.txt", tmp_path / "out", jobs=1)


def test_a_store_that_refuses_a_whole_request_costs_its_images_alone(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(type(memory), "cat_ranges", refuse)
    found = images.read_many(URLS)
    assert [str(found[url]) for url in URLS] == ["Unable to locate credentials"] * len(URLS)


TABLE = "ab_histogram_train_imagenet.npy"


@pytest.fixture
def store(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """Serve eight photos, a shard and lists of them by HTTP and as the S3 bucket `set`."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("s3fs")
    bucket = tmp_path / "served" / "set"
    (bucket / "photos" / "deep").mkdir(parents=True)
    for number, photo in enumerate(photos[:8]):
        name = f"{'deep/' if number > 5 else ''}{number}.jpg"
        (bucket / "photos" / name).write_bytes(Path(photo).read_bytes())
    for name, mode in (("a.tar", "w"), ("b.tgz", "w:gz")):
        with tarfile.open(bucket / name, mode) as shard:
            shard.add(bucket / "photos", "photos")
    monkeypatch.setattr(Store, "root", tmp_path / "served", raising=False)
    monkeypatch.setattr(Store, "faults", {})
    monkeypatch.setattr(images, "RETRIES", (0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "none")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for start in (url, "s3:/"):
            names = sorted(path.relative_to(bucket) for path in bucket.rglob("*.jpg"))
            text = "".join(f"{start}/set/{name}\n" for name in names)
            (bucket / f"{start[:2]}.txt").write_text(text)
        yield url, bucket
        server.shutdown()


@pytest.mark.parametrize(
    "images",
    [
        *("s3://set/photos", "s3://set/a.tar", "s3://set/b.tgz", "s3://set/s3.txt"),
        *("{}/set/a.tar?signature=a/b.c", "{}/set/b.tgz", "{}/set/ht.txt?signature=a/b.c"),
        *("s3://set/ht.txt", "{}/set/s3.txt"),
    ],
)
def test_a_web_server_and_a_bucket_give_the_counts_of_the_files(
    store: tuple[str, Path], tmp_path: Path, images: str
) -> None:
    url, bucket = store
    color_histogram(bucket / "photos", tmp_path / "here", jobs=1)
    # The second request for a photo's content finds the server busy, that for a shard is cut.
    Store.faults |= {"set/photos/3.jpg": [503], "set/photos/deep/6.jpg": [500, CUT]}
    Store.faults |= {"set/a.tar": [CUT], "set/b.tgz": [503]}
    color_histogram(images.format(url), tmp_path / "there", jobs=1)
    assert not fsspec.filesystem("s3").dircache  # of a hundred million names
    assert (tmp_path / "there" / TABLE).read_bytes() == (tmp_path / "here" / TABLE).read_bytes()


def test_what_a_store_does_not_give_is_listed_with_its_reason(
    store: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = store
    faults = {"photos/1.jpg": [403] * 9, "photos/2.jpg": [503] * 99, "photos/3.jpg": [CUT] * 99}
    Store.faults |= {f"set/{name}": list(statuses) for name, statuses in faults.items()}
    names = [f"{url}/set/photos/{n}.jpg" for n in (0, 1, 2, 3)] + [f"{url}/set/none.jpg"]
    names += ["s3://set/none.jpg", "s3://nobody/a.jpg", "s3://set/photos/4.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    result = color_histogram(tmp_path / "list.txt", tmp_path / "out", jobs=1, max_unreadable=1)
    listed = json.loads((tmp_path / "out" / f"{TABLE[:-4]}_unreadable.json").read_bytes())
    assert (result.images, result.unreadable) == (8, 6)
    refused, busy, cut, *missing = [entry["reason"] for entry in listed]
    assert "403" in refused
    assert "503" in busy
    assert "not completed" in cut
    assert missing == ["missing"] * 3
