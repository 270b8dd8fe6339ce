"""The exception tree: whose fault it is *is* the type.

Refusals of a job are events, not exceptions, and bugs are assertions. What is left is the world
failing (caught in the performer and turned into a report) and the moments at which a person must
look.
"""

from __future__ import annotations


class NightpressError(Exception):
    """Anything nightpress raises on purpose; its text is a sentence for a person."""


class AskerError(NightpressError):
    """What was asked cannot be done; the asker can mend it (command line, settings, a template)."""


class WorldError(NightpressError):
    """The world failed: a file, a socket, a server. Trying again later may help."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class EngineError(WorldError):
    """The engine could not be reached or answered out of form; nothing is known of the prompt."""


class PromptRefused(WorldError):
    """The engine answered that it will not run this prompt (HTTP 400); asking again is no use."""


class PersonNeeded(NightpressError):
    """The program must not go on by itself: a damaged ledger, a second daemon, a bad setting."""


class LedgerDamaged(PersonNeeded):
    """A ledger that cannot be believed, in a sentence; ``segment`` is the file's path, ``line`` the
    first bad one from 1 (0 = not known), ``why`` what is wrong there.
    """

    def __init__(self, text: str, *, segment: str = "", line: int = 0, why: str = "") -> None:
        super().__init__(text)
        self.segment = segment
        self.line = line
        self.why = why or text

    @classmethod
    def at(cls, segment: str, line: int, why: str) -> LedgerDamaged:
        """Damage at a line that is known, with what to do about it."""
        text = (
            f"{segment} line {line}: {why}. Nothing was changed. `nightpress verify` shows what is "
            f"there and who may have the bytes as they were written; or compare it with git "
            f"(git log -p -- {segment}) and put them back."
        )
        return cls(text, segment=segment, line=line, why=why)


class LedgerNewer(LedgerDamaged):
    """A line that is as it was written, in words that this version does not have."""

    @classmethod
    def at(cls, segment: str, line: int, why: str, *, writer: str = "") -> LedgerNewer:
        """``why`` says which word is unknown, ``writer`` whose it is ('' = not known)."""
        why += f" (nightpress {writer} wrote it)" if writer else ""
        wanted = f"nightpress {writer} or newer" if writer else "the newest nightpress"
        text = (
            f"{segment} line {line}: written by a newer nightpress: {why}. The line is as it was "
            f"written, and nothing was changed. Install {wanted} (`nightpress --version` says "
            "which this is) and start again."
        )
        return cls(text, segment=segment, line=line, why=why)


class LedgerChanged(PersonNeeded):
    """The segment's file is no longer the one that was written to (replaced, cut, appended to)."""


class StudioBusy(PersonNeeded):
    """Another daemon holds this studio's guard."""
