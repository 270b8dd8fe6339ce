"""Knows what is to be feared of a ComfyUI, from the command line that it tells."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence


def concerns(argv: Sequence[str], *, mode: str) -> Sequence[str]:
    """What is to be said of how a ComfyUI was started, from the ``argv`` that it tells.

    ``mode`` managed: only what the user's own args may have brought about.
    """
    values = _values(argv)
    found = list(_slow(values))
    if mode != "managed":
        found += [*_spoils(values), *_exposes(values)]
        found.append(
            "nightpress did not start this ComfyUI, so it cannot draw a spoilt picture again in"
            " another precision, keep custom nodes out, or end it to free memory for a training."
            ' [comfyui] mode = "managed" lets it.'
        )
    return found


def _values(argv: Sequence[str]) -> Mapping[str, str]:
    """Each flag with the word after it; '' where another flag or nothing follows."""
    found = {}
    for word, after in zip(argv, (*argv[1:], ""), strict=True):
        if word.startswith("--"):
            name, given, value = word.partition("=")
            found[name] = value if given else "" if after.startswith("--") else after
    return found


def _slow(values: Mapping[str, str]) -> Iterator[str]:
    if "--cpu" in values:
        yield "ComfyUI runs with --cpu: a picture takes minutes. Remove it on a Mac with a GPU."


def _spoils(values: Mapping[str, str]) -> Iterator[str]:
    if "--fp16-vae" in values:
        yield "ComfyUI runs with --fp16-vae, which makes black pictures: start it with --fp32-vae."
    elif not {"--fp32-vae", "--cpu-vae", "--force-fp32"} & set(values):
        yield (
            "ComfyUI runs without --fp32-vae, so the VAE computes in bf16 on a Mac: colours may"
            " differ, and pictures be black. Start it with --fp32-vae."
        )
    if "--disable-metadata" in values:
        yield "ComfyUI runs with --disable-metadata: no picture says which prompt it is of."
    for flag in sorted({"--lowvram", "--novram"} & set(values)):
        yield f"ComfyUI runs with {flag}: it changes nothing on a Mac."
    if values.get("--preview-method", "none") != "none":
        yield "ComfyUI makes previews, which nobody here looks at: use --preview-method none."
    if "--disable-all-custom-nodes" not in values:
        yield (
            "ComfyUI loads every pack in custom_nodes, and each may change how pictures are drawn:"
            " start it with --disable-all-custom-nodes."
        )


def _exposes(values: Mapping[str, str]) -> Iterator[str]:
    address = values.get("--listen", "127.0.0.1")
    if not all(_is_loopback(one.strip()) for one in address.split(",")):
        where = ascii(address[:60]) if address else "all addresses"
        yield (
            f"ComfyUI listens on {where}: whoever reaches it can read files through it. Start it"
            " with --listen 127.0.0.1."
        )
    if "--enable-cors-header" in values:
        yield (
            "ComfyUI runs with --enable-cors-header: any page that a browser of yours opens can"
            " use it. Start it without."
        )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
