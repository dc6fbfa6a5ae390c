"""A device that behaves on the wire as the reference stack of OCF does, whims included.

Usage: reference_stack.py PORT DI ONE_TIME_CODE [--tls CA_FILE] [--seconds N]

- It never sends a CSM; its first bytes are the sign-up.
- It reads six bytes first, then as many as they announce. Over TLS a message of six bytes or less would leave it stuck,
  so one that comes ends it with status 3.
- Its CBOR is of indefinite length, its options are 2049 and 2053, its tokens have eight bytes.
- It publishes 150 links in one message of about 14 KB, whatever our CSM says, and takes them back with several DELETEs
  in a row.
- Whenever it connects it refreshes its token before it signs in, and does not publish again.
- After a 4.01 to a sign-in it forgets its access token, refreshes and signs in again.
- On Release it closes at once and reads neither Hold-Off nor Alternative-Address.

Each step prints one line, `name: code`; lines of `served:` tell what it was asked. Ends with status 0 after a
Release, or when its input ends.
"""

import select
import socket
import ssl
import struct
import sys

NAMES = {0x41: "2.01", 0x42: "2.02", 0x43: "2.03", 0x44: "2.04", 0x45: "2.05"}


def text(value):
    data = value.encode()
    if len(data) < 24:
        return bytes([0x60 + len(data)]) + data
    if len(data) < 256:
        return bytes([0x78, len(data)]) + data
    return b"\x79" + struct.pack(">H", len(data)) + data


def cbor(value):
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, int):
        if value < 24:
            return bytes([value])
        return b"\x1a" + struct.pack(">I", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return b"\x9f" + b"".join(map(cbor, value)) + b"\xff"
    return b"\xbf" + b"".join(text(name) + cbor(item) for name, item in value.items()) + b"\xff"


def decoded(data, at=0):
    """One item of definite length, as the cloud writes them: the value and where it ends."""
    kind, size = data[at] >> 5, data[at] & 31
    at += 1
    if size >= 24 and kind != 7:
        width = 1 << (size - 24)
        size = int.from_bytes(data[at : at + width], "big")
        at += width
    if kind == 0:
        return size, at
    if kind == 1:
        return -1 - size, at
    if kind in (2, 3):
        piece = data[at : at + size]
        return (piece.decode() if kind == 3 else piece), at + size
    if kind == 4:
        items = []
        for _ in range(size):
            item, at = decoded(data, at)
            items.append(item)
        return items, at
    if kind == 5:
        pairs = {}
        for _ in range(size):
            name, at = decoded(data, at)
            pairs[name], at = decoded(data, at)
        return pairs, at
    return {20: False, 21: True, 22: None}.get(size), at


def option_bytes(options):
    result, last = b"", 0
    for number, value in sorted(options, key=lambda option: option[0]):
        nibbles, further = [], b""
        for part in (number - last, len(value)):
            if part < 13:
                nibbles.append(part)
            elif part < 269:
                nibbles.append(13)
                further += bytes([part - 13])
            else:
                nibbles.append(14)
                further += struct.pack(">H", part - 269)
        result += bytes([nibbles[0] << 4 | nibbles[1]]) + further + value
        last = number
    return result


def options_of(body):
    at, number, found = 0, 0, []
    while at < len(body) and body[at] != 0xFF:
        delta, length = body[at] >> 4, body[at] & 15
        at += 1
        parts = []
        for nibble in (delta, length):
            if nibble == 13:
                parts.append(body[at] + 13)
                at += 1
            elif nibble == 14:
                parts.append(struct.unpack(">H", body[at : at + 2])[0] + 269)
                at += 2
            else:
                parts.append(nibble)
        number += parts[0]
        found.append((number, body[at : at + parts[1]]))
        at += parts[1]
    return found, body[at + 1 :]


class Device:
    def __init__(self, port, authority):
        self.port, self.authority, self.socket, self.tokens = port, authority, None, 0

    def connect(self):
        if self.socket:
            self.socket.close()
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=40)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.authority:
            context = ssl.create_default_context(cafile=self.authority)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
            plain = context.wrap_socket(plain, server_hostname="localhost")
        self.socket = plain

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read(self):
        """One message: six bytes, then the rest that they announce."""
        head = self.exactly(6)
        size, tokens = head[0] >> 4, head[0] & 15
        further = {13: 1, 14: 2, 15: 4}.get(size, 0)
        extra = head[1 : 1 + further]
        body = {13: 13, 14: 269, 15: 65805}.get(size, size) + int.from_bytes(extra, "big")
        total = 2 + further + tokens + body
        if total <= 6:
            print("stuck: a message of six bytes or less", head.hex(), flush=True)
            sys.exit(3)
        data = head + self.exactly(total - 6)
        code = data[1 + further]
        token = data[2 + further : 2 + further + tokens]
        options, payload = options_of(data[2 + further + tokens :])
        return code, token, options, payload

    def write(self, code, token, options, payload=b""):
        body = option_bytes(options) + (b"\xff" + payload if payload else b"")
        if len(body) < 13:
            head = bytes([len(body) << 4 | len(token)])
        elif len(body) < 269:
            head = bytes([13 << 4 | len(token), len(body) - 13])
        else:
            head = bytes([14 << 4 | len(token)]) + struct.pack(">H", len(body) - 269)
        self.socket.sendall(head + bytes([code]) + token + body)

    def ask(self, name, code, path, payload=None, queries=()):
        self.tokens += 1
        token = struct.pack(">Q", 0x5AFE000000000000 + self.tokens)
        options = [(11, part.encode()) for part in path.strip("/").split("/")]
        options += [(15, query.encode()) for query in queries]
        options += [(17, b"\x27\x10"), (2049, b"\x08\x00")]
        if payload is not None:
            options += [(12, b"\x27\x10"), (2053, b"\x08\x00")]
        self.write(code, token, options, cbor(payload) if payload is not None else b"")
        while True:
            answer = self.read()
            if answer[1] == token and answer[0] >> 5 in (2, 4, 5):
                break
            self.serve(answer)
        code, _, options, body = answer
        print(f"{name}: {code >> 5}.{code & 31:02}", flush=True)
        if code >> 5 == 2 and body and (12, b"\x27\x10") not in options:
            print(f"{name}: the answer has no Content-Format 10000: taken for absent", flush=True)
            body = b""
        return code, (decoded(body)[0] if code >> 5 == 2 and body else None)

    def serve(self, message):
        code, token, options, payload = message
        if code == 0xE4:
            self.socket.close()
            print("released", flush=True)
            sys.exit(0)
        if code == 0xE2:
            self.write(0xE3, token, [])
        if code >> 5 != 0 or code == 0:
            return
        path = "/" + "/".join(value.decode() for number, value in options if number == 11)
        print(f"served: {code} {path}", flush=True)
        if code == 3:
            self.write(0x85, token, [])
        else:
            self.write(0x45, token, [(12, b"\x27\x10"), (2053, b"\x08\x00")], cbor({"state": True, "power": 7}))


