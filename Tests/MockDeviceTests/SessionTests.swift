import CBOR
import Cloud
import CoAP
import MockDevice
import NIOCore
import Testing

/// The shell against a scripted cloud on a real socket: what goes over the wire, and in which order.
@Suite("The session on the wire", .timeLimit(.minutes(1)))
struct SessionTests {
    /// Options 11, 11, 11, 12, 17, 2049, 2053 and the payload marker, as recorded from the reference device.
    private let signUpOptions = "b36f696303736563076163636f756e74122710522710e206e30800420800ff"
    private let signInOptions = "b36f6963037365630773657373696f6e122710522710e206e30800420800ff"
    private let refreshOptions = "b36f6963037365630c746f6b656e72656672657368122710522710e206e30800420800ff"
    private let publishOptions = "b36f69630272641227103d0272743d6f69632e776b2e7264707562222710e206e30800420800ff"

    /// Options, marker and payload: what stands behind the token.
    private func body(_ frame: Frame) -> String {
        let length = frame.bytes.count - frame.message.token.count
        let header = length < 15 ? 2 : length < 272 ? 3 : 4
        return hexadecimal(frame.bytes.dropFirst(header + frame.message.token.count))
    }

    @Test("OCF CNC: register, session, publish in one run, byte for byte as the reference device words them")
    func wholeSession() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "session", "publish"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()

        let signUp = try await peer.frame()
        #expect(signUp.message.code == .post)
        #expect(signUp.message.token.count == 8)
        #expect(self.body(signUp).hasPrefix(self.signUpOptions))
        #expect(
            try DataItem(decoding: #require(signUp.message.payload))
                == ["di": "d-1", "accesstoken": "code-1", "devicetype": "device"])
        // The recorded answer of a cloud, with this request's token.
        try await peer.send(
            bytes: bytes("d84244") + signUp.message.token.bytes
                + bytes(
                    "c22710e206ec0800ffa56b616363657373746f6b656e6461742d316c72656672657368746f6b656e6472742d31"
                        + "6965787069726573696e190e106375696463752d316b726564697265637475726960"))

        let signIn = try await peer.frame()
        #expect(self.body(signIn).hasPrefix(self.signInOptions))
        #expect(
            try DataItem(decoding: #require(signIn.message.payload))
                == ["uid": "u-1", "di": "d-1", "accesstoken": "at-1", "login": true])
        try await peer.send(
            bytes: bytes("d80a44") + signIn.message.token.bytes
                + bytes("c22710e206ec0800ffa16965787069726573696e190e10"))

