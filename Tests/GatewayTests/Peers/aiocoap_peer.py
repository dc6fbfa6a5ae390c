"""An OCF device and client on aiocoap: signs up and in, publishes, discovers, and reads another device's resource.

Usage: aiocoap_peer.py SCHEME://HOST:PORT DI ONE_TIME_CODE OTHER_DEVICE [CA [CERTIFICATE KEY]]
Everything is JSON (Content-Format 50), so that the gateway's negotiation is exercised as well. Prints one JSON object with
what came back; any answer that is not a success ends it with status 1.
"""

import asyncio
import json
import ssl
import sys

from aiocoap import Context, Message
from aiocoap.numbers.codes import GET, POST

JSON = 50


async def main(base: str, di: str, code: str, other: str, authority: str = "", *own: str) -> None:
    context = await Context.create_client_context(transports=["tcpclient", "tlsclient", "ws"])
    if authority:
        tls = ssl.create_default_context(cafile=authority)
        if own:
            tls.load_cert_chain(*own)
        # Its own table of credentials has no place for a certificate of the client.
        context.client_credentials.ssl_client_context = lambda scheme, _: tls if scheme.startswith("coaps") else None

    async def ask(method, path: str, body=None) -> object:
        request = Message(code=method, uri=base + path, accept=JSON)
        if body is not None:
            request.payload = json.dumps(body).encode()
            request.opt.content_format = JSON
        answer = await asyncio.wait_for(context.request(request).response, 30)
        if not answer.code.is_successful():
            sys.exit(f"{path}: {answer.code} {answer.payload!r}")
        return json.loads(answer.payload) if answer.payload else None

    account = await ask(POST, "/oic/sec/account", {"di": di, "accesstoken": code})
    session = await ask(
        POST,
        "/oic/sec/session",
        {"di": di, "uid": account["uid"], "accesstoken": account["accesstoken"], "login": True},
    )
    link = {"href": "/clock", "rt": ["x.example.clock"], "if": ["oic.if.baseline"], "p": {"bm": 1}}
    published = await ask(POST, "/oic/rd", {"di": di, "links": [link], "ttl": 0})
    found = await ask(GET, "/oic/res")
    read = await ask(GET, f"/{other}/light")
    print(json.dumps({"session": session, "published": published, "found": found, "read": read}))
    await context.shutdown()


asyncio.run(main(*sys.argv[1:]))
