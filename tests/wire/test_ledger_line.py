"""The ledger's lines: read back as they were written, and no damage goes by unseen."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.commands import RecordModels, RecordPrompt, Reject, Start, Submit
from daemon.core.decide import Studio, decide
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Entry,
    Event,
    ImageJudged,
    Incident,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
    LoraInstalled,
    PictureReproduced,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import prompt_id
from daemon.core.jobs import (
    Asked,
    Complaint,
    ControlNetUse,
    FileFacts,
    Grid,
    JobId,
    Kind,
    LoraUse,
    ModelFacts,
    Outcome,
    PanelSpec,
    Phase,
    TrainSpec,
)
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.tools import EngineRecorded, ModelRecorded, TrainerRecorded
from daemon.errors import LedgerDamaged, LedgerNewer
from daemon.wire.instants import instant_text
from daemon.wire.job_file import Refused, read_job_file
from daemon.wire.ledger_line import GENESIS, MAX_LINE_BYTES, Head, read_lines, write_line
from tests.core.asking import MAKING, TRAIN, ended, image, panel
from tests.desk import EPOCH_MS, Desk
from tests.examples import FILE, PANEL, REQUEST, accepted

PATH = "ledger/mac/2026-11.jsonl"

texts = st.text(max_size=30)
words = st.text(min_size=1, max_size=30)
counts = st.integers(0, 2**53)
numbers = st.floats(allow_nan=False, allow_infinity=False)
jobs = words.map(JobId)
word_lists = st.lists(words, max_size=3).map(tuple)
scores = st.dictionaries(words, numbers, max_size=3)
hashes = st.dictionaries(words, words, max_size=3)
files = st.builds(FileFacts, words, words, counts, counts, counts)
complaints = st.lists(st.builds(Complaint, counts, texts, words), max_size=3).map(tuple)
panel_specs = st.builds(
    replace,
    st.just(PANEL),
    prompt=words,
    negative=texts,
    seeds=st.lists(counts, min_size=1, max_size=3).map(tuple),
    cfg=numbers,
    quality=st.booleans(),
    loras=st.lists(st.builds(LoraUse, words, numbers, texts), max_size=2).map(tuple),
    controlnet=st.none() | st.builds(ControlNetUse, words, words, numbers, numbers, numbers, texts),
)
train_specs = st.builds(
    replace,
    st.just(TRAIN),
    features=word_lists,
    learning_rate=numbers,
    force=st.booleans(),
    grid=st.none() | st.builds(Grid, word_lists, st.lists(counts, max_size=3).map(tuple), numbers),
)


def job_accepted(spec: PanelSpec | TrainSpec, file: FileFacts, request: str) -> JobAccepted:
    kind: Kind = "panel" if isinstance(spec, PanelSpec) else "train"
    return JobAccepted(JobId("a_v1"), kind, "ref", -3, file, request, spec, ("Strong.",))


EVENTS: Mapping[type[Event], st.SearchStrategy[Event]] = {
    DaemonStarted: st.builds(DaemonStarted, texts, texts),
    DaemonStopped: st.builds(DaemonStopped, texts),
    JobAccepted: st.builds(job_accepted, panel_specs | train_specs, files, texts),
    JobRejected: st.builds(JobRejected, texts, texts, texts, complaints, counts, counts, counts),
    JobDuplicate: st.builds(JobDuplicate, jobs, files),
    JobHeld: st.builds(JobHeld, jobs, texts, texts, counts),
    AttemptStarted: st.builds(AttemptStarted, jobs, counts, texts, texts, counts, texts),
    PromptSent: st.builds(PromptSent, jobs, counts, counts, texts),
    AttemptEnded: st.builds(
        AttemptEnded, jobs, counts, st.sampled_from(Outcome), texts, texts, counts, numbers
    ),
    ImageJudged: st.builds(
        ImageJudged,
        *(jobs, counts, counts, texts, texts, scores),
        *(counts, st.lists(counts, max_size=3).map(tuple), texts, texts, texts, counts),
        *(texts, texts),
    ),
    CheckpointSaved: st.builds(
        CheckpointSaved, jobs, counts, texts, numbers, counts, counts, texts, numbers
    ),
    DatasetRecorded: st.builds(
        DatasetRecorded,
        jobs,
        st.lists(st.tuples(*[texts] * 4), max_size=3).map(tuple),
    ),
    ModelRecorded: st.builds(
        ModelRecorded, texts, texts, texts, counts, texts, st.dictionaries(texts, counts)
    ),
    EngineRecorded: st.builds(EngineRecorded, *[texts] * 4, word_lists, *[texts] * 4, word_lists),
    TrainerRecorded: st.builds(
        TrainerRecorded,
        *(jobs, counts, texts, texts, texts, hashes, word_lists, hashes),
        st.lists(counts, max_size=3).map(tuple),
        *(texts, texts),
    ),
    ResultPublished: st.builds(ResultPublished, jobs, hashes),
    JobEnded: st.builds(JobEnded, jobs, st.sampled_from(Phase), texts),
    JobApproved: st.builds(JobApproved, jobs, counts, counts),
    LoraInstalled: st.builds(LoraInstalled, jobs, texts, texts),
    ControlTaken: st.builds(ControlTaken, texts, texts, texts, files),
    CalibrationMeasured: st.builds(
        CalibrationMeasured,
        st.lists(numbers, max_size=3).map(tuple),
        numbers,
        hashes,
        st.lists(numbers, max_size=19).map(tuple),
        st.sampled_from(["", "good", "slow", "failed"]),
    ),
    PictureReproduced: st.builds(PictureReproduced, jobs, texts, texts, numbers, word_lists),
    LedgerTorn: st.builds(LedgerTorn, counts, texts),
    LedgerRestored: st.builds(LedgerRestored, counts, texts),
    Incident: st.builds(Incident, texts, texts, texts),
}
events = st.one_of(*EVENTS.values())
instants = st.integers(0, 4_102_444_799_999)  # To the end of 2099.


def written(happened: Sequence[Event], *, at: int = EPOCH_MS) -> tuple[list[Entry], list[bytes]]:
    """Entries and lines (with their newlines) of a whole ledger."""
    head, entries, lines = Head(), list[Entry](), list[bytes]()
    for number, event in enumerate(happened):
        entry, line = write_line(event, at=at + number, head=head)
        head = Head(entry.seq, entry.chain, entry.segment)
        entries.append(entry)
        lines.append(line)
    return entries, lines


def read(data: bytes, *, head: Head | None = None) -> list[Entry]:
    return list(read_lines(data.split(b"\n")[:-1], head=head or Head(), segment=PATH))


def found_at(lines: Sequence[bytes]) -> int:
    """The line at which damage is found; 0 = none."""
    try:
        list(read_lines(lines, head=Head(), segment=PATH))
    except LedgerDamaged as damaged:
        where = str(damaged).partition(":")[0]
        assert where.startswith(f"{PATH} line ")
        return int(where.rpartition(" ")[2])
    return 0


STORY = (
    DaemonStarted("1.0.0", "comfyui"),
    AttemptStarted(JobId("a_v1"), 1, "comfyui", "default", 0, stage=""),
    PromptSent(JobId("a_v1"), 1, 1, "39c7de05-13ac-ff13-6b6c-2ddb62a18fc3"),
    JobEnded(JobId("a_v1"), Phase.PUBLISHED, ""),
)
ENTRIES, LINES = written(STORY)


# There and back.


def test_every_type_of_event_is_tested_here() -> None:
    assert set(EVENTS) == set(get_args(Event))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)
def test_what_is_written_is_read_back(kind: type[Event]) -> None:
    @settings(max_examples=40)
    @given(st.lists(EVENTS[kind], min_size=1, max_size=3))
    def law(happened: list[Event]) -> None:
        entries, lines = written(happened)
        assert read(b"".join(lines)) == entries
        assert [entry.event for entry in entries] == happened

    law()


@given(st.lists(events, min_size=1, max_size=4), instants)
def test_every_line_has_the_public_form(happened: list[Event], at: int) -> None:
    """Checked with json and hashlib alone: the form is for programs that know nothing of ours."""
    previous = GENESIS
    for seq, line in enumerate(written(happened, at=at)[1], start=1):
        assert line.endswith(b"\n")
        text = line[:-1].decode("ascii")
        fields: dict[str, Any] = json.loads(text)
        assert json.dumps(fields, ensure_ascii=True, separators=(",", ":")) == text
        keys = list(fields)
        assert keys[:3] == ["seq", "at", "type"]
        assert keys[-1] == "chain"
        assert "job" not in keys or keys[3] == "job"
        assert fields["seq"] == seq
        assert fields["at"] == instant_text(at + seq - 1)
        body = line[: line.rindex(b',"chain"')]
        chain = hashlib.sha256(previous.encode("ascii") + body).hexdigest()[:32]
        assert fields["chain"] == chain
        previous = chain


CONTRACT = {
    "daemon.started": "version engine",
    "daemon.stopped": "reason",
    "job.accepted": "job kind ref priority file request spec warnings",
    "job.rejected": "name sha256 ref errors inode mtime_ns size",
    "job.duplicate": "of file",
    "job.held": "job code text not_before",
    "attempt.started": "job attempt engine profile need_bytes stage",
    "prompt.sent": "job attempt image prompt_id",
    "attempt.ended": "job attempt outcome code evidence peak_bytes step_s",
    "image.judged": "job attempt image sha256 verdict scores engine models template "
    "template_sha256 workflow_sha256 bytes perceptual_hash rung map_sha256",
    "checkpoint.saved": "job step sha256 loss attempt bytes device step_s",
    "dataset.recorded": "job images",
    "model.recorded": "role name sha256 bytes dtype parts",
    "engine.recorded": "name version commit mode args device python torch os custom_nodes",
    "trainer.recorded": "job attempt trainer commit python packages arguments environment "
    "models config dataset",
    "result.published": "job files",
    "job.ended": "job phase code",
    "job.approved": "job image checkpoint",
    "lora.installed": "job file sha256",
    "control.taken": "job kind error file",
    "calibration.measured": "times variance environment steps_s verdict",
    "picture.reproduced": "job lock_sha256 verdict distance differences",
    "ledger.torn": "bytes kept",
    "ledger.restored": "lines cause",
    "incident": "job code text",
}


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)
def test_a_type_has_these_keys_in_this_order(kind: type[Event]) -> None:
    """A key that moved or changed its name would break the programs that read the ledger."""

    @settings(max_examples=10)
    @given(EVENTS[kind].filter(lambda event: getattr(event, "job", "a") != ""))
    def law(event: Event) -> None:
        [line] = written([event])[1]
        keys = list(json.loads(line))
        assert " ".join(keys[3:-1]) == CONTRACT[event.type]

    law()


def test_pausing_is_about_no_job_and_has_no_such_key() -> None:
    [line] = written([ControlTaken("", "pause", "", FILE)])[1]
    assert "job" not in json.loads(line)


def test_the_types_are_exactly_the_public_ones() -> None:
    assert {kind.type for kind in get_args(Event)} == set(CONTRACT)


def test_golden_lines() -> None:
    """In today's words; those of earlier releases are in tests/ledgers."""
    golden = (
        b'{"seq":1,"at":"2026-11-18T11:06:40.000Z","type":"daemon.started","version":"1.0.0",'
        b'"engine":"comfyui","chain":"e9eaf1b4dd44581b8e63554f441c0861"}\n'
        b'{"seq":2,"at":"2026-11-18T11:06:40.001Z","type":"attempt.started","job":"a_v1",'
        b'"attempt":1,"engine":"comfyui","profile":"default","need_bytes":0,"stage":"",'
        b'"chain":"a8f337a19422cf329464511ce97615fa"}\n'
        b'{"seq":3,"at":"2026-11-18T11:06:40.002Z","type":"prompt.sent","job":"a_v1","attempt":1,'
        b'"image":1,"prompt_id":"39c7de05-13ac-ff13-6b6c-2ddb62a18fc3",'
        b'"chain":"0beefe47f2f742e7ec9e775c0577b8cd"}\n'
        b'{"seq":4,"at":"2026-11-18T11:06:40.003Z","type":"job.ended","job":"a_v1",'
        b'"phase":"published","code":"","chain":"f3efd85f5a496c140fcceee1d8aeeea9"}\n'
    )
    assert b"".join(LINES) == golden
    assert read(golden) == ENTRIES


