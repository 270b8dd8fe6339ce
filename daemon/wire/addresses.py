"""Spells addresses of engines: plain HTTP, on this machine, and nothing else (N2.1)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from daemon.errors import AskerError
from daemon.wire.text import excerpt

DEFAULT_URL = "http://127.0.0.1:8188"


def url_fault(url: str) -> str:
    """Why ComfyUI is not spoken to at this address (N2.1); '' when it is."""
    why = _mistake(url)
    # What is before an @ may be a password.
    shown = "" if "@" in url else f" {excerpt(url)}"
    return why and f"The address{shown} {why}. Write for example: {DEFAULT_URL}"


def loopback(url: str) -> tuple[str, int]:
    """Host and port of an address of this machine. Raises ``AskerError`` for any other (N2.1)."""
    if why := url_fault(url):
        raise AskerError(why)
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 8188


def is_outside(address: str) -> bool:
    """Whether others may use this address of a machine: it is an IP address and not loopback.

    One with a zone (fe80::1%en0) does not count: who listens there listens everywhere.
    """
    try:
        return "%" not in address and not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _mistake(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "cannot be read"
    if parts.scheme != "http" or not url.isprintable():
        return "does not begin with http://"
    if "@" in parts.netloc:
        return "holds a user name or a password, and ComfyUI knows neither"
    if parts.path not in {"", "/"} or "?" in url or "#" in url or port == 0:
        return "has more than a host and a port"
    if not _is_loopback(host):
        return (
            "is another machine or open to others. ComfyUI asks nobody who they are, and who "
            "reaches it can read files through it; so it is spoken to on this machine only (by a "
            "tunnel that ends here, if it runs elsewhere)"
        )
    return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
