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
    from sslprep.color.bins import bins as color_bins
    from sslprep.color.encoding import decode as decode
    from sslprep.color.encoding import encode as encode
    from sslprep.color.generate import generate as generate_color_bins
    from sslprep.color.histogram import histogram as color_histogram
    from sslprep.data.coco import write_coco as write_coco
    from sslprep.data.folders import write_folders as write_folders
    from sslprep.data.voc import write_voc as write_voc
    from sslprep.errors import SslprepError as SslprepError
    from sslprep.evaluate.features import write_features as write_features
    from sslprep.evaluate.full import full as evaluate_full
    from sslprep.evaluate.lowshot import lowshot as evaluate_lowshot
    from sslprep.evaluate.scores import scores as evaluate_scores
    from sslprep.inspection.command import inspect as inspect
    from sslprep.jigsaw.generate import generate as generate_permutations
    from sslprep.jigsaw.stats import stats as permutation_stats
    from sslprep.lowshot.identify import identify as identify_splits
    from sslprep.lowshot.multilabel import draw_multilabel_samples as draw_multilabel_samples
    from sslprep.lowshot.singlelabel import draw_singlelabel_samples as draw_singlelabel_samples
    from sslprep.lowshot.verify import verify_samples as verify_samples
    from sslprep.manifest import verify as verify
    from sslprep.partition import read_partition as read_partition
    from sslprep.partition.check import check as check_images
    from sslprep.partition.link_tree import link_tree as link_tree
    from sslprep.partition.merge import merge as merge_partitions
    from sslprep.partition.relocate import relocate as relocate
    from sslprep.report.page import report as write_report

_PLACES = {
    "SslprepError": "errors:SslprepError",
    "check_images": "partition.check:check",
    "color_bins": "color.bins:bins",
    "color_histogram": "color.histogram:histogram",
    "convert_caffe2": "checkpoints.caffe2:convert_caffe2",
    "convert_detectron": "checkpoints.detectron:convert_detectron",
    "convert_jigsaw": "checkpoints.jigsaw:convert_jigsaw",
    "convert_pytorch": "checkpoints.pytorch:convert_pytorch",
    "decode": "color.encoding:decode",
    "draw_multilabel_samples": "lowshot.multilabel:draw_multilabel_samples",
    "draw_singlelabel_samples": "lowshot.singlelabel:draw_singlelabel_samples",
    "encode": "color.encoding:encode",
    "evaluate_full": "evaluate.full:full",
    "evaluate_lowshot": "evaluate.lowshot:lowshot",
    "evaluate_scores": "evaluate.scores:scores",
    "generate_color_bins": "color.generate:generate",
    "generate_permutations": "jigsaw.generate:generate",
    "identify_splits": "lowshot.identify:identify",
    "inspect": "inspection.command:inspect",
    "link_tree": "partition.link_tree:link_tree",
    "merge_partitions": "partition.merge:merge",
    "permutation_stats": "jigsaw.stats:stats",
    "read_checkpoint": "checkpoints.open:read_checkpoint",
    "read_partition": "partition:read_partition",
    "relocate": "partition.relocate:relocate",
    "verify": "manifest:verify",
    "verify_samples": "lowshot.verify:verify_samples",
    "write_coco": "data.coco:write_coco",
    "write_features": "evaluate.features:write_features",
    "write_folders": "data.folders:write_folders",
    "write_report": "report.page:report",
    "write_voc": "data.voc:write_voc",
}

__all__ = [*_PLACES]  # noqa: PLE0604 - all of them strings


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module 'sslprep' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(f"sslprep.{module}"), attribute)


def __dir__() -> list[str]:
    """List the public names."""
    return ["__version__", *_PLACES]
