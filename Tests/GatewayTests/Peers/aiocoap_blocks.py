"""An OCF client on aiocoap that uploads a large body to a device and downloads its large answer, in blocks.

Usage: aiocoap_blocks.py COAP_PORT DI ONE_TIME_CODE OTHER_DEVICE BYTES BLOCK_EXPONENT
The payload is a JSON text of BYTES letters; the answer is asked for in blocks of 2^(4 + BLOCK_EXPONENT) bytes. Prints one
JSON object with the sizes that were sent and received, and how many blocks went and came; any answer that is not a success
ends it with status 1.
"""

import asyncio
import json
import sys

from aiocoap import Context, Message
from aiocoap.numbers.codes import GET, POST

JSON = 50


async def main(port: str, di: str, code: str, other: str, count: str, exponent: str) -> None:
    context = await Context.create_client_context(transports=["tcpclient"])
    base = f"coap+tcp://127.0.0.1:{port}"

    async def ask(method, path: str, body=None, block=None) -> object:
        request = Message(code=method, uri=base + path, accept=JSON)
        if body is not None:
            request.payload = json.dumps(body).encode()
            request.opt.content_format = JSON
        if block is not None:
            request.opt.block2 = (0, 0, block)
        answer = await asyncio.wait_for(context.request(request).response, 60)
        if not answer.code.is_successful():
            sys.exit(f"{path}: {answer.code} {answer.payload!r}")
        return json.loads(answer.payload) if answer.payload else None

    account = await ask(POST, "/oic/sec/account", {"di": di, "accesstoken": code})
    await ask(
        POST,
        "/oic/sec/session",
        {"di": di, "uid": account["uid"], "accesstoken": account["accesstoken"], "login": True},
    )
    posted = await ask(POST, f"/{other}/light", "x" * int(count))
    read = await ask(GET, f"/{other}/light", block=int(exponent))
    found = await ask(GET, "/oic/res", block=int(exponent))
    print(json.dumps({"posted": len(posted), "read": len(read), "found": len(found)}))
    await context.shutdown()


asyncio.run(main(*sys.argv[1:]))
