"""Our TOML files can be shown on a terminal, and say exactly what was to be said."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.toml_text import toml_bytes
from tests.shell.hostile_files import EVIL, OBEYED

TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from([e for e in EVIL if e != "\ud800"])).map("".join)
)


@given(st.dictionaries(TEXTS, TEXTS))
def test_no_character_that_a_terminal_obeys_is_written_and_none_is_lost(
    table: dict[str, str],
) -> None:
    data = toml_bytes({}, [("inner", table), ("rows", [table])])
    assert not OBEYED.search(data.decode())
    assert tomllib.loads(data.decode()) == {"inner": table, "rows": [table]}
