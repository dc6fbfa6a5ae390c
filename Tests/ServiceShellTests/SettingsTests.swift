import Glibc
import ServiceShell
import Testing

@Suite("Settings")
struct SettingsTests {
    enum Colour: String, CaseIterable, Sendable {
        case red
        case green
    }

    static let port = Setting.port("HTTP_PORT", default: 8080, "A port.")
    static let wait = Setting.seconds("REQUEST_TIMEOUT", in: 1...60, default: 20, "A time.")
    static let size = Setting.size("MAX_MESSAGE_SIZE", in: 1152...16_777_216, default: 262_144, "A size.")
    static let colour = Setting.choice("COLOUR", default: Colour.red, "A choice.")
    static let strict = Setting.toggle("CSM_STRICT", default: false, "A switch.")
    static let life = Setting.lifetime("TOKEN_LIFETIME", in: 1...9999, default: 6000, "A lifetime.")
    static let address = Setting.address("BIND_ADDRESS", default: "127.0.0.1", "An address.")
    static let endpoint = Setting.coapEndpoints("PUBLIC_ENDPOINT", shownAs: "(none)", "Endpoints.")
    static let listener = Setting.listener("COAPS_PORT", default: .off, "A port, or none.")
    static let identity = Setting.uuid("SID", "A UUID.")
    static let key = Setting.secretKey("SEAL_KEY", count: 4, shownAs: "(none)", "A secret.")
    static let longKey = Setting.secretKey("LONG_KEY", count: 32, shownAs: "(none)", "A secret.")
    static let password = Setting.password("PASSWORD", "A secret.")

    static let program = ProgramDescription(
        name: "test-program",
        version: "1.2.3",
        abstract: "A program for tests.",
        settings: [
            port.declaration, wait.declaration, size.declaration, colour.declaration, strict.declaration,
            life.declaration, address.declaration, endpoint.declaration, identity.declaration, key.declaration,
            longKey.declaration, password.declaration,
        ],
    )

    static func reader(
        _ words: [String] = [],
        environment: [String: String] = [:],
    ) throws -> SettingsReader {
        guard case .run(let arguments) = try Self.program.parse(words) else {
            throw ConfigurationError(program: "test-program", problems: [.usage("did not ask to run")])
        }
        return Self.program.reader(arguments: arguments, environment: environment)
    }

    /// What is wrong when `setting` is read from `text` in the environment.
    static func problem<Value>(_ setting: Setting<Value>, _ text: String) throws -> String {
        var reader = try Self.reader(environment: [setting.declaration.name: text])
        _ = reader.read(setting)
        let error = #expect(throws: ConfigurationError.self) { try reader.finish() }
        return error?.description ?? ""
    }

    @Test("A flag wins over the environment, which wins over the file, which wins over the default")
    func precedence() throws {
        let settings = #"{"HTTP_PORT": 3, "REQUEST_TIMEOUT": 3, "COLOUR": "green", "CSM_STRICT": true}"#
        let file = try Temporary.file(settings)
        defer { unlink(file) }
        var reader = try Self.reader(
            ["--http-port", "1", "--config", file],
            environment: ["HTTP_PORT": "2", "REQUEST_TIMEOUT": "2"],
        )
        let value1 = reader.read(Self.port)
        #expect(value1 == 1)
        let value2 = reader.read(Self.wait)
        #expect(value2 == .seconds(2))
        let value3 = reader.read(Self.colour)
        #expect(value3 == .green)
        let value4 = reader.read(Self.strict)
        #expect(value4)
        let value5 = reader.read(Self.size)
        #expect(value5 == 262_144)
        try reader.finish()
    }

    @Test("A value may follow its flag after a blank or an equals sign, and keeps its commas, dashes and colons")
    func flagForms() throws {
        let words = ["--http-port=1", "--bind-address", "::1", "--csm-strict", "--request-timeout", "2m"]
        var reader = try Self.reader(words)
        let value6 = reader.read(Self.port)
        #expect(value6 == 1)
        let value7 = reader.read(Self.address)
        #expect(value7 == "::1")
        let value8 = reader.read(Self.strict)
        #expect(value8)
        _ = reader.read(Self.wait)
        let error = #expect(throws: ConfigurationError.self) { try reader.finish() }
        #expect(error?.description.contains(#"REQUEST_TIMEOUT: "2m" (from --request-timeout)"#) == true)
        var comma = try Self.reader(["--colour", "red,green"])
        _ = comma.read(Self.colour)
        let other = #expect(throws: ConfigurationError.self) { try comma.finish() }
        #expect(other?.description.contains(#""red,green""#) == true)
    }

