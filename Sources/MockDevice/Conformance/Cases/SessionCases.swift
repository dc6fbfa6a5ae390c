import CBOR
import CoAP
import NIOCore

/// Ideas 41–50: sessions begin and end.
let signInCases: [ConformanceCase] = [
    ConformanceCase(
        41, .signIn, "OCF CNC, session",
        "given tokens, when the device signs in, then 2.04 with expiresin, not above what was issued; -1 for ever"
    ) { context in
        let peer = try await context.open("device")
        let login = try await context.signedUp(on: peer)
        let answer = try await peer.ask(.signIn(login))
        try context.expect(answer, .changed, to: "a sign-in")
        let seconds = answer.item?["expiresin"]?.integer
        let isFine = login.expiresIn < 0 ? seconds == -1 : (0...login.expiresIn).contains(seconds ?? -2)
        try context.expect(isFine, "expiresin of at most \(login.expiresIn)", summary(of: answer))
        try context.expect(
            answer.options.contentFormat == .ocfCBOR, "Content-Format 10000", summary(of: answer))
    },
    ConformanceCase(
        42, .signIn, "OCF CNC, session",
        "when accesstoken, uid or di is wrong, then 4.01 each; when one or login is missing, then 4.00 each"
    ) { context in
        let login = try await context.signedUp(on: try await context.open("device"))
        let fields: [(String, DataItem, wrong: DataItem)] = [
            ("uid", .text(login.uid), "x-conformance-nobody"), ("di", .text(login.di), .text(context.freshDI())),
            ("accesstoken", .text(login.accessToken), "wrong"), ("login", true, true),
        ]
        for (name, _, wrong) in fields {
            let others = fields.filter { $0.0 != name }.map { DataItem.Pair(.text($0.0), $0.1) }
            let peer = try await context.open("device")
            if name != "login" {
                let answer = try await peer.ask(session(others + [.init(.text(name), wrong)]))
                try context.expect(answer, .unauthorized, to: "a sign-in with a wrong \(name)")
            }
            let other = try await context.open("device")
            try context.expect(
                try await other.ask(session(others)), .badRequest, to: "a sign-in without \(name)")
        }
    },
    ConformanceCase(
        43, .signIn, "OCF CNC, session",
        "given an expired token, when the device signs in, then 4.01; after a refresh 2.04", isSlow: true
    ) { context in
        let peer = try await context.open("device")
        let login = try await context.signedUp(on: peer)
        try await waitForExpiry(login, context)
        _ = try await context.eventually("4.01 to a sign-in with an expired token") {
            let other = try await context.open("late")
            let answer = try await other.ask(.signIn(login))
            await other.close()
            return (summary(of: answer), answer.code == .unauthorized)
        }
        let other = try await context.open("late")
        let refreshed = try await other.ask(.refresh(login))
        try context.expect(refreshed, .changed, to: "a refresh after the token's end")
        let next = try context.login(refreshed, di: login.di, uid: login.uid)
        try context.expect(try await other.ask(.signIn(next)), .changed, to: "a sign-in after the refresh")
    },
    ConformanceCase(
        44, .signIn, "OCF CNC, session",
        "when a device signs in, then requests reach it; when it signs out or its connection ends, then 5.03"
    ) { context in
        let (device, client) = try await context.pair()
        try await expectAnswer(device, client, context)
        let out = try await device.peer.ask(.signIn(device.login, isIn: false))
        try context.expect(out, .changed, to: "a sign-out")
        try await expectOffline(device.di, asking: client, context)
        let again = try await context.signIn(device.login, on: try await context.open("again"))
        try await expectAnswer(again, client, context)
        await again.peer.close()
        try await expectLost(device.di, asking: client, context)
    },
    ConformanceCase(
        45, .signIn, "OCF CNC, session",
        "given a session, when the device signs in on a second connection, then the first is closed, and requests reach "
            + "the second for good"
    ) { context in
        let (device, client) = try await context.pair()
        let second = try await context.signIn(device.login, on: try await context.open("second"))
        try await device.peer.end("the device has signed in on another connection")
        await device.peer.close()
        try await expectAnswer(second, client, context)
        try await expectAnswer(second, client, context)
    },
    ConformanceCase(
        46, .signIn, "OCF CNC, session",
        "when a device signs out, then /oic/res is 4.01 to it, its links stay, and a request to it is 5.03 or 503"
    ) { context in
        let (device, client) = try await context.pair()
        try await context.publish(device, link("/light"))
        let out = try await device.peer.ask(.signIn(device.login, isIn: false))
        try context.expect(out, .changed, to: "a sign-out")
        try context.expect(
            try await device.peer.ask(.ocf(.get, "oic/res")), .unauthorized, to: "GET /oic/res after the sign-out")
        let left = try await hrefs(client, device.di, context)
        try context.expect(left == ["/\(device.di)/light"], "the link of the device that signed out", "\(left)")
        try await expectOffline(device.di, asking: client, context)
        if context.plan.http != nil, let token = try? context.userToken() {
            let answer = try await context.http("GET", "/\(device.di)/light", token: token)
            try context.expect(answer.status == 503, "503 over HTTP", "\(answer.status) \(answer.text)")
        }
    },
    ConformanceCase(
        47, .signIn, "OCF CNC, session",
        "when login is false and nothing else is sent, then 2.04 on a living session and 4.00 without one"
    ) { context in
        let device = try await context.session("device")
        let fields = [DataItem.Pair("login", false)]
        try context.expect(try await device.peer.ask(session(fields)), .changed, to: "login=false alone")
        let stranger = try await context.open("stranger")
        try context.expect(
            try await stranger.ask(session(fields)), .badRequest, to: "login=false alone without a session")
    },
    ConformanceCase(
        48, .signIn, "OCF CNC, session",
        "given a session, when the same device signs in again on it, then it is one session: requests come once"
    ) { context in
        let (device, client) = try await context.pair()
        let answer = try await device.peer.ask(.signIn(device.login))
        try context.expect(answer, .changed, to: "a second sign-in on the same connection")
        try await expectAnswer(device, client, context)
        try await device.peer.silence("a request comes once", about: "light")
    },
    ConformanceCase(
        49, .signIn, "OCF CNC, session",
        "given a session, when its token expires, then the next request is 4.01 on a connection that stays, and the "
            + "device is offline", isSlow: true
    ) { context in
        let device = try await context.session("device")
        try await waitForExpiry(device.login, context)
        _ = try await context.eventually("4.01 to a request after the token's end") {
            let answer = try await device.peer.ask(.ocf(.get, "oic/res"))
            return (summary(of: answer), answer.code == .unauthorized)
        }
        try await device.peer.silence("the connection stays")
        let client = try await context.session("client", .client)
        try await expectLost(device.di, asking: client, context)
    },
    ConformanceCase(
        50, .signIn, "OCF CNC, session",
        "given a certificate of one device, when another di signs up, in or refreshes, then 4.01",
        needs: [.tls, .clientCertificate]
    ) { context in
        let di = context.freshDI()
        let code = try await context.code(.device, di)
        let peer = try await context.open("device")
        let nobody = CaseContext.Login(di: di, uid: "x", accessToken: code, refreshToken: code, expiresIn: 1)
        for request in [Request.signUp(di: di, code: code), .signIn(nobody), .refresh(nobody)] {
            let path = request.options.path?.last ?? ""
            try context.expect(
                try await peer.ask(request), .unauthorized, to: "\(path) for a di that the certificate does not name")
        }
        // The code was good: it is the certificate that was refused.
        let other = try await context.connect("plain", trust: context.plan.trust.withoutClientCertificate)
        let answer = try await other.ask(.signUp(di: di, code: code))
        try context.expect(answer, .changed, to: "the same sign-up without the certificate")
    },
]

