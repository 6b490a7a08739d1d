"""ImageNet-1K, Places-205 and alike: image folders, one class map for all partitions.

Class ids are the sorted names of train's class folders (as torchvision's ImageFolder numbers
them), also for val: a label means the same class in every partition and on every disk.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from sslprep import console, manifest
from sslprep.data.class_folders import (
    list_folders,
    list_images,
    natural,
    read_classes,
    warn_of_order,
)
from sslprep.data.image_lists import partition_of, read_list, read_rows
from sslprep.data.val_labels import find_file, read_val_labels
from sslprep.errors import AnnotationError, DatasetError, ParameterError
from sslprep.parameters import Fraction, NotNegative, command
from sslprep.partition import ClassRecord
from sslprep.partition.images import Images, stored_prefix
from sslprep.partition.write import (
    Format,
    NewPartition,
    PartitionSet,
    PartitionsWritten,
    check_names,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Contents:
    """What one partition consists of: images by class, in the order of the ids.

    They are in `root` (`None`: their paths are whole), where the class may be a folder. `inputs`
    maps folders to the number of files used, and files to `None`.
    """

    groups: Mapping[str, Sequence[str]]
    root: Path | None
    inputs: Mapping[Path, int | None]
    nested: bool = True
    skipped: int = 0
    warnings: tuple[str, ...] = ()

    def images(self, relative_to: Path | None) -> Images:
        """Return the paths as they are stored."""
        if self.root is None and relative_to is not None:
            above = os.path.join(os.path.abspath(relative_to), "")
            odd = [n for names in self.groups.values() for n in names if not n.startswith(above)]
            if odd:
                raise DatasetError(
                    f"is not under {above}", where=odd[0], expected="all images under --relative-to"
                )
            return Images(("", [n[len(above) :] for n in g]) for g in self.groups.values())
        prefix = "" if self.root is None else stored_prefix(self.root, relative_to)
        if not self.nested:
            return Images((prefix, names) for names in self.groups.values())
        return Images((f"{prefix}{name}/", names) for name, names in self.groups.items())

    def labels(self, ids: Mapping[str, int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the class ids, `int64 (images,)`."""
        own = np.array([ids[name] for name in self.groups], dtype=np.int64)
        return np.repeat(own, [len(names) for names in self.groups.values()])

    def keys(self) -> Images:
        """Return the names of the images in targets.json: `class/file`, or the path of a list."""
        listed = any("/" in name for names in self.groups.values() for name in names[:1])
        return Images(
            ("" if listed and not self.nested else f"{name}/", names)
            for name, names in self.groups.items()
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def read_tree(
    folder: Path, classes: Sequence[str], known: Sequence[str], *, recursive: bool
) -> _Contents:
    """Read `<folder>/<class>/<images>` of `classes`; `known` are all class folders of train."""
    own, skipped = list_folders(folder)
    unknown = sorted(set(own) - set(known))
    if unknown:
        raise DatasetError(
            f"has {len(unknown)} class folders that train lacks: {_some(unknown)}",
            where=folder,
            expected="the class folders of train",
        )
    groups: dict[str, list[str]] = {}
    left_out = 0
    there = set(own)
    with console.progress(len(own), "folders") as advance:
        for name in classes:
            if name in there:
                found = list_images(folder / name, recursive=recursive)
                groups[name] = found.images
                skipped += found.skipped
                left_out += found.left_out
                advance(1)
    empty = [name for name, images in groups.items() if not images]
    if len(empty) == len(groups):
        raise DatasetError(
            "has no image in its class folders" if groups else "has no class folders",
            where=folder,
            expected="<class>/<image files>",
            remedy="Images directly in val take --val-labels, images in sub-folders of class "
            "folders --recursive, the official Places lists --list, images without classes "
            "--unlabelled.",
        )
    warnings = []
    if empty:
        warnings.append(f"{folder}: {len(empty)} class folders hold no image: {_some(empty)}")
    if absent := [name for name in classes if name not in there]:
        warnings.append(f"{folder} lacks {len(absent)} classes of train: {_some(absent)}")
    if left_out:
        warnings.append(
            f"{folder}: {left_out:,} images in sub-folders of class folders were left out; "
            "--recursive takes them"
        )
    return _Contents(
        groups=groups,
        root=folder,
        inputs={folder: sum(map(len, groups.values()))},
        skipped=skipped,
        warnings=tuple(warnings),
    )


def read_flat(
    folder: Path, ground_truth: Path, classes: Sequence[str]
) -> tuple[list[ClassRecord], _Contents]:
    """Read images directly in a folder, with their classes from a ground-truth file."""
    found = list_images(folder)
    if not found.images:
        raise DatasetError(
            "has no image directly in it",
            where=folder,
            expected="a flat folder, as --val-labels is given",
            remedy="Leave --val-labels out where val has class folders.",
        )
    labels, numbers = read_val_labels(ground_truth, found.images, classes)
    of_image = {n: labels.get(n) or labels.get(n.rpartition(".")[0]) for n in found.images}
    unlabelled = [name for name, label in of_image.items() if label is None]
    if unlabelled:
        raise DatasetError(
            f"has no class for {len(unlabelled)} images of {folder}: {_some(unlabelled)}",
            where=ground_truth,
        )
    names = sorted({name for name in of_image.values() if name}, key=natural if numbers else None)
    unknown = sorted(set(names) - set(classes)) if classes else []
    if unknown:
        raise DatasetError(
            f"names {len(unknown)} classes that train lacks: {_some(unknown)}",
            where=ground_truth,
            expected="the class folders of train",
        )
    groups: dict[str, list[str]] = {name: [] for name in classes or names}
    for image, label in of_image.items():
        groups[label or ""].append(image)
    warnings = []
    if len(labels) > len(found.images):
        warnings.append(
            f"{ground_truth} names {len(labels):,} images, {folder} has {len(found.images):,}"
        )
    if absent := [name for name, images in groups.items() if not images]:
        warnings.append(f"{folder} lacks {len(absent)} classes of train: {_some(absent)}")
    contents = _Contents(
        groups=groups,
        root=folder,
        inputs={folder: len(found.images), ground_truth: None},
        nested=False,
        skipped=found.skipped,
        warnings=tuple(warnings),
    )
    return [ClassRecord(n, int(n) if numbers else at) for at, n in enumerate(groups)], contents


def read_lists(
    source: Path, files: Mapping[str, Path]
) -> tuple[list[ClassRecord], dict[str, _Contents]]:
    """Read lists: the classes (train's, where its list is given), and the partitions."""
    classes: list[ClassRecord] = []
    made = {}
    for name in sorted(files, key=lambda name: (name != "train", name)):
        path = files[name]
        own, listed = read_list(path, source, classes)
        there = {record.name for record in own}
        absent = [record.name for record in classes if record.name not in there]
        note = f"{path} lacks {len(absent)} classes of train: {_some(absent)}"
        made[name] = _Contents(
            groups=listed.groups,
            root=None if listed.absolute else source / listed.below,
            inputs={path: None},
            nested=False,
            warnings=(note,) if absent else (),
        )
        classes = classes or own
    return classes, made


def name_lists(files: Sequence[Path], wanted: Sequence[str] | None) -> dict[str, Path]:
    """Return the list of each partition: by `name=file`, by the file's name, or by --partitions."""
    by_name: dict[str, Path] = {}
    for path in files:
        name, equals, file = str(path).partition("=")
        if not equals or path.exists():
            alone = wanted[0] if wanted and len(wanted) == len(files) == 1 else None
            name, file = partition_of(path) or alone or "", str(path)
        if not name or name in by_name:
            raise ParameterError(
                f"--list {path} " + (f"is a second list of {name}" if name else "is of neither"),
                expected="lists named train_… and val_…, or --list train=FILE",
            )
        by_name[name] = Path(file)
    if missing := [name for name in wanted or () if name not in by_name]:
        raise ParameterError(
            f"--partitions asks for {missing[0]}, and no --list is named {missing[0]}_…"
        )
    return {name: path for name, path in by_name.items() if wanted is None or name in wanted}


def read_folders(
    folders: Mapping[str, Path],
    source: Path,
    *,
    classes_file: Path | None,
    order: str,
    recursive: bool,
    val_labels: Path | None,
) -> tuple[list[ClassRecord], dict[str, _Contents]]:
    """Read the folders of all partitions: the classes, which are train's, and the partitions."""
    missing = [name for name, folder in folders.items() if not folder.is_dir()]
    if missing:
        present = [name for name, folder in folders.items() if folder.is_dir()]
        here = sorted(p.name for p in source.iterdir() if p.is_dir()) if source.is_dir() else []
        like = [n for n in here if n[:3].lower() == missing[0][:3].lower()]
        remedy = f"Pass --partitions {present[0]} to write only that." if present else None
        if here and not present and not like:
            remedy = "Where the class folders are directly in it, pass --partitions train=."
        if like:
            remedy = f"Pass --partitions {','.join([*present, f'{missing[0]}={like[0]}'])}."
        raise DatasetError(
            f"has no folder {' and '.join(missing)}" if source.is_dir() else "no such folder",
            where=source,
            expected="train/<class>/<images> and val/<class>/<images>",
            remedy=remedy,
        )
    train = folders.get("train", source / "train")
    flat = [] if val_labels is None else [name for name in folders if name == "val"]
    warnings: list[str] = []
    others = [folder for name, folder in folders.items() if name not in flat]
    leading = train if train.is_dir() else next(iter(others), None)
    known = list_folders(leading)[0] if leading else []
    if leading != train:
        whose = "val's" if flat or "val" in folders else "their"
        warnings.append(f"{source} has no train, so the class ids number {whose} own classes")
    classes = read_classes(classes_file, known) if classes_file else known
    if order == "natural" and not classes_file:
        classes = sorted(known, key=natural)
    elif not classes_file and (note := warn_of_order(known)):
        warnings.append(note)
    if len(classes) < len(known):
        warnings.append(f"{len(known) - len(classes)} class folders are not in {classes_file}")
    records = [ClassRecord(name, at) for at, name in enumerate(classes)]
    made: dict[str, _Contents] = {}
    for name, folder in folders.items():
        if name in flat and val_labels:
            own, contents = read_flat(folder, val_labels, classes)
            records = records or own
        else:
            contents = read_tree(folder, classes, known, recursive=recursive)
        made[name] = replace(contents, warnings=(*warnings, *contents.warnings))
        warnings = []
    return records, made


def keep_listed(contents: _Contents, path: Path) -> _Contents:
    """Keep the images that a list names, by `class/file` or by bare file name."""
    wanted: dict[str, int] = {}
    for number, image, _ in read_rows(path):
        name = image.strip("/").rpartition("/")[2]
        if name in wanted:
            raise AnnotationError(f"{name} is listed twice", where=f"{path}, line {number}")
        wanted[name] = number
    groups = {
        c: [n for n in names if n.rpartition("/")[2] in wanted]
        for c, names in contents.groups.items()
    }
    taken = Counter(name.rpartition("/")[2] for names in groups.values() for name in names)
    if missing := [name for name in wanted if name not in taken]:
        raise AnnotationError(
            f"names {len(missing):,} images that are not in {contents.root}, such as {missing[0]}",
            where=path,
            expected=f"names among its {len(contents.keys()):,} images",
        )
    if twice := [name for name, count in taken.items() if count > 1]:
        raise AnnotationError(f"{twice[0]} is a file of several classes", where=path)
    return replace(contents, groups=groups, inputs={**contents.inputs, path: None})


def split_off(contents: _Contents, fraction: float, seed: int) -> dict[str, _Contents]:
    """Split images into train and val, the same fraction of every class.

    Each class is drawn by a generator of its own (the seed and the class's name), so another
    class or image elsewhere changes no draw.
    """
    train, val = {}, {}
    for name, images in contents.groups.items():
        count = min(int(len(images) * fraction + 0.5), max(0, len(images) - 1))
        generator = np.random.Generator(np.random.Philox([seed, *name.encode()]))
        drawn = set(generator.permutation(len(images))[:count].tolist())
        val[name] = [image for row, image in enumerate(images) if row in drawn]
        train[name] = [image for row, image in enumerate(images) if row not in drawn]
    empty = [name for name, images in val.items() if not images]
    note = f"{len(empty)} classes are too small for an image in val: {_some(empty)}"
    rest = replace(contents, groups=val, warnings=(note,) if empty else ())
    return {"train": replace(contents, groups=train), "val": rest}


def name_folders(source: Path, partitions: Sequence[str] | None) -> dict[str, Path]:
    """Return the folder of each partition: `train,val`, or `train=training,val=valid`."""
    pairs = [text.partition("=") for text in partitions or ("train", "val")]
    names = [name.strip() for name, _, _ in pairs]
    check_names(names)
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise ParameterError(
                f"--partitions names {name!r}", expected="names such as train,val or val=valid"
            )
    return {
        name: source / (folder or name) for name, (_, _, folder) in zip(names, pairs, strict=True)
    }


@command(renamed={"data_source_dir": "source", "output_dir": "output"})
def write_folders(
    source: Path,
    output: Path,
    *,
    partitions: tuple[str, ...] | None = None,
    val_labels: Path | None = None,
    list: tuple[Path, ...] | None = None,
    subset: Path | None = None,
    classes: Path | None = None,
    class_order: Literal["text", "natural"] = "text",
    recursive: bool = False,
    unlabelled: bool = False,
    val_fraction: Fraction | None = None,
    seed: NotNegative = 0,
    generate_json: bool = False,
    format: tuple[Format, ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of ImageNet, Places or any other set of class folders.

    Args:
        source: Folder with `train/<class>/<images>` and `val/<class>/<images>`; with `--list`,
            the folder that the paths of the lists are relative to.
        output: Folder for the partitions; created if missing.
        partitions: Which partitions to write, and where their folders are called otherwise,
            which: `train=training,val=valid`. By default train and val (with `--list`, those of
            the lists; with `--val-fraction` or `--unlabelled`, train or the source itself).
        val_labels: Ground truth of a `val` folder without class folders: ImageNet's devkit or its
            `ILSVRC2012_validation_ground_truth.txt`, one synset a line, lines `file synset` or
            `file number`, or the CSV `ImageId,PredictionString` of the challenge.
        list: Lists of lines `path label`, such as `train_places205.csv` and `val_places205.csv`,
            or of images alone; read in place of the folders. `train=FILE` names the partition.
        subset: Keep of train only the images that this list names, such as SimCLR's
            `1percent.txt`.
        classes: File of class names, one a line: only these classes, ids in this order.
        class_order: Order of the class folders: as text, as torchvision's, or numbers by value.
        recursive: Take images in sub-folders of class folders too, as torchvision does.
        unlabelled: Take images alone, from the whole folder: there are no classes.
        val_fraction: Split this fraction of every class of train off as val.
        seed: Seed of that split.
        generate_json: Also write `…_targets.json`: `class/file` -> class id.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of label files and lists above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A ground-truth file or a list is malformed.
        DatasetError: The folders are not laid out as they should be.
        ParameterError: Choices that cannot work together.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    _check_choices(
        {"--list": list, "--val-labels": val_labels},
        {"--list": list, "--classes": classes},
        {"--list": list, "--subset": subset},
        {"--val-fraction": val_fraction, "--val-labels": val_labels},
        {"--unlabelled": unlabelled, "--list": list},
        {"--unlabelled": unlabelled, "--val-labels": val_labels},
        {"--unlabelled": unlabelled, "--classes": classes},
        {"--unlabelled": unlabelled, "--val-fraction": val_fraction},
        {"--unlabelled": unlabelled, "--json": generate_json},
    )
    lists = name_lists(list or (), partitions) if list else {}
    if partitions is None and (unlabelled or val_fraction):
        partitions = ("train",) if (source / "train").is_dir() else ("train=.",)
    folders = name_folders(source, partitions)
    if val_labels and "val" not in folders:
        raise ParameterError("--val-labels is given, and --partitions leaves val out")
    if val_fraction and folders.keys() != {"train"}:
        raise ParameterError(
            "--val-fraction makes val of train, and --partitions names others",
            expected="--partitions train or train=FOLDER",
        )
    if subset and "train" not in folders:
        raise ParameterError("--subset is given, and --partitions leaves train out")
    truth = find_file(val_labels) if val_labels else None
    names = [*(lists or folders), *(["val"] if val_fraction else [])]
    with PartitionSet(
        output, names, format, targets=generate_json, labelled=not unlabelled, overwrite=overwrite
    ) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        for path in [*lists.values(), *(p for p in (truth, subset, classes) if p)]:
            inputs.add_file(path)
        records: Sequence[ClassRecord] = ()
        if lists:
            records, found = read_lists(source, lists)
        elif unlabelled:
            found = {name: _read_unlabelled(folder) for name, folder in folders.items()}
        else:
            records, found = read_folders(
                folders,
                source,
                classes_file=classes,
                order=class_order,
                recursive=recursive,
                val_labels=truth,
            )
        if subset:
            found["train"] = keep_listed(found["train"], subset)
        if val_fraction:
            found = split_off(found["train"], val_fraction, seed)
        ids = {record.name: record.id for record in records}
        made = []
        for name, contents in found.items():
            for path, used in contents.inputs.items():
                if used is not None:
                    inputs.add_folder(path, used)
            made.append(
                NewPartition(
                    name=name,
                    source_split=name,
                    images=contents.images(relative_to),
                    labels=None if unlabelled else contents.labels(ids),
                    keys=contents.keys() if generate_json else (),
                    sources=[*contents.inputs, *([classes] if classes else [])],
                    details={"dataset": source.absolute().name},
                    counts={"skipped": contents.skipped},
                    warnings=contents.warnings,
                )
            )
        return out.write(
            made,
            classes=records,
            command="data folders",
            parameters=given,
            inputs=inputs,
            root=relative_to,
        )


def _read_unlabelled(folder: Path) -> _Contents:
    """Read all images of a folder and the folders below it."""
    found = list_images(folder, recursive=True)
    return _Contents(
        groups={"": found.images},
        root=folder,
        inputs={folder: len(found.images)},
        nested=False,
        skipped=found.skipped,
    )


def _check_choices(*pairs: Mapping[str, object]) -> None:
    for pair in pairs:
        if all(pair.values()):
            first, second = pair
            raise ParameterError(f"{first} and {second} exclude each other", expected="one of them")
