import CBOR
import CoAP
import NIOCore

/// Ideas 68–80 but Observe and block-wise: requests to devices behind the cloud.
let routingCases: [ConformanceCase] =
    [
        ConformanceCase(
            68, .routing, "RFC 7252 §5.7.2",
            "when a client asks /{di}/light?if=…, then the device gets /light with query and Accept, and the client its answer whole"
        ) { context in
            let (device, client) = try await context.pair()
            var request = Request.resource(.get, device.di, "light", queries: ["if=oic.if.rw", "x=1"])
            request.options.append(.eTag, bytes: [9])
            let asked = await client.peer.start(request)
            let seen = try await device.peer.request(about: "light")
            try context.expect(
                seen.code == .get && seen.options.path == ["light"], "GET /light at the device", summary(of: seen))
            try context.expect(
                seen.options.queries == ["if=oic.if.rw", "x=1"] && seen.options.accept == .ocfCBOR,
                "the same query and Accept", summary(of: seen))
            try context.expect(seen.options.first(.eTag)?.bytes == [9], "the same ETag", summary(of: seen))
            var response = Response.content(["value": true])
            response.options.append(.eTag, bytes: [1, 2, 3])
            await device.peer.answer(seen, response)
            let answer = try await client.peer.response(to: asked, "GET /{di}/light")
            try context.expect(
                answer.code == .content && answer.payload == response.payload
                    && answer.options.contentFormat == .ocfCBOR && answer.options.first(.eTag)?.bytes == [1, 2, 3],
                "the device's answer: 2.05, ETag 010203, Content-Format 10000, its payload", summary(of: answer))
            let posted = await client.peer.start(.resource(.post, device.di, "light", ["value": false]))
            let update = try await device.peer.request(about: "light")
            try context.expect(
                update.code == .post && update.options.contentFormat == .ocfCBOR && update.item?["value"] == false,
                "POST /light with its payload at the device", summary(of: update))
            await device.peer.answer(update, Response(.methodNotAllowed))
            let refused = try await client.peer.response(to: posted, "POST /{di}/light")
            try context.expect(refused, .methodNotAllowed, to: "a POST that the device refuses so")
        },
        ConformanceCase(
            69, .routing, "RFC 8323 §3.3",
            "when 64 requests to one device are answered in reverse order, then each asker gets his own answer"
        ) { context in
            let (device, client) = try await context.pair()
            let tablet = try await context.session("tablet", .client)
            var expected: [Token: Int64] = [:]
            for index in 0..<64 {
                let token = Token([UInt8(index)])
                expected[token] = Int64(index)
                await (index % 2 == 0 ? client : tablet).peer.start(
                    .resource(.get, device.di, "light", queries: ["n=\(index)"]), token: token)
            }
            var served = 0
            while served < 64 {
                // What is under way together is answered backwards.
                var batch = [try await device.peer.request(about: "light")]
                while let more = try await device.peer.receiveIfAny(within: .milliseconds(200)) { batch.append(more) }
                for request in batch.reversed() where request.options.path == ["light"] {
                    let number = request.options.queries?.first?.split(separator: "=").last.flatMap { Int64($0) }
                    await device.peer.answer(request, .content(.map(["n": DataItem(integer: number ?? -1)])))
                    served += 1
                }
            }
            for index in 0..<64 {
                let answer = try await (index % 2 == 0 ? client : tablet).peer.receive("answer \(index)")
                try context.expect(
                    answer.code == .content && answer.item?["n"]?.integer == expected[answer.token]
                        && expected[answer.token].map { $0 % 2 } == Int64(index % 2),
                    "the answer that belongs to the token", summary(of: answer))
                expected[answer.token] = nil
            }
        },
        ConformanceCase(
            70, .routing, "RFC 7252 §5.7.2",
            "given client and device at different processes of the cloud, or a route to a dead one, when asked, then the same, "
                + "or 5.03 in bounded time",
            inside: "which process of the cloud a connection reaches cannot be chosen from outside"),
        ConformanceCase(
            71, .routing, "RFC 7252 §5.9.3.5",
            "given a device that never answers, when asked, then 5.04 in the end, and its late answer goes to nobody",
            isSlow: true
        ) { context in
            let (device, client) = try await context.pair()
            let asked = await client.peer.start(.resource(.get, device.di, "light"))
            let first = try await device.peer.request(about: "light")
            let deadline = ContinuousClock.now + context.plan.slowPatience
            var heard: Message?
            // The device is there: it answers the cloud's Pings.
            while heard == nil, ContinuousClock.now < deadline {
                heard = try await client.peer.receiveIfAny(within: .milliseconds(200))
                _ = try await device.peer.receiveIfAny(within: .milliseconds(10))
            }
            guard let answer = heard, answer.token == asked else {
                throw CaseFailure(expected: "5.04 to a GET that nobody answers", got: heard.map(summary) ?? "nothing")
            }
            try context.expect(answer, .gatewayTimeout, to: "a GET that nobody answers")
            let next = await client.peer.start(.resource(.get, device.di, "light", queries: ["n=2"]))
            let second = try await device.peer.request(about: "light")
            try context.expect(second.token != first.token, "another token", summary(of: second))
            await device.peer.answer(first, .content(["n": 1]))
            await device.peer.answer(second, .content(["n": 2]))
            let fresh = try await client.peer.response(to: next, "the second GET")
            try context.expect(fresh.item?["n"] == 2, "the answer to the second GET", summary(of: fresh))
            try await client.peer.silence("the late answer goes to nobody")
        },
        ConformanceCase(
            72, .routing, "RFC 7252 §5.9.3.3",
            "when the device goes while it is asked, then 5.02 for POST and DELETE; a GET is asked once more at its new place"
        ) { context in
            for method in [Code.post, .delete] {
                let (device, client) = try await context.pair()
                let asked = await client.peer.start(.resource(method, device.di, "light"))
                _ = try await device.peer.request(about: "light")
                await device.peer.close()
                let answer = try await client.peer.response(to: asked, "a \(method.verb) whose device went")
                try context.expect(answer, .badGateway, to: "a \(method.verb) whose device went")
            }
            let (device, client) = try await context.pair()
            let asked = await client.peer.start(.resource(.get, device.di, "light"))
            _ = try await device.peer.request(about: "light")
            let second = try await context.signIn(device.login, on: try await context.open("second"))
            let again = try await second.peer.request(about: "light")
            await second.peer.answer(again, .content(["value": true]))
            let answer = try await client.peer.response(to: asked, "a GET whose device moved")
            try context.expect(answer, .content, to: "a GET whose device moved")
        },
        ConformanceCase(
            73, .routing, "RFC 7252 §5.4.1",
            "when the device answers with an unknown critical option, then 5.02"
        ) { context in
            let (device, client) = try await context.pair()
            let asked = await client.peer.start(.resource(.get, device.di, "light"))
            let request = try await device.peer.request(about: "light")
            var response = Response.content(["value": true])
            response.options.append(OptionNumber(rawValue: 65001), bytes: [1])
            await device.peer.answer(request, response)
            let answer = try await client.peer.response(to: asked, "a GET with an unusable answer")
            try context.expect(answer, .badGateway, to: "a GET with an unusable answer")
            try context.expect(
                !answer.options.contains(OptionNumber(rawValue: 65001)), "no trace of the option", summary(of: answer))
        },
        ConformanceCase(
            74, .routing, "OCF CNC, routing",
            "when the device is unknown, then 4.04; another user's, 4.03; not connected, 5.03", needs: [.secondUser]
        ) { context in
            let client = try await context.session("client", .client)
            let foreign = try await context.session("foreign", of: .second)
            let offline = try await context.signedUp(on: try await context.open("offline"))
            let unknown = try await client.peer.ask(.resource(.get, context.freshDI(), "light"))
            try context.expect(unknown, .notFound, to: "a request to an unknown device")
            let forbidden = try await client.peer.ask(.resource(.get, foreign.di, "light"))
            try context.expect(forbidden, .forbidden, to: "a request to another user's device")
            let away = try await client.peer.ask(.resource(.get, offline.di, "light"))
            try context.expect(away, .serviceUnavailable, to: "a request to a device that is not connected")
            try await foreign.peer.silence("nothing reaches another user's device", about: "light")
        },
    ] + observeCases + [
        ConformanceCase(
            77, .routing, "RFC 7252 §5.4.1",
            "when a request carries unknown critical option 65001, then 4.02; elective 65000 is forwarded or ignored"
        ) { context in
            let (device, client) = try await context.pair()
            func request(_ number: UInt16, _ path: String) -> Request {
                var request = Request.resource(.get, path, "light")
                if path.isEmpty { request = .ocf(.get, "oic/res", queries: ["di=\(device.di)"]) }
                request.options.append(OptionNumber(rawValue: number), bytes: [1])
                return request
            }
            for path in [device.di, ""] {
                let answer = try await client.peer.ask(request(65001, path))
                try context.expect(answer, .badOption, to: "a request with option 65001")
            }
            let own = try await client.peer.ask(request(65000, ""))
            try context.expect(own, .content, to: "GET /oic/res with option 65000")
            let asked = await client.peer.start(request(65000, device.di))
            let seen = try await device.peer.request(about: "light")
            await device.peer.answer(seen, .content(["value": true]))
            let answer = try await client.peer.response(to: asked, "GET /{di}/light with option 65000")
            try context.expect(answer, .content, to: "GET /{di}/light with option 65000")
        },
        ConformanceCase(
            78, .routing, "RFC 7252 §5.10.2",
            "when there is a Proxy-Uri, then 5.05; a segment .., then 4.00; a segment of 256 bytes, then 4.02"
        ) { context in
            let client = try await context.session("client", .client)
            let di = context.freshDI()
            var proxy = Request(.get, path: [])
            proxy.options.append(.proxyUri, string: "coap://192.0.2.1/light")
            try context.expect(try await client.peer.ask(proxy), .proxyingNotSupported, to: "a Proxy-Uri")
            let dots = Request(.get, path: [di, "..", "light"])
            try context.expect(try await client.peer.ask(dots), .badRequest, to: "a path with ..")
            let long = Request(.get, path: [di, String(repeating: "a", count: 256)])
            try context.expect(try await client.peer.ask(long), .badOption, to: "a Uri-Path of 256 bytes")
        },
        ConformanceCase(
            79, .routing, "RFC 8768 §3", "given a device at another process, when Hop-Limit is 1, then 5.08",
            inside: "whether a request needs a hop cannot be chosen from outside"),
        ConformanceCase(
            80, .routing, "RFC 7959 §2.5",
            "when 10 KB are sent to a device in blocks, then it gets every byte; when a block is missing, then 4.08"
        ) { context in
            let (device, client) = try await context.pair()
            let body = (0..<10_240).map { UInt8(truncatingIfNeeded: $0 / 3) }
            for number in 0..<10 {
                let token = await client.peer.start(block(number, of: body, to: device.di))
                // A cloud may pass each block on, or wait for the last.
                if number == 9 { break }
                let answer = try await throughDevice(device, client, token, whole: body, context)
                try context.expect(answer, .continue, to: "block \(number)")
            }
            try await collect(device, body, context)
            let final = try await client.peer.receive("the answer to the last block")
            try context.expect(final, .changed, to: "the last block")
            let other = try await context.session("other", .client)
            let first = await other.peer.start(block(0, of: body, to: device.di))
            let begun = try await throughDevice(device, other, first, whole: body, context)
            try context.expect(begun, .continue, to: "block 0")
            let gap = await other.peer.start(block(2, of: body, to: device.di))
            let answer = try await throughDevice(device, other, gap, whole: body, context)
            try context.expect(answer, .requestEntityIncomplete, to: "block 2 behind block 0")
        },
    ]

