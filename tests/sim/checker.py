"""Reads a ledger with json alone and says which promise it breaks; shares no code with the reducer.

Law: it believes nothing that the program says of itself. ``violations`` of a good history is empty,
and each promise has a hand-made history that breaks it (test_checker).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]
MOST_RUNNING = 3
"""One picture is drawn, one is made ready, one is looked at."""


def parse(data: bytes) -> list[dict[str, Any]]:
    """The whole lines of a segment; a torn last one, and what is after damage, is left out."""
    lines = []
    for line in data.split(b"\n")[:-1]:
        if not line.startswith(b'{"'):
            break
        lines.append(json.loads(line))
    return lines


def chain_violations(data: bytes) -> list[str]:
    """Each line continues the chain and counts on from the line before."""
    found: list[str] = []
    previous, due = "0" * 32, 1
    for line in data.split(b"\n")[:-1]:
        if not line.startswith(b'{"'):
            return [*found, f"line {due}: it is no line"]
        body, _, tail = line.rpartition(b',"chain":"')
        expected = hashlib.sha256(previous.encode() + body).hexdigest()[:32]
        if tail != expected.encode() + b'"}':
            found.append(f"line {due}: the chain is broken")
        if json.loads(line)["seq"] != due:
            found.append(f"line {due}: seq {json.loads(line)['seq']}")
        previous, due = tail[:32].decode(), due + 1
    return found


def violations(lines: Sequence[Line]) -> list[str]:
    """Every promise of the contract that these lines break, in sentences."""
    return [
        *_jobs(lines),
        *_lease(lines),
        *_order(lines),
        *_evidence(lines),
        *_reasons(lines),
        *_drops(lines),
        *_pictures(lines),
        *_trainings(lines),
        *_approvals(lines),
    ]


def open_jobs(lines: Sequence[Line]) -> set[str]:
    """The jobs for which something is still to be done."""
    found: set[str] = set()
    for line in lines:
        if line["type"] == "job.accepted" or _is_retry(line):
            found.add(line["job"])
        elif line["type"] == "job.ended":
            found.discard(line["job"])
    return found


def is_paused(lines: Iterable[Line]) -> bool:
    """Whether nothing is to start by the maker's own wish."""
    said = [line["kind"] for line in lines if line["type"] == "control.taken" and not line["error"]]
    return [kind for kind in said if kind in ("pause", "resume")][-1:] == ["pause"]


def to_install(lines: Sequence[Line]) -> set[tuple[str, str]]:
    """Job and hash of each approved checkpoint that is not installed yet."""
    wanted = set()
    for index, line in enumerate(lines):
        if line["type"] == "job.approved" and line["checkpoint"]:
            saved = _saved(lines[:index], line["job"])
            wanted.add((line["job"], saved.get(line["checkpoint"], "a checkpoint of none")))
    found = {(line["job"], line["sha256"]) for line in lines if line["type"] == "lora.installed"}
    return wanted - found


def _saved(lines: Sequence[Line], job: str) -> dict[int, str]:
    """The hash of each checkpoint as it was last saved, by its step."""
    own = [line for line in lines if line["type"] == "checkpoint.saved" and line["job"] == job]
    return {line["step"]: line["sha256"] for line in own}


def _is_retry(line: Line) -> bool:
    return line["type"] == "control.taken" and line["kind"] == "retry" and not line["error"]


def _overrides(lines: Sequence[Line]) -> set[int]:
    """Which lines (by their seq) approve a picture that the judge had refused."""
    found = set()
    refused: dict[tuple[str, int], bool] = {}
    for line in lines:
        if line["type"] == "image.judged":
            refused[line["job"], line["image"]] = line["verdict"] != "good"
        elif line["type"] == "job.approved" and refused.pop((line["job"], line["image"]), False):
            found.add(line.get("seq", 0))
    return found


def _jobs(lines: Sequence[Line]) -> list[str]:
    found = []
    phases: dict[str, str] = {}
    published: Counter[str] = Counter()
    overrides = _overrides(lines)
    for line in lines:
        kind, job = line["type"], line.get("job", "")
        if kind == "job.accepted":
            if job in phases:
                found.append(f"{job} was accepted twice")
            phases[job] = "open"
        elif job and kind != "control.taken" and job not in phases:
            found.append(f"{kind} for {job}, which was never accepted")
        elif _is_retry(line) or line.get("seq") in overrides:
            phases[job], published[job] = "open", 0
        elif kind == "job.ended":
            if phases[job] != "open":
                found.append(f"{job} ended twice")
            phases[job] = line["phase"]
        elif kind == "result.published":
            published[job] += 1
            if phases[job] != "open":
                found.append(f"{job} was published after its end")
            if published[job] > 1:
                found.append(f"{job} was published {published[job]} times")
        elif kind == "attempt.started" and phases[job] != "open":
            found.append(f"{job} was started after its end")
    if not is_paused(lines):
        found += [f"{job} never ended" for job, phase in phases.items() if phase == "open"]
    return found