def test_a_golden_acceptance() -> None:
    """Texts are ASCII with escapes; what is empty in a spec or in file facts is left out."""
    asked = replace(accepted(), request='prompt = "é 神"', spec=replace(PANEL, controlnet=None))
    [line] = written([asked])[1]
    assert line == (
        b'{"seq":1,"at":"2026-11-18T11:06:40.000Z","type":"job.accepted","job":"ch01_p003_v1",'
        b'"kind":"panel","ref":"run-7/ch01/3","priority":0,"file":{"name":"ch01_p003.toml",'
        b'"sha256":"'
        + FILE.sha256.encode()
        + b'","inode":11,"mtime_ns":1790000000,"size":'
        + str(len(REQUEST)).encode()
        + b'},"request":"prompt = \\"\\u00e9 \\u795e\\"","spec":'
        b'{"prompt":"spyke, leaping in the rain","width":512,"height":768,"seeds":[421,422],'
        b'"variations":2,"steps":20,"cfg":7.0,"sampler":"euler","scheduler":"normal",'
        b'"denoise":1.0,"clip_skip":2,"checkpoint":"a.safetensors","vae":"v.safetensors",'
        b'"workflow":"panel","quality":true,"loras":[{"name":"spyke_v1-000792.safetensors",'
        b'"strength":0.7,"job":"spyke_v1"}]},"warnings":[],"chain":"4e7b383a08bd8ef7b61b4821eda6f397"}\n'
    )


