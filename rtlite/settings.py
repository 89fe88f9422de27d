"""Every setting, declared once: name, default, unit, help.

Flags, ``RTLITE_*`` variables, ``rtlite.toml``, ``--help``, ``rtlite config`` and the docs all
read this declaration. A value is taken from the first of: flag, environment, file,
default. An unknown name or a value that does not fit is an error that names it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from rtlite.errors import StartError

SECOND: Final = 1.0
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
KIB: Final = 1024
MIB: Final = 1024 * KIB

_DURATION_UNITS: Final = {"ms": 0.001, "s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SIZE_UNITS: Final = {"b": 1, "kb": 1000, "kib": KIB, "mb": 1000**2, "mib": MIB, "gb": 1000**3, "gib": 1024 * MIB}
_PUBLIC_URL: Final = re.compile(
    r"(https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)?/?", re.ASCII
)
_NUMBER_UNIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)")


def duration(value: object) -> float:
    """Seconds from a number or from text such as ``30s``, ``15m``, ``2h``, ``7d``."""
    return _with_unit(value, _DURATION_UNITS, SECOND, "a duration such as 30s, 15m, 2h or 7d")


def size(value: object) -> int:
    """Bytes from a number or from text such as ``64KiB``, ``1MiB``."""
    return int(_with_unit(value, _SIZE_UNITS, 1, "a size such as 64KiB or 1MiB"))


def _with_unit(value: object, units: Mapping[str, float], default: float, wanted: str) -> float:
    if isinstance(value, bool):
        raise ValueError(f"not {wanted}")
    if isinstance(value, int | float) and 0 <= value < float("inf"):
        return float(value)
    match = _NUMBER_UNIT.fullmatch(str(value).strip())
    factor = units.get(match[2].lower()) if match and match[2] else default
    if match is None or factor is None:
        raise ValueError(f"not {wanted}")
    number = float(match[1]) * factor
    if number == float("inf"):
        raise ValueError(f"not {wanted}")
    return number


def boolean(value: object) -> bool:
    """``true``, ``yes``, ``on``, ``1`` and their opposites."""
    text = str(value).lower()
    if text in {"true", "yes", "on", "1"}:
        return True
    if text in {"false", "no", "off", "0"}:
        return False
    raise ValueError("neither true nor false")


def count(value: object) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)):
        raise ValueError("not a whole number from 0")
    return int(str(value))


def text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A TOML list, or text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("not a list of texts")
    return tuple(item.strip() for item in items if item.strip())


def counts(value: object) -> tuple[int, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("not a list of whole numbers")
    return tuple(sorted({count(item if isinstance(item, int) else str(item).strip()) for item in items}))


def public_url(value: object) -> str:
    """``http://`` or ``https://``, a host and maybe a port; empty for none."""
    if not isinstance(value, str) or not (match := _PUBLIC_URL.fullmatch(value.lower())):
        raise ValueError("not a URL such as https://live.example or http://10.0.0.5:8000")
    return match[1] or ""