/// One block of 1024 bytes (RFC 7959 §2.2).
private func block(_ number: Int, of body: [UInt8], to di: String) -> Request {
    var request = Request.resource(.post, di, "firmware")
    request.options.contentFormat = .octetStream
    let isLast = (number + 1) * 1024 >= body.count
    request.options.append(.block1, uint: UInt64(number << 4 | (isLast ? 0 : 8) | 6))
    request.payload = ByteBuffer(bytes: body[(number * 1024)..<min(body.count, (number + 1) * 1024)])
    return request
}

/// The answer to a block, with the device answering blocks that are passed on.
private func throughDevice(
    _ device: CaseContext.Session, _ client: CaseContext.Session, _ token: Token, whole: [UInt8], _ context: CaseContext
) async throws -> Message {
    let deadline = ContinuousClock.now + context.clock.patience
    while ContinuousClock.now < deadline {
        if let answer = try await client.peer.receiveIfAny(within: .milliseconds(20)), answer.token == token {
            return answer
        }
        guard let request = try await device.peer.receiveIfAny(within: .milliseconds(5)),
            request.code.kind == .request
        else { continue }
        await device.peer.answer(request, blockAnswer(to: request, whole: whole))
    }
    throw CaseFailure(expected: "an answer to a block", got: "none within \(context.clock.patience.spoken)")
}

