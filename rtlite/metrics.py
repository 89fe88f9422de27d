"""Every metric, declared once. ``/metrics`` prints them in Prometheus' text format.

Counters are raised per batch, not per subscriber: one locked addition costs about as
much as delivering a message.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one server. Each has its own registry, so that a process can hold two servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.connections = Gauge("rtlite_connections", "Open connections", ["protocol"], registry=r)
        self.connected = Counter("rtlite_connected", "Connections opened", ["protocol"], registry=r)
        self.closed = Counter("rtlite_closed", "Connections closed, by reason", ["reason"], registry=r)
        self.requests = Counter("rtlite_http_requests", "HTTP requests answered", ["lane", "status"], registry=r)
        self.published = Counter("rtlite_events_published", "Events committed", registry=r)
        self.duplicates = Counter("rtlite_events_duplicate", "Publishes of an id that was there already", registry=r)
        self.delivered = Counter("rtlite_events_delivered", "Events handed to a connection", registry=r)
        self.spilled = Counter("rtlite_readers_spilled", "Slow readers switched to reading history", registry=r)
        self.dropped = Counter("rtlite_readers_dropped", "Slow readers closed", registry=r)
        self.queued = Gauge("rtlite_queue_events", "Events waiting to be committed", registry=r)
        self.commit_seconds = Histogram(
            "rtlite_commit_seconds", "Time of one transaction", buckets=_SECONDS, registry=r
        )
        self.commit_events = Histogram(
            "rtlite_commit_events", "Events per transaction", buckets=(1, 4, 16, 64, 256, 1024), registry=r
        )
        self.fanout_seconds = Histogram(
            "rtlite_fanout_seconds", "Time to fan out one batch", buckets=_SECONDS, registry=r
        )
        self.replay_seconds = Histogram(
            "rtlite_replay_seconds", "Time of one replay until live", buckets=_SECONDS, registry=r
        )
        self.replayed = Counter("rtlite_events_replayed", "Events sent from history", registry=r)
        self.swept = Counter("rtlite_events_swept", "Events deleted by retention", registry=r)
        self.members = Gauge("rtlite_members", "Members present, over all channels", registry=r)
        self.presence = Counter("rtlite_presence_changes", "Joins, updates and leaves told to watchers", registry=r)
        self.webhooks = Gauge("rtlite_webhooks", "Webhooks, by state", ["state"], registry=r)
        self.webhook_attempts = Counter(
            "rtlite_webhook_attempts", "Attempts to deliver to a webhook", ["outcome"], registry=r
        )
        self.webhook_seconds = Histogram(
            "rtlite_webhook_seconds", "Time of one attempt at a delivery", buckets=(*_SECONDS, 30.0), registry=r
        )
        self.webhook_lost = Counter("rtlite_webhook_events_lost", "Events gone before a webhook took them", registry=r)
        self.rooms = Gauge("rtlite_rooms", "Documents in memory", registry=r)
        self.edits = Counter("rtlite_document_edits", "Edits of documents committed", registry=r)
        self.operations = Counter(
            "rtlite_graphql_operations", "GraphQL queries and mutations executed", ["kind", "outcome"], registry=r
        )
        self.logins_failed = Counter("rtlite_logins_failed", "Credentials refused", registry=r)
        self.storage_errors = Counter("rtlite_storage_errors", "Transactions that failed", ["code"], registry=r)
        self.faults = Counter("rtlite_faults", "Unexpected errors, each of which ended one connection", registry=r)
        self.faults_set = Gauge("rtlite_faults_set", "Faults that are set on purpose", registry=r)
        self.faults_injected = Counter(
            "rtlite_faults_injected", "Times that a fault set on purpose struck", ["kind"], registry=r
        )

    def render(self) -> bytes:
        """The whole registry as Prometheus text."""
        return generate_latest(self.registry)


def value(metric: Counter | Gauge) -> float:
    """What a metric without labels says."""
    return next(iter(metric.collect())).samples[0].value


def by_label(metric: Gauge) -> dict[str, float]:
    """What a metric with one label says of each."""
    return {next(iter(sample.labels.values())): sample.value for sample in next(iter(metric.collect())).samples}
