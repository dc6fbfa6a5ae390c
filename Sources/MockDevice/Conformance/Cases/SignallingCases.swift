import CBOR
import CoAP
import NIOCore

/// Ideas 16–27: what the two ends tell each other about the connection.
let signallingCases: [ConformanceCase] = [
    ConformanceCase(
        16, .signalling, "RFC 8323 §5.3",
        "when the connection is accepted, then the cloud's CSM comes first, before any input, longer than six bytes"
    ) { context in
        let peer = try await context.connect("peer")
        let first = try await peer.receiveOrEnd("the cloud's CSM")
        guard let first, first.code == .capabilitiesAndSettings else {
            throw CaseFailure(expected: "7.01 CSM", got: first.map(summary) ?? "the end of the connection")
        }
        // A widespread TLS reader asks for six bytes first and gets stuck on shorter messages.
        try context.expect(
            first.frameLength > 6, "a CSM of more than six bytes: with a token", "\(first.frameLength) bytes")
    },
    ConformanceCase(
        17, .signalling, "RFC 8323 §5.3",
        "given a peer that never sends a CSM, when it signs up and in, then it is served, as the reference stack must be"
    ) { context in
        let peer = try await context.connect("peer")
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let answer = try await peer.ask(.signUp(di: di, code: code))
        try context.expect(answer, .changed, to: "a sign-up without a CSM")
        let login = try context.login(answer, di: di)
        try context.expect(try await peer.ask(.signIn(login)), .changed, to: "a sign-in without a CSM")
    },
    ConformanceCase(
        18, .signalling, "RFC 8323 §5.2",
        "when a CSM carries unknown option 8, then it is ignored; unknown 9, then 7.05 with Bad-CSM-Option 9"
    ) { context in
        let peer = try await context.connect("peer")
        await peer.send(.csm((8, 1)))
        try await peer.silence("an unknown elective option is ignored")
        await peer.send(.csm((9, 1)))
        let abort = try await peer.abort("an unknown critical option in a CSM")
        try context.expect(
            abort.options.first(OptionNumber(rawValue: 2))?.uint == 9, "Bad-CSM-Option 9", summary(of: abort))
    },
    ConformanceCase(
        19, .signalling, "RFC 8323 §5.3.1",
        "given a peer that takes 1152 bytes, when /oic/res is larger, then no message is longer than that"
    ) { context in
        let device = try await context.session("device")
        try await publishMany(device, context)
        await device.peer.send(.csm((2, 1152)))
        let answer = try await device.peer.ask(.ocf(.get, "oic/res", queries: ["di=\(device.di)"]))
        try context.expect(answer.frameLength <= 1152, "at most 1152 bytes", "\(answer.frameLength) bytes")
        let isBlock = answer.code == .content && answer.options.contains(.block2)
        try context.expect(
            isBlock || answer.code.codeClass == 5 || answer.code == .requestEntityTooLarge,
            "a block, or a small error", summary(of: answer))
        try await device.peer.silence("one answer")
    },
    ConformanceCase(
        20, .signalling, "RFC 8323 §5.3",
        "given Max-Message-Size 4096, when a later CSM says 1152, then the later one rules"
    ) { context in
        let device = try await context.session("device")
        try await publishMany(device, context)
        await device.peer.send(.csm((2, 4096)))
        let request = Request.ocf(.get, "oic/res", queries: ["di=\(device.di)"])
        let whole = try await device.peer.ask(request)
        try context.expect(
            whole.code == .content && (1153...4096).contains(whole.frameLength),
            "2.05 of 1153 to 4096 bytes", "\(whole.frameLength) bytes, \(summary(of: whole))")
        await device.peer.send(.csm((2, 1152)))
        let small = try await device.peer.ask(request)
        try context.expect(small.frameLength <= 1152, "at most 1152 bytes", "\(small.frameLength) bytes")
    },
    ConformanceCase(
        21, .signalling, "RFC 8323 §5.4",
        "when a Ping with a token arrives, then a Pong with that token; an empty one works too"
    ) { context in
        let device = try await context.session("device")
        try await expectPongs(device.peer, context)
    },
    ConformanceCase(
        22, .signalling, "RFC 8323 §5.4.1",
        "when a Ping with Custody stands behind a slow request, then its Pong follows the answer, with Custody"
    ) { context in
        let (device, client) = try await context.pair()
        let asked = await client.peer.start(.resource(.get, device.di, "slow"))
        let request = try await context.given { try await device.peer.request(about: "slow") }
        let token = Token.fresh()
        var ping = Message(code: .ping, token: token)
        ping.options.append(OptionNumber(rawValue: 2))
        await client.peer.send(ping)
        try await client.peer.silence("the Pong with Custody waits for the answer")
        await device.peer.answer(request, .content(["value": true]))
        let answer = try await client.peer.receive("the answer before the Pong")
        try context.expect(answer.token == asked, "the answer before the Pong", summary(of: answer))
        let pong = try await client.peer.receive("the Pong behind the answer")
        try context.expect(
            pong.code == .pong && pong.token == token && pong.options.contains(OptionNumber(rawValue: 2)),
            "the Pong with Custody", summary(of: pong))
    },
    ConformanceCase(
        23, .signalling, "RFC 8323 §5.4", "when a Ping arrives before sign-in, then a Pong"
    ) { context in
        try await expectPongs(try await context.connect("peer"), context)
    },
    ConformanceCase(
        24, .signalling, "RFC 8323 §5.5",
        "when the peer sends Release while a request is under way, then it gets the answer, then the end"
    ) { context in
        let (device, client) = try await context.pair()
        let asked = await client.peer.start(.resource(.get, device.di, "slow"))
        let request = try await context.given { try await device.peer.request(about: "slow") }
        await client.peer.send(Message(code: .release, token: .fresh()))
        await device.peer.answer(request, .content(["value": true]))
        let answer = try await client.peer.response(to: asked, "the GET before the Release")
        try context.expect(answer, .content, to: "the GET before the Release")
        try await client.peer.end("a Release was sent")
    },
    ConformanceCase(
        25, .signalling, "RFC 8323 §5.5",
        "when the cloud is about to stop, then every session gets 7.04 with Hold-Off, and no new requests",
        inside: "the cloud would have to be told to stop"),
    ConformanceCase(
        26, .signalling, "RFC 8323 §5.6",
        "when the peer sends Abort, then the cloud closes without a word, and the device is offline"
    ) { context in
        let (device, client) = try await context.pair()
        await device.peer.send(Message(code: .abort, token: .fresh(), payload: ByteBuffer(string: "I give up")))
        while let message = try await device.peer.receiveOrEnd("the end of the connection") {
            let isOld = message.code == .capabilitiesAndSettings || message.code.kind == .request
            try context.expect(isOld, "nothing behind an Abort", summary(of: message))
        }
        try await expectLost(device.di, asking: client, context)
    },
    ConformanceCase(
        27, .signalling, "RFC 8323 §5.4",
        "given a silent peer, when it stays silent, then the cloud pings it, and closes if no Pong comes", isSlow: true
    ) { context in
        let device = try await context.session("device")
        var pings = 0
        let patience = context.plan.slowPatience
        while let message = try await device.peer.receiveOrEnd(within: patience, "a Ping, later the end") {
            if message.code == .ping { pings += 1 }
        }
        try context.expect(pings > 0, "a Ping before the end of the connection", "none")
        let client = try await context.session("client", .client)
        try await expectLost(device.di, asking: client, context)
    },
]

