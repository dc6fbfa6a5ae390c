import CBOR
import CoAP
import NIOCore

/// Ideas 28–40: an identity begins and ends.
let signUpCases: [ConformanceCase] = [
    ConformanceCase(
        28, .signUp, "OCF CNC, account",
        "given an unused code, when it is sent to account, then 2.04 with Content-Format 10000 and all members"
    ) { context in
        let peer = try await context.open("device")
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        try await expectLogin(try await peer.ask(.signUp(di: di, code: code)), di, context)
    },
    ConformanceCase(
        29, .signUp, "OCF CNC, account",
        "given an unused code, when the provider is unknown, then 4.01 and the code is still good without one"
    ) { context in
        let peer = try await context.open("device")
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let refused = try await peer.ask(
            account(["di": .text(di), "accesstoken": .text(code), "authprovider": "x-conformance-unknown"]))
        try context.expect(refused, .unauthorized, to: "a sign-up with an unknown authprovider")
        let other = try await context.open("device")
        try await expectLogin(try await other.ask(.signUp(di: di, code: code)), di, context)
    },
    ConformanceCase(
        30, .signUp, "OCF CNC, account",
        "when the body is empty, no CBOR, an array, or lacks a member or has it as a number, then 4.00 each"
    ) { context in
        let di = DataItem.text(context.freshDI())
        let bodies: [(String, ByteBuffer?)] = [
            ("no body", nil), ("no CBOR", ByteBuffer(bytes: [0xFF, 0x00])),
            ("an array", DataItem.array([di]).encoded()),
            ("no di", DataItem.map(["accesstoken": "x"]).encoded()),
            ("di a number", DataItem.map(["di": 7, "accesstoken": "x"]).encoded()),
            ("no accesstoken", DataItem.map(["di": di]).encoded()),
            ("accesstoken a number", DataItem.map(["di": di, "accesstoken": 7]).encoded()),
        ]
        for (what, body) in bodies {
            let peer = try await context.open("device")
            var request = account([:])
            request.payload = body
            try context.expect(try await peer.ask(request), .badRequest, to: "a sign-up with \(what)")
        }
    },
    ConformanceCase(
        31, .signUp, "OCF CNC, account",
        "given a code that was exchanged, when it is repeated before its tokens are used, then the same tokens; "
            + "later, or with another di, 4.01"
    ) { context in
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let first = try await context.open("device")
        let login = try await context.given {
            try context.login(try await first.ask(.signUp(di: di, code: code)), di: di)
        }
        let second = try await context.open("other")
        let again = try await second.ask(.signUp(di: di, code: code))
        try context.expect(
            again.code == .changed && again.item?["accesstoken"]?.string == login.accessToken
                && again.item?["refreshtoken"]?.string == login.refreshToken,
            "the same tokens on another connection", summary(of: again))
        let stranger = try await context.open("stranger")
        let other = try await stranger.ask(.signUp(di: context.freshDI(), code: code))
        try context.expect(other, .unauthorized, to: "the same code with another di")
        _ = try await context.signIn(login, on: first)
        let third = try await context.open("late")
        let late = try await third.ask(.signUp(di: di, code: code))
        try context.expect(late, .unauthorized, to: "a code whose tokens are in use")
    },
    ConformanceCase(
        32, .signUp, "OCF CNC, account", "given a code for one di, when another di uses it, then 4.01"
    ) { context in
        let code = try await context.code(.device, context.freshDI())
        let peer = try await context.open("stranger")
        let answer = try await peer.ask(.signUp(di: context.freshDI(), code: code))
        try context.expect(answer, .unauthorized, to: "a code that was issued for another di")
    },
    ConformanceCase(
        33, .signUp, "RFC 8949 §3.2",
        "given an unused code, when the body is CBOR of indefinite length, then the result is the same"
    ) { context in
        let peer = try await context.open("device")
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        var body = ByteBuffer(bytes: [0xBF])
        for text in ["di", di, "accesstoken", code] { DataItem.text(text).encode(into: &body) }
        body.writeInteger(0xFF as UInt8)
        var request = account([:])
        request.payload = body
        try await expectLogin(try await peer.ask(request), di, context)
    },
    ConformanceCase(
        34, .signUp, "OCF CNC, account",
        "given an unused code, when the body has keys nobody knows, then they are ignored"
    ) { context in
        let peer = try await context.open("device")
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let answer = try await peer.ask(
            account([
                "di": .text(di), "accesstoken": .text(code), "devicetype": "device", "x-conformance": [1, 2],
                "uid": "",
            ]))
        try await expectLogin(answer, di, context)
    },
    ConformanceCase(
        35, .signUp, "RFC 7252 §5.8", "when account is asked with GET or PUT, then 4.05"
    ) { context in
        let peer = try await context.open("device")
        for method in [Code.get, .put] {
            let answer = try await peer.ask(.ocf(method, "oic/sec/account", ["di": "x"]))
            try context.expect(answer, .methodNotAllowed, to: "\(method.verb) /oic/sec/account")
        }
    },
    ConformanceCase(
        36, .signUp, "RFC 7252 §5.9.3.4",
        "given a cloud whose store is down, when a device signs up, then 5.03 with Max-Age, and later the same code works",
        inside: "the cloud's store would have to be stopped"),
    ConformanceCase(
        37, .signUp, "OCF CNC, account",
        "given a cloud that sends devices elsewhere, when one signs up, then redirecturi says where",
        inside: "the cloud would have to be configured so"),
    ConformanceCase(
        38, .signUp, "OCF CNC, account",
        "given a signed-in device, when it deletes its account without a query, then 2.02, and nobody knows it any more"
    ) { context in
        let (device, client) = try await context.pair()
        try await context.publish(device, link("/light"))
        let listed = try await context.given { try await hrefs(client, device.di, context) }
        try context.expect(listed.count == 1, "one link before", "\(listed)")
        let answer = try await device.peer.ask(.ocf(.delete, "oic/sec/account"))
        try context.expect(answer, .deleted, to: "DELETE /oic/sec/account")
        let peer = try await context.open("again")
        try context.expect(
            try await peer.ask(.signIn(device.login)), .unauthorized, to: "a sign-in after the sign-off")
        let left = try await hrefs(client, device.di, context)
        try context.expect(left.isEmpty, "no link of the device in /oic/res", "\(left)")
        let asked = try await client.peer.ask(.resource(.get, device.di, "light"))
        try context.expect(asked, .notFound, to: "a request to a device that is gone")
        if context.plan.http != nil, let token = try? context.userToken() {
            let gone = try await context.http("GET", "/\(device.di)/light", token: token)
            try context.expect(gone.status == 404, "404 over HTTP", "\(gone.status) \(gone.text)")
        }
    },
    ConformanceCase(
        39, .signUp, "OCF CNC, account",
        "given no session, when account is deleted with di and token, then 2.02; without token 4.00; with a wrong one 4.01"
    ) { context in
        let peer = try await context.open("device")
        let login = try await context.signedUp(on: peer)
        func delete(_ queries: String...) async throws -> Message {
            let other = try await context.open("other")
            return try await other.ask(.ocf(.delete, "oic/sec/account", queries: queries))
        }
        try context.expect(
            try await delete("di=\(login.di)", "uid=\(login.uid)"), .badRequest, to: "DELETE with di and uid alone")
        try context.expect(
            try await delete("di=\(login.di)", "accesstoken=wrong"), .unauthorized, to: "DELETE with a wrong token")
        try context.expect(
            try await delete("di=\(login.di)", "accesstoken=\(login.accessToken)"), .deleted,
            to: "DELETE with di and token")
        let again = try await context.open("again")
        try context.expect(
            try await again.ask(.signIn(login)), .unauthorized, to: "a sign-in after the sign-off")
    },
    ConformanceCase(
        40, .signUp, "OCF CNC, account",
        "given a connected device, when its owner deletes it over HTTP, then its connection is closed and nothing leads to it",
        needs: [.http]
    ) { context in
        let (device, client) = try await context.pair()
        let answer = try await context.http("DELETE", "/devices/\(device.di)", token: try context.userToken())
        try context.expect(
            (200...204).contains(answer.status), "2xx to DELETE /devices/{di}", "\(answer.status) \(answer.text)")
        try await device.peer.end("its owner deleted it")
        let asked = try await client.peer.ask(.resource(.get, device.di, "light"))
        try context.expect(asked, .notFound, to: "a request to a device that is gone")
        let peer = try await context.open("again")
        try context.expect(
            try await peer.ask(.signIn(device.login)), .unauthorized, to: "a sign-in after the deletion")
    },
]

