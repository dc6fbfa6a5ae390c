import Certificates
import Cluster
import CoAPTransport
import FoundationEssentials
import Gateway
import Hop
import SQLStore
import ServiceShell
import TestServers
import Testing

@Suite("Settings of the programs of a cluster")
struct SettingsTests {
    /// What each program cannot start without.
    static let required: [String: String] = [
        "CLUSTER_SECRET": Self.key(1), "TOKEN_SEAL_KEY": Self.key(2), "SID": "0685b960-736f-46f7-bec0-9e6cbd61adc1",
    ]

    static func key(_ first: UInt8) -> String {
        Data((0..<32).map { first + $0 }).base64EncodedString()
    }

    private static func registry(_ environment: [String: String] = [:]) throws -> RegistrySettings {
        try RegistrySettings(
            arguments: ProgramArguments(), environment: Self.required.merging(environment) { $1 })
    }

    private static func coapInterface(_ environment: [String: String] = [:]) throws -> CoAPInterfaceSettings {
        try CoAPInterfaceSettings(
            arguments: ProgramArguments(), environment: Self.required.merging(environment) { $1 })
    }

    private static func northbound(_ environment: [String: String] = [:]) throws -> NorthboundSettings {
        try NorthboundSettings(
            arguments: ProgramArguments(), environment: Self.required.merging(environment) { $1 })
    }

