import CBOR
import CoAP
import CoAPTransport
import NIOCore
import NIOSSL

/// Ideas 88–93: WebSocket, TLS, and what a device thinks of its cloud.
let doorCases: [ConformanceCase] = [
    ConformanceCase(
        88, .doors, "RFC 8323 §4.1",
        "when an upgrade at /.well-known/coap offers coap, then 101 with coap; without it 400; at another path 404",
        needs: [.webSocket]
    ) { context in
        let address = context.address
        func upgrade(_ path: String, _ subprotocol: String?) async throws -> String {
            let tls = address.scheme.isSecure ? try context.plan.tlsContext() : nil
            let stream = try await context.stream(to: address, tls: tls)
            let text = CaseContext.upgradeRequest(address, path: path, subprotocol: subprotocol)
            context.transcript.note("peer", .sent, text.utf8, "GET \(path), subprotocol \(subprotocol ?? "none")")
            await stream.send(ByteBuffer(string: text))
            var head = ""
            while !head.contains("\r\n\r\n"), let bytes = try await stream.next(within: context.clock.wait()) {
                context.transcript.note("peer", .received, bytes.readableBytesView, "HTTP")
                head += String(buffer: bytes)
            }
            await stream.close()
            return head
        }
        let good = try await upgrade("/.well-known/coap", "coap")
        let lines = good.lowercased().split(separator: "\r\n").map { $0.filter { $0 != " " } }
        try context.expect(
            good.hasPrefix("HTTP/1.1 101") && lines.contains("sec-websocket-protocol:coap")
                && good.contains(WebSocketFraming.accept),
            "101 with Sec-WebSocket-Protocol: coap and the right Sec-WebSocket-Accept", sanitized(good, limit: 400))
        for (path, subprotocol, status) in [("/.well-known/coap", nil, 400), ("/elsewhere", "coap", 404)] {
            let answer = try await upgrade(path, subprotocol)
            try context.expect(
                answer.hasPrefix("HTTP/1.1 \(status)"), "\(status) at \(path) with \(subprotocol ?? "no") subprotocol",
                sanitized(answer, limit: 200))
        }
    },
    ConformanceCase(
        89, .doors, "RFC 8323 §4.2",
        "when a message has a Len other than 0, then the end; in two fragments, then it is one; as a text, close 1003",
        needs: [.webSocket]
    ) { context in
        let fragmented = try await context.connect("fragments")
        let token = Token.fresh()
        let ping = WebSocketFraming.lengthless(Message(code: .ping, token: token))
        let frames = [
            WebSocketFraming.frame(.binary, isFinal: false, ping.prefix(4)),
            WebSocketFraming.frame(.continuation, ping.dropFirst(4)),
        ]
        for frame in frames {
            await fragmented.send(bytes: Array(frame.readableBytesView), meaning: "a fragment of a Ping")
        }
        let pong = try await fragmented.receive("the Pong to a Ping in two fragments")
        try context.expect(pong.code == .pong && pong.token == token, "the Pong", summary(of: pong))
        let long = try await context.connect("length")
        let withLength = WebSocketFraming.frame(.binary, [0x10, Code.get.rawValue, 0x60])
        await long.send(bytes: Array(withLength.readableBytesView), meaning: "a message with Len 1")
        try await long.end("Len must be 0")
        let text = try await context.connect("text")
        let frame = WebSocketFraming.frame(.text, Array("hello".utf8))
        await text.send(bytes: Array(frame.readableBytesView), meaning: "a text frame")
        try await text.end("text is not taken")
        let status = await text.closeStatus
        try context.expect(status == 1003, "close status 1003", status.map { "\($0)" } ?? "none")
    },
    ConformanceCase(
        90, .doors, "RFC 7301 §3.2",
        "when a device speaks TLS 1.2 with one suite and no ALPN, then it is served; with ALPN h2 alone, refused",
        needs: [.tls]
    ) { context in
        let modest = try context.plan.trust.context { configuration in
            configuration.maximumTLSVersion = .tlsv12
            configuration.cipherSuiteValues = [.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
            configuration.applicationProtocols = []
        }
        let stream = try await context.stream(to: context.address, tls: modest)
        let peer = WirePeer(
            name: "modest", stream: stream, isWebSocket: false, clock: context.clock, transcript: context.transcript)
        await peer.send(Message(code: .ping, token: .fresh()))
        let pong = try await peer.receive("a Pong over TLS 1.2 with ECDHE_ECDSA_AES_128_GCM_SHA256 and no ALPN")
        try context.expect(pong.code == .pong, "a Pong", summary(of: pong))
        await peer.close()
        let foreign = try context.plan.trust.context { $0.applicationProtocols = ["h2"] }
        let other = try await context.stream(to: context.address, tls: foreign)
        await other.send(ByteBuffer(bytes: Message(code: .ping, token: .fresh()).frame))
        var received = ByteBuffer()
        do {
            while var bytes = try await other.next(within: context.clock.wait()) { received.writeBuffer(&bytes) }
        } catch StreamError.failed {
            // The alert that is meant to come.
        } catch StreamError.timedOut {
            throw CaseFailure(expected: "the end of a connection with ALPN h2 alone", got: "a connection that stays")
        }
        await other.close()
        try context.expect(
            received.readableBytes == 0, "nothing over a connection with ALPN h2 alone",
            "\(received.readableBytes) bytes")
    },
    ConformanceCase(
        91, .doors, "RFC 8323 §5.3",
        "given a device that reads TLS six bytes first and sends no CSM, when it goes from sign-up to publish, then it "
            + "gets all it needs", needs: [.tls]
    ) { context in
        // A certificate would speak for one device, and this one is new.
        let peer = try await context.connect("device", trust: context.plan.trust.withoutClientCertificate)
        let first = try await peer.receiveOrEnd("the cloud's CSM")
        guard let first, first.code == .capabilitiesAndSettings else {
            throw CaseFailure(expected: "the cloud's CSM", got: first.map(summary) ?? "the end of the connection")
        }
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let signUp = try await peer.ask(.signUp(di: di, code: code))
        let login = try context.login(signUp, di: di)
        let signIn = try await peer.ask(.signIn(login))
        try context.expect(signIn, .changed, to: "a sign-in")
        let published = try await peer.ask(.publish(di: di, [link("/light")]))
        try context.expect(published, .changed, to: "a publication")
        // Shorter ones never get out of that reader, and neither does what follows them.
        for message in [first, signUp, signIn, published] {
            try context.expect(
                message.frameLength > 6, "messages of more than six bytes", summary(of: message))
        }
    },
    ConformanceCase(
        92, .doors, "OCF Security, certificates",
        "given a certificate whose common name is not uuid:{sid}, when the cloud starts, then it says so",
        inside: "the cloud would have to be started with such a certificate"),
    ConformanceCase(
        93, .doors, "RFC 8075 §7",
        "when a device answers 4.01 without content, then a CoAP client gets 4.01, and an HTTP client 403"
    ) { context in
        let (device, client) = try await context.pair()
        let asked = await client.peer.start(.resource(.get, device.di, "light"))
        let request = try await device.peer.request(about: "light")
        await device.peer.answer(request, Response(.unauthorized))
        let answer = try await client.peer.response(to: asked, "GET /{di}/light")
        try context.expect(
            answer.code == .unauthorized && answer.payload == nil, "4.01 without content", summary(of: answer))
        try await client.peer.silence("the client keeps its connection")
        guard context.plan.http != nil, let token = try? context.userToken() else { return }
        let (_, over) = try await exchange(context, device, "GET", token: token) { _ in Response(.unauthorized) }
        try context.expect(over.status == 403, "403 over HTTP", "\(over.status) \(over.text)")
    },
]
