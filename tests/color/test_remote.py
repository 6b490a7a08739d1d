"""URLs: one request for many, asked for again, and a store's own errors in one line."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
        return real(self, paths, *arguments, **options)

    monkeypatch.setattr(type(memory), "cat_ranges", counted)
    found = images.read_many([*URLS, "memory://set/none.jpg"])
    assert [found[url] for url in URLS] == [b"0", b"1", b"2", b"3", b"4"]
    assert isinstance(found["memory://set/none.jpg"], FileNotFoundError)
    assert requests == [6]


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
