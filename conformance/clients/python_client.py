"""python_client.py TEST URL

Uses the official Python client on the stream at URL, which does not exist yet.
"""

import asyncio
import sys
import threading
import time

from durable_streams import (
    DurableStream,
    SeqConflictError,
    StreamExistsError,
    StreamNotFoundError,
    astream,
    stream,
)

JSON = "application/json"
VALUES = ["text\n\u00e4\u20ac", 42, 1.5, True, None, {"a": [1, {"b": []}]}, [1, [2]], [[]], {}]


def equal(have, want):
    assert have == want, f"\nhave {have!r}\nwant {want!r}"


def refused(error, attempt):
    try:
        attempt()
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def catch_up(url, offset=None):
    return stream(url, offset=offset, live=False)


def text(url):
    handle = DurableStream.create(url, content_type="text/plain", ttl_seconds=3600)
    DurableStream.create(url, content_type="text/plain", ttl_seconds=3600)
    refused(StreamExistsError, lambda: DurableStream.create(url, content_type=JSON))
    middle = handle.append("one \u20ac ", seq="a").next_offset
    refused(SeqConflictError, lambda: handle.append("lost", seq="a"))
    end = handle.append(" two", seq="b").next_offset
    assert "-1" < middle < end, (middle, end)
    head = handle.head()
    equal((head.content_type, head.offset), ("text/plain", end))
    with catch_up(url) as response:
        equal(response.read_text(), "one \u20ac  two")
        equal((response.offset, response.up_to_date), (end, True))
    with catch_up(url, middle) as response:
        equal(response.read_text(), " two")
    handle.delete()
    refused(StreamNotFoundError, handle.head)
    refused(StreamNotFoundError, lambda: catch_up(url))


def binary(url):
    sent = bytes(range(256)) * 1000
    handle = DurableStream.create(url, content_type="application/octet-stream", body=sent)
    handle.append(sent)
    with catch_up(url) as response:
        equal(response.read_bytes(), sent + sent)


def json_values(url):
    handle = DurableStream.create(url, content_type=JSON)
    for value in VALUES:
        handle.append(value)
    # The client sends in one request what threads append at the same time.
    threads = [threading.Thread(target=handle.append, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catch_up(url) as response:
        items = response.read_json()
    equal(items[: len(VALUES)], VALUES)
    equal(sorted(items[len(VALUES) :]), list(range(20)))


COUNT = 100


def produce(url):
    """Appends numbers while somebody reads."""

    def run():
        with DurableStream(url, content_type=JSON) as handle:
            for n in range(COUNT):
                handle.append(n)
                time.sleep(0.005)

    DurableStream.create(url, content_type=JSON).close()
    producer = threading.Thread(target=run)
    producer.start()
    return producer


def follow(live):
    def test(url):
        producer = produce(url)
        items = []
        with stream(url, offset="-1", live=live, timeout=30) as response:
            for item in response.iter_json():
                items.append(item)
                if len(items) == COUNT:
                    break
        producer.join()
        equal(items, list(range(COUNT)))

    return test


def follow_async(url):
    async def read(live):
        items = []
        async with astream(url, offset="-1", live=live, timeout=30) as response:
            async for item in response.iter_json():
                items.append(item)
                if len(items) == COUNT:
                    return items

    async def read_all():
        return await asyncio.gather(*(read(live) for live in ("long-poll", "sse", "auto")))

    producer = produce(url)
    for items in asyncio.run(read_all()):
        equal(items, list(range(COUNT)))
    producer.join()


def resume(url):
    """Goes on from a checkpoint with another way of reading, again and again."""
    producer = produce(url)
    items, offset, ways = [], "-1", ["sse", "long-poll", "auto"]
    while len(items) < COUNT:
        ways.append(ways.pop(0))
        with stream(url, offset=offset, live=ways[0], timeout=30) as response:
            for count, event in enumerate(response.iter_events(mode="json_batches")):
                items += event.data
                offset = event.next_offset
                if count == 5 or len(items) >= COUNT:
                    break
    producer.join()
    equal(items, list(range(COUNT)))


TESTS = {
    "text": text,
    "binary": binary,
    "json": json_values,
    "long-poll": follow("long-poll"),
    "sse": follow("sse"),
    "auto": follow("auto"),
    "async": follow_async,
    "resume": resume,
}

if __name__ == "__main__":
    TESTS[sys.argv[1]](sys.argv[2])