def _lease(lines: Sequence[Line]) -> list[str]:
    """A training has the GPU for itself; pictures may be made ready behind one another, and end in
    that order.
    """
    found = []
    running: list[tuple[str, int]] = []
    attempts: Counter[str] = Counter()
    trainings = _specs(lines)
    for line in lines:
        if line["type"] == "attempt.started":
            jobs = {job for job, _ in running} | {line["job"]}
            alone = len(jobs) <= len(running) or jobs & trainings.keys()
            if running and (alone or len(running) >= MOST_RUNNING):
                found.append(f"{line['job']} was started while {running[0][0]} had the GPU")
            running.append((line["job"], line["attempt"]))
            attempts[line["job"]] += 1
            if line["attempt"] != attempts[line["job"]]:
                found.append(f"{line['job']}: attempt {line['attempt']} out of turn")
        elif line["type"] in (
            "prompt.sent",
            "image.judged",
            "checkpoint.saved",
            "attempt.ended",
        ):
            attempt = (line["job"], line["attempt"])
            if attempt not in running:
                found.append(f"{line['type']} of {line['job']} outside its attempt")
            elif line["type"] == "attempt.ended":
                if running[0] != attempt and line["outcome"] != "cancelled":
                    found.append(f"{line['job']} ended before {running[0][0]}, which was before it")
                running.remove(attempt)
        elif line["type"] == "job.ended" and line["job"] in {job for job, _ in running}:
            found.append(f"{line['job']} ended while it had the GPU")
    return found


def _order(lines: Sequence[Line]) -> list[str]:
    """Pictures are published in the order in which their attempts ended; of those that failed,
    what was judged.
    """
    found = []
    due: list[str] = []
    judged: set[str] = set()
    overrides, last = _overrides(lines), _last_stages(lines)
    for line in lines:
        job = line.get("job", "")
        ended = line["type"] == "attempt.ended" and (job, line["attempt"])
        if line["type"] == "image.judged" and job not in _specs(lines):
            judged.add(job)
        elif ended and line["outcome"] == "succeeded":
            due += [job] if last.get(ended, True) else []
        elif ended and line["outcome"] == "failed":
            # What was trained is a result without its grid.
            due += [job] if job in judged or last.get(ended) == "grid" else []
        elif line.get("seq") in overrides:
            due.append(job)
        elif line["type"] == "job.held" and job in due:
            due.remove(job)
        elif line["type"] == "result.published" and job not in due:
            found.append(f"{job} was published before it was made")
        elif line["type"] == "result.published":
            if due[0] != job:
                found.append(f"{job} was published before {due[0]}")
            due.remove(job)
    return found


def _last_stages(lines: Sequence[Line]) -> Mapping[tuple[str, int], str]:
    """Of the attempts at trainings: '' where more is to come, else the stage that is the last."""
    specs = _specs(lines)
    ends = {job: "grid" if spec.get("grid") else "training" for job, spec in specs.items()}
    return {
        (line["job"], line["attempt"]): stage if stage == ends[line["job"]] else ""
        for line in lines
        if line["type"] == "attempt.started" and line["job"] in specs
        for stage in [line["stage"] or "training"]
    }


def _evidence(lines: Sequence[Line]) -> list[str]:
    """Every end says why, or what it made; and nothing succeeds twice, unless what it made is gone
    or somebody wants it again.
    """
    found = []
    files: set[str] = set()
    succeeded: set[tuple[str, str]] = set()
    started = [line for line in lines if line["type"] == "attempt.started"]
    stages = {(line["job"], line["attempt"]): line["stage"] for line in started}
    for line in lines:
        if _is_retry(line) or (line["type"] == "job.held" and line["code"] == "RESULT_GONE"):
            succeeded = {(job, stage) for job, stage in succeeded if job != line["job"]}
        elif line["type"] == "attempt.ended" and line["outcome"] == "succeeded":
            key = (line["job"], stages.get((line["job"], line["attempt"]), ""))
            if key in succeeded:
                found.append(f"{line['job']} succeeded twice")
            succeeded.add(key)
        elif line["type"] == "attempt.ended" and line["outcome"] != "succeeded":
            if not line["code"]:
                found.append(f"{line['job']}: an attempt {line['outcome']} without a code")
            if not line["evidence"]:
                found.append(f"{line['job']}: an attempt {line['outcome']} without a sentence")
        elif line["type"] == "result.published":
            files |= {line["job"]} if line["files"] else set()
        elif line["type"] == "job.ended" and line["phase"] == "published":
            if line["job"] not in files:
                found.append(f"{line['job']} ended as published without files")
        elif line["type"] == "job.ended" and not line["code"]:
            found.append(f"{line['job']} ended as {line['phase']} without a code")
    return found