/// Ideas 51–53: new tokens for old ones.
let refreshCases: [ConformanceCase] = [
    ConformanceCase(
        51, .refresh, "OCF CNC, tokenrefresh",
        "when a device refreshes, then 2.04 with three members; the new token signs in, the old one then no more"
    ) { context in
        let peer = try await context.open("device")
        let login = try await context.signedUp(on: peer)
        _ = try await context.signIn(login, on: peer)
        let answer = try await peer.ask(.refresh(login))
        try context.expect(answer, .changed, to: "a refresh")
        try context.expect(answer.options.contentFormat == .ocfCBOR, "Content-Format 10000", summary(of: answer))
        let next = try context.login(answer, di: login.di, uid: login.uid)
        try context.expect(
            next.accessToken != login.accessToken && !next.accessToken.isEmpty && !next.refreshToken.isEmpty,
            "a new access token", summary(of: answer))
        let other = try await context.open("again")
        try context.expect(try await other.ask(.signIn(next)), .changed, to: "a sign-in with the new token")
        _ = try await context.eventually("4.01 to a sign-in with the old token") {
            let old = try await context.open("old")
            let answer = try await old.ask(.signIn(login))
            await old.close()
            return (summary(of: answer), answer.code == .unauthorized)
        }
    },
    ConformanceCase(
        52, .refresh, "OCF CNC, tokenrefresh",
        "given an answer that was lost, when the old refresh token comes once more, then 2.04; after the new pair was "
            + "used for good, 4.01"
    ) { context in
        let peer = try await context.open("device")
        let login = try await context.signedUp(on: peer)
        _ = try await context.signIn(login, on: peer)
        _ = try await context.given {
            try context.login(try await peer.ask(.refresh(login)), di: login.di, uid: login.uid)
        }
        let other = try await context.open("again")
        let repeated = try await other.ask(.refresh(login))
        try context.expect(repeated, .changed, to: "the same refresh once more")
        var next = try context.login(repeated, di: login.di, uid: login.uid)
        // Two steps further nobody can have lost that answer.
        for _ in 0..<2 {
            next = try context.login(try await other.ask(.refresh(next)), di: login.di, uid: login.uid)
            try context.expect(try await other.ask(.signIn(next)), .changed, to: "a sign-in with the newest token")
        }
        let late = try await context.open("late")
        try context.expect(try await late.ask(.refresh(login)), .unauthorized, to: "a refresh token of long ago")
    },
    ConformanceCase(
        53, .refresh, "OCF CNC, tokenrefresh",
        "when uid, di or refreshtoken is missing, then 4.00 each; when one is wrong, 4.01 each"
    ) { context in
        let login = try await context.signedUp(on: try await context.open("device"))
        let fields: [(String, DataItem, wrong: DataItem)] = [
            ("uid", .text(login.uid), "x-conformance-nobody"), ("di", .text(login.di), .text(context.freshDI())),
            ("refreshtoken", .text(login.refreshToken), "wrong"),
        ]
        for (name, _, wrong) in fields {
            let others = fields.filter { $0.0 != name }.map { DataItem.Pair(.text($0.0), $0.1) }
            let peer = try await context.open("device")
            try context.expect(
                try await peer.ask(.ocf(.post, "oic/sec/tokenrefresh", .map(others))), .badRequest,
                to: "a refresh without \(name)")
            let other = try await context.open("device")
            try context.expect(
                try await other.ask(.ocf(.post, "oic/sec/tokenrefresh", .map(others + [.init(.text(name), wrong)]))),
                .unauthorized, to: "a refresh with a wrong \(name)")
        }
    },
]

func session(_ fields: [DataItem.Pair]) -> Request { .ocf(.post, "oic/sec/session", .map(fields)) }

/// A request of the client reaches the device, and the answer the client.
func expectAnswer(
    _ device: CaseContext.Session, _ client: CaseContext.Session, _ context: CaseContext
) async throws {
    let asked = await client.peer.start(.resource(.get, device.di, "light"))
    let request = try await device.peer.request(about: "light")
    await device.peer.answer(request, .content(["value": true]))
    let answer = try await client.peer.response(to: asked, "GET /{di}/light")
    try context.expect(answer, .content, to: "GET /{di}/light")
}

/// Waits until a token is over, if that can be waited for.
private func waitForExpiry(_ login: CaseContext.Login, _ context: CaseContext) async throws {
    guard login.expiresIn >= 0, .seconds(login.expiresIn) < context.plan.slowPatience else {
        let long = login.expiresIn < 0 ? "for ever" : "\(login.expiresIn) s"
        throw CaseSkip("tokens live \(long), longer than --slow-timeout")
    }
    try await Task.sleep(for: .seconds(login.expiresIn))
}
