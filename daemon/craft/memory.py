"""What a job will need of the memory, from its models and its size."""

from __future__ import annotations

from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.needs import NO_NEED, Need
from daemon.core.policy import Policy
from daemon.core.state import State


def need(job: Job, _state: State, _policy: Policy) -> Need:
    """The next attempt's peak, term by term."""
    if is_rehearsal(job.id):
        return NO_NEED
    return NO_NEED
