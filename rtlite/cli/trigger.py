"""``rtlite trigger``: publish a sample event, to try a client with."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import click
import orjson

from rtlite.cli import options, output
from rtlite.cli.client import connected
from rtlite.cli.options import Server
from rtlite.cli.player import RETRY_SECONDS, Due, Sent, drawn, pauses, play, published, repeated
from rtlite.cli.program import run
from rtlite.client import Receipt
from rtlite.domain import samples
from rtlite.domain.samples import SAMPLES, Sample, Turn
from rtlite.log import escape

Override = tuple[list[str], Any]  # a path such as data.viewCount, in parts, and the value


@click.command()
@click.argument("name", required=False)
@click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Replace a part: channel, event, id, data, data.viewCount, data.items.0, …; may repeat. A value of data is"
    " JSON, else text.",
)
@click.option(
    "--repeat",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="Publish it so many times, with ids, times and counts that differ.  [default: 1, or with --every no end]",
)
@click.option("--every", metavar="DURATION", type=options.duration, help="Time from one to the next.  [default: 1s]")
@click.option(
    "--jitter", metavar="DURATION", type=options.duration, default="0s", help="That much more or less, at random."
)
@click.option("--seed", metavar="NUMBER", type=int, help="The same ids and jitter with the same NUMBER.")
@click.option("--list", "listed", is_flag=True, help="List the samples, as without NAME.")
@options.json_option
@options.server_options
def trigger(
    name: str | None,
    overrides: tuple[str, ...],
    repeat: int | None,
    every: float | None,
    jitter: float,
    seed: int | None,
    listed: bool,
    as_json: bool,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Publish the sample event NAME.

    There is one of each that the protocols' references name, in their shapes. What its data says of
    its channel fits another channel as well. No key is needed for a server on this machine that was
    started with --dev.

    \b
    rtlite trigger view_update
    rtlite trigger view_update --set channel=article:my-first-post --set data.viewCount=5
    rtlite trigger new_comment --repeat 20 --every 2s --jitter 500ms
    """
    if listed or name is None:
        _list(output.wants_json(as_json))
        return
    sample, parsed, random = found(name), [_parsed(item) for item in overrides], drawn(seed)
    made(sample, parsed, Turn(0, drawn(seed)))  # what is wrong is said before a server is asked
    once = repeat is None and every is None
    if not once and any(parts == ["id"] for parts, _ in parsed):
        raise _wrong("an event's id is its own: with --repeat or --every each gets a new one.")
    events = repeated(
        lambda number: made(sample, parsed, Turn(number, random)),
        1 if once else repeat,
        pauses(1.0 if every is None else every, jitter, drawn(seed)),
    )
    server = options.server_or_dev(url, key, dev)
    with contextlib.nullcontext() if once else contextlib.suppress(KeyboardInterrupt):
        run(_publish, server, events, _printer(output.wants_json(as_json)), 0.0 if once else RETRY_SECONDS)


def _printer(as_json: bool) -> Sent:
    def sent(event: dict[str, Any], receipt: Receipt) -> None:
        if as_json:
            output.json_line(published(event, receipt))
            return
        click.echo(f"{receipt['channel']}  offset {receipt['offset']}  id {receipt['id']}")
        click.echo(f"{click.style(event['event'], bold=True)}  {escape(orjson.dumps(event['data']).decode())}")
        click.echo(f"arrives at {', '.join(samples.doors(event['channel']))}")

    return sent


async def _publish(server: Server, events: Iterator[Due], sent: Sent, retry_for: float) -> None:
    async with connected(server, retry_for) as client:
        await play(client, events, sent, retry_for=retry_for)


def _list(as_json: bool) -> None:
    if not as_json:
        rows = [(item.name, item.channel, ", ".join(samples.doors(item.channel))) for item in SAMPLES]
        output.table(("name", "channel", "arrives at"), rows)
        return
    for item in SAMPLES:
        output.json_line(
            {
                "name": item.name,
                "about": item.about,
                "channel": item.channel,
                "event": item.event_name,
                "data": item.data(item.channel),
                "arrives": samples.doors(item.channel),
            }
        )


def found(name: str) -> Sample:
    """The sample of this name. :raises click.BadParameter: there is none; it says which is near."""
    if (sample := samples.find(name)) is not None:
        return sample
    near = difflib.get_close_matches(name.lower(), [item.name.lower() for item in SAMPLES], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "rtlite trigger --list shows them."
    raise click.BadParameter(f"there is no sample {name!r}. {hint}", param_hint="NAME")


def _parsed(text: str) -> Override:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise _wrong(f"{text!r} is not PATH=VALUE, as in data.viewCount=5.")
    parts = path_parts(path)
    return parts, _value(value) if parts[0] == "data" else value


def path_parts(path: str) -> list[str]:
    """The parts of a path such as ``data.viewCount``. :raises click.BadParameter: nothing is there to replace."""
    parts = path.split(".")
    if not all(parts) or parts[0] not in {"channel", "event", "id", "data"} or (parts[0] != "data" and len(parts) > 1):
        raise _wrong(f"there is no {path!r} to replace: channel, event, id, data or data.FIELD is wanted.")
    return parts


def made(sample: Sample, overrides: Sequence[Override], turn: Turn) -> dict[str, Any]:
    """The event to publish: what the overrides say, and the sample's where they say nothing.

    :raises click.BadParameter: an override leads through something that has no fields.
    """
    texts = {parts[0]: value for parts, value in overrides if parts[0] != "data"}
    event: dict[str, Any] = {"channel": sample.channel, "event": sample.event_name} | texts
    event["data"] = sample.data(event["channel"], turn)
    for parts, value in overrides:
        if parts[0] == "data":
            _replace(event, parts, value)
    return event


def _replace(container: Any, parts: list[str], value: Any) -> None:
    """Follow the path into ``container``, making objects on the way, and put ``value`` at its end."""
    for done, part in enumerate(parts):
        last = done == len(parts) - 1
        if isinstance(container, list) and part.isdecimal() and int(part) < len(container):
            if last:
                container[int(part)] = value
            else:
                container = container[int(part)]
        elif isinstance(container, dict):
            if last:
                container[part] = value
            else:
                container = container.setdefault(part, {})
        else:
            raise _wrong(f"{'.'.join(parts[:done])} has no {part!r}.")


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _wrong(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="--set")