def test_names_in_a_table_are_in_order_whoever_told_them() -> None:
    [line] = written([ResultPublished(JobId("a_v1"), {"b.png": "2", "a.png": "1"})])[1]
    assert b'"files":{"a.png":"1","b.png":"2"}' in line


# Damage.


def test_a_line_that_is_missing_doubled_or_moved_is_found() -> None:
    whole = [line[:-1] for line in LINES]
    assert found_at(whole) == 0
    for place in range(len(whole) - 1):
        assert found_at(whole[:place] + whole[place + 1 :]) == place + 1
        swapped = [*whole]
        swapped[place], swapped[place + 1] = whole[place + 1], whole[place]
        assert found_at(swapped) == place + 1
    for place in range(len(whole)):
        assert found_at(whole[: place + 1] + whole[place:]) == place + 2


def test_a_ledger_that_does_not_go_on_where_the_last_segment_ended_is_found() -> None:
    with pytest.raises(LedgerDamaged, match="line 1"):
        read(b"".join(LINES), head=Head(0, "1" * 32))
    with pytest.raises(LedgerDamaged, match="line 1"):
        read(b"".join(LINES[1:]), head=Head(7, ENTRIES[0].chain))


def forged(previous: str = GENESIS, **fields: object) -> bytes:
    """A line whose chain fits, whatever it says."""
    whole = {"seq": 1, "at": instant_text(EPOCH_MS), **fields}
    body = json.dumps(whole, separators=(",", ":"))[:-1].encode()
    chain = hashlib.sha256(previous.encode() + body).hexdigest()[:32]
    return body + b',"chain":"' + chain.encode() + b'"}\n'


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (forged(type="incident", code="A"), "text"),
        (forged(type=["incident"]), "content cannot be read"),
        (forged(type="incident", code="A", text="B", at="yesterday"), "yesterday"),
        (forged(type="incident", code="A", text="B", seq=2), "says seq 2 where 1 is due"),
        (forged(type="job.ended", job="a", phase="resting", code=""), "resting"),
        (forged(type="job.duplicate", of="a", file="a.toml"), "content cannot be read"),
        (
            forged(
                type="job.accepted",
                job="a_v1",
                kind="panel",
                ref="",
                priority=0,
                file={"name": "a", "sha256": "b", "inode": 1, "mtime_ns": 1, "size": 1},
                request="",
                spec=[],
                warnings=[],
            ),
            "content cannot be read",
        ),
    ],
)
def test_a_line_that_cannot_be_understood_stops_with_file_and_line(line: bytes, what: str) -> None:
    with pytest.raises(LedgerDamaged) as caught:
        read(line)
    assert str(caught.value).startswith(f"{PATH} line 1: ")
    assert what in str(caught.value)
    assert f"git log -p -- {PATH}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (forged(type="job.exploded"), "its type job.exploded is not known here"),
        (forged(type="job.\x1b[2J"), r"its type job.\x1b[2J is not known here"),
        (forged(type="incident", code="A", text="B", mood="C"), "its key mood is not known here"),
    ],
)
def test_a_line_of_a_newer_nightpress_is_not_called_damaged(line: bytes, what: str) -> None:
    with pytest.raises(LedgerNewer) as caught:
        read(line)
    assert str(caught.value).startswith(f"{PATH} line 1: written by a newer nightpress: {what}")
    assert "Install the newest nightpress" in str(caught.value)
    assert "git" not in str(caught.value)


