"""The settings of a server, each with its default, its unit and its help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from rtlite.settings.fields import Declared, setting
from rtlite.settings.kinds import BUILT_IN_KINDS, DEFAULT_KIND, KindSettings
from rtlite.settings.values import (
    DAY,
    HOUR,
    KIB,
    MIB,
    MINUTE,
    SECOND,
    boolean,
    choice,
    count,
    counts,
    duration,
    durations,
    public_url,
    size,
    text,
    texts,
)

DEV_JWT_SECRET: Final = "rtlite-dev-secret-never-use-in-production"  # noqa: S105  # public on purpose


@attrs.frozen
class Settings:
    """All settings, as they hold for one run of the server."""

    host: str = setting("127.0.0.1", text, "address to listen on", common=True)
    port: int = setting(8000, count, "TCP port to listen on; 0 takes a free one", common=True)
    uds: str = setting("", text, "path of a unix socket to listen on instead of TCP", common=True)
    certfile: str = setting("", text, "certificate chain (PEM); turns TLS on", common=True)
    keyfile: str = setting("", text, "private key (PEM) of the certificate", common=True)
    public_url: str = setting(
        "",
        public_url,
        "where clients find the server, as https://live.example; a request for another Host is refused",
        common=True,
    )
    data: str = setting("rtlite.db", text, "the SQLite file, or :memory:", common=True)
    dev: bool = setting(
        False, boolean, "offline stand-in: fixed credentials, open origins, data in memory", common=True
    )
    dev_anywhere: bool = setting(False, boolean, "let --dev listen on more than loopback")
    durability: str = setting("full", choice("full", "normal"), "full survives a power cut, normal a killed process")
    disk_reserve: int = setting(
        4 * MIB, size, "bytes kept beside the file so that a full disk lets retention delete; 0 is none"
    )

    jwt_secret: str = setting(
        "", text, "HS256 secret, 32 characters or more; made at the first start", common=True, secret=True
    )
    jwt_algorithm: str = setting(
        "HS256",
        choice("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"),
        "the only algorithm that a token may have",
    )
    jwt_public_key: str = setting("", text, "PEM file with the public key for RS*, ES* and EdDSA")
    jwt_jwks: str = setting("", text, "JWKS file or https URL with public keys, in place of one key")
    jwt_audience: str = setting("", text, "the aud a token must have")
    jwt_issuer: str = setting("", text, "the iss a token must have")
    jwt_leeway: float = setting(10 * SECOND, duration, "how far clocks may differ")
    jwt_max_lifetime: float = setting(DAY, duration, "how far in the future exp may be; 0 is no limit")
    ticket_lifetime: float = setting(30 * SECOND, duration, "how long a ticket can be used")
    console_session: float = setting(12 * HOUR, duration, "how long a login to the console lasts")
    allowed_origins: tuple[str, ...] = setting(
        (), texts, "origins of browser pages besides our own; * is any", common=True
    )
    trusted_proxy: tuple[str, ...] = setting(
        (), texts, "networks (or unix) whose X-Forwarded-* headers count", common=True
    )

    max_message: int = setting(MIB, size, "largest WebSocket message")
    max_head: int = setting(16 * KIB, size, "largest HTTP request head")
    max_headers: int = setting(100, count, "most header fields in a request")
    max_body: int = setting(MIB, size, "largest HTTP body")
    max_batch: int = setting(16 * MIB, size, "largest body of a batch publish")
    max_batch_events: int = setting(10_000, count, "most events in a batch publish")
    upload_bytes: int = setting(32 * MIB, size, "bytes of HTTP bodies that may be arriving at one time")
    max_connections: int = setting(10_000, count, "most WebSocket and SSE connections", common=True)
    max_channels: int = setting(128, count, "most channels, or GraphQL subscriptions, per connection")
    max_replay: int = setting(10_000, count, "most events in one replay or history page")
    max_page: int = setting(1_000, count, "most items in one page of a list")
    outbox: int = setting(MIB, size, "bytes that wait for one connection before it counts as slow")
    send_buffer: int = setting(64 * KIB, size, "kernel send buffer per connection (SO_SNDBUF)")

    handshake_timeout: float = setting(10 * SECOND, duration, "for a request head, a TLS or a WebSocket handshake")
    body_timeout: float = setting(15 * SECOND, duration, "for a request body")
    append_timeout: float = setting(HOUR, duration, "how long a request that lines are streamed into may be silent")
    keep_alive_timeout: float = setting(75 * SECOND, duration, "how long an idle HTTP connection stays open")
    write_timeout: float = setting(60 * SECOND, duration, "how long a peer may accept no byte that waits for it")
    close_timeout: float = setting(5 * SECOND, duration, "for a WebSocket closing handshake")
    ping_interval: float = setting(30 * SECOND, duration, "between WebSocket pings, and between heartbeats of SSE")
    pong_timeout: float = setting(30 * SECOND, duration, "for the pong to a ping")
    expiry_warning: float = setting(30 * SECOND, duration, "how long before a token expires its connection is told")
    sse_retry: float = setting(3 * SECOND, duration, "how long EventSource waits before it reconnects")
    sse_retry_busy: float = setting(
        15 * SECOND, duration, "the same after overload or too many failed logins; up to twice as long, at random"
    )
    poll_timeout: float = setting(25 * SECOND, duration, "longest wait of a history poll")
    shutdown_timeout: float = setting(10 * SECOND, duration, "for an orderly stop")
    shutdown_spread: float = setting(1 * SECOND, duration, "closing connections is spread over this time")

    socketio_ping_interval: float = setting(25 * SECOND, duration, "between our pings over Socket.IO")
    socketio_ping_timeout: float = setting(20 * SECOND, duration, "for a Socket.IO client's answer to a ping")
    socketio_max_payload: int = setting(1_000_000, size, "largest Socket.IO message, and body of a POST of polling")
    socketio_max_packets: int = setting(16, count, "most packets in the body of a POST of Socket.IO's polling")
    socketio_max_strangers: int = setting(
        1_000, count, "most Socket.IO sessions of polling that are in no namespace yet; the oldest goes"
    )
    socketio_max_attachments: int = setting(10, count, "most binary attachments of a Socket.IO packet")
    socketio_attachment_timeout: float = setting(10 * SECOND, duration, "for all attachments of a Socket.IO packet")
    socketio_connect_timeout: float = setting(
        45 * SECOND, duration, "how long a Socket.IO client may be in no namespace"
    )
    socketio_upgrade_timeout: float = setting(10 * SECOND, duration, "for Socket.IO to go from polling to WebSocket")

    command_rate: int = setting(50, count, "commands a second per connection; 0 is no limit")
    command_burst: int = setting(100, count, "commands at once per connection")
    user_command_rate: int = setting(200, count, "commands a second per user, over all connections; 0 is no limit")
    publish_rate: int = setting(1_000, count, "publishes over HTTP a second per key; 0 is no limit")
    anonymous_rate: int = setting(60, count, "anonymous views and reactions a minute per address; 0 is no limit")
    login_rate: int = setting(20, count, "failed logins a minute per address; 0 is no limit")

    blog_milestones: tuple[int, ...] = setting(
        (10, 100, 1_000, 10_000, 100_000, 1_000_000), counts, "view counts that reach an article's author"
    )
    presence_grace: float = setting(15 * SECOND, duration, "how long a member with a dropped link stays present")
    presence_data: int = setting(4 * KIB, size, "largest data of a member")
    presence_save: float = setting(
        5 * SECOND, duration, "between two writes of last-seen times; a killed process loses as much"
    )
    max_members: int = setting(10_000, count, "most members of a channel")
    max_away: int = setting(
        100_000, count, "most members in their grace period, and most last-seen times that wait to be written"
    )
    conversation_members: int = setting(10_000, count, "most members of a conversation")
    job_bytes: int = setting(64 * KIB, size, "largest result of a job, and its error")
    job_age: float = setting(30 * DAY, duration, "how long a job is kept after its last change, over or not")
    job_count: int = setting(100_000, count, "how many jobs that are over are kept; the one that ended first goes")
    inbox_size: int = setting(
        1_000, count, "notifications that a user's inbox keeps; the oldest that is read goes, or else the oldest"
    )
    inbox_age: float = setting(90 * DAY, duration, "how long notifications are kept, read or not")
    notification_bytes: int = setting(8 * KIB, size, "largest title, message and action URL of a notification")
    max_streams: int = setting(1_000, count, "most streams of one owner")
    stream_age: float = setting(365 * DAY, duration, "the longest that an owner may have a stream's messages kept")
    stream_count: int = setting(10_000_000, count, "the most messages that an owner may have a stream's channel keep")
    stream_bytes: int = setting(4096 * MIB, size, "the most bytes that an owner may have a stream's channel keep")
    sweep_interval: float = setting(10 * SECOND, duration, "between two passes that delete what retention lets go")
    spill_limit: int = setting(
        256 * MIB, size, "bytes a channel may hold past its retention for connected slow readers"
    )
    queue_events: int = setting(20_000, count, "events that may wait to be committed")
    queue_bytes: int = setting(128 * MIB, size, "bytes that may wait to be committed")

    webhook_private: bool = setting(
        False, boolean, "let webhooks reach private and loopback addresses, by http and on any port (--dev lets them)"
    )
    webhook_ports: tuple[int, ...] = setting((443, 8443), counts, "ports that webhooks may reach")
    webhook_timeout: float = setting(15 * SECOND, duration, "for one delivery to a webhook, its answer included")
    webhook_reply: int = setting(64 * KIB, size, "how much of a webhook's answer is read")
    webhook_retries: tuple[float, ...] = setting(
        (5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY),
        durations,
        "waits between the attempts at one delivery, each a fifth shorter or longer at random; the last repeats",
    )
    webhook_rate: int = setting(
        300, count, "attempts a second over all webhooks, so that the rest is for publishers; 0 is no limit"
    )
    webhook_disable_after: float = setting(5 * DAY, duration, "how long a webhook may fail before it is disabled")
    webhook_queue_events: int = setting(
        10_000, count, "events of channels without history that may wait for one webhook"
    )
    webhook_queue_bytes: int = setting(16 * MIB, size, "bytes of such events that may wait for one webhook")
    webhook_log: int = setting(1_000, count, "attempts that are remembered of each webhook")
    webhook_rotation: float = setting(DAY, duration, "how long a webhook's old secret signs beside the new one")
    max_webhooks: int = setting(100, count, "most webhooks")

    console_events: int = setting(200, count, "most events a second that the console is shown; others are counted")

    graphql_introspection: bool = setting(True, boolean, "let clients ask for the GraphQL schema")
    graphql_query: int = setting(64 * KIB, size, "largest GraphQL document, and largest variables of a subscription")
    graphql_tokens: int = setting(1_000, count, "most words, signs and comments in a GraphQL document")
    graphql_depth: int = setting(20, count, "how many fields may stand within one another in a GraphQL document")
    graphql_fields: int = setting(
        1_000, count, "most fields of a GraphQL document, with those of its fragments wherever they are spread"
    )
    graphql_aliases: int = setting(30, count, "most aliases in a GraphQL document, counted in the same way")
    graphql_root_fields: int = setting(10, count, "most root fields of a GraphQL operation")
    graphql_complexity: int = setting(
        5_000, count, "most fields of a GraphQL result: a list counts as often as its argument first says"
    )
    graphql_variables: int = setting(50, count, "most variables of a GraphQL operation")
    graphql_held: int = setting(
        8 * MIB, size, "most memory, about, that the GraphQL subscriptions of a connection take by their documents"
    )
    graphql_init_timeout: float = setting(
        3 * SECOND, duration, "how long a GraphQL client may take to say who it is, once it is connected"
    )

    record_bytes: int = setting(MIB, size, "largest data of a record")
    record_versions: int = setting(20, count, "versions of a record that are kept; the published one is, besides")
    record_page_bytes: int = setting(MIB, size, "bytes of data after which a page of records ends")
    record_conditions: int = setting(16, count, "most conditions in a filter of records")
    record_scan: int = setting(
        10_000, count, "most records that are looked through for a filter or an order that no index of the model serves"
    )
    record_query_time: float = setting(0.25 * SECOND, duration, "the longest that looking through records may take")
    max_models: int = setting(1_000, count, "most models")
    model_indexes: int = setting(8, count, "most indexes of a model")
    model_schema: int = setting(64 * KIB, size, "largest JSON Schema of a model")
    model_schema_steps: int = setting(
        10_000, count, "most steps (keywords of the schema, each time one is applied) to check a record"
    )

    collab_message: int = setting(MIB, size, "largest message of a Yjs client, and so its largest edit")
    collab_document: int = setting(16 * MIB, size, "largest document; edits of a larger one are refused")
    collab_log: int = setting(MIB, size, "bytes of edits that a document gathers, at least, before they are squashed")
    collab_waiting: int = setting(
        MIB, size, "most bytes of edits of a document that came before what they build on, and wait for it"
    )
    collab_rooms: int = setting(1_000, count, "most documents in memory")
    collab_connections: int = setting(200, count, "most connections to one document")
    collab_idle: float = setting(30 * SECOND, duration, "how long a document that nobody has open stays in memory")
    collab_turn: float = setting(
        0.04 * SECOND, duration, "longest pause between many deliveries to a document's readers (2 ms for each)"
    )
    collab_saved: float = setting(2 * SECOND, duration, "how long after an edit document.saved is published, at most")
    collab_awareness: int = setting(16 * KIB, size, "largest awareness state of a Yjs client")
    collab_awareness_clients: int = setting(16, count, "most Yjs client ids of one connection")
    collab_snapshots: int = setting(100, count, "most snapshots of a document")
    collab_work: float = setting(
        30 * SECOND, duration, "the longest to restore a snapshot, or to read or change a large document over HTTP"
    )
    collab_snapshot_bytes: int = setting(64 * MIB, size, "most bytes of all snapshots of a document")

    faults: bool = setting(False, boolean, "let faults be set, to see how clients bear them (--dev lets them)")
    fault_time: float = setting(5 * MINUTE, duration, "how long a fault lasts that does not say")
    fault_max_time: float = setting(HOUR, duration, "the longest that a fault may last")
    max_faults: int = setting(100, count, "most faults at one time")

    conformance_echo: bool = setting(False, boolean, "serve /conformance/echo, for WebSocket test suites", hidden=True)

    channels: Mapping[str, KindSettings] = attrs.field(factory=dict, metadata={"help": "per kind of channel"})

    def for_kind(self, kind: str) -> KindSettings:
        """What holds for channels of this kind."""
        return self.channels.get(kind) or BUILT_IN_KINDS.get(kind) or DEFAULT_KIND

    @property
    def loopback(self) -> bool:
        return bool(self.uds) or self.host in {"127.0.0.1", "::1", "localhost"}


def declared(cls: type = Settings) -> list[Declared]:
    """Every setting that is one value, in order; ``channels`` is a table of its own."""
    return [
        Declared(field.name, field.default, **field.metadata)
        for field in attrs.fields(cls)
        if "convert" in field.metadata
    ]


def control_path(data: str) -> str:
    """Where the server of this database listens for ``rtlite keys`` and ``rtlite backup``."""
    return f"{data}.sock"