def durations(value: object) -> tuple[float, ...]:
    """Seconds, one or more times, as :func:`duration` reads each."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise ValueError("not a list of durations such as 5s, 5m, 2h")
    return tuple(duration(item) for item in items)


def choice(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in choices:
            raise ValueError(f"none of {', '.join(choices)}")
        return str(value)

    convert.choices = choices  # type: ignore[attr-defined]  # read by the command line for its help
    return convert


def _setting(
    default: Any, convert: Callable[[object], Any], help: str, *, secret: bool = False, hidden: bool = False
) -> Any:
    metadata = {"convert": convert, "help": help, "secret": secret, "hidden": hidden}
    return attrs.field(default=default, metadata=metadata)


@attrs.frozen
class KindSettings:
    """What one kind of channel keeps: the table ``[channels.KIND]`` of the file."""

    history: bool = _setting(True, boolean, "keep events, so that readers can resume")
    retention_age: float = _setting(7 * DAY, duration, "how long events are kept")
    retention_count: int = _setting(10_000, count, "how many events a channel keeps")
    retention_bytes: int = _setting(64 * MIB, size, "how many bytes of data a channel keeps")
    presence: bool = _setting(True, boolean, "tell who is on a channel")


@attrs.frozen
class Settings:
    """All settings, as they hold for one run of the server."""

    host: str = _setting("127.0.0.1", text, "address to listen on")
    port: int = _setting(8000, count, "TCP port to listen on; 0 takes a free one")
    uds: str = _setting("", text, "path of a unix socket to listen on instead of TCP")
    certfile: str = _setting("", text, "certificate chain (PEM); turns TLS on")
    keyfile: str = _setting("", text, "private key (PEM) of the certificate")
    public_url: str = _setting(
        "", public_url, "where clients find the server, as https://live.example; a request for another Host is refused"
    )
    data: str = _setting("rtlite.db", text, "the SQLite file, or :memory:")
    dev: bool = _setting(False, boolean, "offline stand-in: fixed credentials, open origins, data in memory")
    dev_anywhere: bool = _setting(False, boolean, "let --dev listen on more than loopback")
    durability: str = _setting("full", choice("full", "normal"), "full survives a power cut, normal a killed process")
    disk_reserve: int = _setting(
        4 * MIB, size, "bytes kept beside the file so that a full disk lets retention delete; 0 is none"
    )

    jwt_secret: str = _setting("", text, "HS256 secret, 32 characters or more; made at the first start", secret=True)
    jwt_algorithm: str = _setting(
        "HS256",
        choice("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"),
        "the only algorithm that a token may have",
    )
    jwt_public_key: str = _setting("", text, "PEM file with the public key for RS*, ES* and EdDSA")
    jwt_jwks: str = _setting("", text, "JWKS file or https URL with public keys, in place of one key")
    jwt_audience: str = _setting("", text, "the aud a token must have")
    jwt_issuer: str = _setting("", text, "the iss a token must have")
    jwt_leeway: float = _setting(10 * SECOND, duration, "how far clocks may differ")
    jwt_max_lifetime: float = _setting(DAY, duration, "how far in the future exp may be; 0 is no limit")
    ticket_lifetime: float = _setting(30 * SECOND, duration, "how long a ticket can be used")
    console_session: float = _setting(12 * HOUR, duration, "how long a login to the console lasts")
    allowed_origins: tuple[str, ...] = _setting((), texts, "origins of browser pages besides our own; * is any")
    trusted_proxy: tuple[str, ...] = _setting((), texts, "networks (or unix) whose X-Forwarded-* headers count")

    max_message: int = _setting(MIB, size, "largest WebSocket message")
    max_head: int = _setting(16 * KIB, size, "largest HTTP request head")
    max_headers: int = _setting(100, count, "most header fields in a request")
    max_body: int = _setting(MIB, size, "largest HTTP body")
    max_batch: int = _setting(16 * MIB, size, "largest body of a batch publish")
    max_batch_events: int = _setting(10_000, count, "most events in a batch publish")
    upload_bytes: int = _setting(32 * MIB, size, "bytes of HTTP bodies that may be arriving at one time")
    max_connections: int = _setting(10_000, count, "most WebSocket and SSE connections")
    max_channels: int = _setting(128, count, "most channels, or GraphQL subscriptions, per connection")
    max_replay: int = _setting(10_000, count, "most events in one replay or history page")
    max_page: int = _setting(1_000, count, "most items in one page of a list")
    outbox: int = _setting(MIB, size, "bytes that wait for one connection before it counts as slow")
    send_buffer: int = _setting(64 * KIB, size, "kernel send buffer per connection (SO_SNDBUF)")

    handshake_timeout: float = _setting(10 * SECOND, duration, "for a request head, a TLS or a WebSocket handshake")
    body_timeout: float = _setting(15 * SECOND, duration, "for a request body")
    append_timeout: float = _setting(HOUR, duration, "how long a request that lines are streamed into may be silent")
    keep_alive_timeout: float = _setting(75 * SECOND, duration, "how long an idle HTTP connection stays open")
    write_timeout: float = _setting(60 * SECOND, duration, "how long a peer may accept no byte that waits for it")
    close_timeout: float = _setting(5 * SECOND, duration, "for a WebSocket closing handshake")
    ping_interval: float = _setting(30 * SECOND, duration, "between WebSocket pings, and between heartbeats of SSE")
    pong_timeout: float = _setting(30 * SECOND, duration, "for the pong to a ping")
    expiry_warning: float = _setting(30 * SECOND, duration, "how long before a token expires its connection is told")
    sse_retry: float = _setting(3 * SECOND, duration, "how long EventSource waits before it reconnects")
    sse_retry_busy: float = _setting(
        15 * SECOND, duration, "the same after overload or too many failed logins; up to twice as long, at random"
    )
    poll_timeout: float = _setting(25 * SECOND, duration, "longest wait of a history poll")
    shutdown_timeout: float = _setting(10 * SECOND, duration, "for an orderly stop")
    shutdown_spread: float = _setting(1 * SECOND, duration, "closing connections is spread over this time")

    socketio_ping_interval: float = _setting(25 * SECOND, duration, "between our pings over Socket.IO")
    socketio_ping_timeout: float = _setting(20 * SECOND, duration, "for a Socket.IO client's answer to a ping")
    socketio_max_payload: int = _setting(1_000_000, size, "largest Socket.IO message, and body of a POST of polling")
    socketio_max_packets: int = _setting(16, count, "most packets in the body of a POST of Socket.IO's polling")
    socketio_max_strangers: int = _setting(
        1_000, count, "most Socket.IO sessions of polling that are in no namespace yet; the oldest goes"
    )
    socketio_max_attachments: int = _setting(10, count, "most binary attachments of a Socket.IO packet")
    socketio_attachment_timeout: float = _setting(10 * SECOND, duration, "for all attachments of a Socket.IO packet")
    socketio_connect_timeout: float = _setting(
        45 * SECOND, duration, "how long a Socket.IO client may be in no namespace"
    )
    socketio_upgrade_timeout: float = _setting(10 * SECOND, duration, "for Socket.IO to go from polling to WebSocket")

    command_rate: int = _setting(50, count, "commands a second per connection; 0 is no limit")
    command_burst: int = _setting(100, count, "commands at once per connection")
    user_command_rate: int = _setting(200, count, "commands a second per user, over all connections; 0 is no limit")
    publish_rate: int = _setting(1_000, count, "publishes over HTTP a second per key; 0 is no limit")
    anonymous_rate: int = _setting(60, count, "anonymous views and reactions a minute per address; 0 is no limit")
    login_rate: int = _setting(20, count, "failed logins a minute per address; 0 is no limit")

    blog_milestones: tuple[int, ...] = _setting(
        (10, 100, 1_000, 10_000, 100_000, 1_000_000), counts, "view counts that reach an article's author"
    )
    presence_grace: float = _setting(15 * SECOND, duration, "how long a member with a dropped link stays present")
    presence_data: int = _setting(4 * KIB, size, "largest data of a member")
    presence_save: float = _setting(
        5 * SECOND, duration, "between two writes of last-seen times; a killed process loses as much"
    )
    max_members: int = _setting(10_000, count, "most members of a channel")
    max_away: int = _setting(
        100_000, count, "most members in their grace period, and most last-seen times that wait to be written"
    )
    conversation_members: int = _setting(10_000, count, "most members of a conversation")
    job_bytes: int = _setting(64 * KIB, size, "largest result of a job, and its error")
    job_age: float = _setting(30 * DAY, duration, "how long a job is kept after its last change, over or not")
    job_count: int = _setting(100_000, count, "how many jobs that are over are kept; the one that ended first goes")
    inbox_size: int = _setting(
        1_000, count, "notifications that a user's inbox keeps; the oldest that is read goes, or else the oldest"
    )
    inbox_age: float = _setting(90 * DAY, duration, "how long notifications are kept, read or not")
    notification_bytes: int = _setting(8 * KIB, size, "largest title, message and action URL of a notification")
    max_streams: int = _setting(1_000, count, "most streams of one owner")
    stream_age: float = _setting(365 * DAY, duration, "the longest that an owner may have a stream's messages kept")
    stream_count: int = _setting(10_000_000, count, "the most messages that an owner may have a stream's channel keep")
    stream_bytes: int = _setting(4096 * MIB, size, "the most bytes that an owner may have a stream's channel keep")
    sweep_interval: float = _setting(10 * SECOND, duration, "between two passes that delete what retention lets go")
    spill_limit: int = _setting(
        256 * MIB, size, "bytes a channel may hold past its retention for connected slow readers"
    )
    queue_events: int = _setting(20_000, count, "events that may wait to be committed")
    queue_bytes: int = _setting(128 * MIB, size, "bytes that may wait to be committed")

    webhook_private: bool = _setting(
        False, boolean, "let webhooks reach private and loopback addresses, by http and on any port (--dev lets them)"
    )
    webhook_ports: tuple[int, ...] = _setting((443, 8443), counts, "ports that webhooks may reach")
    webhook_timeout: float = _setting(15 * SECOND, duration, "for one delivery to a webhook, its answer included")
    webhook_reply: int = _setting(64 * KIB, size, "how much of a webhook's answer is read")
    webhook_retries: tuple[float, ...] = _setting(
        (5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY),
        durations,
        "waits between the attempts at one delivery, each a fifth shorter or longer at random; the last repeats",
    )
    webhook_rate: int = _setting(
        300, count, "attempts a second over all webhooks, so that the rest is for publishers; 0 is no limit"
    )
    webhook_disable_after: float = _setting(5 * DAY, duration, "how long a webhook may fail before it is disabled")
    webhook_queue_events: int = _setting(
        10_000, count, "events of channels without history that may wait for one webhook"
    )
    webhook_queue_bytes: int = _setting(16 * MIB, size, "bytes of such events that may wait for one webhook")
    webhook_log: int = _setting(1_000, count, "attempts that are remembered of each webhook")
    webhook_rotation: float = _setting(DAY, duration, "how long a webhook's old secret signs beside the new one")
    max_webhooks: int = _setting(100, count, "most webhooks")

    console_events: int = _setting(200, count, "most events a second that the console is shown; others are counted")

    graphql_introspection: bool = _setting(True, boolean, "let clients ask for the GraphQL schema")
    graphql_query: int = _setting(64 * KIB, size, "largest GraphQL document, and largest variables of a subscription")
    graphql_tokens: int = _setting(1_000, count, "most words, signs and comments in a GraphQL document")
    graphql_depth: int = _setting(20, count, "how many fields may stand within one another in a GraphQL document")
    graphql_fields: int = _setting(
        1_000, count, "most fields of a GraphQL document, with those of its fragments wherever they are spread"
    )
    graphql_aliases: int = _setting(30, count, "most aliases in a GraphQL document, counted in the same way")
    graphql_root_fields: int = _setting(10, count, "most root fields of a GraphQL operation")
    graphql_complexity: int = _setting(
        5_000, count, "most fields of a GraphQL result: a list counts as often as its argument first says"
    )
    graphql_variables: int = _setting(50, count, "most variables of a GraphQL operation")
    graphql_held: int = _setting(
        8 * MIB, size, "most memory, about, that the GraphQL subscriptions of a connection take by their documents"
    )
    graphql_init_timeout: float = _setting(
        3 * SECOND, duration, "how long a GraphQL client may take to say who it is, once it is connected"
    )

    record_bytes: int = _setting(MIB, size, "largest data of a record")
    record_versions: int = _setting(20, count, "versions of a record that are kept; the published one is, besides")
    record_page_bytes: int = _setting(MIB, size, "bytes of data after which a page of records ends")
    record_conditions: int = _setting(16, count, "most conditions in a filter of records")
    record_scan: int = _setting(
        10_000, count, "most records that are looked through for a filter or an order that no index of the model serves"
    )
    record_query_time: float = _setting(0.25 * SECOND, duration, "the longest that looking through records may take")
    max_models: int = _setting(1_000, count, "most models")
    model_indexes: int = _setting(8, count, "most indexes of a model")
    model_schema: int = _setting(64 * KIB, size, "largest JSON Schema of a model")
    model_schema_steps: int = _setting(
        10_000, count, "most steps (keywords of the schema, each time one is applied) to check a record"
    )

    collab_message: int = _setting(MIB, size, "largest message of a Yjs client, and so its largest edit")
    collab_document: int = _setting(16 * MIB, size, "largest document; edits of a larger one are refused")
    collab_log: int = _setting(MIB, size, "bytes of edits that a document gathers, at least, before they are squashed")
    collab_waiting: int = _setting(
        MIB, size, "most bytes of edits of a document that came before what they build on, and wait for it"
    )
    collab_rooms: int = _setting(1_000, count, "most documents in memory")
    collab_connections: int = _setting(200, count, "most connections to one document")
    collab_idle: float = _setting(30 * SECOND, duration, "how long a document that nobody has open stays in memory")
    collab_turn: float = _setting(
        0.04 * SECOND, duration, "longest pause between many deliveries to a document's readers (2 ms for each)"
    )
    collab_saved: float = _setting(2 * SECOND, duration, "how long after an edit document.saved is published, at most")
    collab_awareness: int = _setting(16 * KIB, size, "largest awareness state of a Yjs client")
    collab_awareness_clients: int = _setting(16, count, "most Yjs client ids of one connection")
    collab_snapshots: int = _setting(100, count, "most snapshots of a document")
    collab_work: float = _setting(
        30 * SECOND, duration, "the longest to restore a snapshot, or to read or change a large document over HTTP"
    )
    collab_snapshot_bytes: int = _setting(64 * MIB, size, "most bytes of all snapshots of a document")

    faults: bool = _setting(False, boolean, "let faults be set, to see how clients bear them (--dev lets them)")
    fault_time: float = _setting(5 * MINUTE, duration, "how long a fault lasts that does not say")
    fault_max_time: float = _setting(HOUR, duration, "the longest that a fault may last")
    max_faults: int = _setting(100, count, "most faults at one time")

    conformance_echo: bool = _setting(False, boolean, "serve /conformance/echo, for WebSocket test suites", hidden=True)

    channels: Mapping[str, KindSettings] = attrs.field(factory=dict, metadata={"help": "per kind of channel"})

    def for_kind(self, kind: str) -> KindSettings:
        """What holds for channels of this kind."""
        return self.channels.get(kind) or BUILT_IN_KINDS.get(kind) or _DEFAULT_KIND

    @property
    def loopback(self) -> bool:
        return bool(self.uds) or self.host in {"127.0.0.1", "::1", "localhost"}


_DEFAULT_KIND: Final = KindSettings()
# A stream keeps nothing until its owner turns storeHistory on (contract, "Channels").
BUILT_IN_KINDS: Final[Mapping[str, KindSettings]] = {"stream": KindSettings(history=False)}

DEV_JWT_SECRET: Final = "rtlite-dev-secret-never-use-in-production"  # noqa: S105  # public on purpose


def control_path(data: str) -> str:
    """Where the server of this database listens for ``rtlite keys`` and ``rtlite backup``."""
    return f"{data}.sock"


@attrs.frozen
class Declared:
    """One setting's declaration, for whoever prints or reads it."""

    name: str
    default: Any
    convert: Callable[[object], Any]
    help: str
    secret: bool
    hidden: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "RTLITE_" + self.name.upper()


