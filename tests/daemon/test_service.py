"""A night under launchd, by an imitation that is as hard as it: trainings live on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest

from daemon.wire.launch_agent import Agent, plist_bytes, property_list
from tests.launchd import Keeper
from tests.process import RealStudio
from tests.trainings import QUICK, Trainings

pytestmark = pytest.mark.realprocess

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    studio = RealStudio(tmp_path)
    yield Trainings(studio)
    studio.close()


def keeper(trainings: Trainings, tmp_path: Path) -> Keeper:
    """launchd with the agent of this studio."""
    studio = trainings.studio
    folder = str(studio.root)
    agent = Agent("0123456789ab", folder, studio.environment["HOME"], sys.executable)
    (studio.root / ".nightpress" / "logs").mkdir(parents=True)
    plist = tmp_path / "agent.plist"
    plist.write_bytes(plist_bytes(property_list(agent, {})))
    return Keeper(plist, PYTHONPATH=str(ROOT), REHEARSAL_TRAINER=QUICK)


def test_a_training_outlives_its_daemons_process_group_and_the_next_daemon_goes_on_with_it(
    trainings: Trainings, tmp_path: Path
) -> None:
    """N4.4: SIGTERM ends the daemon within 2 s, and launchd what is left of its group."""
    launchd = keeper(trainings, tmp_path)
    with launchd.life() as child:
        job = trainings.drop("spyke")
        trainer = psutil.Process(trainings.trainer(job))
        trainer.suspend()  # So that it is in work, however long the lives of its daemons are.
        began_s = monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0
        assert monotonic() - began_s < 2
    assert trainer.is_running()
    trainer.resume()
    with launchd.life() as child:
        assert trainings.wait(job, "job.ended")["phase"] == "published"
        child.send_signal(signal.SIGTERM)
    assert len(trainings.of(job, "attempt.started")) == 1
    assert trainings.starts(job) == 1
    trainings.check_published(job)
    log = trainings.studio.root / ".nightpress" / "logs" / "launchd.log"
    assert log.read_text() == "", "what launchd never turns over stays small"
