"""The input and output side of a self-supervised-learning benchmark.

The names below are the functions behind the commands, and the error that all of them raise; each
is imported when it is first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if os.name != "posix":
    raise ImportError("sslprep needs Linux or macOS; on Windows it runs in WSL.")

__version__ = "0.2.0"

if TYPE_CHECKING:
    from sslprep.checkpoints.caffe2 import convert_caffe2 as convert_caffe2
    from sslprep.checkpoints.detectron import convert_detectron as convert_detectron
    from sslprep.checkpoints.jigsaw import convert_jigsaw as convert_jigsaw
    from sslprep.checkpoints.open import read_checkpoint as read_checkpoint
    from sslprep.checkpoints.pytorch import convert_pytorch as convert_pytorch
    from sslprep.color.bins import color_bins as color_bins
    from sslprep.color.encoding import decode as decode
    from sslprep.color.encoding import encode as encode
    from sslprep.color.generate import generate_color_bins as generate_color_bins
    from sslprep.color.histogram import color_histogram as color_histogram
    from sslprep.color.plot import plot_color_bins as plot_color_bins
    from sslprep.data.coco import write_coco as write_coco
    from sslprep.data.folders import write_folders as write_folders
    from sslprep.data.voc import write_voc as write_voc
    from sslprep.demo.walk import run_demo as run_demo
    from sslprep.errors import SslprepError as SslprepError
    from sslprep.evaluate.features import write_features as write_features
    from sslprep.evaluate.full import evaluate_full as evaluate_full
    from sslprep.evaluate.lowshot import evaluate_lowshot as evaluate_lowshot
    from sslprep.evaluate.scores import evaluate_scores as evaluate_scores
    from sslprep.inspection.command import inspect as inspect
    from sslprep.jigsaw.generate import generate_permutations as generate_permutations
    from sslprep.jigsaw.stats import permutation_stats as permutation_stats
    from sslprep.lowshot.identify import identify_splits as identify_splits
    from sslprep.lowshot.multilabel import draw_multilabel_samples as draw_multilabel_samples
    from sslprep.lowshot.singlelabel import draw_singlelabel_samples as draw_singlelabel_samples
    from sslprep.lowshot.verify import verify_samples as verify_samples
    from sslprep.manifest import verify as verify
    from sslprep.partition import read_partition as read_partition
    from sslprep.partition.check import check_images as check_images
    from sslprep.partition.link_tree import link_tree as link_tree
    from sslprep.partition.merge import merge_partitions as merge_partitions
    from sslprep.partition.relocate import relocate as relocate
    from sslprep.report.page import write_report as write_report

COMMANDS = {
    "data coco": "data.coco.write_coco",
    "data voc": "data.voc.write_voc",
    "data folders": "data.folders.write_folders",
    "data check": "partition.check.check_images",
    "data relocate": "partition.relocate.relocate",
    "data merge": "partition.merge.merge_partitions",
    "data link-tree": "partition.link_tree.link_tree",
    "lowshot voc": "lowshot.multilabel.draw_multilabel_samples",
    "lowshot imagenet": "lowshot.singlelabel.draw_singlelabel_samples",
    "lowshot places": "lowshot.singlelabel.draw_singlelabel_samples",
    "lowshot identify": "lowshot.identify.identify_splits",
    "lowshot verify": "lowshot.verify.verify_samples",
    "jigsaw generate": "jigsaw.generate.generate_permutations",
    "jigsaw stats": "jigsaw.stats.permutation_stats",
    "color generate": "color.generate.generate_color_bins",
    "color histogram": "color.histogram.color_histogram",
    "color bins": "color.bins.color_bins",
    "color plot": "color.plot.plot_color_bins",
    "convert jigsaw": "checkpoints.jigsaw.convert_jigsaw",
    "convert detectron": "checkpoints.detectron.convert_detectron",
    "convert pytorch": "checkpoints.pytorch.convert_pytorch",
    "convert caffe2": "checkpoints.caffe2.convert_caffe2",
    "evaluate features": "evaluate.features.write_features",
    "evaluate full": "evaluate.full.evaluate_full",
    "evaluate lowshot": "evaluate.lowshot.evaluate_lowshot",
    "evaluate scores": "evaluate.scores.evaluate_scores",
    "inspect": "inspection.command.inspect",
    "verify": "manifest.verify",
    "report": "report.page.write_report",
    "demo": "demo.walk.run_demo",
}
"""Command -> the function behind it."""
_MORE = "errors.SslprepError checkpoints.open.read_checkpoint partition.read_partition"
_PLACES = [*COMMANDS.values(), *_MORE.split(), "color.encoding.encode", "color.encoding.decode"]
_MODULES = {name: module for module, _, name in (place.rpartition(".") for place in _PLACES)}

__all__ = [*_MODULES]  # noqa: PLE0604 - all of them strings


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sslprep' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sslprep.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return ["__version__", *_MODULES]
