"""Notices model files that were replaced under their old names.

Law: told once a change, since what is recorded next makes the new bytes the known ones. A stage
prop replaces nothing, and nothing is missed in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.core.commands import ReportIncident
from daemon.core.jobs import ModelFacts
from daemon.core.state import State, key_of
from daemon.craft.props import is_prop


def replaced(state: State, models: Iterable[ModelFacts]) -> Sequence[ReportIncident]:
    """The incidents that are due before these models are recorded."""
    told = []
    for model in models:
        known = state.recorded.get(state.latest.get(key_of(model), 0))
        if not isinstance(known, ModelFacts) or known.sha256 == model.sha256:
            continue
        if not is_prop(known) and not is_prop(model):
            text = (
                f"{model.name} ({model.role}) is another file than before: {model.sha256[:12]}, "
                f"and {known.sha256[:12]} until now. What was drawn with that cannot be made again "
                "without it; give files of other content other names."
            )
            told.append(ReportIncident("MODEL_CHANGED", text))
    return told
