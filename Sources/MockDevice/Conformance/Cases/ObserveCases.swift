import CBOR
import CoAP
import NIOCore

/// Ideas 75 and 76: observing what is behind the cloud.
let observeCases: [ConformanceCase] = [
    ConformanceCase(
        75, .routing, "RFC 7641 §3.1",
        "when two clients observe one resource, then the device is observed once and both hear of changes; when one "
            + "cancels, the other goes on; when both have, so has the cloud"
    ) { context in
        let (device, first) = try await context.pair()
        let second = try await context.session("second", .client)
        let (one, other) = (Token.fresh(), Token.fresh())
        await first.peer.start(observe(device.di, 0), token: one)
        let upstream = try await device.peer.request(about: "light")
        try context.expect(upstream.options.observe == 0, "one GET with Observe 0 at the device", summary(of: upstream))
        await device.peer.answer(upstream, notification(1, 1))
        try await expectNotification(first, one, 1, context)
        await second.peer.start(observe(device.di, 0), token: other)
        // The second may be served from what the first brought, or be asked for by a plain GET.
        let joined = try await throughDevice(device, second, other, 1, context)
        try context.expect(
            joined.code == .content && joined.options.contains(.observe), "2.05 with Observe", summary(of: joined))
        await device.peer.answer(upstream, notification(2, 2))
        try await expectNotification(first, one, 2, context)
        try await expectNotification(second, other, 2, context)
        await first.peer.start(observe(device.di, 1), token: one)
        let cancelled = try await throughDevice(device, first, one, 2, context)
        try context.expect(
            cancelled.code == .content && !cancelled.options.contains(.observe), "2.05 without Observe",
            summary(of: cancelled))
        await device.peer.answer(upstream, notification(3, 3))
        try await expectNotification(second, other, 3, context)
        try await first.peer.silence("a client that has cancelled hears no more")
        await second.peer.start(observe(device.di, 1), token: other)
        try await expectCancellation(device, second, other, upstream, context)
    },
    ConformanceCase(
        76, .routing, "RFC 7641 §4.2",
        "given an observed device, when it signs out or off, then its observers get 5.03 at once, as the last word"
    ) { context in
        for isOff in [false, true] {
            let (device, client) = try await context.pair()
            let token = Token.fresh()
            await client.peer.start(observe(device.di, 0), token: token)
            let upstream = try await device.peer.request(about: "light")
            await device.peer.answer(upstream, notification(1, 1))
            try await context.given { try await expectNotification(client, token, 1, context) }
            if isOff {
                let off = try await device.peer.ask(.ocf(.delete, "oic/sec/account"))
                try context.expect(off, .deleted, to: "a sign-off")
            } else {
                let out = try await device.peer.ask(.signIn(device.login, isIn: false))
                try context.expect(out, .changed, to: "a sign-out")
            }
            let last = try await client.peer.response(to: token, "the observation")
            try context.expect(
                last.code == .serviceUnavailable && !last.options.contains(.observe), "5.03 without Observe",
                summary(of: last))
            try await client.peer.silence("nothing behind the last word")
        }
    },
]

private func observe(_ di: String, _ value: UInt32) -> Request {
    var request = Request.resource(.get, di, "light")
    request.options.observe = value
    return request
}

private func notification(_ sequence: UInt32, _ value: Int64) -> Response {
    var response = Response.content(.map(["n": DataItem(integer: value)]))
    response.options.observe = sequence
    return response
}

private func expectNotification(
    _ client: CaseContext.Session, _ token: Token, _ value: Int64, _ context: CaseContext
) async throws {
    let message = try await client.peer.response(to: token, "the observation")
    try context.expect(
        message.code == .content && message.options.contains(.observe) && message.item?["n"]?.integer == value,
        "2.05 with Observe and n \(value)", summary(of: message))
}

/// The client's answer, with the device answering what the cloud may ask it for that; never a second observation.
private func throughDevice(
    _ device: CaseContext.Session, _ client: CaseContext.Session, _ token: Token, _ value: Int64,
    _ context: CaseContext
) async throws -> Message {
    let deadline = ContinuousClock.now + context.clock.patience
    while ContinuousClock.now < deadline {
        if let answer = try await client.peer.receiveIfAny(within: .milliseconds(20)), answer.token == token {
            return answer
        }
        guard let request = try await device.peer.receiveIfAny(within: .milliseconds(5)), request.code == .get else {
            continue
        }
        try context.expect(request.options.observe != 0, "one observation of the device", summary(of: request))
        await device.peer.answer(request, .content(.map(["n": DataItem(integer: value)])))
    }
    throw CaseFailure(expected: "an answer to the client", got: "none within \(context.clock.patience.spoken)")
}

/// The device is told that nobody observes it any more: by a GET with Observe 1 under the token of the observation.
private func expectCancellation(
    _ device: CaseContext.Session, _ client: CaseContext.Session, _ token: Token, _ upstream: Message,
    _ context: CaseContext
) async throws {
    let deadline = ContinuousClock.now + context.clock.patience
    var hasAnswer = false
    var isCancelled = false
    while !(hasAnswer && isCancelled) {
        guard ContinuousClock.now < deadline else {
            throw CaseFailure(
                expected: "GET with Observe 1 at the device, and an answer to the client",
                got: "\(isCancelled ? "the first" : hasAnswer ? "the second" : "neither") within "
                    + context.clock.patience.spoken)
        }
        if let answer = try await client.peer.receiveIfAny(within: .milliseconds(20)), answer.token == token {
            hasAnswer = true
        }
        guard let request = try await device.peer.receiveIfAny(within: .milliseconds(5)), request.code == .get else {
            continue
        }
        if request.options.observe == 1, request.token == upstream.token { isCancelled = true }
        await device.peer.answer(request, .content(["n": 3]))
    }
}
