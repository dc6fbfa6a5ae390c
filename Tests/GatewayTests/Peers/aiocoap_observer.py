"""An OCF client on aiocoap that signs up and in, and observes another device's resource.

Usage: aiocoap_observer.py SCHEME://HOST:PORT DI ONE_TIME_CODE OTHER_DEVICE COUNT [CA]
Prints each representation it is told on a line of its own. After COUNT of them it cancels, which aiocoap keeps to
itself over reliable transports, prints `cancelled`, and leaves when its standard input is closed. Any answer that is not a success ends
it with status 1.
"""

import asyncio
import json
import ssl
import sys

from aiocoap import Context, Message
from aiocoap.numbers.codes import GET, POST

JSON = 50


async def main(base: str, di: str, code: str, other: str, count: str, authority: str = "") -> None:
    context = await Context.create_client_context(transports=["tcpclient", "tlsclient", "ws"])
    if authority:
        tls = ssl.create_default_context(cafile=authority)
        context.client_credentials.ssl_client_context = lambda scheme, _: tls if scheme.startswith("coaps") else None

    async def post(path: str, body) -> object:
        request = Message(
            code=POST, uri=base + path, accept=JSON, content_format=JSON, payload=json.dumps(body).encode()
        )
        answer = await asyncio.wait_for(context.request(request).response, 30)
        if not answer.code.is_successful():
            sys.exit(f"{path}: {answer.code} {answer.payload!r}")
        return json.loads(answer.payload)

    account = await post("/oic/sec/account", {"di": di, "accesstoken": code})
    login = {"di": di, "uid": account["uid"], "accesstoken": account["accesstoken"], "login": True}
    await post("/oic/sec/session", login)

    running = context.request(Message(code=GET, uri=f"{base}/{other}/light", observe=0))
    first = await asyncio.wait_for(running.response, 30)
    if first.opt.observe is None:
        sys.exit(f"not observed: {first.code} {first.payload!r}")
    print(first.payload.decode(), flush=True)
    told = 1
    async for notification in running.observation:
        print(notification.payload.decode(), flush=True)
        told += 1
        if told == int(count):
            break
    running.observation.cancel()
    print("cancelled", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await context.shutdown()


asyncio.run(main(*sys.argv[1:]))
