import Certificates
import Cloud
import Cluster
import CoAPTransport
import FoundationEssentials
import Gateway
import Logging
import ServiceShell
import Testing

@Suite("Configuration of coap-gateway")
struct ConfigurationTests {
    private static func load(
        _ words: [String] = [],
        environment: [String: String] = [:],
    ) throws -> GatewayConfiguration {
        guard case .run(let arguments) = try GatewayConfiguration.program.parse(words) else {
            throw ConfigurationError(program: "coap-gateway", problems: [.usage("did not ask to run")])
        }
        return try GatewayConfiguration(arguments: arguments, environment: environment)
    }

    private static func key(from first: UInt8) -> String {
        Data((0..<32).map { first + $0 }).base64EncodedString()
    }

    private static func isOpen(_ configuration: GatewayConfiguration) -> Bool {
        configuration.http.isOpen(configuration.process)
    }

    private static func error(_ environment: [String: String]) throws -> ConfigurationError {
        try #require(throws: ConfigurationError.self) { try Self.load(environment: environment) }
    }

    @Test("Without any setting every value is the documented default")
    func defaults() throws {
        let configuration = try Self.load()
        #expect(configuration.http.port == 8080)
        #expect(configuration.devices.port == 5683)
        #expect(configuration.process.adminPort == 9090)
        #expect(configuration.process.bindAddress == "127.0.0.1")
        #expect(configuration.dataDirectory == "./data")
        #expect(Self.isOpen(configuration))
        #expect(configuration.tokens.accessTokenLifetime == .seconds(6000))
        #expect(configuration.tokens.deviceTokenLifetime == .seconds(6000))
        #expect(configuration.tokens.refreshReuse == .revoke)
        #expect(configuration.tokenSealKey == nil)
        #expect(configuration.devices.maxMessageSize == 262_144)
        #expect(configuration.requests.timeout == .seconds(20))
        #expect(configuration.devices.keepaliveTime == .seconds(60))
        #expect(configuration.devices.keepaliveInterval == .seconds(10))
        #expect(configuration.devices.keepaliveRetry == 3)
        #expect(!configuration.devices.csmStrict)
        #expect(configuration.devices.maxConnections == 10_000)
        #expect(configuration.process.logLevel == .info)
        #expect(configuration.process.accessLog == .all)
        #expect(configuration.process.eventLoops >= 1)
        #expect(configuration.sid == nil)
        #expect(configuration.endpoint(port: 5683) == "coap+tcp://127.0.0.1:5683")
        #expect(configuration.warnings.isEmpty)
    }