def declared(cls: type = Settings) -> list[Declared]:
    """Every setting that is one value, in order; ``channels`` is a table of its own."""
    return [
        Declared(field.name, field.default, **field.metadata)
        for field in attrs.fields(cls)
        if "convert" in field.metadata
    ]


@attrs.frozen
class Loaded:
    """Settings and, for each, where its value came from: ``flag``, ``RTLITE_X``, a file's path, ``default``."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
) -> Loaded:
    """Settings from flags, environment and file, each name from the first that has it.

    :param flags: names and values as given on the command line; ``None`` values are left out.
    :param file: a TOML file that must exist; without one, ``rtlite.toml`` here is read if it is there.
    :raises StartError: for an unknown name, an ill-typed value, or a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    table, path = _read_file(file)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    known = {item.name: item for item in declared()}
    _refuse_unknown((name for name in table if name != "channels"), known, f"{path}: ")
    variables = {item.variable: item for item in known.values()}
    _refuse_unknown((name for name in environ if name.startswith("RTLITE_") and name not in NOT_SETTINGS), variables)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _refuse_unknown(given, known)
    for item in known.values():
        for origin, source, key in (
            ("flag", given, item.name),
            (item.variable, environ, item.variable),
            (path, table, item.name),
        ):
            if key in source:
                values[item.name] = _convert(item, source[key], origin)
                origins[item.name] = origin
                break
        else:
            origins[item.name] = "default"
    channels = table.get("channels", {})
    if not isinstance(channels, dict):
        raise StartError(f"{path}: channels is a table, as in [channels.article]")
    kinds = {kind: _kind(kind, entry, path) for kind, entry in channels.items()}
    settings = Settings(channels=kinds, **values)
    if settings.dev and origins["data"] == "default":
        settings = attrs.evolve(settings, data=":memory:")
        origins["data"] = "dev"
    return Loaded(settings, origins)


