"""What commands list, on a terminal: ids can be copied, and no line is wider than it."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from rtlite.cli.tables import fitted
from tests.cli.conftest import on_terminal, rtlite

WIDTHS = pytest.mark.parametrize("columns", [80, 110, 40])


@WIDTHS
async def test_an_id_of_the_list_of_keys_is_whole_and_fits_revoke(dev_server, columns: int):
    admin = ["--url", dev_server.url, "--key", "rtk_dev"]
    made = await rtlite(
        "keys", "create", "--kind", "project", "--user", "a-user-with-a-long-name", "--name", "shop " * 8,
        "--scope", "write", "--expires", "30d", *admin,
    )  # fmt: skip
    lines = await on_terminal("keys", "list", *admin, columns=columns)
    words = [word for line in lines for word in line.split()]
    assert made.json[0]["id"] in words
    assert all(word in words for word in ("project,", "write", "expires"))
    if columns >= 80:
        assert all(cell_len(line) <= columns for line in lines)


@pytest.mark.parametrize("command", [("config",), ("trigger", "--list"), ("faults", "list", "--dev")])
async def test_no_table_is_wider_than_80_columns(dev_server, command: tuple[str, ...]):
    to = ["--url", dev_server.url] if command[0] == "faults" else []
    if to:
        await rtlite(
            "faults", "add", "latency", "200ms", "--user", "somebody-with-a-name", "--count", "7", "--dev", *to
        )
    lines = await on_terminal(*command, *to)
    assert len(lines) > 2
    assert all(cell_len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("wanted", "least", "width", "widths"),
    [
        ([4, 4], [4, 4], 8, [4, 4]),
        ([10, 4, 20], [2, 4, 5], 20, [8, 4, 8]),
        ([10, 4, 20], [9, 4, 5], 20, [9, 4, 7]),
        ([10, 4], [10, 4], 13, None),
    ],
)
def test_the_widest_column_gives_way_first_and_none_below_its_longest_word(wanted, least, width, widths):
    assert fitted(wanted, least, width) == widths
