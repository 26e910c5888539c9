"""A load on something that answers: how long one call takes, and how many a second there are with some in flight.

Standard library only, since it also runs within the environments of what is compared.
"""

import http.client
import json
import statistics
import threading
import time

# Calls before anything is measured.
WARM = 50


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(connect, calls=400, in_flight=16, seconds=5):
    """`connect()` gives a function that makes one call, for one thread. Seconds: median and p99 one by one; calls a second."""
    call = connect()
    for _ in range(WARM):
        call()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return {
        "p50": statistics.median(taken),
        "p99": percentile(taken, 0.99),
        "rate": rate(connect, in_flight, seconds),
    }


def rate(connect, in_flight, seconds):
    """Calls a second with so many threads that each make one after another."""
    done, failed = [0] * in_flight, []
    begin = threading.Barrier(in_flight + 1)
    until = 0.0

    def work(index):
        try:
            call = connect()
            call()
            begin.wait()
            while time.perf_counter() < until:
                call()
                done[index] += 1
        except BaseException as error:  # noqa: BLE001 - told by whoever waits
            failed.append(error)
            begin.abort()

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(in_flight)]
    for thread in threads:
        thread.start()
    until = time.perf_counter() + 3600
    try:
        begin.wait()
        start = time.perf_counter()
        until = start + seconds
    except threading.BrokenBarrierError:
        raise failed[0] from None
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(done) / (time.perf_counter() - start)


def http_caller(host, port, path, body, headers=()):
    """For `measure`: a connection that is kept, and one POST a call; anything but 200 is an error."""
    payload = json.dumps(body).encode()
    headers = {"content-type": "application/json", **dict(headers)}

    def connect():
        connection = http.client.HTTPConnection(host, port, timeout=60)

        def call():
            connection.request("POST", path, payload, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
            return text

        return call

    return connect
