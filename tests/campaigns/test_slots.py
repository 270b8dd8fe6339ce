"""10,000 random templates with random fillings: never a change outside the slots."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.craft.fillings import Case, cases, hold_the_law


@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_a_bound_graph_differs_from_its_template_only_in_the_slots(case: Case) -> None:
    hold_the_law(case)