def _reasons(lines: Sequence[Line]) -> list[str]:
    """Whenever nothing runs and a job waits, it is written in the same moment why."""
    found = []
    running = 0
    waiting: dict[str, str] = {}
    for line, after in zip(lines, [*lines[1:], None], strict=True):
        kind, job = line["type"], line.get("job", "")
        if kind == "job.accepted" or _is_retry(line):
            waiting[job] = ""
        elif kind in ("attempt.started", "job.ended"):
            waiting.pop(job, None)
            running += kind == "attempt.started"
        elif kind == "attempt.ended":
            running -= 1
            if line["outcome"] in ("lost", "stopped"):
                waiting[job] = line["code"]
        elif kind == "job.held":
            waiting[job] = line["code"] if line["text"] else ""
        elif kind == "control.taken" and line["kind"] == "resume":
            waiting = dict.fromkeys(waiting, "")
        # What a power cut tore off follows the next start.
        moment = "" if after is None else after["at"]
        torn = after is not None and after["type"] in ("daemon.started", "ledger.torn")
        silent = waiting and not running and not any(waiting.values())
        if silent and not torn and moment != line["at"]:
            found.append(f"{next(iter(waiting))} waits after seq {line['seq']} for no reason")
    return found


def kept_violations(
    confirmed: Mapping[str, bytes], read: Callable[[str], bytes | None]
) -> list[str]:
    """The ledger only grows: what the drive confirmed of each segment is still how it begins."""
    return [
        f"{path}: lines are gone that were confirmed"
        for path, data in confirmed.items()
        if not (read(path) or b"").startswith(data)
    ]


def torn_violations(
    torn: bytes, lines: Iterable[Line], read: Callable[[str], bytes | None]
) -> list[str]:
    """A start that found this behind the last whole line kept it, and said so."""
    told = [line for line in lines if line["type"] == "ledger.torn"]
    kept = any(line["bytes"] == len(torn) and read(line["kept"]) == torn for line in told)
    return [] if kept or not torn else [f"{len(torn)} torn bytes are gone without a line"]


def drop_violations(
    lines: Iterable[Line], dropped: Mapping[str, bytes], here: Collection[bytes]
) -> list[str]:
    """Files that are gone from the inbox without a line; ``here`` is what still lies there."""
    kinds = ("job.accepted", "job.rejected", "job.duplicate", "control.taken")
    answers = [line for line in lines if line["type"] in kinds]
    answered = {(line.get("file") or line)["sha256"] for line in answers}
    return [
        f"{name} is gone without a line"
        for name, data in dropped.items()
        if _sha(data) not in answered and data not in here
    ]


def gpu_violations(instants: Iterable[Collection[str]]) -> list[str]:
    """At each instant, who has the GPU's memory, in whichever life it was begun: one at most."""
    return [f"{' and '.join(sorted(users))} at once" for users in instants if len(users) > 1]


def end_violations(lines: Sequence[Line], phases: Collection[str]) -> list[str]:
    """Jobs that ended otherwise than they can in this story, or lost what they had made."""
    last = {line["job"]: line for line in lines if line["type"] == "job.ended"}
    held = [line for line in lines if line["type"] == "job.held"]
    gone = [line["job"] for line in held if line["code"] == "RESULT_GONE"]
    return [f"{job} lost its result by a cut alone" for job in gone] + [
        f"{job} {line['phase']} ({line['code']}) by a cut alone"
        for job, line in last.items()
        if line["phase"] not in phases
    ]


