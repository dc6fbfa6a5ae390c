import CoAP
import NIOCore
import TestSupport
import Testing

@testable import Cloud
@testable import CoAPInterface

@Suite("A device's connection, when several things happen at once", .timeLimit(.minutes(1)))
struct DeviceConnectionTests {
    private static let signIn = Request.signIn(uid: "alice", di: "lamp", accessToken: "t")

    @Test("BI-36: a sign-in that is granted after its connection was given up takes nobody's session")
    func dyingConnection() async throws {
        try await InterfaceBench.with { bench in
            let dying = try await ScriptedPeer.connect(port: bench.server.port, staysHalfOpen: true)
            try await dying.start(Self.signIn)
            let late = try await bench.registry.next()
            // The connection's end is decided here, and it lingers until the peer has closed.
            try await dying.send(bytes: [0x0F, 0x01])
            #expect(try await dying.receivePastCSM().code == .abort)
            let living = try await bench.lamp()
            late.answer(.granted)
            try await living.expectSilence()
            #expect(bench.sessions.count == 1)
        }
    }

    @Test("RFC 8323 §5.5: a request that was answered behind a Release has a line that says so, not `abandoned`")
    func lineAfterRelease() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.connect()
            try await peer.start(Self.signIn)
            let asked = try await bench.registry.next()
            try await peer.send(Message(code: .release, token: .unique()))
            try await peer.expectSilence()
            asked.answer(.granted)
            #expect(try await peer.receivePastCSM().code == .changed)
            let line = try await bench.accessLine("/oic/sec/session")
            #expect(line.contains("2.04"))
            #expect(!line.contains("abandoned"))
        }
    }

    @Test("The line of a sign-out and of a request given up names the device whose connection it was")
    func lineNamesDevice() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.lamp()
            try await peer.start(.ocf(.get, "oic/res"))
            _ = try await bench.registry.next()
            await peer.close()
            let line = try await bench.accessLine("/oic/res")
            #expect(line.contains("abandoned"))
            #expect(line.contains("lamp"))
        }
    }

    @Test("What waits for a device when it signs in anew goes to its new session")
    func queuedGoesToNewSession() async throws {
        try await InterfaceBench.with { bench in
            let old = try await bench.lamp()
            var request = Request(.post, path: ["lamp", "light"])
            request.options.fence = Fence(uid: "alice")
            let asked = request
            let edge = bench.edge
            try await withThrowingTaskGroup(of: Response.self) { tasks in
                for _ in 0..<17 { tasks.addTask { await edge.respond(to: asked) } }
                for _ in 0..<16 { _ = try await old.receiveRequest(.post, "light") }
                let new = try await bench.lamp()
                let waited = try await new.receiveRequest(.post, "light")
                try await new.answer(waited, Response(.changed))
                var codes: [Code: Int] = [:]
                for try await response in tasks { codes[response.code, default: 0] += 1 }
                // What the old session had got may have been acted on, and a POST is not sent twice.
                #expect(codes == [.changed: 1, .badGateway: 16])
            }
        }
    }

    @Test("A registration deleted while a sign-in was being granted leaves no session behind")
    func deletedMeanwhile() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.connect()
            try await peer.start(Self.signIn)
            let asked = try await bench.registry.next()
            bench.sessions.endNow([try DeviceID("lamp")], reason: "deleted")
            asked.answer(.granted)
            let answer = try await peer.receivePastCSM()
            // Whether it is gone for good is the registry's to say, at the next sign-in.
            #expect(answer.code == .serviceUnavailable)
            #expect(answer.options.maxAge == 1)
            #expect(bench.sessions.count == 0)
            // Signed up and in again, it has one.
            try await peer.start(Self.signIn)
            try await bench.registry.next().answer(.granted)
            #expect(try await peer.receivePastCSM().code == .changed)
            #expect(bench.sessions.count == 1)
        }
    }

    @Test(
        "A sign-in granted before changes were missed begins no session after them; one that knows of them does",
        arguments: [(10, Code.serviceUnavailable), (11, .changed), (nil, .serviceUnavailable)] as [(UInt64?, Code)])
    func missedChanges(sequence: UInt64?, expected: Code) async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.connect()
            try await peer.start(Self.signIn)
            let asked = try await bench.registry.next()
            // Nobody will ask whether this login still has its right: it is not among the sessions yet.
            #expect(bench.sessions.logins(missedUpTo: 11).isEmpty)
            asked.answer(.granted(sequence: sequence))
            #expect(try await peer.receivePastCSM().code == expected)
            #expect(bench.sessions.count == (expected == .changed ? 1 : 0))
            // What is asked afterwards is granted by a registry that knows.
            try await peer.start(Self.signIn)
            try await bench.registry.next().answer(.granted(sequence: sequence))
            #expect(try await peer.receivePastCSM().code == .changed)
            #expect(bench.sessions.logins(missedUpTo: 12).count == 1)
        }
    }

    @Test("A session that was renewed by a login granted before changes were missed ends")
    func missedChangesOfRenewal() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.lamp()
            try await peer.start(Self.signIn)
            let asked = try await bench.registry.next()
            // The login it had is asked about, the one it is about to have is not.
            #expect(bench.sessions.logins(missedUpTo: 11).map(\.family) == [nil])
            asked.answer(.granted(family: "f-2", sequence: 10))
            #expect(try await peer.receivePastCSM().code == .serviceUnavailable)
            #expect(bench.sessions.count == 0)
        }
    }

    @Test("A device that signs up anew on the connection of its session gets the answer, and signs in there")
    func signUpOnLivingSession() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.lamp()
            try await peer.start(.signUp(di: "lamp", code: "c"))
            let asked = try await bench.registry.next()
            bench.sessions.endNow([try DeviceID("lamp")], reason: "registered anew")
            asked.answer(Response(.changed))
            #expect(try await peer.receivePastCSM().code == .changed)
            #expect(bench.sessions.count == 0)
            try await peer.start(Self.signIn)
            try await bench.registry.next().answer(.granted)
            #expect(try await peer.receivePastCSM().code == .changed)
            #expect(bench.sessions.count == 1)
        }
    }

    @Test("A registration that is deleted while the device asks for something else closes its connection")
    func deletedWhileAsking() async throws {
        try await InterfaceBench.with { bench in
            let peer = try await bench.lamp()
            try await peer.start(.ocf(.get, "oic/res"))
            _ = try await bench.registry.next()
            bench.sessions.endNow([try DeviceID("lamp")], reason: "deleted")
            #expect(try await peer.receiveAbort().text == "deleted")
            #expect(bench.sessions.count == 0)
        }
    }
}
