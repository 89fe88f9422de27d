"""``rtlite token``: sign a JWT."""

from __future__ import annotations

from functools import partial

import click

from rtlite.cli import options, output
from rtlite.cli.desk import NewToken, Where, desk, dev_token
from rtlite.cli.program import run
from rtlite.model import Role


@click.command()
@click.option("--user", metavar="ID", required=True, help="Whom it stands for (sub).")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default="user", show_default=True, help="Its role."
)
@click.option(
    "--ttl", metavar="DURATION", type=options.duration, default="1h", show_default=True, help="How long it holds."
)
@click.option(
    "--subscribe",
    metavar="PATTERN",
    multiple=True,
    callback=options.grants,
    help="A channel or kind:* it may read besides; may repeat.",
)
@click.option(
    "--publish",
    metavar="PATTERN",
    multiple=True,
    callback=options.grants,
    help="A channel or kind:* it may write; may repeat.",
)
@click.option("--bare", is_flag=True, help="Print the token alone, as for TOKEN=$(rtlite token …).")
@options.json_option
@options.data_option
@partial(
    options.server_options, dev="Sign it by the secret that all servers started with --dev have, without a server."
)
def token(
    user: str,
    role: str,
    ttl: float,
    subscribe: tuple[str, ...],
    publish: tuple[str, ...],
    bare: bool,
    as_json: bool,
    data: str | None,
    config: str | None,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Sign a JWT for a user.

    It is signed with the secret of the server's file. With --dev it is signed with the one that all
    servers started with --dev have, and no server is asked. With --url and --key that server signs it.

    \b
    rtlite token --user alice --dev
    rtlite token --user alice --subscribe 'room:*' --ttl 1d
    """
    wanted = NewToken(user, role, ttl, subscribe, publish)
    if dev and url is None and data is None:
        signed = dev_token(wanted)
    else:
        signed = run(_create, Where.chosen(url, key, dev, data, config), wanted)
    if bare or not output.wants_json(as_json):
        click.echo(signed)
    else:
        output.json_line({"token": signed, "user": user, "role": role, "expiresIn": ttl})


async def _create(where: Where, wanted: NewToken) -> str:
    async with desk(where) as way:
        return await way.create_token(wanted)