PANEL_FIELDS: dict[str, Any] = json.loads(written([accepted()])[1][0])


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"kind": "poster"}, "poster"),
        ({"file": {**PANEL_FIELDS["file"], "size": "large"}}, "size"),
        ({"file": {**PANEL_FIELDS["file"], "mood": 1}}, "mood"),
        ({"spec": {**PANEL_FIELDS["spec"], "cfg": "7"}}, "cfg"),
        ({"spec": {**PANEL_FIELDS["spec"], "mood": 1}}, "mood"),
        ({"spec": {**PANEL_FIELDS["spec"], "seeds": 421}}, "seeds"),
        ({"spec": {**PANEL_FIELDS["spec"], "loras": [{"name": "a"}]}}, "strength"),
        (
            {"spec": {**PANEL_FIELDS["spec"], "loras": [{"name": "a", "strength": 1, "mood": 1}]}},
            "mood",
        ),
        ({"warnings": [1]}, "warnings"),
        ({"spec": None}, "content cannot be read"),
        ({"mood": 1}, "mood"),
    ],
    ids=str,
)
def test_a_value_of_another_type_and_a_key_that_nobody_knows_stop_at_any_depth(
    changed: Mapping[str, object], what: str
) -> None:
    fields = {key: value for key, value in PANEL_FIELDS.items() if key != "chain"}
    with pytest.raises(LedgerDamaged, match=what):
        read(forged(**{**fields, **changed}))


