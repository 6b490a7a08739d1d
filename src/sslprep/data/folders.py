"""ImageNet-1K, Places-205 and alike: image folders, one class map for all partitions.

Class ids are the sorted names of train's class folders (as torchvision's ImageFolder numbers
them), also for val: a label means the same class in every partition and on every disk.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from sslprep import console
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
from sslprep.parameters import Fraction, NotNegative, command, parameters_of
from sslprep.partition import ClassRecord, Labels
from sslprep.partition.images import Images, stored_prefix
from sslprep.partition.write import Format, NewPartition, PartitionSet, PartitionsWritten, look


@dataclass(frozen=True, kw_only=True, eq=False)
class _Contents:
    """What one partition consists of: images by class, in the order of the ids.

    They are in `root`, where the class may be a folder (`nested`). `sources` maps folders to the
    number of files used, and files to `None`.
    """

    groups: Mapping[str, Collection[str]]
    root: Path
    sources: Mapping[Path, int | None]
    nested: bool = False
    skipped: int = 0
    warnings: Sequence[str] = ()

    def images(self, relative_to: Path | None) -> Images:
        """Return the paths as they are stored."""
        prefix = stored_prefix(self.root, relative_to)
        return Images(
            (f"{prefix}{name}/" if self.nested else prefix, names)
            for name, names in self.groups.items()
        )

    def labels(self, ids: Mapping[str, int]) -> Labels:
        """Return the class ids, `int64 (images,)`; where there are none, no columns."""
        counts = [len(names) for names in self.groups.values()]
        if not ids:
            return np.empty((sum(counts), 0), np.int32)
        return np.repeat(np.array([ids[name] for name in self.groups], np.int64), counts)

    def keys(self) -> Images:
        """Return the names of the images in targets.json: `class/file`, or the path of a list."""
        listed = any("/" in name for names in self.groups.values() for name in islice(names, 1))
        return Images(
            ("" if listed and not self.nested else f"{name}/", names)
            for name, names in self.groups.items()
        )


_HOLDERS = {"images", "Images", "image", "img", "imgs", "JPEGImages", "data", "train", "val"}
"""Folders around images that are rarely classes."""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _only_holder(contents: _Contents) -> list[str]:
    where, name = next(iter(contents.sources)), next(iter(contents.groups))
    only = len(contents.groups) == 1 and name in _HOLDERS
    return [f"{where}: all images are of one class, {name}"] if only else []


def _say(left_out: Counter[str], before: str = "") -> list[str]:
    return [f"{before}{count:,} {what}" for what, count in left_out.most_common(5)]


def _compare(
    where: Path, own: Collection[str], known: Collection[str], classes: Collection[str]
) -> list[str]:
    """Refuse classes that train does not have; say which of `classes` are not there."""
    if unknown := sorted(set(own) - set(known)):
        alike = {look(name): name for name in known}
        near = [(name, alike[look(name)]) for name in unknown if look(name) in alike]
        raise DatasetError(
            f"has {len(unknown)} classes that train lacks: {_some(unknown)}",
            where=where,
            expected="the class folders of train",
            remedy=f"Train calls {near[0][0]!a} {near[0][1]!a}." if near else None,
        )
    there = set(own)
    absent = [name for name in classes if name not in there]
    return [f"{where} lacks {len(absent)} classes of train: {_some(absent)}"] if absent else []


def read_tree(
    folder: Path, classes: Sequence[str], known: Sequence[str], *, recursive: bool
) -> _Contents:
    """Read `<folder>/<class>/<images>` of `classes`; `known` are all class folders of train."""
    own = list_folders(folder)
    if [*own.names] == [folder.name]:  # as some archives unpack
        raise DatasetError(
            f"holds nothing but another {folder.name}",
            where=folder,
            expected="<class>/<image files>",
            remedy=f"Give the inner one: --partitions train={folder.name}/{folder.name} or alike.",
        )
    warnings = _compare(folder, own.names, known, classes)
    there = set(own.names)
    groups: dict[str, Collection[str]] = {}
    skipped, left_out = own.skipped, own.left_out
    with console.progress(len(there), "folders") as advance:
        for name in [name for name in classes if name in there]:
            found = list_images(folder / name, recursive=recursive)
            groups[name] = found.names
            skipped += found.skipped
            left_out.update(found.left_out)
            advance(1)
    empty = [name for name, images in groups.items() if not images]
    if len(empty) == len(groups):
        remedy = (
            f"{'; '.join(_say(left_out))}. Images directly in val take --val-labels, "
            "those of any list take --list, those without classes --unlabelled."
        ).removeprefix(". ")
        packed = [n for n in os.listdir(folder) if n.endswith((".tar", ".zip", ".gz", ".tgz"))]
        if packed:
            remedy = f"Unpack {_some(sorted(packed))}, each into a folder of its name."
        raise DatasetError(
            "has no image in its class folders" if groups else "has no class folders",
            where=folder,
            expected="<class>/<image files>",
            remedy=remedy,
        )
    if empty:
        warnings.append(f"{folder}: {len(empty)} class folders hold no image: {_some(empty)}")
    return _Contents(
        groups=groups,
        root=folder,
        sources={folder: sum(map(len, groups.values()))},
        nested=True,
        skipped=skipped,
        warnings=[*warnings, *_say(left_out, f"{folder}: ")],
    )


def read_flat(
    folder: Path, ground_truth: Path, classes: Sequence[str], known: Sequence[str]
) -> tuple[dict[str, int], _Contents]:
    """Read images of `classes` directly in a folder, with the classes from a ground-truth file."""
    found = list_images(folder)
    if not found.names:
        remedy = "Leave --val-labels out where val has class folders."
        if len(inner := [*list_folders(folder).names]) == 1:  # as of Tiny ImageNet
            remedy = f"Give the folder in it, as --partitions train,val=val/{inner[0]}."
        raise DatasetError(
            "has no image directly in it",
            where=folder,
            expected="a flat folder, as --val-labels is given",
            remedy=remedy,
        )
    labels, numbers, notes = read_val_labels(ground_truth, [*found.names], classes, known)
    of_image = {n: labels.get(n) or labels.get(n.rpartition(".")[0]) for n in found.names}
    unlabelled = [name for name, label in of_image.items() if label is None]
    if unlabelled:
        raise DatasetError(
            f"has no class for {len(unlabelled)} images of {folder}: {_some(unlabelled)}",
            where=ground_truth,
        )
    names = sorted({name for name in of_image.values() if name}, key=natural if numbers else None)
    warnings = [*notes, *_compare(ground_truth, names, known or names, classes)]
    if len(labels) > len(found.names):
        warnings.append(
            f"{ground_truth} names {len(labels):,} images, {folder} has {len(found.names):,}"
        )
    groups: dict[str, list[str]] = {name: [] for name in classes or names}
    for image, label in of_image.items():
        if label in groups:  # else --classes leaves it out
            groups[label].append(image)
    used = sum(map(len, groups.values()))
    if left := len(found.names) - used:
        warnings.append(f"{folder}: {left:,} images of other classes were left out")
    if not classes:
        warnings += _odd_labels(ground_truth, groups)
    contents = _Contents(
        groups=groups,
        root=folder,
        sources={folder: used, ground_truth: None},
        skipped=found.skipped,
        warnings=[*warnings, *_say(found.left_out, f"{folder}: ")],
    )
    return {n: int(n) if numbers else at for at, n in enumerate(groups)}, contents


def read_lists(
    source: Path, files: Mapping[str, Path]
) -> tuple[dict[str, int], dict[str, _Contents]]:
    """Read lists: the classes (train's, where its list is given), and the partitions."""
    ids: dict[str, int] = {}
    made = {}
    counted = False  # whether the ids are ours: places of sorted names
    for name in sorted(files, key=lambda name: (name != "train", name)):
        path = files[name]
        own, groups, root, numbers = read_list(path, source, ids)
        warnings = [*_compare(path, groups, own, ids), *_odd_labels(path, groups)]
        if numbers and counted and not any("/" in own[0] for own in groups.values()):
            warnings.append(f"{path}: numbers count train's sorted classes; 0 is {next(iter(ids))}")
        if numbers and not ids and [*own.values()] != [*range(len(own))]:
            low, high = min(own.values()), max(own.values())
            warnings.append(f"{path} gives {len(own)} classes ids from {low} to {high}")
        counted = counted or not numbers
        made[name] = _Contents(groups=groups, root=root, sources={path: None}, warnings=warnings)
        ids = ids or own
    return ids, made


def _odd_labels(path: Path, groups: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Warn of classes that may be none: missing labels, several in one, one for each image."""
    words = re.compile(r"[^\s,;]+").findall
    for name in groups:
        parts = words(name)
        if name.lower() in ("nan", "none", "null"):
            yield f"{path}: {len(groups[name]):,} images have the class {name}; is a label missing?"
        elif len(parts) > 1 and groups.keys() >= set(parts):
            yield f"{path}: {name!r} is taken for one class; are they several labels?"
    if len({word for name in groups for word in words(name)}) < len(groups):
        mixed = max(groups, key=lambda name: len(words(name)))
        yield f"{path}: classes such as {mixed!r} are made of each other's words; several labels?"
    if 2 < len(groups) == sum(map(len, groups.values())):
        yield f"{path}: each image has a class of its own, such as {next(iter(groups))}"


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
) -> tuple[dict[str, int], dict[str, _Contents]]:
    """Read the folders of all partitions: the classes, which are train's, and the partitions."""
    if missing := [name for name, folder in folders.items() if not folder.is_dir()]:
        raise DatasetError(
            f"has no folder {' and '.join(missing)}" if source.is_dir() else "no such folder",
            where=source,
            expected="train/<class>/<images> and val/<class>/<images>",
            remedy=_where_else(source, [name for name in folders if name not in missing], missing),
        )
    train = folders.get("train", source / "train")
    flat = "val" if val_labels else None
    trees = [folder for name, folder in folders.items() if name != flat]
    leading = train if train.is_dir() else next(iter(trees), None)
    known = [*list_folders(leading).names] if leading else []
    warnings: list[str] = []
    if leading != train:
        whose = "val's" if "val" in folders else "their"
        warnings.append(f"{source} has no train, so the class ids number {whose} own classes")
    classes = known
    if classes_file:
        classes = read_classes(classes_file, known)
        if left := len(known) - len(classes):
            warnings.append(f"{left} class folders are not in {classes_file}")
    elif order == "natural":
        classes = sorted(known, key=natural)
    elif note := warn_of_order(known):
        warnings.append(note)
    ids = {name: at for at, name in enumerate(classes)}
    made: dict[str, _Contents] = {}
    for name, folder in folders.items():
        if name == flat and val_labels:
            own, contents = read_flat(folder, val_labels, classes, known)
            ids = ids or own
        else:
            contents = read_tree(folder, classes, known, recursive=recursive)
        made[name] = replace(contents, warnings=[*warnings, *contents.warnings])
        warnings = []
    return ids, made


def _where_else(source: Path, present: Sequence[str], missing: Sequence[str]) -> str:
    """Say where the folders that are missing may be."""
    if not source.is_dir():
        file = source.is_file()
        return "It is a file; unpack it first, and give the folder." if file else "Check the path."
    if any("\\" in name for name in os.listdir(source)):
        return "Its names hold backslashes; unpack it with a program that knows them."
    here = sorted(p.name for p in source.iterdir() if p.is_dir())
    alone = here if len(here) == 1 else []
    for inner in (*alone, "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC"):  # Kaggle's copy of ImageNet
        if (source / inner / "train").is_dir():
            return f"Give {source / inner}."
    if like := {m: f"{m}={n}" for m in missing for n in here if n[:3].lower() == m[:3].lower()}:
        return f"Pass --partitions {','.join([*present, *like.values()])}."
    if present:
        return f"Pass --partitions {present[0]} to write only that."
    if here:
        return "Where the class folders are directly in it, pass --partitions train=."
    return "Images without classes take --unlabelled."


def keep_listed(contents: _Contents, path: Path) -> _Contents:
    """Keep the images that a list names, by `class/file` or by bare file name."""

    def end(image: str, parts: int) -> str:
        return "/".join(image.strip("/").split("/")[-parts:])

    wanted: dict[str, int] = {}
    labelled = False
    for number, image, label in read_rows(path):
        labelled = labelled or label is not None
        if wanted.setdefault(end(image, 2), number) != number:
            raise AnnotationError(f"{image} is listed twice", where=f"{path}, line {number}")
    groups: dict[str, list[str]] = {name: [] for name in contents.groups}
    taken: Counter[str] = Counter()
    for name, images in contents.groups.items():
        for image in images:
            if found := {end(f"{name}/{image}", 2), end(image, 1)} & wanted.keys():
                groups[name].append(image)
                taken.update(found)
    if missing := [image for image in wanted if image not in taken]:
        raise AnnotationError(
            f"names {len(missing):,} images that are not in {contents.root}, such as {missing[0]}",
            where=path,
            expected=f"names among its {len(contents.keys()):,} images",
        )
    if twice := [image for image, count in taken.items() if count > 1]:
        raise AnnotationError(f"{twice[0]} is a file of several classes", where=path)
    empty = [name for name, images in groups.items() if contents.groups[name] and not images]
    note = [f"{path} names no image of {len(empty)} classes: {_some(empty)}"] if empty else []
    note += [f"{path} has labels, which are not read: the folder is the class"] * labelled
    return replace(
        contents,
        groups=groups,
        sources={**contents.sources, path: None},
        warnings=[*contents.warnings, *note],
    )


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
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", name) or names.count(name) > 1:
            raise ParameterError(
                f"--partitions names {name!r}" + " twice" * (names.count(name) > 1),
                expected="names such as train,val or val=valid",
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

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A ground-truth file or a list is malformed.
        DatasetError: The folders are not laid out as they should be.
        ParameterError: Choices that cannot work together.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    defaults = {p.name: p.default for p in parameters_of(write_folders)}
    for flag, others in _EXCLUDED.items():
        for other in others if given[flag] else ():
            if given[other] != defaults[other]:
                first, second = (f"--{name.replace('_', '-')}" for name in (flag, other))
                raise ParameterError(
                    f"{first} and {second} exclude each other", expected="one of them"
                )
    lists = name_lists(list, partitions) if list else {}
    if partitions is None and (unlabelled or val_fraction):
        partitions = ("train",) if (source / "train").is_dir() else ("train=.",)
    folders = name_folders(source, partitions)
    if val_labels and "val" not in folders:
        raise ParameterError("--val-labels is given, and --partitions leaves val out")
    if val_fraction and (lists or folders).keys() != {"train"}:
        raise ParameterError(
            "--val-fraction makes val of train, and --partitions names others",
            expected="--partitions train or train=FOLDER",
        )
    if subset and "train" not in folders:
        raise ParameterError("--subset is given, and --partitions leaves train out")
    around = () if lists or unlabelled else folders.values()
    if output.resolve().parent in [folder.resolve() for folder in around]:
        raise ParameterError(
            f"the output {output} would be a class folder", expected="another place"
        )
    truth = find_file(val_labels) if val_labels else None
    names = [*(lists or folders), *["val"] * bool(val_fraction)]
    with PartitionSet("data folders", given, names, labelled=not unlabelled) as out:
        for path in [*lists.values(), *(p for p in (truth, subset, classes) if p)]:
            out.inputs.add_file(path)
        ids: dict[str, int] = {}
        if lists:
            ids, found = read_lists(source, lists)
        elif unlabelled:
            found = {name: _read_unlabelled(folder) for name, folder in folders.items()}
        else:
            ids, found = read_folders(
                folders,
                source,
                classes_file=classes,
                order=class_order,
                recursive=recursive,
                val_labels=truth,
            )
        if subset:
            found["train"] = keep_listed(found["train"], subset)
        warnings = []
        if val_fraction:
            found = split_off(found["train"], val_fraction, seed)
            if not lists and (source / "val").is_dir():
                warnings.append(
                    f"{source / 'val'} is left out, as --val-fraction makes val of train"
                )
        made = []
        for name, contents in found.items():
            for path, used in contents.sources.items():
                if used is not None:
                    out.inputs.add_folder(path, used)
            made.append(
                NewPartition(
                    name=name,
                    source_split=name,
                    images=contents.images(relative_to),
                    labels=contents.labels(ids),
                    keys=contents.keys() if generate_json else (),
                    sources=[*contents.sources, *([classes] if classes else [])],
                    details={"dataset": source.absolute().name},
                    counts={"skipped": contents.skipped},
                    warnings=[*contents.warnings, *_only_holder(contents)],
                )
            )
        records = [ClassRecord(name, id_) for name, id_ in ids.items()]
        return out.write(made, classes=records, warnings=warnings, root=relative_to)


_EXCLUDED = {
    "list": ("val_labels", "classes", "subset", "unlabelled", "class_order"),
    "unlabelled": ("val_labels", "classes", "val_fraction", "generate_json", "class_order"),
    "classes": ("class_order",),
    "val_fraction": ("val_labels",),
}
"""Flags, and those that each of them excludes."""


def _read_unlabelled(folder: Path) -> _Contents:
    """Read all images of a folder and the folders below it."""
    found = list_images(folder, recursive=True)
    return _Contents(
        groups={"": found.names},
        root=folder,
        sources={folder: len(found.names)},
        skipped=found.skipped,
        warnings=_say(found.left_out, f"{folder}: "),
    )