def of_values(values: Mapping[str, Any]) -> Settings:
    """Settings of a program's own: from these values alone, not from environment or file.

    :param values: by name; ``channels`` is a table of tables.
    :raises StartError: for an unknown name, or a value that does not fit.
    """
    known = {item.name: item for item in declared()}
    given = {name: value for name, value in values.items() if name != "channels"}
    _refuse_unknown(given, known)
    kinds = {kind: _kind(kind, entry, "settings") for kind, entry in values.get("channels", {}).items()}
    return Settings(channels=kinds, **{name: _convert(known[name], value, "settings") for name, value in given.items()})


NOT_SETTINGS: Final = {"RTLITE_URL", "RTLITE_KEY", "RTLITE_CONFIG"}  # read by the command line's client commands


def _read_file(file: str | os.PathLike[str] | None) -> tuple[dict[str, Any], str]:
    path = Path(file or "rtlite.toml")
    if file is None and not path.exists():
        return {}, str(path)
    try:
        return tomllib.loads(path.read_text("utf-8")), str(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"{path}: {error}") from error


def _kind(kind: str, entry: object, path: str) -> KindSettings:
    known = {item.name: item for item in declared(KindSettings)}
    if not isinstance(entry, dict):
        raise StartError(f"{path}: [channels.{kind}] is a table")
    _refuse_unknown(entry, known, f"{path}: [channels.{kind}] ")
    base = BUILT_IN_KINDS.get(kind, _DEFAULT_KIND)
    return attrs.evolve(
        base, **{name: _convert(known[name], value, f"{path}: [channels.{kind}]") for name, value in entry.items()}
    )


def _refuse_unknown(names: Iterable[str], known: Mapping[str, Declared], where: str = "") -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise StartError(f"{where}{name}: no such setting{hint}")


def _convert(item: Declared, value: object, origin: str) -> Any:
    try:
        return item.convert(value)
    except ValueError as error:
        shown = "the value" if item.secret else repr(value)
        raise StartError(f"{origin}: {item.name}: {shown} is {error}") from error
