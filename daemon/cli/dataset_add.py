"""The face: `dataset add`, published panels become training pictures.

Law: a picture is taken byte for byte, so that the ledger still knows it, and its caption counts as
written by a program: a prompt says what was asked for, not what is to be seen (K5.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from daemon.cli import place
from daemon.cli.again import named
from daemon.cli.arguments import Arguments
from daemon.cli.dataset_files import put
from daemon.cli.folded import fold
from daemon.cli.say import aligned, paint, say
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import PanelSpec
from daemon.craft.crops import caption_of
from daemon.wire.making import result_stem
from daemon.wire.phrases import counted
from daemon.wire.sources import SOURCES, Source
from daemon.wire.text import visible


def add(arguments: Arguments) -> int:
    """Copy the approved pictures of each job, or all where none is approved, with captions."""
    studio, into = place.studio(arguments), Path(arguments.into)
    state = fold(studio)
    jobs = {job.id: job for name in arguments.jobs for job in named(state, name)}
    files, marks, rows = dict[str, bytes](), dict[str, Source](), list[Sequence[str]]()
    for job in jobs.values():
        source = Source("rehearsal" if is_rehearsal(job.id) else "panel", auto=True)
        caption = f"{_caption(job)}\n".encode()
        for stem in _pictures(job):
            files[f"{stem}.png"] = _bytes(studio, job, f"{stem}.png")
            files[f"{stem}.txt"] = caption
            marks[f"{stem}.png"] = source
            rows.append((f"{stem}.png", source.source, visible(caption.decode().strip())))
    put(into, files, marks, force=arguments.force)
    for line in aligned(rows):
        say(line)
    say(f"{counted(len(rows), 'picture')} added to {visible(str(into))}")
    if any(map(is_rehearsal, jobs)):
        say(f"  {paint('warning', 'yellow')}: a rehearsal's storyboards teach no LoRA anything.")
    say(f"Next: correct each caption to what is to be seen, then reviewed = true in {SOURCES}")
    return 0


def _caption(job: Job) -> str:
    if not isinstance(job.spec, PanelSpec):
        raise place.Bad(f"{job.id} is a training. Only pictures of panels can be added.")
    return caption_of(job.spec.prompt)


def _pictures(job: Job) -> Sequence[str]:
    """The names of its approved pictures, without ending; of all where none is approved."""
    chosen = job.approved or job.pictures
    found = [stem for stem in _stems(job, chosen) if f"{stem}.png" in job.files]
    if not found:
        raise place.Bad(f"{job.id} has published no such picture: it is {job.phase.value}.")
    return found


def _stems(job: Job, pictures: Sequence[int]) -> Iterator[str]:
    return (result_stem(job, number) for number in pictures)


def _bytes(studio: Path, job: Job, name: str) -> bytes:
    """The published picture as the ledger knows it. Raises ``Bad``."""
    file = studio / "outbox" / job.id / name
    data = file.read_bytes() if file.is_file() else b""
    if sha256(data).hexdigest() != job.files[name]:
        what = "is not the picture that was published" if data else "is gone"
        raise place.Bad(
            f"{file} {what}. Nothing was added. Put the published one back (git, a backup), or "
            f"have it drawn again: nightpress again {job.id}"
        )
    return data
