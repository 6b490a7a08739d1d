"""The page “In your trainer”: its commands, then every block whose library is installed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sslprep.demo import build

PAGE = Path(__file__).parents[1] / "docs" / "in-your-trainer.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainer")
    photos = build.load_photos()
    voc12 = {"train": 100, "val": 40}
    build.build_voc(folder / "datasets/VOC2012", photos, splits=voc12, seed=12, crlf=False)
    build.build_image_folders(
        folder / "datasets/imagenet_full_size",
        photos,
        list(build.IMAGENET_SYNSETS),
        train=4,
        val=2,
        seed=1,
    )
    build.build_checkpoints(folder / "checkpoints", width=8)
    commands = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in "".join(commands).splitlines():
        program, *words = shlex.split(line)
        assert program == "sslprep"
        done = subprocess.run(
            [sys.executable, "-m", program, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
    return folder


# webdataset leaves its shards open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_blocks_run_one_after_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torch", "datasets", "webdataset", "safetensors"):
        pytest.importorskip(library)
    monkeypatch.chdir(folder)
    # Not by its variable, which counts only at the import: another test may have imported it.
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    names: dict[str, Any] = {"__name__": "page"}
    for text in BLOCKS:
        code = compile(text, str(PAGE), "exec")
        if not text.startswith("# Not run by our tests"):
            exec(code, names)
    assert (folder / "dataset_catalog.json").exists()


def test_what_is_not_run_names_its_library() -> None:
    left_out = [text for text in BLOCKS if text.startswith("# Not run")]
    assert all(re.match(r"# Not run by our tests: needs \w+", text) for text in left_out)
    assert len(BLOCKS) - len(left_out) >= 6