func account(_ body: KeyValuePairs<String, DataItem>) -> Request {
    .ocf(.post, "oic/sec/account", .map(body))
}

/// A sign-up's answer has all that devices need (the reference stack takes none without a Content-Format).
private func expectLogin(_ answer: Message, _ di: String, _ context: CaseContext) async throws {
    try context.expect(answer, .changed, to: "a sign-up")
    try context.expect(
        answer.options.contentFormat == .ocfCBOR, "Content-Format 10000",
        answer.options.contentFormat.map { "\($0.rawValue)" } ?? "none")
    for member in ["accesstoken", "refreshtoken", "uid"] {
        let text = answer.item?[member]?.string ?? ""
        try context.expect(!text.isEmpty, "a text \(member) that is not empty", summary(of: answer))
    }
    try context.expect(answer.item?["expiresin"]?.integer != nil, "an integer expiresin", summary(of: answer))
    _ = try context.login(answer, di: di)
}

/// What `/oic/res` lists of one device.
func hrefs(_ session: CaseContext.Session, _ di: String, _ context: CaseContext) async throws -> [String] {
    let answer = try await session.peer.ask(.ocf(.get, "oic/res", queries: ["di=\(di)"]))
    guard answer.code == .content, let links = answer.item?.elements else {
        throw CaseFailure(expected: "2.05 with an array from GET /oic/res", got: summary(of: answer))
    }
    return links.compactMap { $0["href"]?.string }
}