/// Nobody has heard the device say goodbye: requests to it may wait for its return a while, so people are asked first.
func expectLost(_ di: String, asking client: CaseContext.Session, _ context: CaseContext) async throws {
    guard context.plan.http != nil, let token = try? context.userToken() else {
        let answer = try await client.peer.ask(.resource(.get, di, "light"), within: .seconds(30))
        return try context.expect(answer, .serviceUnavailable, to: "a request to a device that is not connected")
    }
    _ = try await context.eventually("the status offline from GET /devices/{di}") {
        let answer = try await context.http("GET", "/devices/\(di)", token: token)
        return (answer.text, answer.json?["status"]?.string == "offline")
    }
}

/// Asks a device through the cloud until the cloud says that it is not connected.
func expectOffline(_ di: String, asking client: CaseContext.Session, _ context: CaseContext) async throws {
    _ = try await context.eventually("5.03 for a device that is not connected") {
        let answer = try await client.peer.ask(.resource(.get, di, "light"))
        return (summary(of: answer), answer.code == .serviceUnavailable)
    }
}

private func expectPongs(_ peer: WirePeer, _ context: CaseContext) async throws {
    for token in [Token([1, 2, 3, 4, 5, 6, 7, 8]), .empty, Token([7])] {
        await peer.send(Message(code: .ping, token: token))
        let pong = try await peer.receive("a Pong with token \(hexadecimal(token.bytes))")
        try context.expect(
            pong.code == .pong && pong.token == token, "a Pong with token \(hexadecimal(token.bytes))",
            summary(of: pong))
    }
}

/// So many links that their list has between 1153 and 4096 bytes.
private func publishMany(_ device: CaseContext.Session, _ context: CaseContext) async throws {
    let links = (0..<12).map { link("/resource/\($0)", rt: "x.conformance.many") }
    try await context.given {
        let answer = try await device.peer.ask(.publish(di: device.di, links))
        try context.expect(answer, .changed, to: "a publication of 12 links")
    }
}