    @Test("What an operator must give is asked for by name, with how to make one")
    func missing() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try RegistrySettings(arguments: ProgramArguments(), environment: [:])
        }
        #expect(error.exitStatus == 78)
        #expect(error.problems.count == 3)
        for name in ["TOKEN_SEAL_KEY", "SID", "CLUSTER_SECRET"] {
            #expect(error.description.contains("\(name): is not set; set \(name)"))
        }
        #expect(error.description.contains("CLUSTER_SECRET_FILE"))
        #expect(error.description.contains("openssl rand -base64 32"))
    }

    @Test(
        "BI-80: a secret that stands in a template is refused with 78 and never shown",
        arguments: [
            ("CLUSTER_SECRET", "PLACEHOLDER"), ("CLUSTER_SECRET", "changeme"),
            ("CLUSTER_SECRET", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("CLUSTER_SECRET", "PLACEHOLDERPLACEHOLDERPLACEHOLDERPLACEHOLDE="),
            ("TOKEN_SEAL_KEY", "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA="), ("DB_PASSWORD", "PLACEHOLDER-make-one"),
            ("DB_PASSWORD", "ChangeMe"), ("CACHE_PASSWORD", "<your password>"),
        ])
    func placeholders(name: String, value: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try Self.registry([name: value]) }
        #expect(error.exitStatus == 78)
        #expect(error.description.contains("\(name): the secret given"))
        #expect(error.description.contains("openssl rand -base64 32"))
        #expect(!error.description.contains(value))
    }

    @Test(
        "The old gateway's form of the database's address is understood, and the plain one",
        arguments: [
            ("@tcp(mysql:3306)/", "mysql", 3306), ("tcp(10.0.0.7:3307)/", "10.0.0.7", 3307),
            ("@tcp([::1]:3306)/", "::1", 3306), ("db.example:3306", "db.example", 3306),
        ])
    func databaseAddress(text: String, host: String, port: Int) throws {
        let settings = try Self.registry(["DB_URI": text]).database
        #expect(settings.address == MySQLAddress(host: host, port: port))
    }

    @Test(
        "BI-80: a wrong address of the database is refused",
        arguments: ["@tcp(mysql:3306", ":3306", "@unix(/s)/"])
    func badDatabaseAddress(text: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try Self.registry(["DB_URI": text]) }
        #expect(error.description.contains("DB_URI: \"\(text)\" (from DB_URI in the environment) is not allowed"))
    }

    @Test("The old gateway's keys set what they mean here, and the new names win over them")
    func oldKeys() throws {
        let old = [
            "ADDRESS": "0.0.0.0:5690", "NETWORK": "tcp", "MY_POD_IP": "10.1.2.3", "CACHE_URI": "redis:6379",
            "CACHE_PASSWORD": "hunter2", "CACHE_NUMBER": "3", "KEEPALIVE_TIME": "7",
        ]
        let settings = try Self.coapInterface(old)
        #expect(settings.warnings.isEmpty)
        #expect(settings.devices.port == 5690)
        #expect(settings.process.bindAddress == "0.0.0.0")
        #expect(settings.pod.ip == "10.1.2.3")
        #expect(settings.pod.address(boundTo: "0.0.0.0") == "10.1.2.3")
        #expect(settings.redis.address == "redis:6379")
        #expect(settings.redis.password?.reveal() == Array("hunter2".utf8))
        #expect(settings.redis.database == 3)
        #expect(settings.devices.keepaliveTime == .seconds(7))
        #expect(try Self.coapInterface(old.merging(["POD_IP": "10.9.9.9"]) { $1 }).pod.ip == "10.9.9.9")
        let registry = try Self.registry(old)
        #expect(registry.warnings == ["NETWORK, ADDRESS set in the environment: no effect in registry"])
        #expect(registry.process.bindAddress == "127.0.0.1")
    }

    @Test("NETWORK=tcp-tls makes the old gateway's one port one for TLS, and never starts without a certificate")
    func network() throws {
        let tls = ["TLS_CERTIFICATE": "/c", "TLS_CERTIFICATE_KEY": "/k", "TLS_CA_POOL": "/a"]
        let old = try Self.coapInterface(tls.merging(["NETWORK": "tcp-tls", "ADDRESS": ":5690"]) { $1 })
        #expect(old.warnings.isEmpty)
        #expect(old.devices.port == nil)
        #expect(old.devices.securePortWithCertificate == 5690)
        #expect(old.tls.files?.authorities == ["/a"])
        #expect(old.tls.clients == .optional)
        #expect(try Self.coapInterface(tls.merging(["NETWORK": "tcp-tls"]) { $1 }).devices.securePort == .port(5684))
        let error = try #require(throws: ConfigurationError.self) { try Self.coapInterface(["NETWORK": "tcp-tls"]) }
        #expect(error.description.contains("COAPS_PORT: is set, and there is no certificate"))
        #expect(throws: ConfigurationError.self) { try Self.coapInterface(["NETWORK": "udp"]) }
    }

    @Test("A stop that does not fit into the grace period is refused, and the message has all that it is made of")
    func graceOfDrain() throws {
        let usual = try Self.coapInterface()
        #expect(usual.stopTime == .seconds(70) && usual.drain.grace == .seconds(90))
        #expect(usual.warnings.isEmpty)
        let error = try #require(throws: ConfigurationError.self) {
            try Self.coapInterface(["DRAIN_WINDOW": "60", "REQUEST_TIMEOUT": "30"])
        }
        let sentence =
            "TERMINATION_GRACE: DRAIN_PROPAGATION 10 s + DRAIN_WINDOW 60 s + REQUEST_TIMEOUT 30 s + 10 s for the end = "
            + "110 s do not fit into 90 s"
        #expect(error.description.contains(sentence), "\(error)")
        #expect(try Self.coapInterface(["DRAIN_WINDOW": "60", "TERMINATION_GRACE": "120"]).stopTime == .seconds(100))
        let quick = ["DRAIN_PROPAGATION": "0", "DRAIN_WINDOW": "0", "TERMINATION_GRACE": "30"]
        #expect(try Self.coapInterface(quick).stopTime == .seconds(30))
    }

    @Test("More connections than can be moved in the window are warned of")
    func sessionsOfDrain() throws {
        let fits = try Self.coapInterface(["MAX_CONNECTIONS": "30000"])
        #expect(fits.warnings.isEmpty)
        let many = try Self.coapInterface(["MAX_CONNECTIONS": "30001"])
        #expect(many.warnings.count == 1)
        #expect(many.warnings.first?.contains("take 31 s to move at 1000 a second") == true, "\(many.warnings)")
    }

    @Test("A certificate opens the port of TLS beside the plain one; what does not fit together is refused")
    func deviceTLS() throws {
        let pair = ["TLS_CERTIFICATE": "/c", "TLS_CERTIFICATE_KEY": "/k"]
        #expect(try Self.coapInterface().devices.listeners(nil).count == 1)
        #expect(try Self.coapInterface(pair).devices.securePortWithCertificate == 5684)
        #expect(try Self.coapInterface(pair).tls.clients == .off)
        #expect(try Self.coapInterface(pair.merging(["COAPS_PORT": "off"]) { $1 }).devices.listeners(nil).count == 1)
        let refused: [([String: String], String)] = [
            (["TLS_CERTIFICATE": "/c"], "give both or none"),
            (["TLS_CERTIFICATE_KEY": "/k"], "give both or none"),
            (["COAPS_PORT": "5684"], "COAPS_PORT: is set, and there is no certificate"),
            (["COAPS_WS_PORT": "443"], "COAPS_WS_PORT: is set, and there is no certificate"),
            (["COAP_PORT": "off"], "COAP_PORT: is off as all other ports"),
            (pair.merging(["COAP_PORT": "off", "COAPS_PORT": "off"]) { $1 }, "COAP_PORT: is off as all other ports"),
            (pair.merging(["TLS_CRL": "/r"]) { $1 }, "TLS_CRL: is set, and TLS_CA_POOL is not"),
            (pair.merging(["TLS_CLIENT_CERTIFICATES": "required"]) { $1 }, "TLS_CA_POOL is not set"),
            (pair.merging(["COAP_WS_PORT": "5684"]) { $1 }, #"COAP_WS_PORT: "5684" is COAPS_PORT's port too"#),
            (["PROXY_PROTOCOL_FROM": "10.0.0.0/33"], "PROXY_PROTOCOL_FROM"),
        ]
        for (environment, sentence) in refused {
            let error = try #require(throws: ConfigurationError.self) { try Self.coapInterface(environment) }
            #expect(error.description.contains(sentence), "\(error)")
        }
        let proxied = try Self.coapInterface(["PROXY_PROTOCOL_FROM": "10.0.0.0/8, fd00::/8"])
        #expect(!proxied.devices.proxies.isEmpty)
    }

    @Test("A process is reached where it listens; on every address, at one that others can dial")
    func podAddress() throws {
        let pod = try Self.coapInterface().pod
        #expect(pod.address(boundTo: "127.0.0.1") == "127.0.0.1")
        #expect(pod.address(boundTo: "localhost") == "127.0.0.1")
        #expect(pod.address(boundTo: "::1") == "::1")
        #expect(pod.address(boundTo: "192.0.2.1") == "192.0.2.1")
        #expect(pod.address(boundTo: "0.0.0.0") != "0.0.0.0")
        #expect(!pod.name.isEmpty)
        #expect(pod.bootName().hasPrefix("\(pod.name)."))
        #expect(pod.bootName() != pod.bootName())
    }

    @Test("Certificates between programs are given all three or not at all")
    func internalTLS() throws {
        let two = ["INTERNAL_TLS_CERTIFICATE": "/c", "INTERNAL_TLS_KEY": "/k"]
        let error = try #require(throws: ConfigurationError.self) { try Self.coapInterface(two) }
        #expect(error.description.contains("all three or none"))
        let three = try Self.coapInterface(two.merging(["INTERNAL_TLS_CA": "/a"]) { $1 })
        #expect(three.inside.tls?.key == "/k")
        #expect(try Self.coapInterface().inside.tls == nil)
    }

    @Test("HTTPS shows HTTPS_CERTIFICATE, else TLS_CERTIFICATE, in northbound and coap-gateway alike")
    func certificateOverHTTPS() throws {
        let shared = ["TLS_CERTIFICATE": "/c", "TLS_CERTIFICATE_KEY": "/k"]
        let own = ["HTTPS_CERTIFICATE": "/hc", "HTTPS_CERTIFICATE_KEY": "/hk"]
        let cases: [([String: String], ServerCertificates.Files?)] = [
            ([:], nil), (shared, .init(certificate: "/c", key: "/k")), (own, .init(certificate: "/hc", key: "/hk")),
            (shared.merging(own) { $1 }, .init(certificate: "/hc", key: "/hk")),
        ]
        for (environment, files) in cases {
            #expect(try Self.northbound(environment).http.files == files)
            // Authorities are for devices: nobody is asked for a certificate over HTTPS.
            let gateway = try GatewayConfiguration(
                arguments: ProgramArguments(), environment: environment.merging(["TLS_CA_POOL": "/a"]) { $1 })
            #expect(gateway.http.files == files)
        }
        #expect(try Self.northbound(own.merging(["HTTPS_PORT": "off"]) { $1 }).http.securePort == nil)
        for half in ["TLS_CERTIFICATE", "TLS_CERTIFICATE_KEY", "HTTPS_CERTIFICATE", "HTTPS_CERTIFICATE_KEY"] {
            let error = try #require(throws: ConfigurationError.self) { try Self.northbound([half: "/x"]) }
            #expect(error.description.contains("one of them is set; give both or none"))
        }
    }

    @Test("Two listeners of one program on one port are refused")
    func sharedPorts() throws {
        let error = try #require(throws: ConfigurationError.self) { try Self.coapInterface(["POD_PORT": "5683"]) }
        #expect(error.description.contains(#"POD_PORT: "5683" is COAP_PORT's port too"#))
    }

    @Test("docs/configuration.md has the table of the settings of every program")
    func documentation() throws {
        let url = URL(fileURLWithPath: "\(Subprocess.root)/docs/configuration.md")
        let page = String(decoding: try Data(contentsOf: url), as: UTF8.self)
        for program in [
            CoAPInterfaceSettings.program, NorthboundSettings.program, RegistrySettings.program,
            GatewayConfiguration.program,
        ] {
            let section = "## \(program.name)\n"
            let start = try #require(page.firstRange(of: section)?.upperBound, "no section \(program.name)")
            let end = page[start...].firstRange(of: "\n## ")?.lowerBound ?? page.endIndex
            let table = program.markdownTable()
            #expect(
                page[start..<end].contains(table),
                "put this table into docs/configuration.md, \(program.name):\n\(table)")
        }
    }
}
