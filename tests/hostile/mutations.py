"""Random damage to small valid checkpoints of every format.

`python tests/hostile/mutations.py 100000` runs a long campaign in this process, under an audit
hook, and says how many loaded, how many were refused, and the peak of memory.
"""

import argparse
import importlib
import io
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from sslprep.checkpoints.open import read_checkpoint
from sslprep.checkpoints.pickling import write_pickle
from sslprep.errors import SslprepError

FORBIDDEN = ("exec", "import", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn",
             "ctypes.dlopen", "socket.connect", "pickle.find_class")  # fmt: skip


@dataclass
class Ends:
    """How a number of files ended."""

    loaded: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


def seeds() -> dict[str, bytes]:
    """Return one small valid file of each format and protocol."""
    blobs = {
        "conv1_w": np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3),
        "res_conv1_bn_rm": np.asfortranarray(np.ones((2, 3), ">f4")),
        "lr": np.array([0.1], np.float32),
        "model_iter": 7,
    }
    files = {
        f"protocol_{protocol}": pickle.dumps(
            OrderedDict(blobs=blobs, cfg="x: 1\n" * 40), protocol=protocol
        )
        for protocol in range(6)
    }
    ours = io.BytesIO()
    write_pickle(ours, {"blobs": blobs, "marker": {"absorbed": [0.225, 0.224], "n": None}})
    boxed = io.BytesIO()
    np.save(boxed, np.array(blobs, object), allow_pickle=True)
    files |= {"ours": ours.getvalue(), "npy": boxed.getvalue()}
    files |= {f"beside_{n}": pickle.dumps({"w": blobs, **_beside()}, protocol=n) for n in (0, 2, 4)}
    return files | _torch_files() | {"safetensors": _safetensors()}


def _beside() -> dict[str, object]:
    """Return what trainers leave beside the weights."""
    return {
        "args": argparse.Namespace(lr=0.1, path=PurePosixPath("a/b"), betas=(0.9, 0.999)),
        "counts": Counter("aab"),
        "losses": defaultdict(list, {"train": [np.ones(2, np.float32)]}),
        "names": {"a", "b"},
        "state": {94690683019600: {"step": 1}, None: 2, (1, "a"): 3, 2.5: True},
    }


def _state() -> bytes:
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06t"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(%sK\x00K\x02K\x03\x86K\x03K\x01\x86\x89"
        b"ccollections\nOrderedDict\n)RtR"
    )
    wide = storage.replace(b"Float", b"BFloat16").replace(b"U\x010", b"U\x011")
    return (
        b"\x80\x02}(U\x01a" + tensor % (storage + b"Q") + b"U\x01b" + tensor % (wide + b"Q")
        + b"U\x05epochK\x03U\x04argsctorch\nSize\nK\x01K\x02\x86\x85RU\x05dtypectorch\nhalf\nu."
    )  # fmt: skip


def _torch_files() -> dict[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (
            ("data.pkl", _state()),
            ("byteorder", b"little"),
            ("data/0", bytes(24)),
            ("data/1", bytes(12)),
        ):
            # A fixed date, so that the file is the same in every run.
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), data)
    system = b"\x80\x02}(U\x10protocol_versionM\xe9\x03U\rlittle_endian\x88u."
    legacy = (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + system
        + _state().replace(b"K\x06tQ", b"K\x06NtQ") + b"\x80\x02](U\x010U\x011e."
        + struct.pack("<q", 6) + bytes(24) + struct.pack("<q", 6) + bytes(12)
    )  # fmt: skip
    return {"torch_zip": file.getvalue(), "torch_legacy": legacy, "torch_tar": _tar()}


def _tar() -> bytes:
    """Return an archive of before 0.1.10 that ends with the last byte of its last member."""
    storage = b"\x80\x02K\x07U\x03cpuctorch\nFloatStorage\n\x87." + struct.pack("<q", 6) + bytes(24)
    tensor = b"\x80\x02K\x09K\x07ctorch\nFloatTensor\n\x87." + struct.pack("<6q", 2, 2, 3, 3, 1, 0)
    members = {
        "pickle": b"\x80\x02}(U\x05epochK\x03U\x01aU\x019Qu.",
        "tensors": b"\x80\x02K\x01." + tensor,
        "storages": b"\x80\x02K\x01." + storage + b"\x80\x02].",
    }
    made = b""
    for name, data in members.items():
        made += bytes(-len(made) % 512) + name.encode().ljust(124, b"\0")
        made += (b"%011o" % len(data)).ljust(133, b"\0") + b"ustar".ljust(255, b"\0") + data
    return made


def _safetensors() -> bytes:
    header = b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    return struct.pack("<Q", len(header)) + header + bytes(24)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a file in one to four places."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) or 1)
        match rng.randrange(8):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                out[at : at + 1] = bytes([out[at] ^ 1 << rng.randrange(8)]) if out else b"\0"
            case 2:
                out[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                del out[at : at + rng.randint(1, 16)]
            case 4:  # a piece of the file once more, elsewhere
                start = rng.randrange(len(out) or 1)
                out[at:at] = out[start : start + rng.randint(1, 64)]
            case 5:  # an extreme number where a length may stand
                size = rng.choice((1, 2, 4, 8))
                number = rng.choice((0, 1, (1 << 8 * size - 1) - 1, (1 << 8 * size) - 1))
                out[at : at + size] = number.to_bytes(size, "little")
            case 6:  # one opcode for another
                out[at : at + 1] = bytes(
                    [rng.choice(b"(.0123NIJKMLFGSTUVXBC]lae}dsu)tghjpqrcRbQio")]
                )
            case 7:
                del out[at:]
    return bytes(out)


def run(files: Iterable[bytes], folder: Path) -> Ends:
    """Read each file; whatever is neither loaded nor one line of error is a problem."""
    path = folder / "mutated"
    ends = Ends()
    for data in files:
        path.write_bytes(data)
        try:
            read_checkpoint(path)
            ends.loaded += 1
        except SslprepError as error:
            ends.refused += 1
            if "\n" in str(error) or not str(error).startswith(str(path)):
                ends.problems.append(f"{error!s:.200} from {data!r:.2000}")
        except Exception as error:  # noqa: BLE001 - the point of the test
            ends.problems.append(f"{error!r:.200} from {data!r:.2000}")
    return ends


def campaign(count: int, *, seed: int, folder: Path) -> Ends:
    """Read `count` mutations, of every seed file in turn."""
    rng = random.Random(seed)
    originals = list(seeds().values())
    return run((mutate(originals[i % len(originals)], rng) for i in range(count)), folder)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        run(seeds().values(), Path(name))  # imports done, our own annotations evaluated
        "".encode("unicode_escape")  # the codec of our own messages
        importlib.import_module("unicodedata")  # of Python's compiler, for names in .npy headers
        sys.addaudithook(lambda event, args: seen.append(event) if event in FORBIDDEN else None)
        start = time.perf_counter()
        ends = campaign(count, seed=1, folder=Path(name))
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} mutations in {seconds:.0f} s: {ends.loaded:,} loaded, "
        f"{ends.refused:,} refused, {len(ends.problems)} problems, "
        f"{len(seen)} forbidden events; peak {peak:.0f} MB"
    )
    print("\n".join(ends.problems[:5]))
    sys.exit(bool(ends.problems or seen))


if __name__ == "__main__":
    main()