        let publish = try await peer.frame()
        #expect(self.body(publish).hasPrefix(self.publishOptions))
        let item = try DataItem(decoding: #require(publish.message.payload))
        #expect(item["di"] == "d-1")
        #expect(item["ttl"] == 0)
        let links = try #require(item["links"]?.elements)
        #expect(links.compactMap { $0["href"]?.string } == ["/oic/d", "/oic/p", "/light", "/thermostat", "/myhref"])
        let numbered = links.enumerated().map { number, link in
            DataItem.map((link.pairs ?? []) + [.init("ins", DataItem(integer: Int64(number) + 1))])
        }
        try await peer.reply(to: publish.message, .changed, ["di": "d-1", "ttl": 0, "links": .array(numbered)])

        // The end of the input: a Release with a token, then the end of the connection.
        let rest = await peer.end()
        #expect(rest.map(\.code) == [.release])
        #expect(rest.first?.token.count == 8)
        #expect(await status == 0)

        let text = transcript.text
        #expect(
            text.contains(
                """
                register: 2.04 Changed
                  uid: u-1
                  accesstoken: at-1
                  refreshtoken: rt-1
                  expiresin: 3600 (the access token ends in 60 min)
                """))
        #expect(
            text.contains(
                """
                session: 2.04 Changed {"expiresin":3600}
                  Signed in; the access token ends in 60 min.
                """))
        #expect(text.contains("publish: 2.04 Changed {\"di\":\"d-1\""))
        #expect(text.contains("/light (ins 3)"))
        try await cloud.stop()
    }

    @Test("an old script's second run: session alone sends the given access token, register sends it without a code")
    func twoRuns() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["session", "register", "session", "quit", "publish"])
        let given = setup(port: cloud.port) {
            $0.answers.uid = "alice"
            $0.answers.oneTimeToken = nil
            $0.answers.accessToken = Secret("at-0")
        }
        async let status = runShell(given, feed)
        let peer = try await cloud.accept()
        let first = try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": -1])
        #expect(try DataItem(decoding: #require(first.payload))["accesstoken"] == "at-0")
        #expect(try DataItem(decoding: #require(first.payload))["uid"] == "alice")
        let signUp = try await peer.answer(.post, "oic/sec/account", .changed, tokens(1))
        #expect(
            try DataItem(decoding: #require(signUp.payload))
                == ["di": "d-1", "accesstoken": "at-0", "uid": "alice", "devicetype": "device"])
        let second = try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        #expect(try DataItem(decoding: #require(second.payload))["accesstoken"] == "at-1")
        #expect(await peer.end().map(\.code) == [.release])
        #expect(await status == 0)
        try await cloud.stop()
    }

    @Test("refresh, signout and unpublish, as the reference device words them")
    func theOthers() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["refresh", "session", "signout", "unpublish"])
        feed.end()
        let given = setup(port: cloud.port) {
            $0.answers.uid = "u-1"
            $0.answers.refreshToken = Secret("rt-0")
        }
        async let status = runShell(given, feed)
        let peer = try await cloud.accept()
        let refresh = try await peer.frame()
        #expect(self.body(refresh).hasPrefix(self.refreshOptions))
        #expect(
            try DataItem(decoding: #require(refresh.message.payload))
                == ["uid": "u-1", "di": "d-1", "granttype": "refresh_token", "refreshtoken": "rt-0"])
        // An answer to refresh need not name the user.
        try await peer.reply(
            to: refresh.message, .changed, ["accesstoken": "at-1", "refreshtoken": "rt-1", "expiresin": 60])
        try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 60])
        let signOut = try await peer.answer(.post, "oic/sec/session", .changed, [:])
        #expect(
            try DataItem(decoding: #require(signOut.payload))
                == ["uid": "u-1", "di": "d-1", "accesstoken": "at-1", "login": false])
        let unpublish = try await peer.frame()
        #expect(unpublish.message.code == .delete)
        // Without a payload: Accept and 2049 alone.
        #expect(self.body(unpublish) == "b36f6963027264" + "46" + hexadecimal("di=d-1".utf8) + "222710e206e30800")
        try await peer.reply(to: unpublish.message, .deleted)
        #expect(await peer.end().map(\.code) == [.release])
        #expect(await status == 0)
        try await cloud.stop()
    }

    @Test("the cloud's requests are served and shown while the prompt waits")
    func serving() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()

        #expect(try await self.ask(peer, .get, ["light"]).code == .content)
        let changed = try await self.ask(peer, .post, ["light"], ["value": true])
        #expect(changed.code == .changed)
        let refused = try await self.ask(peer, .post, ["light"], ["brightness": 101])
        #expect(refused.code == .badRequest)
        #expect(try await self.ask(peer, .put, ["light"], ["value": true]).code == .methodNotAllowed)
        #expect(try await self.ask(peer, .get, ["nosuch\u{1B}[2J"]).code == .notFound)
        await transcript.wait(for: "[2J -> 4.04")
        feed.end()
        #expect(await status == 0)
        let text = transcript.text
        #expect(text.contains("served: GET /light -> 2.05 Content {\"value\":false,\"brightness\":50}\n"))
        #expect(
            text.contains("served: POST /light {\"value\":true} -> 2.04 Changed {\"value\":true,\"brightness\":50}\n"))
        #expect(text.contains("-> 4.00 Bad Request: brightness must be an integer from 0 to 100, not 101\n"))
        #expect(text.contains("served: PUT /light {\"value\":true} -> 4.05 Method Not Allowed"))
        #expect(!text.contains("\u{1B}"))
        try await cloud.stop()
    }

    private func ask(_ peer: Peer, _ method: Code, _ path: [String], _ item: DataItem? = nil) async throws -> Message {
        let request = Request(method, path: path, payload: item?.encoded())
        try await peer.send(
            Message(code: method, token: Token([7]), options: request.options, payload: request.payload))
        let answer = try await peer.frame().message
        #expect(answer.token == Token([7]))
        return answer
    }

    @Test("/myhref on the wire: 2.03, Content-Format 10000, 33 bytes, nothing else")
    func text() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()
        for method in [Code.get, .post] {
            try await peer.send(bytes: bytes("71\(hexadecimal([method.rawValue]))c0b66d7968726566"))
            // Length 13 + 24 = 37: three bytes of option, the marker, 33 bytes.
            #expect(
                hexadecimal(try await peer.frame().bytes)
                    == "d11843c0c22710ff" + hexadecimal("test response payload from device".utf8))
        }
        await transcript.wait(for: "served: POST /myhref -> 2.03 Valid \"test response payload from device\"\n")
        feed.end()
        #expect(await status == 0)
        try await cloud.stop()
    }
}
