"""Spells the size of a panel (A2.1): what a 16 GB Mac draws, and the nearest size that it does."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.core.policy import Policy
from daemon.wire.given import Fault, Given
from daemon.wire.job_models import PanelFile
from daemon.wire.text import excerpt


def size_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    """Sides out of range or off the grid, and areas that do not fit into memory."""
    width, height = _side(given, "width"), _side(given, "height")
    single = False
    for key, value in (("width", width), ("height", height)):
        if value is not None and (text := _side_fault(key, value, policy)):
            single = True
            yield Fault(given.at(key), text)
    if width is None or height is None or single or width * height <= policy.max_area:
        return
    silent = [key for key in ("width", "height") if not given.has(key)]
    default = f" (the {silent[0]} is the usual one, none is given)" if silent else ""
    yield Fault(
        given.at("width" if given.has("width") else "height"),
        f"{width} x {height}{default} is {width * height} pixels, and a picture has at most "
        f"{policy.max_area}{_as_size(policy.max_area)}: beyond it a 16 GB Mac swaps for minutes or "
        f"fails. Write {_nearest(width, height, policy)}",
    )


def _side(given: Given, key: str) -> int | None:
    """The side as asked for, or its default; None when it is no whole number."""
    if given.has(key):
        return given.whole(key)
    default = PanelFile.model_fields[key].default
    return default if isinstance(default, int) else None


def _side_fault(key: str, value: int, policy: Policy) -> str:
    grid = policy.side_multiple
    shown = excerpt(str(value), limit=24)
    if value > policy.max_side:
        return (
            f"`{key}` is {shown}, and no side is longer than {policy.max_side}: a 16 GB Mac "
            f"draws no more in one go, and SD1.5 doubles figures there. "
            f"Write {key} = {policy.max_side}"
        )
    if value < policy.min_side:
        return (
            f"`{key}` is {shown}, and no side is shorter than {policy.min_side}. "
            f"Write for example: {key} = 512"
        )
    if value % grid == 0:
        return ""
    below = value // grid * grid
    choices = [side for side in (below, below + grid) if side <= policy.max_side]
    words = " or ".join(f"{key} = {side}" for side in choices)
    return (
        f"`{key}` is {shown}, and sides are multiples of {grid} (one latent pixel). Write {words}"
    )


def _nearest(width: int, height: int, policy: Policy) -> str:
    """The sizes to propose: one of the same shape, one as high, one as wide as asked for."""
    grid = policy.side_multiple
    shrink = (policy.max_area / (width * height)) ** 0.5
    shape = (int(width * shrink) // grid * grid, int(height * shrink) // grid * grid)
    narrower = (policy.max_area // height // grid * grid, height)
    lower = (width, policy.max_area // width // grid * grid)
    sizes = [
        f"width = {wide} and height = {high}"
        for wide, high in dict.fromkeys((shape, narrower, lower))
        if min(wide, high) >= policy.min_side
    ]
    return ", or ".join(sizes)


def _as_size(area: int) -> str:
    return " (as 512 x 768)" if area == 512 * 768 else ""
