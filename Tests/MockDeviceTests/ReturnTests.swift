import CBOR
import Cloud
import CoAP
import MockDevice
import NIOCore
import Testing

/// How the device comes back, against a scripted cloud on a real socket.
@Suite("Coming back on the wire", .timeLimit(.minutes(1)))
struct ReturnTests {
    /// A device that has registered and signed in.
    private struct Running {
        let cloud: ScriptedCloud
        let feed: Feed
        let transcript: Transcript
        let peer: Peer
    }

    private func withSession(
        expiresIn: Int64 = 3600, _ body: (Running) async throws -> Void,
    ) async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "session"])
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()
        try await peer.answer(.post, "oic/sec/account", .changed, tokens(1, expiresIn: expiresIn))
        try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": DataItem(integer: expiresIn)])
        await transcript.wait(for: "Signed in")
        try await body(Running(cloud: cloud, feed: feed, transcript: transcript, peer: peer))
        feed.end()
        #expect(await status == 0)
        try await cloud.stop()
    }

    private func value(_ message: Message, _ key: String) throws -> String? {
        try DataItem(decoding: #require(message.payload))[key]?.string
    }

    /// Takes a refresh and a session, each with the right tokens.
    private func comesBack(_ peer: Peer, refreshToken: String, next: Int) async throws {
        let refresh = try await peer.answer(.post, "oic/sec/tokenrefresh", .changed, tokens(next))
        #expect(try self.value(refresh, "refreshtoken") == refreshToken)
        let session = try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        #expect(try self.value(session, "accesstoken") == "at-\(next)")
    }

    @Test("RFC 8323 §5.5: a Release is followed by a new connection, refresh and session, and no publishing")
    func release() async throws {
        try await self.withSession { running in
            try await running.peer.send(Message(code: .release, token: Token(eightBytes: 1)))
            #expect(await running.peer.end().isEmpty)
            let peer = try await running.cloud.accept()
            try await self.comesBack(peer, refreshToken: "rt-1", next: 2)
            await running.transcript.wait(for: "accesstoken: at-2")
            running.feed.end()
            #expect(await peer.end().map(\.code) == [.release])
        }
    }

    @Test("a lost connection is followed by the same, again and again")
    func lost() async throws {
        try await self.withSession { running in
            var peer = running.peer
            for number in 1..<4 {
                try await peer.close()
                peer = try await running.cloud.accept()
                try await self.comesBack(peer, refreshToken: "rt-\(number)", next: number + 1)
            }
            #expect(running.transcript.text.contains("The cloud closed the connection.\nConnecting again in "))
        }
    }

    @Test("with a permanent token it signs in without a refresh")
    func permanent() async throws {
        try await self.withSession(expiresIn: -1) { running in
            try await running.peer.close()
            let peer = try await running.cloud.accept()
            let session = try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": -1])
            #expect(try self.value(session, "accesstoken") == "at-1")
        }
    }

    @Test("4.01 at session is followed by refresh and session on the same connection")
    func unauthorized() async throws {
        try await self.withSession(expiresIn: -1) { running in
            try await running.peer.close()
            let peer = try await running.cloud.accept()
            try await peer.answer(.post, "oic/sec/session", .unauthorized)
            try await self.comesBack(peer, refreshToken: "rt-1", next: 2)
        }
    }

    @Test("C-53: 5.03 at refresh is followed by the same refresh on the same connection")
    func unavailable() async throws {
        try await self.withSession { running in
            try await running.peer.close()
            let peer = try await running.cloud.accept()
            try await peer.answer(.post, "oic/sec/tokenrefresh", .serviceUnavailable)
            await running.transcript.wait(for: "Sending refresh again in")
            try await self.comesBack(peer, refreshToken: "rt-1", next: 2)
        }
    }

    @Test("4.01 at refresh is the end: the device says so and stays away")
    func refused() async throws {
        try await self.withSession { running in
            try await running.peer.close()
            let peer = try await running.cloud.accept()
            try await peer.answer(.post, "oic/sec/tokenrefresh", .unauthorized)
            await running.transcript.wait(for: "Gave up: the cloud does not take the refresh token.")
            try await peer.close()
            await running.transcript.wait(for: "Without a session this device waits")
        }
    }

    @Test("a cloud that is away is asked again, and the prompt works meanwhile")
    func away() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "session"])
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()
        try await peer.answer(.post, "oic/sec/account", .changed, tokens(1))
        try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        await transcript.wait(for: "Signed in")
        try await cloud.stop()
        try await peer.close()
        await transcript.wait(for: "connection refused")
        feed.type("status")
        await transcript.wait(for: "not connected, not signed in")
        feed.end()
        #expect(await status == 0)
    }

    @Test("the token is refreshed before it ends, during the session")
    func expiry() async throws {
        try await self.withSession(expiresIn: 1) { running in
            try await self.comesBack(running.peer, refreshToken: "rt-1", next: 2)
        }
    }

    @Test("signed out means out: a lost connection stays lost, and the next command connects")
    func signedOut() async throws {
        try await self.withSession { running in
            running.feed.type("signout")
            try await running.peer.answer(.post, "oic/sec/session", .changed)
            await running.transcript.wait(for: "signout: 2.04")
            try await running.peer.close()
            await running.transcript.wait(for: "Without a session this device waits")
            running.feed.type("session")
            let peer = try await running.cloud.accept()
            try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        }
    }

    @Test("a cloud that sends the device elsewhere at sign-up gets the session there")
    func redirect() async throws {
        let first = try await ScriptedCloud.start()
        let second = try await ScriptedCloud.start()
        let feed = Feed(["register", "session"])
        feed.end()
        async let status = runShell(setup(port: first.port), feed)
        let peer = try await first.accept()
        let target = DataItem.text("coap+tcp://127.0.0.1:\(second.port)")
        try await peer.answer(.post, "oic/sec/account", .changed, tokens(1, [.init("redirecturi", target)]))
        #expect(await peer.end().map(\.code) == [.release])
        let other = try await second.accept()
        let session = try await other.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        #expect(try self.value(session, "accesstoken") == "at-1")
        #expect(await status == 0)
        try await first.stop()
        try await second.stop()
    }
}
