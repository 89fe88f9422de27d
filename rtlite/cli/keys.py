"""``rtlite keys``: create, list and revoke API keys."""

from __future__ import annotations

from typing import Any

import click

from rtlite.cli import options, output
from rtlite.cli.desk import NewKey, Where, desk
from rtlite.cli.program import run


@click.group()
def keys() -> None:
    """Create, list and revoke API keys.

    Works on a server's own machine whether the server runs (through the control socket beside its
    file) or not (on the file). With --url and --key it asks that server over the network.
    """


@keys.command()
@click.option("--kind", type=click.Choice(["blog", "project", "stream", "admin"]), required=True, help="What it opens.")
@click.option("--user", metavar="ID", required=True, help="Whose key it is.")
@click.option("--name", metavar="TEXT", default="", help="What it is for, for the list.")
@click.option("--expires", metavar="DURATION", type=options.duration, help="When it ends, as in 30d.  [default: never]")
@click.option(
    "--scope", type=click.Choice(["read", "write"]), default="read", help="For a project key.", show_default=True
)
@click.option("--test", is_flag=True, help="A project key that begins with pk_test_.")
@click.option("--bare", is_flag=True, help="Print the secret alone, as for KEY=$(rtlite keys create …).")
@options.json_option
@options.data_option
@options.server_options
def create(
    kind: str,
    user: str,
    name: str,
    expires: float | None,
    scope: str,
    test: bool,
    bare: bool,
    as_json: bool,
    data: str | None,
    config: str | None,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Create a key. Its secret is shown this once: only a hash of it is kept.

    \b
    rtlite keys create --kind blog --user alice
    rtlite keys create --kind project --user shop --scope write --expires 30d
    """
    if kind != "project" and (scope == "write" or test):
        raise click.UsageError("--scope write and --test are for --kind project.")
    wanted = NewKey(kind, user, name, expires, scope == "write", test)
    made = run(_create, Where.chosen(url, key, dev, data, config), wanted)
    if bare:
        click.echo(made["key"])
    elif output.wants_json(as_json):
        output.json_line(made)
    else:
        click.echo(made["key"])
        output.note(f"{made['id']}, a {kind} key of {user}; the secret above is shown this once")


@keys.command(name="list")
@options.json_option
@options.data_option
@options.server_options
def list_keys(as_json: bool, data: str | None, config: str | None, url: str | None, key: str | None, dev: bool) -> None:
    """List every key, revoked and expired ones too."""
    found = run(_list, Where.chosen(url, key, dev, data, config))
    if output.wants_json(as_json):
        for item in found:
            output.json_line(item)
        return
    output.table(("id", "begins", "kind", "user", "name", "used", "ends"), list(map(_row, found)), ("user", "name"))


@keys.command()
@click.argument("id")
@options.json_option
@options.data_option
@options.server_options
def revoke(
    id: str, as_json: bool, data: str | None, config: str | None, url: str | None, key: str | None, dev: bool
) -> None:
    """Revoke the key with this id (as in the list) and close its connections."""
    revoked = run(_revoke, Where.chosen(url, key, dev, data, config), id)
    if output.wants_json(as_json):
        output.json_line(revoked)
    else:
        click.echo(f"{revoked['id']}, the {revoked['kind']} key of {revoked['user']}, is revoked")


def _row(item: dict[str, Any]) -> list[str]:
    kind = f"{item['kind']}, write" if item["kind"] == "project" and item["write"] else item["kind"]
    ends = next((f"{word} {_day(item[word])}" for word in ("revoked", "expires") if item[word]), "")
    return [item["id"], item["prefix"], kind, item["user"], item["name"], _day(item["last_used"]), ends]


def _day(time: str | None) -> str:
    return (time or "")[:10]


async def _create(where: Where, wanted: NewKey) -> dict[str, Any]:
    async with desk(where) as way:
        return await way.create_key(wanted)


async def _list(where: Where) -> list[dict[str, Any]]:
    async with desk(where) as way:
        return await way.list_keys()


async def _revoke(where: Where, key_id: str) -> dict[str, Any]:
    async with desk(where) as way:
        return await way.revoke_key(key_id)