/// What a device that takes blocks answers.
private func blockAnswer(to request: Message, whole: [UInt8]) -> Response {
    guard let value = request.options.first(.block1)?.uint else {
        return Response(request.payload.map { Array($0.readableBytesView) } == whole ? .changed : .badRequest)
    }
    let start = Int(value >> 4) * (16 << Int(value & 7))
    let bytes = request.payload.map { Array($0.readableBytesView) } ?? []
    guard start + bytes.count <= whole.count, Array(whole[start..<(start + bytes.count)]) == bytes else {
        return Response(.badRequest)
    }
    var response = Response(value & 8 != 0 ? .continue : .changed)
    response.options.append(.block1, uint: value)
    return response
}

/// The device gets what is left of the body, in one message or in blocks.
private func collect(_ device: CaseContext.Session, _ body: [UInt8], _ context: CaseContext) async throws {
    var next: Int?
    while true {
        let request = try await device.peer.request(about: "firmware")
        let answer = blockAnswer(to: request, whole: body)
        try context.expect(
            answer.code != .badRequest, "the bytes that were sent, at the device",
            "\(request.payload?.readableBytes ?? 0) bytes, \(request.options.contains(.block1) ? "in blocks" : "whole")"
        )
        if let value = request.options.first(.block1)?.uint, let expected = next {
            try context.expect(Int(value >> 4) >= expected, "block \(expected) or later", "block \(value >> 4)")
        }
        next = request.options.first(.block1)?.uint.map { Int($0 >> 4) + 1 }
        await device.peer.answer(request, answer)
        if answer.code == .changed { return }
    }
}
