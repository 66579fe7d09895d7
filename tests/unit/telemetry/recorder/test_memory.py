import gc
import tracemalloc

SPANS = 2048


def test_a_span_waiting_in_the_queue_takes_at_most_800_bytes(recording):
    tracer, spans = recording.tracer, recording.spans

    def record(number):
        with tracer.start_as_current_span("op") as span:
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("url.path", f"/api/v1/items/{number}")
            span.set_attribute("http.response.status_code", 200 + number % 7)
            span.set_attribute("peer.latency", number * 0.001)
            span.set_attribute("cache.hit", True)

    record(0)
    spans.clear()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(SPANS):
            record(number)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert len(spans) == SPANS
    assert held / SPANS <= 800
