import CBOR
import Cloud
import CoAP
import Glibc
import MockDevice
import NIOCore
import Testing

/// What people and scripts see.
@Suite("The shell", .timeLimit(.minutes(1)))
struct ShellTests {
    @Test("the questions come first, in order, then the menu; the end of the input ends it with status 0")
    func questions() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["127.0.0.1:\(cloud.port)", "", "d-2", "", "secret-code", ""])
        feed.end()
        let transcript = Transcript()
        #expect(await runShell(InteractiveShell.Setup(), feed, transcript) == 0)
        let text = transcript.text
        #expect(
            text.hasPrefix(
                """
                Target address [127.0.0.1:5683]: 
                User ID [none: register tells it]: 
                Device ID [OCF-cloud-device-test-uuid]: 
                Access token [none]: 
                Mediated one-time token [none]: 
                Refresh token [none]: 
                Connecting to 127.0.0.1:\(cloud.port) …
                Connected to 127.0.0.1:\(cloud.port).
                 1  register
                """))
        #expect(text.hasSuffix("11  quit                    end\n> \n"))
        #expect(!text.contains("secret-code"))
        try await cloud.stop()
    }

    @Test("the input may end at any question")
    func earlyEnd() async {
        for count in 0..<6 {
            let feed = Feed(Array(repeating: "", count: count))
            feed.end()
            #expect(await runShell(InteractiveShell.Setup(), feed) == 0)
        }
    }

    @Test("a person may answer again, a script ends with status 1")
    func badAnswer() async {
        let script = Feed(["host:0", "alice"])
        script.end()
        let transcript = Transcript()
        #expect(await runShell(InteractiveShell.Setup(), script, transcript) == 1)
        #expect(transcript.text.contains("a port is a number from 1 to 65535"))
        let person = Feed(["host:0", "host:1"])
        person.end()
        #expect(await runShell(InteractiveShell.Setup(isTerminal: true), person) == 0)
    }

    @Test("a refused connection says what, to what, and what next; a script goes on")
    func refused() async throws {
        let cloud = try await ScriptedCloud.start()
        let port = cloud.port
        try await cloud.stop()
        let feed = Feed(["register", "set /light value=true"])
        feed.end()
        let transcript = Transcript()
        #expect(await runShell(setup(port: port), feed, transcript) == 0)
        #expect(transcript.text.contains("Cannot connect to 127.0.0.1:\(port): connection refused"))
        #expect(transcript.text.contains("Is the cloud running there"))
        #expect(transcript.text.contains("/light: {\"value\":true,\"brightness\":50}"))
        let other = Feed(["status"])
        #expect(await runShell(setup(port: port) { $0.failsFast = true }, other) == 1)
    }

    @Test("an error of the cloud is explained; it ends the program only with fail-fast, with status 1")
    func failure() async throws {
        for failsFast in [false, true] {
            let cloud = try await ScriptedCloud.start()
            let feed = Feed(["register", "nosuch"])
            feed.end()
            let transcript = Transcript()
            async let status = runShell(setup(port: cloud.port) { $0.failsFast = failsFast }, feed, transcript)
            let peer = try await cloud.accept()
            let request = try await peer.request(.post, "oic/sec/account")
            try await peer.reply(to: request, .unauthorized, diagnostic: "no such code\u{1B}[2J")
            #expect(await status == (failsFast ? 1 : 0))
            let text = transcript.text
            #expect(
                text.contains("register: 4.01 Unauthorized: no such code\\u{1b}[2J\n  The one-time token is unknown"))
            #expect(text.contains("There is no command \"nosuch\"") == !failsFast)
            try await cloud.stop()
        }
    }

    @Test("what is missing is said before anything is sent")
    func missing() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "session", "signout", "refresh"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port) { $0.answers.oneTimeToken = nil }, feed, transcript)
        let peer = try await cloud.accept()
        #expect(await peer.end().map(\.code) == [.release])
        #expect(await status == 0)
        #expect(transcript.text.contains("register: nothing was sent: there is no one-time token"))
        #expect(transcript.text.contains("session: nothing was sent: no user ID is known"))
        #expect(transcript.text.contains("refresh: nothing was sent: no user ID is known"))
        try await cloud.stop()
    }

    @Test("with quiet tokens only short hashes are shown")
    func quiet() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "status"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port) { $0.showsTokens = false }, feed, transcript)
        try await cloud.accept().answer(.post, "oic/sec/account", .changed, tokens(1))
        #expect(await status == 0)
        let secret = try #require(Secret("at-1"))
        #expect(transcript.text.contains("accesstoken: \(secret)\n"))
        #expect(!transcript.text.contains("at-1"))
        #expect(!transcript.text.contains("rt-1"))
        #expect(!transcript.text.contains("code-1"))
        try await cloud.stop()
    }

    @Test(
        "a 2.04 no device could use is the cloud's fault, and said so",
        arguments: [
            (tokens(1, [.init("accesstoken", "")]), ContentFormat.ocfCBOR, "it has no text \"accesstoken\""),
            (tokens(1, [.init("refreshtoken", 1)]), .ocfCBOR, "it has no text \"refreshtoken\""),
            (tokens(1, [.init("expiresin", "3600")]), .ocfCBOR, "it has no integer \"expiresin\""),
            (tokens(1, [.init("uid", "")]), .ocfCBOR, "it has no text \"uid\""),
            ([1], .ocfCBOR, "its payload is an array, not a map"),
            (tokens(1), nil, "it has no Content-Format"),
            (tokens(1), .json, "its Content-Format is 50, not 10000"),
            (tokens(1, [.init("redirecturi", "coap://x")]), .ocfCBOR, "its redirecturi leads nowhere"),
        ] as [(DataItem, ContentFormat?, String)])
    func unusable(item: DataItem, format: ContentFormat?, problem: String) async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register"])
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port) { $0.failsFast = true }, feed, transcript)
        let peer = try await cloud.accept()
        try await peer.reply(to: peer.request(.post, "oic/sec/account"), .changed, item, format: format)
        #expect(await status == 1)
        #expect(transcript.text.contains(problem.filter { $0 != "\u{1B}" }))
        try await cloud.stop()
    }

    @Test(
        "BI-7: a port that answers in TLS or HTTP is recognised as the wrong one",
        arguments: ["150303000202", "485454502f312e31"])
    func wrongPort(answer: String) async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()
        _ = try await peer.request(.post, "oic/sec/account")
        try await peer.send(bytes: bytes(answer) + Array(repeating: 0x20, count: 20))
        try await peer.close()
        #expect(await status == 0)
        #expect(transcript.text.contains("register: no answer"))
        #expect(transcript.text.contains("It never answered. If \(cloud.port) is a TLS port"))
        try await cloud.stop()
    }

    @Test("a cloud that closes an idle connection is not taken for something else; the next command connects again")
    func idle() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        try await cloud.accept().close()
        await transcript.wait(for: "The cloud closed the connection.\n  Without a session this device waits")
        feed.type("register")
        feed.end()
        try await cloud.accept().answer(.post, "oic/sec/account", .changed, tokens(1))
        #expect(await status == 0)
        #expect(!transcript.text.contains("It never answered"))
        try await cloud.stop()
    }

    @Test("no answer in time is said; the connection stays")
    func silence() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "status"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(
            setup(port: cloud.port) { $0.requestTimeout = .milliseconds(1500) }, feed, transcript)
        let peer = try await cloud.accept()
        _ = try await peer.request(.post, "oic/sec/account")
        #expect(await status == 0)
        #expect(transcript.text.contains("register: no answer: none came within 1.5 s."))
        #expect(transcript.text.contains(", connected, not signed in"))
        try await cloud.stop()
    }

    @Test("Ctrl-C in the middle of a command ends it at once, with a Release")
    func cancelled() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["register", "session"])
        let given = setup(port: cloud.port)
        try await withThrowingTaskGroup(of: Int32.self) { group in
            group.addTask { await runShell(given, feed) }
            let peer = try await cloud.accept()
            _ = try await peer.request(.post, "oic/sec/account")
            group.cancelAll()
            #expect(await peer.end().map(\.code) == [.release])
            #expect(try await group.next() == 0)
        }
        try await cloud.stop()
    }

    @Test("Ctrl-C at the prompt and at a question ends it at once")
    func cancelledWaiting() async throws {
        let cloud = try await ScriptedCloud.start()
        for given in [setup(port: cloud.port), InteractiveShell.Setup()] {
            let transcript = Transcript()
            await withTaskGroup(of: Int32.self) { group in
                group.addTask { await runShell(given, Feed(), transcript) }
                await transcript.wait(for: given.given.isEmpty ? "Target address" : "\n> ")
                group.cancelAll()
                #expect(await group.next() == 0)
            }
        }
        try await cloud.stop()
    }

    @Test("status shows short hashes, resources what they hold")
    func status() async throws {
        let cloud = try await ScriptedCloud.start()
        let feed = Feed(["status", "register", "session", "status", "resources", "help"])
        feed.end()
        let transcript = Transcript()
        async let status = runShell(setup(port: cloud.port), feed, transcript)
        let peer = try await cloud.accept()
        try await peer.answer(.post, "oic/sec/account", .changed, tokens(1, expiresIn: 7205))
        try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 7205])
        #expect(await status == 0)
        let text = transcript.text
        let code = try #require(Secret("code-1"))
        let access = try #require(Secret("at-1"))
        #expect(text.contains("user ID        not known yet"))
        #expect(text.contains("one-time token \(code)\naccess token   none\n"))
        #expect(text.contains(", connected, signed in\nuser ID        u-1\ndevice ID      d-1\n"))
        #expect(text.contains("access token   \(access), ends in 2 h\n"))
        #expect(
            text.contains(
                "/light  {\"value\":false,\"brightness\":50}  (oic.r.switch.binary oic.r.light.brightness)"))
        try await cloud.stop()
    }

    // MARK: - The state file

    @Test("the state file is for its owner alone, and a second run starts from it")
    func state() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/state"
        let cloud = try await ScriptedCloud.start()
        let given = setup(port: cloud.port) { $0.stateFile = StateFile(path: path) }
        let first = Feed(["register"])
        first.end()
        async let status = runShell(given, first)
        try await cloud.accept().answer(.post, "oic/sec/account", .changed, tokens(1))
        #expect(await status == 0)
        var information = stat()
        #expect(stat(path, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)

        // Nothing given but the file.
        let second = Feed(["", "", "", "", "", "", "session"])
        second.end()
        let transcript = Transcript()
        async let again = runShell(InteractiveShell.Setup(stateFile: StateFile(path: path)), second, transcript)
        let session = try await cloud.accept().answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        #expect(
            try DataItem(decoding: #require(session.payload))
                == ["uid": "u-1", "di": "d-1", "accesstoken": "at-1", "login": true])
        #expect(await again == 0)
        #expect(transcript.text.contains("Target address [127.0.0.1:\(cloud.port)]: "))
        #expect(transcript.text.contains("Device ID [d-1]: "))
        try await cloud.stop()
    }

    @Test("the state of one device is not used for another")
    func otherDevice() async throws {
        let directory = try TemporaryDirectory()
        let file = StateFile(path: directory.path + "/state")
        let cloud = try await ScriptedCloud.start()
        let secret = try #require(Secret("at-1"))
        try file.save(
            SavedState(
                address: ServerAddress(host: "127.0.0.1", port: cloud.port), di: "d-0",
                tokens: Tokens(uid: "u-0", accessToken: secret, refreshToken: secret, expiresAt: nil)))
        let feed = Feed(["session"])
        feed.end()
        let transcript = Transcript()
        #expect(await runShell(setup(port: cloud.port) { $0.stateFile = file }, feed, transcript) == 0)
        #expect(transcript.text.contains("The state file is that of the device d-0"))
        #expect(transcript.text.contains("session: nothing was sent"))
        try await cloud.stop()
    }

    @Test("a state file of no use is named, with what to do, before anything starts")
    func badState() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/state"
        for content in ["", "{", "{}", "[1]", String(repeating: " ", count: 20_000)] {
            try directory.write(content, to: "state")
            let transcript = Transcript()
            #expect(await runShell(InteractiveShell.Setup(stateFile: StateFile(path: path)), Feed(), transcript) == 1)
            #expect(transcript.text.contains("The state file \(path) "))
            #expect(transcript.text.contains("--state"))
        }
    }
}

/// A directory that goes away with its value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/mock-device-tests.XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        self.path = try #require(made)
    }

    func write(_ text: String, to name: String) throws {
        let file = try #require(fopen(self.path + "/" + name, "w"))
        fputs(text, file)
        fclose(file)
    }

    deinit {
        unlink(self.path + "/state")
        rmdir(self.path)
    }
}