    @Test("An empty variable counts as not set")
    func emptyVariable() throws {
        var reader = try Self.reader(environment: ["HTTP_PORT": ""])
        let value9 = reader.read(Self.port)
        #expect(value9 == 8080)
        try reader.finish()
    }

    @Test("BI-80: an invalid value is refused with its key, the value, where it came from and what is allowed")
    func invalidValues() throws {
        #expect(
            try Self.problem(Self.port, "70000").hasPrefix(
                #"test-program: HTTP_PORT: "70000" (from HTTP_PORT in the environment) is not allowed; "#
                    + "give a port number from 0 to 65535"))
        for text in ["-1", "+1", "1.5", "0x50", " 80", "٣", "99999999999999999999999999", "80 "] {
            #expect(try Self.problem(Self.port, text).contains("HTTP_PORT: \"\(text)\""))
        }
        for text in ["0", "61", "2h", "20 s", "ms", "s", "9223372036854775807h"] {
            #expect(try Self.problem(Self.wait, text).contains("a number of seconds from 1 to 60"))
        }
        for text in ["1151", "17MiB", "1GiB", "KiB", "99999999999999999MiB"] {
            #expect(try Self.problem(Self.size, text).contains("a number of bytes from 1152 to 16777216"))
        }
        #expect(try Self.problem(Self.colour, "Blue").contains(#""Blue" (from COLOUR in the environment) is not"#))
        #expect(try Self.problem(Self.colour, "Blue").contains("give one of red, green"))
        #expect(try Self.problem(Self.strict, "maybe").contains("give true or false"))
        #expect(try Self.problem(Self.life, "forever").contains("or permanent"))
        for text in ["example.org", "127.0.0.1:80", "[::1]", "256.1.1.1"] {
            #expect(try Self.problem(Self.address, text).contains("give an IP address of this machine"))
        }
        for text in [
            "coap://a:1", "coap+tcp://a", "coap+tcp://:1", "coap+tcp://a:0", "coap+tcp://a:1/b", ",", "coap+tcp://a:1,",
            "coap+tcp://a:1,coap+tcp://b:1",
        ] {
            #expect(try Self.problem(Self.endpoint, text).contains("give SCHEME://HOST:PORT"))
        }
        for text in ["65536", "-1", "OFF", "none"] {
            #expect(Self.listener.parse(text) == nil)
        }
        #expect(try Self.problem(Self.identity, "0685b960").contains("give a UUID"))
    }

    @Test("A value in a message stands on one line and is cut")
    func hostileValue() throws {
        let text = try Self.problem(Self.port, "1\n2\u{1b}[31m" + String(repeating: "x", count: 1000))
        #expect(text.split(separator: "\n").count == 2)
        #expect(text.contains(#"1\n2\u{1b}[31mxxx"#))
        #expect(text.utf8.count < 500)
    }

    @Test("Values in every allowed form are taken")
    func validValues() throws {
        #expect(Self.port.parse("0") == 0)
        #expect(Self.wait.parse("60s") == .seconds(60))
        #expect(Self.wait.parse("1m") == .seconds(60))
        #expect(Self.size.parse("16MiB") == 16_777_216)
        #expect(Self.size.parse("2KiB") == 2048)
        #expect(Self.life.parse("permanent") == .some(.none))
        #expect(Self.life.parse("1h") == .some(.some(.seconds(3600))))
        #expect(Self.address.parse("localhost") == "localhost")
        #expect(Self.endpoint.parse("coaps+tcp://[2001:db8::1]:5684") == ["coaps+tcp://[2001:db8::1]:5684"])
        #expect(Self.endpoint.parse("coap+tcp://a:1, coaps+ws://a:2") == ["coap+tcp://a:1", "coaps+ws://a:2"])
        #expect(Self.listener.parse("off") == .off)
        #expect(Self.listener.parse("0") == .port(0))
        #expect(Self.identity.parse("0685B960-736F-46F7-BEC0-9E6CBD61ADC1") == "0685b960-736f-46f7-bec0-9e6cbd61adc1")
        #expect(Self.strict.parse("YES") == true)
    }

    @Test("All errors are told at once, and the exit status is 78")
    func allAtOnce() throws {
        var reader = try Self.reader(environment: ["HTTP_PORT": "x", "COLOUR": "y", "SID": "z"])
        _ = reader.read(Self.port)
        _ = reader.read(Self.colour)
        _ = reader.read(Self.identity)
        let error = try #require(throws: ConfigurationError.self) { try reader.finish() }
        #expect(error.problems.count == 3)
        #expect(error.exitStatus == 78)
        #expect(error.description.contains("--help"))
    }

    @Test("A secret is read from its variable, or from the file that KEY_FILE names, without its last newline")
    func secrets() throws {
        var reader = try Self.reader(environment: ["SEAL_KEY": "AQIDBA=="])
        let value10 = reader.read(Self.key)
        #expect(value10?.reveal() == [1, 2, 3, 4])
        let file = try Temporary.file("AQIDBA==\n")
        defer { unlink(file) }
        for words in [["--seal-key-file", file], []] {
            var reader = try Self.reader(words, environment: words.isEmpty ? ["SEAL_KEY_FILE": file] : [:])
            let value11 = reader.read(Self.key)
            #expect(value11?.reveal() == [1, 2, 3, 4])
            try reader.finish()
        }
        let configuration = try Temporary.file("{\"SEAL_KEY_FILE\": \"\(file)\"}")
        defer { unlink(configuration) }
        var third = try Self.reader(["--config", configuration])
        let value12 = third.read(Self.key)
        #expect(value12?.reveal() == [1, 2, 3, 4])
        try third.finish()
    }

    @Test("Secrets for development are taken, named in one warning, and not shown")
    func developmentSecrets() throws {
        // The bytes of "DEVELOPMENT-ONLY-cluster-secret!".
        let key = "REVWRUxPUE1FTlQtT05MWS1jbHVzdGVyLXNlY3JldCE="
        let development = ["LONG_KEY": key, "PASSWORD": "DEVELOPMENT-ONLY-mysql", "SEAL_KEY": "AQIDBA=="]
        for (environment, named) in [
            (development, "LONG_KEY, PASSWORD: FOR DEVELOPMENT ONLY."),
            (development.filter { $0.key != "LONG_KEY" }, "PASSWORD: FOR DEVELOPMENT ONLY."),
        ] {
            var reader = try Self.reader(environment: environment)
            for setting in [Self.longKey, Self.password, Self.key] { _ = reader.read(setting) }
            try reader.finish()
            let warning = try #require(reader.warnings.first)
            #expect(reader.warnings.count == 1)
            #expect(warning.hasPrefix(named))
            #expect(!warning.contains("mysql") && !warning.contains(key))
        }
        var reader = try Self.reader(environment: ["SEAL_KEY": "AQIDBA==", "PASSWORD": "mine"])
        for setting in [Self.password, Self.key] { _ = reader.read(setting) }
        #expect(reader.warnings.isEmpty)
    }

    @Test("A bad secret is never shown, neither by its error nor by describing or dumping the value")
    func secretsAreNotShown() throws {
        let text = try Self.problem(Self.key, "hunter2hunter2")
        #expect(text.contains("SEAL_KEY: the secret given (from SEAL_KEY in the environment) is not allowed"))
        #expect(text.contains("4 random bytes in base64"))
        #expect(!text.contains("hunter2"))
        let value = try #require(Self.key.parse("AQIDBA==")).map { $0 }
        var dumped = ""
        dump(value, to: &dumped)
        #expect("\(String(describing: value)) \(String(reflecting: value))".contains("(secret)"))
        #expect(!dumped.contains("1\n"))
    }

    @Test("Secret files that cannot be read, are empty or doubled are errors that name the key")
    func badSecretFiles() throws {
        let empty = try Temporary.file("\n")
        defer { unlink(empty) }
        let cases: [([String: String], String)] = [
            (["SEAL_KEY_FILE": "/nonexistent/key"], #"SEAL_KEY_FILE: the file "/nonexistent/key" cannot be read"#),
            (["SEAL_KEY_FILE": empty], "is empty"),
            (["SEAL_KEY_FILE": empty, "SEAL_KEY": "AQIDBA=="], "SEAL_KEY and SEAL_KEY_FILE are both set"),
        ]
        for (environment, expected) in cases {
            let reader = try Self.reader(environment: environment)
            let error = try #require(throws: ConfigurationError.self) { try reader.finish() }
            #expect(error.description.contains(expected))
            #expect(error.exitStatus == 78)
        }
    }

    @Test("A configuration file that cannot be read, is no object or has unknown keys is an error with a hint")
    func badConfigurationFiles() throws {
        let cases = [
            ("[1]", "is not a JSON object of settings"),
            (#"{"HTTP_PORT": [1]}"#, "is not a JSON object of settings"),
            (#"{"HTTP_PROT": 1}"#, "HTTP_PROT: /tmp/settings-"),
            (#"{"HTTP_PROT": 1}"#, "did you mean HTTP_PORT?"),
        ]
        for (content, expected) in cases {
            let file = try Temporary.file(content)
            defer { unlink(file) }
            let reader = try Self.reader(["--config", file])
            let error = try #require(throws: ConfigurationError.self) { try reader.finish() }
            #expect(error.description.contains(expected))
        }
        let reader = try Self.reader(["--config", "/nonexistent/file"])
        let error = try #require(throws: ConfigurationError.self) { try reader.finish() }
        #expect(error.description.contains(#"--config: the file "/nonexistent/file" cannot be read"#))
    }

    @Test("A bad value in the configuration file is told with the file's name")
    func badValueInFile() throws {
        let file = try Temporary.file(#"{"HTTP_PORT": 99999}"#)
        defer { unlink(file) }
        var reader = try Self.reader(["--config", file])
        _ = reader.read(Self.port)
        let error = try #require(throws: ConfigurationError.self) { try reader.finish() }
        #expect(error.description.contains("HTTP_PORT: \"99999\" (from \(file))"))
    }

    @Test(
        "Command lines that cannot be understood are refused with status 64 and a suggestion",
        arguments: [
            (["--htp-port", "1"], "--htp-port is not a flag of test-program; did you mean --http-port?"),
            (["--no-such-thing", "1"], "--no-such-thing is not a flag of test-program"),
            (["--http-port"], "--http-port needs a value"),
            (["--http-port="], "--http-port needs a value"),
            (["--http-port", "1", "--http-port", "2"], "--http-port is given twice"),
            (["start"], "\"start\" stands alone; values follow a flag"),
            (["-p", "1"], "\"-p\" stands alone"),
            (["--config"], "--config"),
        ])
    func badCommandLines(words: [String], expected: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try Self.program.parse(words) }
        #expect(error.description.contains(expected))
        #expect(error.exitStatus == 64)
    }

    @Test(
        "--help shows every setting with flag, variable, default, meaning and what is allowed",
        arguments: ["--help", "-h"],
    )
    func help(flag: String) throws {
        for words in [[flag], ["--http-port", "1", flag], [flag, "--config", "x"]] {
            guard case .show(let text) = try Self.program.parse(words) else {
                Issue.record("\(words) did not show help")
                continue
            }
            for setting in Self.program.settings {
                #expect(text.contains("\(setting.flag), \(setting.name)   [\(setting.defaultText)]"))
                #expect(text.contains(setting.meaning))
                #expect(text.contains(setting.allowed))
            }
        }
    }

    @Test("--version shows name and version")
    func version() throws {
        #expect(try Self.program.parse(["--version"]) == .show("test-program 1.2.3"))
    }

    @Test("The table of the documentation has a row for each setting, with the file form of secrets")
    func table() {
        let rows = Self.program.markdownTable().split(separator: "\n")
        #expect(rows.count == Self.program.settings.count + 2)
        #expect(rows.contains { $0.hasPrefix("| `SEAL_KEY`, `SEAL_KEY_FILE` | `--seal-key` |") })
    }
}
