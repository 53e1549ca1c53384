"""The program of clients that send requests to a service, each after the answer to the last.

Arguments: port, requests, clients. It prints the requests a second.
"""

import asyncio
import sys
from collections.abc import Iterator
from time import perf_counter

WARM_UP = 500


async def ask(port: int, numbers: Iterator[int]) -> None:
    """Send requests over one connection, and check their answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        body = b'{"number":%d}' % number
        writer.write(
            b"POST /answers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        answer = await reader.readexactly(length)
        if answer != body:
            raise ValueError(f"{body!r} was answered with {head!r} and {answer!r}")
    writer.close()


async def ask_all(port: int, requests: int, clients: int) -> float:
    """Send so many requests, and return the seconds that it took."""
    numbers = iter(range(requests))
    begin = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask(port, numbers))
    return perf_counter() - begin


async def main(port: int, requests: int, clients: int) -> None:
    await ask_all(port, WARM_UP, clients)
    print(requests / await ask_all(port, requests, clients))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
