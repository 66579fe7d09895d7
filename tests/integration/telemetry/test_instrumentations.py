"""OpenTelemetry's own instrumentations, with our provider where the SDK's would be.

They read a live span's properties, which the API's ``Span`` does not have.
"""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import RecordedSpan, RecorderProvider, SpanLimits
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.sampling import AlwaysOn, ParentBased

TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


class Spans(list[RecordedSpan]):
    put = list.append

    @property
    def only(self) -> RecordedSpan:
        (span,) = self
        return span

    def named(self, name):
        return next(span for span in self if span.name == name)


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    assert spans
    assert SpanEncoder({}).encode(spans).skipped_spans == 0


@pytest.fixture
def provider(spans) -> RecorderProvider:
    return RecorderProvider(
        resource={"service.name": "t"},
        sampler=ParentBased(AlwaysOn()),
        sink=spans,
        ledger=SpanLedger(),
        limits=SpanLimits(),
    )


def test_flask(spans, provider):
    from flask import Flask
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    app = Flask("shop")

    @app.route("/items/<int:number>")
    def item(number):
        return f"item {number}", 200, {"X-Found": "yes"}

    @app.route("/broken")
    def broken():
        raise ValueError("broken")

    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)
    try:
        client = app.test_client()
        assert client.get("/items/7", headers={"traceparent": TRACEPARENT}).data
        assert client.get("/broken").status_code == 500
    finally:
        FlaskInstrumentor().uninstrument_app(app)

    found, broken_span = spans
    assert found.name == "GET /items/<int:number>"
    assert found.kind is SpanKind.SERVER
    assert found.attributes["http.status_code"] == 200
    assert found.parent.is_remote
    assert found.context.trace_id == int(TRACEPARENT[3:35], 16)
    assert broken_span.status.status_code is StatusCode.ERROR


def test_django(spans, provider):
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.test.client import Client
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    def item(request, number):
        return HttpResponse(f"item {number}")

    def broken(request):
        raise ValueError("broken")

    class Urls:
        urlpatterns = (path("items/<int:number>", item), path("broken", broken))

    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[], DATABASES={}
        )
        django.setup()
    instrumentor = DjangoInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        client = Client(raise_request_exception=False)
        assert client.get("/items/7").content == b"item 7"
        assert client.get("/broken").status_code == 500
    finally:
        instrumentor.uninstrument()

    found, broken_span = spans
    assert found.name == "GET items/<int:number>"
    assert found.kind is SpanKind.SERVER
    assert found.attributes["http.status_code"] == 200
    assert broken_span.status.status_code is StatusCode.ERROR
    assert [event.name for event in broken_span.events] == ["exception"]


def test_asgi(spans, provider):
    import asyncio

    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive():
        return {"type": "http.request", "body": b""}

    sent = []

    async def send(message):
        sent.append(message["type"])

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/items",
        "raw_path": b"/items",
        "query_string": b"",
        "headers": [(b"traceparent", TRACEPARENT.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    middleware = OpenTelemetryMiddleware(app, tracer_provider=provider)
    asyncio.run(middleware(scope, receive, send))

    assert sent == ["http.response.start", "http.response.body"]
    server = spans.named("GET /items")
    assert server.kind is SpanKind.SERVER
    assert server.attributes["http.status_code"] == 204
    assert server.parent.span_id == int(TRACEPARENT[36:52], 16)
    inner = [span for span in spans if span is not server]
    assert {span.kind for span in inner} == {SpanKind.INTERNAL}
    assert all(span.parent == server.context for span in inner)


@contextmanager
def redis_server() -> Iterator[int]:
    """Answer every command with OK, on loopback."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self):
            while (head := self.rfile.readline()).startswith(b"*"):
                for _ in range(2 * int(head[1:])):
                    self.rfile.readline()
                self.wfile.write(b"+OK\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_redis(spans, provider):
    import redis
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    instrumentor = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with redis_server() as port:
            with redis.Redis("127.0.0.1", port, protocol=2) as client:
                assert client.set("key", "value")
                client.pipeline(transaction=False).set("a", 1).set("b", 2).execute()
    finally:
        instrumentor.uninstrument()

    first, pipeline = spans[0], spans[-1]
    assert first.kind is pipeline.kind is SpanKind.CLIENT
    assert first.name == "SET"
    assert first.attributes["db.system"] == "redis"
    assert pipeline.attributes["db.redis.pipeline_length"] == 2


def test_botocore(spans, provider):
    import botocore.session
    from botocore.awsrequest import AWSResponse
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

    sent = []

    def answer(request, **kwargs):
        sent.append(request)
        return AWSResponse(request.url, 200, {"x-amzn-requestid": "r1"}, Raw())

    class Raw:
        def stream(self, **kwargs):
            yield b"<ListBucketsResult></ListBucketsResult>"

    instrumentor = BotocoreInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        session = botocore.session.Session()
        client = session.create_client(
            "s3",
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        # Instead of the transport: nothing leaves this process.
        client.meta.events.register("before-send.s3", answer)
        client.list_buckets()
    finally:
        instrumentor.uninstrument()

    assert len(sent) == 1
    span = spans.only
    assert span.name == "S3.ListBuckets"
    assert span.kind is SpanKind.CLIENT
    assert span.attributes["rpc.method"] == "ListBuckets"
    assert span.attributes["http.status_code"] == 200
