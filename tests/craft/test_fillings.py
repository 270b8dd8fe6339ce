"""Whatever the template and the job, nothing changes but what a slot names."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.craft.fillings import Case, cases, hold_the_law


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_a_bound_graph_differs_from_its_template_only_in_the_slots(case: Case) -> None:
    """A2.2, A2.5: the campaign `python -m tests slots` does the same 10,000 times."""
    hold_the_law(case)
