"""Lets a client that makes one connection per request live on one connection to the gateway.

Usage: one_connection.py GATEWAY_PORT
Prints the port it listens on. Each connection it accepts, one after the other, is joined byte by byte to the one it has
to the gateway; the gateway's first message (its CSM) is said again to each newcomer, who waits for it.
"""

import asyncio
import sys


async def main(gateway_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway_port)
    head = await reader.readexactly(1)
    length, token = head[0] >> 4, head[0] & 15
    assert length < 13, "the first message is a short CSM"
    greeting = head + await reader.readexactly(1 + token + length)
    turn = asyncio.Lock()
    current: asyncio.StreamWriter | None = None

    async def downwards() -> None:
        while data := await reader.read(65536):
            if current is not None:
                current.write(data)

    async def accepted(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        nonlocal current
        async with turn:
            answers.write(greeting)
            current = answers
            while data := await client.read(65536):
                writer.write(data)
            current = None
            answers.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await downwards()


asyncio.run(main(int(sys.argv[1])))
