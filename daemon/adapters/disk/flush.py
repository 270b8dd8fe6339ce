"""Adapters room: getting bytes onto the platter, and names that must not replace others."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import sys
from collections.abc import Callable

_log = logging.getLogger(__name__)

# macOS's F_FULLFSYNC; elsewhere fsync itself reaches the platter.
FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

# What file systems answer that do not know a call (SMB, FAT; some for folders).
_NOT_KNOWN = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS})

# renameat2's RENAME_NOREPLACE and renameatx_np's RENAME_EXCL: fail when the new name is taken.
_EXCLUSIVE = 4 if sys.platform == "darwin" else 1


class Flush:
    """Flushes to the drive; where the volume cannot flush the drive's own cache, says so once."""

    def __init__(self, full_sync: int | None) -> None:
        self._full_sync = full_sync

    def file(self, fd: int) -> None:
        """Flush a file. Raises ``OSError``; the bytes are then in nobody's hands."""
        if self._full_sync is not None:
            try:
                fcntl.fcntl(fd, self._full_sync)
            except OSError as error:
                if error.errno not in _NOT_KNOWN:
                    raise
                self._full_sync = None
                _log.warning(
                    "The studio's volume cannot flush its drive's cache (%s): a power cut may cost"
                    " the last seconds. Keep the studio on a local APFS volume.",
                    error.strerror,
                )
            else:
                return
        os.fsync(fd)

    def folder(self, fd: int) -> None:
        """Flush a folder's names; volumes that keep no such thing apart are fine."""
        try:
            self.file(fd)
        except OSError as error:
            if error.errno not in _NOT_KNOWN:
                raise


def rename_new(from_fd: int, name: str, to_fd: int, new_name: str) -> bool:
    """Rename, unless the new name is taken: then False. Raises ``OSError``."""
    call = _exclusive_rename()
    if call is not None:
        if call(from_fd, os.fsencode(name), to_fd, os.fsencode(new_name), _EXCLUSIVE) == 0:
            return True
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            return False
        if number not in _NOT_KNOWN:
            raise OSError(number, os.strerror(number), name)
    return _link_new(from_fd, name, to_fd, new_name)


def _link_new(from_fd: int, name: str, to_fd: int, new_name: str) -> bool:
    """The same in two steps. A crash between them leaves both names; asked again, it goes on."""
    try:
        os.link(name, new_name, src_dir_fd=from_fd, dst_dir_fd=to_fd, follow_symlinks=False)
    except FileExistsError:
        ours = os.stat(name, dir_fd=from_fd, follow_symlinks=False)
        theirs = os.stat(new_name, dir_fd=to_fd, follow_symlinks=False)
        if not os.path.samestat(ours, theirs):
            return False
    os.unlink(name, dir_fd=from_fd)
    return True


def _exclusive_rename() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The system's call for it; None where its C library has none (musl, old glibc)."""
    name = "renameatx_np" if sys.platform == "darwin" else "renameat2"
    fd, path = ctypes.c_int, ctypes.c_char_p
    kind = ctypes.CFUNCTYPE(ctypes.c_int, fd, path, fd, path, ctypes.c_uint, use_errno=True)
    try:
        return kind((name, ctypes.CDLL(None)))
    except AttributeError:
        return None