    @Test("Every setting can be given, by flag as well as by environment")
    func everySetting() throws {
        let values = [
            "HTTP_PORT": "1", "COAP_PORT": "2", "ADMIN_PORT": "3", "BIND_ADDRESS": "::", "DATA_DIR": "/tmp/d",
            "COAPS_PORT": "21", "COAP_WS_PORT": "22", "COAPS_WS_PORT": "23", "PROXY_PROTOCOL_FROM": "10.0.0.0/8,::1",
            "TLS_CERTIFICATE": "/c", "TLS_CERTIFICATE_KEY": "/k", "TLS_CA_POOL": "/a", "TLS_CRL": "/r",
            "TLS_CLIENT_CERTIFICATES": "required",
            "PUBLIC_ENDPOINT": "coap+tcp://cloud.example:5683", "REGISTRATION": "open",
            "ACCESS_TOKEN_LIFETIME": "permanent", "DEVICE_TOKEN_LIFETIME": "60", "REFRESH_REUSE": "recover",
            "TOKEN_SEAL_KEY": "\(Self.key(from: 0))",
            "TOKEN_SEAL_KEY_PREVIOUS": "\(Self.key(from: 1))",
            "SID": "0685b960-736f-46f7-bec0-9e6cbd61adc1", "MAX_MESSAGE_SIZE": "1152", "MAX_CONNECTIONS": "5",
            "HANDSHAKES": "3", "SIGN_IN_REQUESTS": "4", "SOURCE_RATE": "6",
            "REQUEST_TIMEOUT": "7", "KEEPALIVE_TIME": "8", "KEEPALIVE_INTERVAL": "9", "KEEPALIVE_RETRY": "0",
            "CSM_STRICT": "true", "STORED_STATE": "observe", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
            "ACCESS_LOG": "off",
            "EVENT_LOOPS": "4", "MEMORY_LIMIT": "67108864", "PORTS_FILE": "/tmp/p", "HTTPS_PORT": "4",
            "HTTPS_CERTIFICATE": "/tmp/cert.pem",
            "HTTPS_CERTIFICATE_KEY": "/tmp/key.pem", "REDIRECT_URI": "coaps+tcp://other.example:5684",
        ]
        #expect(Set(values.keys) == Set(GatewayConfiguration.program.settings.map(\.name)))
        let words = GatewayConfiguration.program.settings.flatMap { [$0.flag, values[$0.name] ?? ""] }
        for configuration in [try Self.load(environment: values), try Self.load(words)] {
            #expect(configuration.http.port == 1)
            #expect(configuration.http.securePort == 4)
            #expect(configuration.http.files != nil)
            #expect(configuration.tokens.redirectURI == "coaps+tcp://other.example:5684")
            #expect(configuration.devices.port == 2)
            #expect(configuration.devices.storedState == .observe)
            #expect(configuration.devices.securePort == .port(21))
            #expect(configuration.devices.webSocketPort == 22)
            #expect(configuration.devices.secureWebSocketPort == 23)
            #expect(configuration.devices.proxies == ProxySources(["10.0.0.0/8", "::1"]))
            #expect(
                configuration.tls.files
                    == ServerCertificates.Files(
                        certificate: "/c", key: "/k", authorities: ["/a"], revocations: ["/r"]))
            #expect(configuration.tls.clients == .required)
            #expect(configuration.process.adminPort == 3)
            #expect(configuration.process.bindAddress == "::")
            #expect(configuration.dataDirectory == "/tmp/d")
            #expect(configuration.endpoint(port: 9) == "coap+tcp://cloud.example:5683")
            #expect(Self.isOpen(configuration))
            #expect(configuration.tokens.accessTokenLifetime == nil)
            #expect(configuration.tokens.deviceTokenLifetime == .seconds(60))
            #expect(configuration.tokens.refreshReuse == .recover)
            #expect(configuration.tokenSealKey?.reveal() == [UInt8](0..<32))
            #expect(configuration.tokenSealKeyPrevious?.reveal() == [UInt8](1..<33))
            #expect(configuration.sid == "0685b960-736f-46f7-bec0-9e6cbd61adc1")
            #expect(configuration.devices.maxMessageSize == 1152)
            #expect(configuration.devices.maxConnections == 5)
            #expect(configuration.requests.timeout == .seconds(7))
            #expect(configuration.stopTime == .seconds(12))
            #expect(configuration.devices.keepaliveTime == .seconds(8))
            #expect(configuration.devices.keepaliveInterval == .seconds(9))
            #expect(configuration.devices.keepaliveRetry == 0)
            #expect(configuration.devices.csmStrict)
            #expect(configuration.process.logLevel == .debug)
            #expect(configuration.process.logFormat == .json)
            #expect(configuration.process.accessLog == .off)
            #expect(configuration.process.eventLoops == 4)
            #expect(configuration.ceilings.memoryLimit == 67_108_864)
            #expect(configuration.process.portsFile == "/tmp/p")
        }
    }

    @Test(
        "BI-80: each setting refuses what it must, naming the key, the value and what is allowed",
        arguments: [
            ("HTTPS_PORT", "65536"), ("REDIRECT_URI", "https://other.example"),
            ("HTTP_PORT", "65536"), ("COAP_PORT", "-1"), ("ADMIN_PORT", "http"), ("BIND_ADDRESS", "everywhere"),
            ("REGISTRATION", "Open"), ("ACCESS_TOKEN_LIFETIME", "0"), ("DEVICE_TOKEN_LIFETIME", "-1"),
            ("REFRESH_REUSE", "ignore"), ("MAX_MESSAGE_SIZE", "1151"), ("MAX_MESSAGE_SIZE", "16777217"),
            ("REQUEST_TIMEOUT", "0"), ("REQUEST_TIMEOUT", "61"), ("KEEPALIVE_TIME", "0"), ("KEEPALIVE_INTERVAL", "0"),
            ("KEEPALIVE_RETRY", "101"), ("CSM_STRICT", "perhaps"), ("MAX_CONNECTIONS", "0"), ("LOG_LEVEL", "loud"),
            ("HANDSHAKES", "0"), ("SIGN_IN_REQUESTS", "4097"), ("SOURCE_RATE", "0"),
            ("LOG_FORMAT", "xml"), ("ACCESS_LOG", "some"), ("PUBLIC_ENDPOINT", "http://a:1"), ("EVENT_LOOPS", "0"),
            ("SID", "me"),
        ])
    func refusals(name: String, value: String) throws {
        let error = try Self.error([name: value])
        let setting = try #require(GatewayConfiguration.program.settings.first { $0.name == name })
        #expect(error.exitStatus == 78)
        #expect(error.problems.count == 1)
        #expect(error.description.contains("\(name): \"\(value)\" (from \(name) in the environment) is not allowed"))
        #expect(error.description.contains("give \(setting.allowed)"))
    }

    @Test("BI-82: a bad seal key is refused without being shown")
    func badSealKey() throws {
        let error = try Self.error(["TOKEN_SEAL_KEY": "c2hvcnQgc2VjcmV0"])
        #expect(error.description.contains("TOKEN_SEAL_KEY: the secret given"))
        #expect(error.description.contains("32 random bytes in base64"))
        #expect(!error.description.contains("c2hvcnQ"))
    }

    @Test(
        "Registration is open by default on loopback only",
        arguments: [
            ("127.0.0.1", true), ("127.8.8.8", true), ("::1", true), ("localhost", true), ("0.0.0.0", false),
            ("::", false), ("192.0.2.1", false), ("2001:db8::1", false),
        ])
    func registration(address: String, isOpen: Bool) throws {
        #expect(try Self.isOpen(Self.load(environment: ["BIND_ADDRESS": address])) == isOpen)
        #expect(try Self.isOpen(Self.load(["--bind-address", address, "--registration", "open"])))
        #expect(try !Self.isOpen(Self.load(["--bind-address", address, "--registration", "closed"])))
    }

    @Test("Two listeners on one port are refused, several on any free port are not")
    func sharedPorts() throws {
        let error = try Self.error(["HTTP_PORT": "9090"])
        #expect(error.description.contains(#"ADMIN_PORT: "9090" is HTTP_PORT's port too"#))
        let words = ["--http-port", "0", "--coap-port", "0", "--admin-port", "0"]
        #expect(try Self.load(words).process.adminPort == 0)
    }

    @Test("An IPv6 address stands in brackets in the endpoint")
    func endpointOfIPv6() throws {
        #expect(try Self.load(["--bind-address", "::1"]).endpoint(port: 7) == "coap+tcp://[::1]:7")
    }

    @Test("The old gateway's ADDRESS sets address and port of CoAP, and the new names win over it")
    func oldAddress() throws {
        let old = try Self.load(environment: ["ADDRESS": "192.0.2.7:5690"])
        #expect(old.process.bindAddress == "192.0.2.7")
        #expect(old.devices.port == 5690)
        #expect(try Self.load(environment: ["ADDRESS": ":5690"]).process.bindAddress == "0.0.0.0")
        #expect(try Self.load(environment: ["ADDRESS": "[::1]:5690"]).process.bindAddress == "::1")
        let both = try Self.load(environment: ["ADDRESS": "192.0.2.7:5690", "COAP_PORT": "1"])
        #expect(both.devices.port == 1)
        #expect(both.process.bindAddress == "192.0.2.7")
    }

    @Test("BI-80: a bad old ADDRESS is refused under its own name", arguments: ["5690", "a b:1", "host:x", "::1:5690"])
    func badOldAddress(value: String) throws {
        let error = try Self.error(["ADDRESS": value])
        #expect(error.description.contains("ADDRESS: \"\(value)\" (from ADDRESS in the environment) is not allowed"))
    }

    @Test("Old keys without a meaning in one process are named in a warning, without their values")
    func oldKeysWithoutEffect() throws {
        let environment = ["DB_PASSWORD": "hunter2", "NETWORK": "tcp", "CACHE_URI": ""]
        let configuration = try Self.load(environment: environment)
        #expect(
            configuration.warnings == [
                "DB_PASSWORD set in the environment: no effect in coap-gateway"
            ])
    }

    @Test("Identity and seal key are made once and kept, and a damaged file is refused with its path")
    func keptInDataDirectory() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("gateway-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let configuration = try Self.load(["--data-dir", directory.path])
        let sid = try configuration.identity()
        let key = try configuration.sealKey()
        #expect(UUID(uuidString: sid) != nil)
        #expect(key.reveal().count == 32)
        #expect(try configuration.identity() == sid)
        #expect(try configuration.sealKey() == key)
        let damaged = directory.appendingPathComponent(GatewayConfiguration.DataFile.sealKey)
        try Data("short\n".utf8).write(to: damaged)
        let failure = try #require(throws: KeptFile.Failure.self) { try configuration.sealKey() }
        #expect(failure.description.hasPrefix("\(damaged.path) cannot be used: it does not hold 32 bytes"))
        let given = "0685b960-736f-46f7-bec0-9e6cbd61adc1"
        #expect(try Self.load(["--data-dir", directory.path, "--sid", given]).identity() == given)
    }
}
