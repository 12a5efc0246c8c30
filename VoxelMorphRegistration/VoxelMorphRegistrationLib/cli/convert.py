"""`slicer-voxelmorph convert`: a field of one tool for another, and where landmarks go."""

from __future__ import annotations

import argparse
import sys

from ..errors import InputError
from ..exchange.names import CONVENTIONS
from .exit_status import Exit
from .options import add_verbose_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--input",
        required=True,
        nargs="+",
        metavar="FIELD",
        help=(
            "a field; or ANTs' list in ANTs' order, an inverted affine as '[0GenericAffine.mat,1]'; or elastix'"
            " TransformParameters files"
        ),
    )
    add(
        "--from",
        dest="source",
        choices=CONVENTIONS,
        metavar="CONVENTION",
        help=f"what it is: {', '.join(CONVENTIONS)} (default: what the file itself says without doubt)",
    )
    add("--to", choices=CONVENTIONS, metavar="CONVENTION", help="what to write")
    add("--reference", metavar="IMAGE", help="the fixed image, on whose grid the result lies")
    add("--moving", metavar="IMAGE", help="the moving image; torch's grids are normalised by its size")
    add("--align-corners", choices=("yes", "no"), help="how grid_sample will be called (torch)")
    add(
        "--array-axes",
        choices=("kji", "ijk"),
        help="order of an array's axes: kji as SimpleITK and Slicer have it, ijk as nibabel, ANTsPy and MONAI",
    )
    add(
        "--vectors",
        choices=("lps", "ras"),
        help="the input is an image of vectors in mm along these axes, where its header does not say so",
    )
    add(
        "--voxel-unit",
        choices=("own", "full"),
        help=(
            "what an array of half resolution counts: voxels of its own half grid, as VoxelMorph (default), or of the "
            "full image, as Learn2Reg"
        ),
    )
    add(
        "--padding",
        choices=("end", "both"),
        help="where an array larger than the reference was padded: at the end of each axis, or on both sides",
    )
    add("--dtype", choices=("float32", "float16"), default="float32", help="of array files (default: %(default)s)")
    add("--points", metavar="FILE", help="landmarks (.mrk.json, .fcsv, .csv): write where they go, instead of a field")
    add(
        "--points-on",
        choices=("fixed", "moving"),
        default="fixed",
        help=(
            "the image they were drawn on; they go to the other one (default: %(default)s, as in ANTs and transformix)"
        ),
    )
    add("--output", required=True, metavar="FILE", help="its ending chooses among the forms a tool has")
    add_verbose_option(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    if bool(args.to) == bool(args.points):
        args.parser.error("give either --to, for a field, or --points, for landmarks")
    align_corners = None if args.align_corners is None else args.align_corners == "yes"
    layout = {"moving": args.moving, "align_corners": align_corners, "array_axes": args.array_axes}
    stored = {"voxel_unit": args.voxel_unit, "vectors": args.vectors, "padding": args.padding}
    source = args.input if len(args.input) > 1 else args.input[0]
    from ..exchange import collected_warnings

    with collected_warnings() as notes:
        carry = _carry_points if args.points else _convert
        message = carry(args, source, layout, stored)
    for note in dict.fromkeys(notes):
        print(f"note: {note}", file=sys.stderr)
    print(message)
    return Exit.DONE


def _convert(args: argparse.Namespace, source: object, layout: dict, stored: dict) -> str:
    import numpy as np
    import SimpleITK as sitk

    from .. import exchange

    displacement = exchange.read(source, args.source, args.reference, **layout, **stored)
    exchange.write(displacement, args.output, args.to, dtype=args.dtype, **layout)
    longest = np.linalg.norm(sitk.GetArrayViewFromImage(displacement), axis=-1).max()
    return f"{args.to}, {' x '.join(map(str, displacement.GetSize()))}, up to {longest:.3g} mm: {args.output}"


def _carry_points(args: argparse.Namespace, source: object, layout: dict, stored: dict) -> str:
    from .. import exchange
    from ..annotations.points import count_outside
    from ..files.markups import read_points, write_points

    if args.reference is None:
        raise InputError("--points: the fixed image is needed to tell which points lie in it; name it with --reference")
    points = read_points(args.points)
    reference = exchange.grid_of(args.reference)
    assert reference is not None
    mapping = exchange.read_mapping(source, args.source, args.reference, **layout, **stored)
    dimension = mapping.GetDimension()
    drawn_on = exchange.grid_of(args.moving, "moving") if args.points_on == "moving" else reference
    if drawn_on is not None and drawn_on.dimension == 3:
        outside = count_outside(points.positions, drawn_on, args.points)
        if outside:
            print(
                f"note: {outside} of {len(points.positions)} points lie outside the {args.points_on} image",
                file=sys.stderr,
            )
    moved = points.positions.copy()
    if args.points_on == "fixed":
        moved[:, :dimension] = exchange.points_to_moving(mapping, points.positions[:, :dimension])
    else:
        moved[:, :dimension] = exchange.points_to_fixed(
            mapping, points.positions[:, :dimension], reference, args.points
        )
    write_points(points.at(moved), args.output)
    other = "moving" if args.points_on == "fixed" else "fixed"
    return f"{len(moved)} points of the {args.points_on} image at their places in the {other} image: {args.output}"
