"""``rtlite faults``: make a running server slow, deaf or broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import click

from rtlite import settings
from rtlite.cli import options, output
from rtlite.cli.client import connected
from rtlite.cli.options import Server
from rtlite.cli.program import run
from rtlite.faults import KINDS, PROTOCOLS, Kind


def _size(value: str) -> int:
    try:
        return settings.size(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is {error}.") from error


def _milliseconds(value: str) -> int:
    return round(options.duration(value) * 1000)


def _seconds(value: str) -> int:
    return round(options.duration(value))


_OWN: Final[dict[str, tuple[str, Callable[[str], Any] | type, str]]] = {
    "latency": ("DURATION", _milliseconds, "How late, as in 200ms."),
    "jitter": ("DURATION", _milliseconds, "How much more or less than that, at random."),
    "code": ("CODE", int, "The WebSocket close code; 1006 is without a close frame."),
    "text": ("TEXT", str, "The reason beside the code."),
    "rate": ("SIZE", _size, "Bytes a second, as in 4KiB."),
    "status": ("STATUS", int, "The HTTP status."),
    "retry_after": ("DURATION", _seconds, "What the header Retry-After says, as in 5s."),
}
_CHOICES: Final[dict[str, click.Option]] = {
    "protocol": click.Option(["--protocol"], type=click.Choice(PROTOCOLS), help="For this protocol; http is requests."),
    "channel": click.Option(["--channel"], metavar="PATTERN", help="For this channel, or KIND:* for all of a kind."),
    "user": click.Option(["--user"], metavar="ID", help="For this user."),
    "connection": click.Option(["--connection"], metavar="ID", help="For this connection, as in /api/connections."),
}
_TERMS: Final = [
    click.Option(["--for", "duration"], metavar="DURATION", help="How long.  [default: the setting fault_time]"),
    click.Option(["--count"], metavar="NUMBER", type=int, help="How many times.  [default: until its time is up]"),
    click.Option(
        ["--probability"],
        metavar="P",
        type=float,
        default=1.0,
        show_default=True,
        help="How often: 0.3 is three times in ten.",
    ),
    click.Option(
        ["--seed"], metavar="NUMBER", type=int, help="The same number strikes the same again.  [default: a random one]"
    ),
]


class Kinds(click.Group):
    """The kinds, in the order in which they are declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group()
def faults() -> None:
    """Make a running server slow, deaf or broken on purpose.

    So one sees how clients bear it. A fault strikes everyone, or whom its options choose; at once,
    open connections too; and ends by itself. It needs a server started with --dev, or one whose
    setting faults is on.

    \b
    rtlite faults add latency 200ms --jitter 50ms
    rtlite faults add drop --channel 'article:*' --probability 0.1 --for 30s
    rtlite faults add close --code 4000 --user usr_1
    rtlite faults list
    rtlite faults clear
    """


@faults.group(cls=Kinds, subcommand_metavar="KIND ...")
def add() -> None:
    """Set a fault of one KIND.

    Each kind has options of its own: rtlite faults add latency --help.
    """


def _command(kind: Kind) -> click.Command:
    """``rtlite faults add KIND``, with the options that this kind has."""

    @options.json_option
    @options.server_options
    def set_fault(as_json: bool, url: str | None, key: str | None, dev: bool, **asked: Any) -> None:
        body = {"kind": kind.name, **{name: value for name, value in asked.items() if value is not None}}
        made = run(_call, options.server_or_dev(url, key, dev), "POST", "/api/faults", body)
        if output.wants_json(as_json):
            output.json_line(made)
        else:
            click.echo(f"{made['id']}  {kind.name} for {_whom(made)}, {made['remaining']:g} s, seed {made['seed']}")

    own = [_parameter(name, default) for name, default in kind.takes.items()]
    choices = [option for name, option in _CHOICES.items() if name in kind.chosen]
    text = f"{kind.help[0].upper()}{kind.help[1:]}."
    for name in (name for name, default in kind.takes.items() if default is ...):
        text += f"\n\n{name.upper()}: {_OWN[name][2]}"
    command = click.command(kind.name, help=text, short_help=kind.help)(set_fault)
    command.params[:0] = [*own, *choices, *_TERMS]
    return command


def _parameter(name: str, default: Any) -> click.Parameter:
    """What must be given is an argument."""
    metavar, type, text = _OWN[name]
    if default is ...:
        return click.Argument([name], type=type)
    if default not in {None, "", 0}:
        text += f"  [default: {f'{default}ms' if name == 'latency' else default}]"
    return click.Option([f"--{name.replace('_', '-')}"], metavar=metavar, type=type, help=text)


for _kind in KINDS.values():
    add.add_command(_command(_kind))


@faults.command(name="list")
@options.json_option
@options.server_options
def list_faults(as_json: bool, url: str | None, key: str | None, dev: bool) -> None:
    """List the faults that are set, and how often each struck."""
    found = run(_call, options.server_or_dev(url, key, dev), "GET", "/api/faults", None)["items"]
    if output.wants_json(as_json):
        for item in found:
            output.json_line(item)
        return
    output.table(("id", "kind", "how", "for", "struck", "seed", "left"), [_row(item) for item in found])


@faults.command()
@click.argument("id", required=False)
@options.server_options
def clear(id: str | None, url: str | None, key: str | None, dev: bool) -> None:
    """End the fault with this ID, or all of them."""
    path = "/api/faults" if id is None else f"/api/faults/{quote(id, safe='')}"
    answer = run(_call, options.server_or_dev(url, key, dev), "DELETE", path, None)
    click.echo(f"{id} is over" if answer is None else f"{answer['ended']} ended")


async def _call(server: Server, method: str, path: str, body: Any) -> Any:
    async with connected(server) as client:
        return await client.call(method, path, body)


def _whom(item: dict[str, Any]) -> str:
    return ", ".join(f"{name} {item[name]}" for name in _CHOICES if item.get(name) is not None) or "everyone"


def _row(item: dict[str, Any]) -> list[str]:
    how = [f"{name.replace('_', '-')} {item[name]}" for name in _OWN if item.get(name) not in {None, ""}]
    how += [f"probability {item['probability']:g}"] if item["probability"] < 1 else []
    how += [f"at most {item['count']}"] if item["count"] is not None else []
    left = f"{item['remaining']:.0f} s"
    return [item["id"], item["kind"], ", ".join(how), _whom(item), str(item["struck"]), str(item["seed"]), left]
