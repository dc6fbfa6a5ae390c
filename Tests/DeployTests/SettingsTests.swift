import Cluster
import Foundation
import ServiceShell
import TestServers
import Testing
import Yams

/// What the programs are given in Kubernetes and by Compose, held against what they take.
@Suite("The settings in manifests")
struct SettingsTests {
    static let programs = [CoAPInterfaceSettings.program, NorthboundSettings.program, RegistrySettings.program]

    private static func program(_ name: String) throws -> ProgramDescription {
        try #require(Self.programs.first { $0.name == name }, "\(name) is no program")
    }

    /// Whether a program reads this from its environment.
    private static func takes(_ program: ProgramDescription, _ name: String) -> Bool {
        program.settings.contains { $0.name == name || ($0.isSecret && "\($0.name)_FILE" == name) }
    }

    @Test("Every name in a Deployment, and in the ConfigMaps it reads, is a setting of the program that runs there")
    func deployments() throws {
        #expect(Manifest.programs.count == 3)
        for deployment in Manifest.programs {
            let container = try #require(deployment.pod["containers"].items.first)
            let program = try Self.program(container["command"].items.map(\.text).joined(separator: " "))
            #expect(program.name == deployment.name)
            var names = container["env"].items.map { $0["name"].text }
            for source in container["envFrom"].items {
                let map = source["configMapRef"]
                // Everybody's own, which each program takes its part of.
                if map["optional"].isTrue { continue }
                names += try Manifest.one("ConfigMap", map["name"].text).tree["data"].keys
            }
            for name in names { #expect(Self.takes(program, name), "\(program.name) has no setting \(name)") }
            #expect(Set(names).count == names.count, "\(program.name) is given something twice")
        }
        let site = try Manifest.one("ConfigMap", "coap-gateway-site").tree["data"].keys
        for name in site { #expect(Self.programs.contains { Self.takes($0, name) }, "\(name)") }
    }

    @Test("Every program starts with what its Deployment gives it, and not without the secrets")
    func valuesAreTaken() throws {
        for deployment in Manifest.programs {
            let environment = try Self.environment(of: deployment)
            // What k8s/dev gives is told to be no secret.
            let warnings = try Self.read(deployment.name, environment).warnings
            let secrets =
                ["CLUSTER_SECRET", "CACHE_PASSWORD"]
                + (deployment.name == "registry" ? ["TOKEN_SEAL_KEY", "DB_PASSWORD"] : [])
            #expect(warnings.count == 1, "\(deployment.name): \(warnings)")
            for name in secrets { #expect(warnings.first?.contains(name) == true, "\(deployment.name) \(name)") }
            for name in ["CLUSTER_SECRET"] + (deployment.name == "registry" ? ["TOKEN_SEAL_KEY", "SID"] : []) {
                for value in [nil, "changeme", "<your secret>"] {
                    #expect(throws: ConfigurationError.self, "\(deployment.name) \(name)=\(value ?? "")") {
                        var without = environment
                        without[name] = value
                        try Self.read(deployment.name, without)
                    }
                }
            }
        }
    }

    @Test("The ports of the containers are the ports the programs open, and they get longer to stop than they take")
    func portsAndTimes() throws {
        let ports = [
            "coap": "COAP_PORT", "coaps": "COAPS_PORT", "pods": "POD_PORT", "http": "HTTP_PORT",
            "https": "HTTPS_PORT", "registry": "REGISTRY_PORT", "admin": "ADMIN_PORT",
        ]
        for deployment in Manifest.programs {
            let container = try #require(deployment.pod["containers"].items.first)
            let settings = try Self.program(deployment.name).settings
            // A port whose default is off is not open unless somebody says so.
            let ownPorts = settings.filter { $0.name.hasSuffix("_PORT") && Self.defaultPort($0) != nil }
            let opened = ownPorts.map(\.name).sorted()
            let listed = container["ports"].items.map { ports[$0["name"].text] ?? "" }.sorted()
            #expect(listed == opened, "\(deployment.name)")
            for port in container["ports"].items {
                let setting = settings.first { $0.name == ports[port["name"].text] }
                #expect(setting.flatMap(Self.defaultPort) == port["containerPort"].number)
            }
            let environment = try Self.environment(of: deployment)
            let grace = try #require(deployment.pod["terminationGracePeriodSeconds"].number)
            #expect(environment["TERMINATION_GRACE"] == "\(grace)", "\(deployment.name)")
            let stop = try Self.read(deployment.name, environment).stopTime
            #expect(stop + .seconds(10) <= .seconds(grace), "\(deployment.name)")
            // A Service gives every pod NAME_PORT, which may be a setting's name.
            #expect(deployment.pod["enableServiceLinks"].isFalse)
        }
    }

    @Test("docker-compose.yml gives each program settings of its own, and publishes devices' ports only")
    func compose() throws {
        let text = try String(contentsOfFile: "\(Subprocess.root)/docker-compose.yml", encoding: .utf8)
        let services = Tree(try Yams.load(yaml: text))["services"]
        #expect(services.keys.count == 8)
        var programs: [String] = []
        for name in services.keys {
            let service = services[name]
            #expect(service["read_only"].isTrue, "\(name)")
            #expect(service["cap_drop"].items.map(\.text) == ["ALL"], "\(name)")
            for port in service["ports"].items.map(\.text) {
                let isForOthers =
                    port == "${COAP_PUBLISHED:-0.0.0.0:5683}:5683" || port == "${COAPS_PUBLISHED:-0.0.0.0:5684}:5684"
                #expect(isForOthers || port.contains("127.0.0.1:"), "\(name) publishes \(port)")
            }
            let check = service["healthcheck"]
            guard let program = Self.programs.first(where: { name.hasPrefix($0.name) }) else { continue }
            programs.append(name)
            #expect(check["test"].items.map(\.text) == ["CMD", program.name, "--health"])
            for key in service["environment"].keys {
                #expect(Self.takes(program, key), "\(program.name) has no setting \(key)")
            }
        }
        #expect(programs.sorted() == ["coap-interface-1", "coap-interface-2", "northbound", "registry"])
    }

    @Test("env.dist has every variable of docker-compose.yml, with the value that counts without it, and no secret")
    func environmentFile() throws {
        let compose = try String(contentsOfFile: "\(Subprocess.root)/docker-compose.yml", encoding: .utf8)
        var used: [String: Set<String>] = [:]
        for part in compose.components(separatedBy: "${").dropFirst() {
            let words = part.prefix { $0 != "}" }.components(separatedBy: ":-")
            used[words[0], default: []].insert(words.dropFirst().joined(separator: ":-"))
        }
        let lines = try String(contentsOfFile: "\(Subprocess.root)/env.dist", encoding: .utf8)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }
        let given = Dictionary(
            uniqueKeysWithValues: lines.map { line in
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), Set([String(parts.last ?? "")]))
            })
        #expect(given == used)
        for name in given.keys {
            for secret in ["SECRET", "PASSWORD", "KEY", "TOKEN_SEAL"] { #expect(!name.contains(secret)) }
        }
    }