@pytest.mark.parametrize(
    "body",
    [
        b'{"seq":1,"at":"2026-11-18T11:06:40.000Z","type":"incident","code":"A","text":"\xe9"',
        b'{"seq":1,"at":"2026-11-18T11:06:40.000Z","type":"incident","code":"A","text":B',
        b'{"seq":1,"at":"2026-11-18T11:06:40.000Z","type":"incident","code":"A","text":"a\x01"',
        b"[1",
        b'{"seq":1e400',
        b"",
    ],
)
def test_what_is_no_json_stops_though_its_chain_fits(body: bytes) -> None:
    chain = hashlib.sha256(GENESIS.encode() + body).hexdigest()[:32]
    with pytest.raises(LedgerDamaged, match="line 1"):
        read(body + b',"chain":"' + chain.encode() + b'"}\n')


def test_a_name_that_is_no_utf8_is_read_back() -> None:
    """Such a file's name is told with lone surrogates, which strict readers of JSON refuse."""
    happened = JobDuplicate(JobId("a_v1"), replace(FILE, name="b\udce9.toml"))
    entries, lines = written([happened])
    assert read(b"".join(lines)) == entries


def test_a_newer_nightpress_that_has_told_its_version_is_named() -> None:
    [entry], [started] = written([DaemonStarted("0.3.0\x1b[2J", "comfyui")])
    with pytest.raises(LedgerNewer) as caught:
        read(started + forged(entry.chain, seq=2, type="job.exploded"))
    assert r"not known here (nightpress 0.3.0\x1b[2J wrote it)" in str(caught.value)
    assert r"Install nightpress 0.3.0\x1b[2J or newer" in str(caught.value)


# Months.


def test_a_segments_month_never_goes_back_when_the_clock_does() -> None:
    december, november = 1_796_083_200_000, 1_796_083_199_999
    assert instant_text(december) == "2026-12-01T00:00:00.000Z"
    first, _ = write_line(STORY[0], at=december, head=Head(segment="2026-11"))
    assert first.segment == "2026-12"
    second, line = write_line(STORY[1], at=november, head=Head(1, first.chain, first.segment))
    assert (second.segment, second.at) == ("2026-12", november)
    assert b'"at":"2026-11-30T23:59:59.999Z"' in line


def test_an_entry_that_was_read_has_the_month_of_its_file() -> None:
    """S3.2: a lock names the segment, and must name it alike before and after a restart."""
    assert [entry.segment for entry in read(b"".join(LINES))] == ["2026-11"] * len(LINES)


# Sizes.