def restart_violations(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """What a start on a resting studio changed, but for its own two lines and status.json."""
    found = []
    for path in sorted({*before, *after} - {"outbox/status.json"}):
        old, new = before.get(path, b""), after.get(path)
        if new == old:
            continue
        if new is None or not path.startswith("ledger/") or not new.startswith(old):
            found.append(f"a start at rest changed {path}")
            continue
        kinds = [line["type"] for line in parse(new[len(old) :])]
        if kinds != ["daemon.started", "daemon.stopped"]:
            found.append(f"a start at rest wrote {kinds}")
    return found


def _drops(lines: Sequence[Line]) -> list[str]:
    seen: Counter[tuple[Any, ...]] = Counter()
    for line in lines:
        file = line.get("file") or (line if line["type"] == "job.rejected" else None)
        if isinstance(file, Mapping):
            seen[(file["sha256"], file["inode"], file["mtime_ns"], file["size"])] += 1
    return [f"one drop was answered {count} times" for count in seen.values() if count > 1]


def _pictures(lines: Sequence[Line]) -> list[str]:
    found = []
    sent: set[tuple[str, int, int]] = set()
    judged: dict[str, set[str]] = {}
    trainings = _specs(lines)
    for line in lines:
        if line["type"] == "prompt.sent":
            sent.add((line["job"], line["attempt"], line["image"]))
        elif line["type"] == "image.judged":
            judged.setdefault(line["job"], set()).add(line["sha256"])
            if (line["job"], line["attempt"], line["image"]) not in sent:
                found.append(f"{line['job']}: a picture that was never asked for")
        elif line["type"] == "result.published" and line["job"] not in trainings:
            pictures = {sha for name, sha in line["files"].items() if name.endswith(".png")}
            if not pictures or not pictures <= judged.get(line["job"], set()):
                found.append(f"{line['job']}: published a picture that nobody judged")
    return found


def _specs(lines: Sequence[Line]) -> dict[str, Mapping[str, Any]]:
    """What each training was accepted as."""
    accepted = [line for line in lines if line["type"] == "job.accepted"]
    return {line["job"]: line["spec"] for line in accepted if line["kind"] == "train"}


def _trainings(lines: Sequence[Line]) -> list[str]:
    """Checkpoints at the ends of epochs, and a result that has each as it was last saved."""
    found = []
    specs = _specs(lines)
    for index, line in enumerate(lines):
        job = line.get("job", "")
        if line["type"] == "checkpoint.saved":
            found += _out_of_step(line, lines[:index], specs[job])
        elif line["type"] == "result.published" and job in specs:
            found += _incomplete(line, _saved(lines[:index], job), specs[job])
            recorded = [
                image
                for other in lines[:index]
                if other["type"] == "dataset.recorded" and other["job"] == job
                for image in other["images"]
                if image[3] != "regularization"
            ]
            if len(recorded) != specs[job]["images"]:
                found.append(f"{job}: {len(recorded)} pictures of its dataset are recorded")
    return found


def _out_of_step(line: Line, before: Sequence[Line], spec: Mapping[str, Any]) -> list[str]:
    """A checkpoint that ends no epoch, or an attempt that did more than one epoch again."""
    job, step, every = line["job"], line["step"], spec["epoch_steps"]
    found = []
    if step % every or not 0 < step <= spec["steps"]:
        found.append(f"{job}: a checkpoint at step {step}, which ends no epoch")
    saved = [other for other in before if other["type"] == "checkpoint.saved"]
    known = [other["step"] for other in saved if other["job"] == job]
    if known and step < max(known):
        found.append(f"{job}: step {step} is saved again, and it had come to {max(known)}")
    return found


def _incomplete(line: Line, saved: Mapping[int, str], spec: Mapping[str, Any]) -> list[str]:
    job, files, found = line["job"], line["files"], []
    if spec["steps"] not in saved:
        found.append(f"{job}: published without its last checkpoint")
    for step, sha256 in saved.items():
        stem = f"checkpoints/{job}-{step:06}"
        if files.get(f"{stem}.safetensors") != sha256:
            found.append(f"{job}: checkpoint {step} is not published as it was saved")
        if f"{stem}.lock.toml" not in files:
            found.append(f"{job}: checkpoint {step} is published without a lock")
    return found


def _approvals(lines: Sequence[Line]) -> list[str]:
    """What a person approved gets into a models folder, and nothing else does."""
    found = [f"{job}: an approved checkpoint was not installed" for job, _ in to_install(lines)]
    for index, line in enumerate(lines):
        if line["type"] == "lora.installed":
            before = lines[:index]
            if (line["job"], line["sha256"]) not in to_install(before):
                found.append(f"{line['file']} was installed, and nobody approved it")
    return found


def _overruled(lines: Sequence[Line]) -> set[str]:
    """Refused pictures that a person has approved: their files have other names by now."""
    seqs = _overrides(lines)
    approved = [(line["job"], line["image"]) for line in lines if line.get("seq") in seqs]
    stems = {f"outbox/{job}/{job}{end}.refused." for job, n in approved for end in ("", f"-{n:02}")}
    return {f"{stem}{ending}" for stem in stems for ending in ("png", "workflow.json")}


def file_violations(
    lines: Sequence[Line],
    read: Callable[[str], bytes | None],
    *,
    installed: Mapping[str, bytes],
    made: Mapping[str, int],
) -> list[str]:
    """What the ledger says of files that are not so; ``read`` gives a file of the studio, ``made``
    the optimizer steps in each whole checkpoint of a trainer by its hash.
    """
    found = _unexplained(lines, read("outbox/status.json"))
    overruled = _overruled(lines)
    for line in lines:
        if line["type"] == "checkpoint.saved" and made.get(line["sha256"]) != line["step"]:
            found.append(f"{line['job']}: nobody made {line['step']} steps of {line['sha256']}")
        if line["type"] == "lora.installed" and _sha(installed.get(line["file"])) != line["sha256"]:
            found.append(f"{line['file']} is not in the models folder as it was approved")
        if line["type"] == "ledger.torn" and len(read(line["kept"]) or b"") != line["bytes"]:
            found.append(f"{line['kept']} does not hold the {line['bytes']} bytes that were torn")
        if line["type"] == "attempt.ended" and line["outcome"] == "succeeded":
            found += _unproven(line, lines, read)
        told = {path: sha for path, sha in _told(line).items() if path not in overruled}
        found += [f"{path} is not what is told" for path in told if _sha(read(path)) != told[path]]
    return found


def status_violations(lines: Sequence[Line], read: Callable[[str], bytes | None]) -> list[str]:
    """Ended jobs whose status.toml says otherwise. A power cut may cost one."""
    found = []
    last = {line["job"]: line["phase"] for line in lines if line["type"] == "job.ended"}
    for job in last.keys() - open_jobs(lines):
        status = (read(f"outbox/{job}/status.toml") or b"").decode()
        if f'phase = "{last[job]}"' not in status:
            found.append(f"{job} is {last[job]}, and its status.toml says otherwise")
    return found


def _unproven(line: Line, lines: Sequence[Line], read: Callable[[str], bytes | None]) -> list[str]:
    """A training that succeeded has its own shim's record of a trainer that ended well."""
    job, attempt = line["job"], line["attempt"]
    if job not in _specs(lines):
        return []
    started = [other for other in lines if other["type"] == "attempt.started"]
    of_it = [other for other in started if (other["job"], other["attempt"]) == (job, attempt)]
    if of_it and of_it[-1]["stage"] not in ("", "probe"):
        return []  # It has drawn.
    nonce = of_it[-1]["chain"] if of_it else ""
    record = json.loads(read(f"outbox/{job}/resume/a{attempt}-{nonce[:8]}/exit.json") or b"{}")
    proof = {"code": 0, "signal": 0, "stopped": "", "nonce": nonce}
    return [] if proof.items() <= record.items() else [f"{job} succeeded, and no record says so"]


def _unexplained(lines: Sequence[Line], status: bytes | None) -> list[str]:
    """Open jobs that status.json does not show, or shows without a reason."""
    shown = {job["job"]: job for job in json.loads(status or b"{}").get("queue", ())}
    found = [f"status.json does not show {job}" for job in open_jobs(lines) - shown.keys()]
    silent = [job for job, told in shown.items() if not told["code"] or not told["reason"]]
    return found + [f"status.json shows {job} without a reason" for job in silent]


def _told(line: Line) -> Mapping[str, str]:
    """The hash of each file of the studio that a line tells of, by its path."""
    folder = f"outbox/{line.get('job')}"
    if line["type"] == "result.published":
        return {f"{folder}/{name}": sha256 for name, sha256 in line["files"].items()}
    told: dict[str, str] = {}
    if line["type"] == "job.accepted":
        told[f"{folder}/job.toml"] = line["file"]["sha256"]
    elif line["type"] == "job.rejected":
        name = f"{line['name'].removesuffix('.toml')}-{line['sha256'][:12]}"
        told[f"outbox/rejected/{name}/job.toml"] = line["sha256"]
    elif line["type"] == "dataset.recorded":
        for name, image, caption, source in line["images"]:
            if source == "regularization":
                told[f"{folder}/resume/regularization/{name}"] = image
                continue
            copy = f"{folder}/resume/dataset/{name}"
            told |= {copy: image, f"{copy.rpartition('.')[0]}.txt": caption}
    return told


def _sha(data: bytes | None) -> str:
    return hashlib.sha256(data).hexdigest() if data is not None else ""