def main():
    arguments = sys.argv[1:]
    authority = arguments.pop(arguments.index("--tls") + 1) if "--tls" in arguments else None
    port, di, one_time = int(arguments[0]), arguments[1], arguments[2]
    device = Device(port, authority)

    def login(access):
        return device.ask("session", 2, "/oic/sec/session", {"uid": uid, "di": di, "accesstoken": access, "login": True})

    def refresh():
        code, answer = device.ask(
            "tokenrefresh", 2, "/oic/sec/tokenrefresh",
            {"uid": uid, "di": di, "authprovider": "github", "granttype": "refresh_token", "refreshtoken": pair[1]})
        return (answer["accesstoken"], answer["refreshtoken"]) if code == 0x44 else pair

    device.connect()
    _, answer = device.ask(
        "account", 2, "/oic/sec/account",
        {"di": di, "authprovider": "github", "accesstoken": one_time, "devicetype": "device", "uid": ""})
    uid, pair = answer["uid"], (answer["accesstoken"], answer["refreshtoken"])
    login(pair[0])
    links = [
        {"href": f"/switches/{n}", "rt": ["oic.r.switch.binary"], "if": ["oic.if.a", "oic.if.baseline"],
         "rel": "hosts", "ins": 1231433875 + n, "p": {"bm": 3}}
        for n in range(1, 151)
    ]
    _, answer = device.ask(
        "publish", 2, "/oic/rd", {"di": di, "ttl": 0, "links": links}, queries=["rt=oic.wk.rdpub"])
    numbers = [link["ins"] for link in answer["links"]]
    print("numbers:", len(set(numbers)), flush=True)
    for first in range(0, 100, 25):
        device.ask(
            "unpublish", 4, "/oic/rd", queries=[f"di={di}"] + [f"ins={n}" for n in numbers[first : first + 25]])

    # It comes back, and refreshes first.
    device.connect()
    pair = refresh()
    login(pair[0])

    # A 4.01 to the sign-in: the access token is forgotten, refreshed, tried again.
    device.connect()
    for _ in range(3):
        login("not-a-token-of-anybody")
        pair = refresh()
    login(pair[0])
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([device.socket, sys.stdin], [], [], 40)
        if not ready or sys.stdin in ready and not sys.stdin.readline():
            return
        if device.socket in ready:
            try:
                device.serve(device.read())
            except EOFError:
                return


main()