def test_the_median_line_of_a_panel_has_less_than_300_bytes() -> None:
    text = (
        'kind = "panel"\npanel = "ch01_p003"\nref = "run-7/ch01/3"\n'
        'prompt = "spyke_plasma_v1, white cloak, red bandana, leaping, rain"\n'
        'checkpoint = "anything-v5.safetensors"\n'
        'vae = "vae-ft-mse-840000-ema-pruned.safetensors"\nseeds = [1, 2]\n'
    )
    desk, job = Desk(), JobId("ch01_p003_v1")
    desk.do(Start("1.0.0", "comfyui"))
    desk.do(panel("ch01_p003", text=text, spec=replace(PANEL, controlnet=None, loras=())))
    models = tuple(
        ModelFacts(role, f"{role}-840000-ema-pruned.safetensors", "c" * 64, 334_641_190, "F32")
        for role in ("checkpoint", "vae")
    )
    desk.do(RecordModels(models))
    for number in (1, 2):
        prompt = prompt_id(studio="s", job=job, attempt=1, image=number, graph_sha256="d" * 64)
        scores = {"black": 0.0123, "flat": 0.25, "mean": 0.4817, "saturation": 0.3312}
        desk.do(RecordPrompt(job, 1, number, prompt))
        desk.do(replace(image(job, number, making=replace(MAKING, models=models)), scores=scores))
    happened = [entry.event for entry in desk.entries]
    happened += desk.do(ended(job, 1, Outcome.SUCCEEDED, ""))
    names = [f"{job}-{image:02}{end}" for image in (1, 2) for end in (".png", ".lock.toml")]
    happened.append(ResultPublished(job, dict.fromkeys(names, "f" * 64)))
    happened.append(JobEnded(job, Phase.PUBLISHED, ""))
    assert statistics.median(map(len, written(happened)[1])) < 300


LIMIT = Policy().max_job_file_bytes
BASE = 'kind = "panel"\ncheckpoint = "a.safetensors"\nvae = "v.safetensors"\nprompt = '


def longest(quote: str, filler: str) -> bytes:
    """A job file of just the size that is allowed, most of it a prompt of this filler."""
    start, end = (BASE + quote).encode(), f"{quote}\n".encode()
    room = LIMIT - len(start) - len(end)
    text = filler.encode()
    return start + b"a" * (room % len(text)) + text * (room // len(text)) + end


def line_of(event: Event) -> bytes:
    return write_line(event, at=EPOCH_MS, head=Head(10**9))[1]


@pytest.mark.parametrize("filler", ["a", "é", "神", "🗡", "\\\\", "\\u00e9", "\\U0001f5e1"])
@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''"])
def test_the_largest_job_still_fits_into_a_line(filler: str, quote: str) -> None:
    data = longest(quote, filler)
    assert len(data) == LIMIT
    asked = read_job_file(data, stem="ch01", policy=Policy())
    assert isinstance(asked, Asked)
    file = FileFacts("n" * 200, "c" * 64, 2**63, 2**63, LIMIT)
    submit = Submit(file, data.decode(), asked)
    [event] = decide(State(), submit, Studio("studio", rehearsal=False))
    assert isinstance(event, JobAccepted)
    assert len(line_of(event)) <= MAX_LINE_BYTES


@pytest.mark.parametrize(
    "data",
    [
        BASE.replace("a.safetensors", "\\\\" + "é" * 8_000).encode() + b'""\n',
        (BASE + '"a"\n' + "".join(f'"{"é" * 350}{n}" = 1\n' for n in range(22))).encode(),
        (BASE + f'"a"\n["{"é" * 8_000}"]\n').encode(),
        (BASE + f'"a"\n{"y" * 16_000} = 1\n').encode(),
        (BASE + '"a"\nprompt = "' + "神" * 5_000 + '"\n').encode(),
        b"\xff" * LIMIT,
        ("“" * (LIMIT // 3)).encode(),
        f'kind = "cancel"\njob = "{"é" * 8_000}"\n'.encode(),
        f'kind = "{"é" * 8_000}"\n'.encode(),
        ("é" * 8_000).encode(),
    ],
    ids=range(10),
)
def test_the_answer_to_the_worst_file_still_fits_into_a_line(data: bytes) -> None:
    """Else one file could stop the daemon."""
    assert len(data) <= LIMIT
    answer = read_job_file(data, stem="s" * 200, policy=Policy())
    assert isinstance(answer, Refused)
    reject = Reject(replace(FILE, name="n" * 250), data, answer.ref, answer.errors)
    [event] = decide(State(), reject, Studio("studio", rehearsal=False))
    assert len(line_of(event)) <= MAX_LINE_BYTES


def test_a_line_that_is_too_long_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="incident line"):
        line_of(Incident("CODE", "x" * MAX_LINE_BYTES))
