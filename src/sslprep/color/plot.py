"""A picture of colour bins and of their priors."""

from __future__ import annotations

from pathlib import Path

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.color.bins import made_of, read_points, read_priors
from sslprep.drawing.gamut import bin_size, gamut, prior
from sslprep.drawing.svg import document
from sslprep.errors import ParameterError
from sslprep.parameters import command
from sslprep.results import result


@result
class PlotResult:
    """What was drawn.

    Attributes:
        written: The picture and its manifest.
        bins: Number of bins.
    """

    written: tuple[Path, ...]
    bins: int


@command(renamed={"output_file": "output"})
def plot_color_bins(
    points: Path,
    output: Path | None = None,
    *,
    priors: Path | None = None,
    overwrite: bool = False,
) -> PlotResult:
    """Draw colour bins as they look at L = 50, and the logarithm of their priors beside them.

    Args:
        points: The bins, a `pts_in_hull_….npy`.
        output: The picture, an .svg; beside the bins under their name if not given.
        priors: Their priors; the `priors_….npy` beside the bins if not given.
        overwrite: Replace an existing picture.

    Returns:
        Number of bins, and the files.

    Raises:
        ArrayError: Bins or priors are malformed, do not fit, or stand under each other's name.
        ParameterError: The picture's name does not end in .svg, or no priors are to be found.
        OutputError: The picture exists, or cannot be written.
    """
    if priors is None:
        if "pts_in_hull" not in points.name:
            raise ParameterError(
                "--priors is not given", remedy="Give it, or bins named pts_in_hull_….npy."
            )
        priors = points.with_name(points.name.replace("pts_in_hull", "priors"))
    target = output or points.with_suffix(".svg")
    if target.suffix != ".svg":
        raise ParameterError(f"--output is {target}", expected="a name ending in .svg")
    own = f"{target.name}{MANIFEST_SUFFIX}"
    with OutputSet(target.parent, [target.name], manifests=[own], overwrite=overwrite) as out:
        inputs = manifest.Inputs()
        inputs.add_file(points)
        inputs.add_file(priors)
        bins = read_points(points)
        shares = read_priors(priors, len(bins))
        made = made_of(points, "color-bins")
        size, corners = made.bin_size or bin_size(bins), made.points_are == "left edges"
        parts = [gamut(bins, size, corners=corners), prior(bins, size, shares, corners=corners)]
        says = f"{len(bins):,} colour bins and how often each occurs"
        out.save_bytes(target.name, document(parts, title=points.stem, description=says).encode())
        manifest.write(
            out,
            own,
            kind="color-plot",
            command="color plot",
            parameters={"points": points, "priors": priors},
            inputs=inputs.records(),
            counts={"bins": len(bins)},
        )
        out.commit()
    return PlotResult(written=(target, target.with_name(own)), bins=len(bins))
