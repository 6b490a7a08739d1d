"""The input side of a self-supervised-learning benchmark.

The names below are the command functions; each is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sslprep.checkpoints.blobs import read_checkpoint
    from sslprep.checkpoints.caffe2 import convert_caffe2
    from sslprep.checkpoints.detectron import convert_detectron
    from sslprep.checkpoints.inspect import inspect
    from sslprep.checkpoints.jigsaw import convert_jigsaw
    from sslprep.checkpoints.pytorch import convert_pytorch
    from sslprep.color.bins import bins as color_bins
    from sslprep.color.encoding import decode, encode
    from sslprep.color.generate import generate as generate_color_bins
    from sslprep.color.histogram import histogram as color_histogram
    from sslprep.data.check import check as check_images
    from sslprep.data.coco import write_coco
    from sslprep.data.folders import write_folders
    from sslprep.data.relocate import relocate
    from sslprep.data.voc import write_voc
    from sslprep.evaluate.scores import scores as evaluate_scores
    from sslprep.jigsaw.generate import generate as generate_permutations
    from sslprep.jigsaw.stats import stats as permutation_stats
    from sslprep.lowshot.multilabel import draw_multilabel_samples
    from sslprep.lowshot.singlelabel import draw_singlelabel_samples
    from sslprep.lowshot.verify import verify_samples
    from sslprep.manifest import verify
    from sslprep.partition import read_partition
    from sslprep.report.page import report as write_report

__all__ = [
    "check_images",
    "color_bins",
    "color_histogram",
    "convert_caffe2",
    "convert_detectron",
    "convert_jigsaw",
    "convert_pytorch",
    "decode",
    "draw_multilabel_samples",
    "draw_singlelabel_samples",
    "encode",
    "evaluate_scores",
    "generate_color_bins",
    "generate_permutations",
    "inspect",
    "permutation_stats",
    "read_checkpoint",
    "read_partition",
    "relocate",
    "verify",
    "verify_samples",
    "write_coco",
    "write_folders",
    "write_report",
    "write_voc",
]

_PLACES = {
    "check_images": "data.check:check",
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
    "evaluate_scores": "evaluate.scores:scores",
    "generate_color_bins": "color.generate:generate",
    "generate_permutations": "jigsaw.generate:generate",
    "inspect": "checkpoints.inspect:inspect",
    "permutation_stats": "jigsaw.stats:stats",
    "read_checkpoint": "checkpoints.blobs:read_checkpoint",
    "read_partition": "partition:read_partition",
    "relocate": "data.relocate:relocate",
    "verify": "manifest:verify",
    "verify_samples": "lowshot.verify:verify_samples",
    "write_coco": "data.coco:write_coco",
    "write_folders": "data.folders:write_folders",
    "write_report": "report.page:report",
    "write_voc": "data.voc:write_voc",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module 'sslprep' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(f"sslprep.{module}"), attribute)


def __dir__() -> list[str]:
    """List the public names with the module's own."""
    return sorted({*globals(), *_PLACES})