    @Test("The image has every program under its name, and opens ports to others than itself")
    func image() throws {
        let text = try String(contentsOfFile: "\(Subprocess.root)/Dockerfile", encoding: .utf8)
        #expect(text.contains("for name in coap-interface northbound registry mock-device;"))
        #expect(text.contains("BIND_ADDRESS=0.0.0.0"))
        #expect(text.contains("USER 65532:65532"))
        for word in ["amd64", "arm64", "x86_64", "aarch64", ":latest"] {
            #expect(!text.split(separator: "\n").contains { !$0.hasPrefix("#") && $0.contains(word) }, "\(word)")
        }
    }

    // MARK: - What a pod would see

    /// The port it opens by itself, if there is a certificate where it needs one: `5684`, `(5684 if …)`.
    private static func defaultPort(_ setting: SettingDeclaration) -> Int? {
        Int(setting.defaultText.drop { $0 == "(" }.prefix { $0.isNumber })
    }

    static func environment(of deployment: Manifest) throws -> [String: String] {
        let container = try #require(deployment.pod["containers"].items.first)
        var environment = ["BIND_ADDRESS": "0.0.0.0"]
        for source in container["envFrom"].items {
            let map = try Manifest.one("ConfigMap", source["configMapRef"]["name"].text)
            environment.merge(map.tree["data"].texts) { $1 }
        }
        let fields = ["metadata.name": "pod-1", "metadata.namespace": "here", "status.podIP": "10.0.0.1"]
        for variable in container["env"].items {
            let source = variable["valueFrom"]
            let value: String?
            if source["fieldRef"].isThere {
                value = fields[source["fieldRef"]["fieldPath"].text]
            } else if source["configMapKeyRef"].isThere {
                let map = try Manifest.one("ConfigMap", source["configMapKeyRef"]["name"].text)
                value = map.tree["data"].texts[source["configMapKeyRef"]["key"].text]
            } else if source["secretKeyRef"].isThere {
                let reference = source["secretKeyRef"]
                let secret = try Manifest.one("Secret", reference["name"].text)
                value = secret.tree["stringData"].texts[reference["key"].text]
                if reference["optional"].isTrue, value == nil { continue }
            } else {
                value = variable["value"].text
            }
            let name = variable["name"].text
            let given: String = try #require(value, "\(name) comes from nowhere")
            environment[name] = given
        }
        return environment
    }

    @discardableResult
    static func read(
        _ program: String, _ environment: [String: String]
    ) throws -> any ServerConfiguration {
        let arguments = ProgramArguments()
        return switch program {
        case "coap-interface": try CoAPInterfaceSettings(arguments: arguments, environment: environment)
        case "northbound": try NorthboundSettings(arguments: arguments, environment: environment)
        default: try RegistrySettings(arguments: arguments, environment: environment)
        }
    }
}
