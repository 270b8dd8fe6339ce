"""Knows the ControlNets of SD 1.5 by their files' names, and hint images by their numbers.

Law: what is doubtful is said in a warning; only a hint with nothing on it is refused, for it would
be drawn without a word and without its pose.
"""

from __future__ import annotations

from daemon.craft.picture import PictureStats

# Nothing brighter than this is drawn on a hint that is black, ...
_BLACK_HIGH = 16
# ... and nothing is drawn at all within so many levels, or on so small a share of the pixels
# (0.02 %: 80 of 512 x 768; the skeleton of a small figure covers fifty times that).
_FLAT_RANGE = 10
_ONE_COLOUR = 0.9998
# Sides are cut to multiples of 8: a shape within this is the panel's own.
_SAME_SHAPE = 0.02

KNOWN = frozenset(
    {
        "control_v11p_sd15_openpose",
        "control_v11f1p_sd15_depth",
        "control_v11p_sd15_canny",
        "control_v11p_sd15_lineart",
        "control_v11p_sd15s2_lineart_anime",
        "control_v11p_sd15_scribble",
        "control_v11p_sd15_softedge",
        "control_v11p_sd15_normalbae",
        "control_v11p_sd15_mlsd",
        "control_v11f1e_sd15_tile",
        "t2iadapter_openpose_sd14v1",
        "t2iadapter_keypose_sd14v1",
        "t2iadapter_depth_sd15v2",
        "t2iadapter_zoedepth_sd15v1",
        "t2iadapter_canny_sd15v2",
        "t2iadapter_sketch_sd15v2",
    }
)
"""Names of files without folder, ``_fp16`` and ending.

Source: the published files of ControlNet 1.1 for SD 1.5, and of the T2I-Adapters.
"""


def net_doubt(name: str) -> str:
    """What to warn of before this ControlNet is used, a sentence or '' (C1.1)."""
    if "inpaint" in name.lower():
        return (
            f"ControlNet {name} is made for inpainting: it wants a mask, which a job cannot give,"
            " and without one it paints as it likes."
        )
    if _stem(name) not in KNOWN:
        return (
            f"ControlNet {name} is not among those known for SD 1.5"
            " (control_v11p_sd15_openpose and its like take 723 MB in fp16 and twice that in fp32,"
            " T2I-Adapters 155 to 310 MB): see that it is made for SD 1.5, and what it needs."
        )
    return ""


def hint_fault(stats: PictureStats) -> str:
    """Why this picture guides nothing: the end of a sentence that begins with it; '' when it may.

    An empty pose map makes an empty conditioning, of which no engine says a word (C2.2).
    """
    if stats.high <= _BLACK_HIGH:
        return f"is black: its brightest pixel has {stats.high} of 255"
    if stats.spread <= _FLAT_RANGE or stats.one_colour >= _ONE_COLOUR:
        return f"is a plane of one colour (mean luminance {stats.mean:.0f} of 255)"
    return ""


def shape_doubt(stats: PictureStats, *, width: int, height: int) -> str:
    """What to warn of when a hint is not of the panel's shape, a sentence or ''; in pixels."""
    if abs(stats.width * height / (stats.height * width) - 1) <= _SAME_SHAPE:
        return ""
    return (
        f"The hint image is {stats.width}x{stats.height} and the panel {width}x{height}: it is"
        " scaled to cover the panel, and what sticks out of it is cut off."
    )


def mode_doubt(stats: PictureStats) -> str:
    """What to warn of when the engine reads a hint otherwise than the eye, a sentence or ''."""
    if stats.mode in ("RGBA", "LA", "PA"):
        return (
            "The hint image has transparency, which the engine drops: what is drawn on a"
            " transparent layer may be black on black for it. Save it flat, on one background."
        )
    if stats.mode.startswith("I"):
        return (
            "The hint image has 16 bits a pixel, which the engine may clip to white. Save it with"
            " 8 bits a channel."
        )
    return ""


def _stem(name: str) -> str:
    return name.rpartition("/")[2].lower().removesuffix(".safetensors").removesuffix("_fp16")
