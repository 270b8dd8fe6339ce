"""What of a machine would spoil a night: every finding has its code, its reason and its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from daemon.core.jobs import JobId
from daemon.core.policy import Policy
from daemon.core.reference import Reference
from daemon.core.state import State
from daemon.core.windows import Span, Windows
from daemon.core.world import Heavy, Machine
from daemon.craft.preflight import TrainerFacts
from daemon.wire import health, health_machine
from daemon.wire.comfyui import EngineFacts
from daemon.wire.health import Finding
from tests.core.asking import TRAIN
from tests.examples import job

POLICY = Policy()
NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),))
NOON = 1_795_003_200_000
MPS = EngineFacts("comfyui", "0.3.64", "mps", "mps", ("--fp32-vae",), "3.11", "2.8", "darwin")
GIB = 2**30
CALM = Machine(total_bytes=16 * GIB, free_bytes=9 * GIB, level=1, on_ac=True)
HOME = "/homes/mai"
GUARDED = f"{HOME}/Documents/studio"
KNOWN = Reference(JobId("calibration_v1"), 41.0, "good", NOON - 1000)
OK_MODELS = [("checkpoint", "a", "", None, ()), ("vae", "v", "", None, ())]


def folder(path: str, *, mac: bool = True, fault: str = "") -> Iterable[Finding]:
    return health_machine.folder_findings(path, HOME, mac=mac, fault=fault)


def clock(zone: str = "Europe/Berlin", last: int = 0, skew_s: float = 0.0) -> Iterable[Finding]:
    return health_machine.clock_findings(zone=zone, at=NOON, last=last, skew_s=skew_s)


def codes(found: Iterable[Finding]) -> set[str]:
    return {each.code for each in found if each.severity != "fine"}


def engine(facts: EngineFacts = MPS, *, outside: str = "", mac: bool = True) -> Iterable[Finding]:
    return health.engine_findings(facts, outside=outside, mac=mac)


def machine(policy: Policy = POLICY, *, mac: bool = False, **changes: object) -> Iterable[Finding]:
    return health_machine.machine_findings(replace(CALM, **changes), policy, mac=mac)  # type: ignore[arg-type]


def disk(free_gb: float = 80, *, links: bool = True) -> Iterable[Finding]:
    return health_machine.disk_findings(round(free_gb * GIB), POLICY, links=links, sync_ms=4.0)


def git(*, checkpoints: bool = False, **seen: object) -> Iterable[Finding]:
    whole = {"repository": True, "attributes": "ledger/** -text -merge\n", **seen}
    return health_machine.git_findings(health_machine.GitSeen(**whole), checkpoints=checkpoints)  # type: ignore[arg-type]


def waiting(policy: Policy, steps: int = 990) -> Iterable[Finding]:
    training = job("spyke")._replace(
        kind="train", spec=replace(TRAIN, steps=steps, epochs=1, epoch_steps=steps)
    )
    state = State(jobs={training.id: training}, queue={training.id: None})
    return health.hours_findings(state, policy, at=NOON)


FACTS = TrainerFacts("sd-scripts", "48d368fa1234", "3.11", {"torch": "2.8"}, device="mps")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (engine(), {"ENGINE_FLAGS"}),
        (engine(replace(MPS, device_type="cpu")), {"ENGINE_ON_CPU", "ENGINE_FLAGS"}),
        (engine(replace(MPS, device_type="cpu"), mac=False), {"ENGINE_FLAGS"}),
        (engine(outside="192.168.1.5"), {"ENGINE_EXPOSED", "ENGINE_FLAGS"}),
        (engine(replace(MPS, mode="managed")), set()),
        ([health.nodes_finding(there=False, allowed=False, imported=None)], set()),
        ([health.nodes_finding(there=True, allowed=False, imported=None)], {"ADVANCED_CONTROLNET"}),
        ([health.nodes_finding(there=True, allowed=True, imported=None)], {"ADVANCED_CONTROLNET"}),
        ([health.nodes_finding(there=True, allowed=True, imported=False)], {"ADVANCED_CONTROLNET"}),
        ([health.nodes_finding(there=True, allowed=True, imported=True)], set()),
        (health.trainer_findings(FACTS, ""), set()),
        (health.trainer_findings(FACTS, "It computes on the CPU."), {"TRAINER_UNFIT"}),
        (health.trainer_findings(replace(FACTS, unknown="It hung."), ""), {"TRAINER_UNKNOWN"}),
        (health.model_findings([]), {"MODEL_MISSING"}),
        (health.model_findings(OK_MODELS), set()),
        (health.model_findings([*OK_MODELS, ("lora", "l", "SDXL", None, ())]), {"MODEL_REFUSED"}),
        (health.model_findings([*OK_MODELS, ("lora", "l", "", False, ())]), {"HASH_MISMATCH"}),
        (health.model_findings([*OK_MODELS, ("vae", "w", "", None, ("fp16",))]), {"MODEL_DOUBT"}),
        (machine(), set()),
        (machine(mac=True), {"LID"}),
        (machine(level=4), {"MEMORY_PRESSURE"}),
        (machine(users=2), {"OTHER_USERS"}),
        (machine(programs=(Heavy("Chrome", 3 * GIB),)), {"HEAVY_PROGRAMS"}),
        (machine(on_ac=False), {"ON_BATTERY"}),
        (machine(replace(POLICY, require_ac=False), on_ac=False), set()),
        (machine(total_bytes=None, unknown=(("memory", 0),)), {"UNSEEN"}),
        (waiting(replace(POLICY, training_windows=NIGHT)), set()),
        (waiting(replace(POLICY, training_windows=NIGHT), 9_000), {"WINDOW_SHORT"}),
        (waiting(replace(POLICY, training_windows=Windows(()))), {"NO_WINDOW"}),
        (folder(f"{HOME}/studio"), set()),
        (folder(GUARDED), {"FOLDER_GUARDED"}),
        (folder(GUARDED, mac=False), set()),
        (folder("/Volumes/usb/s"), {"FOLDER_GUARDED"}),
        (folder("/s", fault="Operation not permitted"), {"FOLDER_REFUSED"}),
        (disk(), set()),
        (disk(3), {"DISK_LOW"}),
        (disk(links=False), {"NO_HARD_LINKS"}),
        (git(), set()),
        (git(repository=False), {"NO_REPOSITORY"}),
        (git(ignored=True), {"LEDGER_IGNORED"}),
        (git(attributes=""), {"NO_ATTRIBUTES"}),
        (git(dirty=1), {"UNCOMMITTED"}),
        (git(dirty=1, checkpoints=True), set()),
        (clock(), set()),
        (clock(last=NOON + 90_000), {"CLOCK_BACK"}),
        (clock(skew_s=-30.0), {"CLOCK_SKEW"}),
        (clock("Etc/UTC"), {"ZONE_UTC"}),
        (health.reference_findings(KNOWN, at=NOON), set()),
        (health.reference_findings(None, at=NOON), {"NO_REFERENCE"}),
        (health.reference_findings(replace(KNOWN, at=0), at=NOON), {"OLD_REFERENCE"}),
        (
            health.reference_findings(replace(KNOWN, verdict="slow"), at=NOON),
            {"SLOW_CPU_FALLBACK"},
        ),
        ([health_machine.agent_finding("It runs.", good=True, installed=True)], set()),
        ([health_machine.agent_finding("It is off.", good=False, installed=True)], {"AGENT"}),
        (health.lately_findings({}, {}), set()),
        (
            health.lately_findings({"OOM_KILL": ["a_v1"]}, {"WS_SILENT": 3}),
            {"OOM_KILL", "WS_SILENT"},
        ),
    ],
)
def test_each_trouble_has_its_code(found: Iterable[Finding], expected: set[str]) -> None:
    """A1.7, N2.2, V1, V2, V3, V4, K1.3: and what is bad says why, and what to do."""
    told = list(found)
    assert codes(told) == expected
    bad = [each for each in told if each.severity == "bad"]
    assert [each for each in bad if not (each.why and each.remedy)] == []


def test_what_could_not_be_seen_is_never_fine() -> None:
    assert health.unseen("git", "it hung").severity == "unknown"


def test_for_programs_the_worst_comes_first() -> None:
    found = [
        health.fine("a", "A", "Good"),
        health.unseen("b", "x"),
        health.symptom("c", "C", "Bad"),
    ]
    assert [row["severity"] for row in health.health_document(found)] == ["bad", "unknown", "fine"]
