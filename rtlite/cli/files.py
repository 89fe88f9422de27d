"""``rtlite backup`` and ``rtlite check``: copy the database, look it over."""

from __future__ import annotations

import os

import attrs
import click

from rtlite import settings
from rtlite.cli import options, output
from rtlite.cli.desk import Where, desk
from rtlite.cli.program import run
from rtlite.errors import RtliteError, StartError
from rtlite.store import check as store_check


@click.command()
@click.argument("file", type=click.Path())
@options.json_option
@options.data_option
def backup(file: str, as_json: bool, data: str | None, config: str | None) -> None:
    """Copy the database to FILE, while the server runs or not.

    To restore it, stop the server and put the copy in the database's place. Clients learn that
    events they saw may be missing in it.

    \b
    rtlite backup /var/backups/rtlite.db --data live.db
    """
    target = os.path.abspath(file)
    run(_backup, Where(None, data, config), target)
    size = os.path.getsize(target)
    if output.wants_json(as_json):
        output.json_line({"file": target, "bytes": size})
    else:
        click.echo(f"{file}: {size:,} bytes")


async def _backup(where: Where, target: str) -> None:
    async with desk(where) as way:
        await way.backup(target)


@click.command()
@options.json_option
@options.data_option
def check(as_json: bool, data: str | None, config: str | None) -> None:
    """Look the database over, while the server runs or not.

    Is the file whole, and every channel's history without holes? Exit code 1 if not.
    """
    path = settings.load({"data": data}, file=config).settings.data
    if path == ":memory:":
        raise StartError("data in memory cannot be checked: --data names a file")
    report = store_check.check(path)
    if output.wants_json(as_json):
        output.json_line({"file": path, **attrs.asdict(report)})
    else:
        for problem in report.problems:
            click.echo(output.one_line(problem))
        click.echo(f"{path}: {report.channels:,} channels, {report.events:,} events, {report.bytes:,} bytes of data")
    if report.problems:
        raise RtliteError(_verdict(path, report.problems))


def _verdict(path: str, problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0] if problems[0].startswith(path) else f"{path}: {problems[0]}"
    return f"{path}: {len(problems)} problems"
