/// Which of our modules each target may import, from the bottom up: an import points at something further up this
/// table.
enum Layers {
    static let allowed: KeyValuePairs<String, Set<String>> = [
        "CBOR": [],
        "CoAP": [],
        "Cloud": [],
        "OCF": ["CoAP", "CBOR", "Cloud"],
        "Certificates": [],
        "CoAPTransport": ["CoAP", "Certificates"],
        "CSQLite": [],
        "CMariaDB": [],
        "SQLStore": ["Cloud", "CSQLite", "CMariaDB"],
        "CHiredis": [],
        "RedisStore": ["Cloud", "CHiredis"],
        "Hop": ["CoAP", "CBOR", "Cloud", "Certificates", "CoAPTransport"],
        "ServiceShell": [],
        "RegistryReach": ["CoAP", "CBOR", "OCF", "Cloud"],
        "Edge": ["CoAP", "CBOR", "OCF", "Cloud"],
        "CoAPInterface": [
            "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport", "Edge", "ServiceShell",
        ],
        "Northbound": ["CoAP", "CBOR", "OCF", "Cloud", "Certificates", "Edge", "ServiceShell"],
        "Registry": ["CoAP", "CBOR", "OCF", "Cloud", "SQLStore", "ServiceShell"],
        "MockDevice": ["CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport"],
        "Cluster": [
            "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport", "SQLStore", "RedisStore", "Hop",
            "RegistryReach",
            "ServiceShell", "Edge", "CoAPInterface", "Northbound", "Registry",
        ],
        "Gateway": [
            "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport", "SQLStore", "ServiceShell", "Edge",
            "CoAPInterface",
            "Northbound", "Registry", "RegistryReach", "Cluster",
        ],
        "Programs": ["ServiceShell", "Gateway", "Cluster", "MockDevice"],
    ]

    static let ours = Set(Self.allowed.map(\.key))

    /// Modules of others that only some targets know.
    static let reserved: [(modules: Set<String>, targets: Set<String>, why: String)] = [
        (["CSQLite", "CMariaDB"], ["SQLStore"], "only SQLStore knows a database"),
        (["CHiredis"], ["RedisStore"], "only RedisStore knows Redis"),
        (
            [
                "NIOHTTP1", "NIOHTTP2", "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "HTTPTypes", "Hummingbird",
                "HummingbirdCore",
            ],
            ["Northbound", "ServiceShell", "CoAPTransport"],
            "only Northbound, ServiceShell and the WebSocket of CoAPTransport know an HTTP library"
        ),
        (["Crypto", "_CryptoExtras"], ["Cloud", "Certificates"], "only Cloud and Certificates do cryptography"),
        (["X509", "SwiftASN1"], ["Certificates", "Hop"], "only Certificates looks into certificates"),
        (
            ["NIOSSL"],
            [
                "Certificates", "CoAPTransport", "RedisStore", "Hop", "Northbound", "CoAPInterface", "MockDevice",
                "Cluster",
            ],
            "only what has sockets does TLS"
        ),
        (
            ["ArgumentParser"], ["ServiceShell", "MockDevice", "Gateway", "Cluster", "Programs"],
            "only programs have a command line"
        ),
        (
            ["NIOPosix"],
            [
                "Certificates", "CoAPTransport", "SQLStore", "RedisStore", "Hop", "ServiceShell", "CoAPInterface",
                "Northbound", "MockDevice", "Gateway", "Cluster",
            ],
            "what decides does no input or output"
        ),
        (
            ["Foundation", "FoundationNetworking"], [],
            "full Foundation costs 45 MB a program; FoundationEssentials does"
        ),
    ]
}

extension Rule {
    static let imports = [
        Rule.line("Imports of our own modules point down the layers", in: { $0.isSwift && $0.isSource }) {
            line, _, file in
            guard let module = Self.importedModule(line) else { return nil }
            guard let allowed = Layers.allowed.first(where: { $0.key == file.target })?.value else {
                return "the target \(file.target) is not in the table of layers"
            }
            guard Layers.ours.contains(module), !allowed.contains(module) else { return nil }
            return "\(file.target) may not import \(module)"
        },
        Rule.line("Modules of others stay where they belong", in: { $0.isSwift && $0.isSource }) { line, _, file in
            guard let module = Self.importedModule(line) else { return nil }
            let broken = Layers.reserved.first { $0.modules.contains(module) && !$0.targets.contains(file.target) }
            return broken.map { "\(file.target) imports \(module), but \($0.why)" }
        },
        Rule.line("No type has its module's name", in: { $0.isSwift && $0.isSource }) { line, _, _ in
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            for (word, next) in zip(words, words.dropFirst())
            where ["struct", "class", "enum", "protocol", "actor", "typealias"].contains(word) {
                if Layers.ours.contains(String(next)) { return "a type is called \(next), like a module" }
            }
            return nil
        },
    ]

    /// The module an import line names: `package import struct NIOCore.ByteBuffer` names NIOCore.
    static func importedModule(_ line: String) -> String? {
        var words = line.split(separator: " ").map(String.init)[...]
        let before: Set<String> = ["package", "public", "internal", "fileprivate", "private"]
        while let word = words.first, word.hasPrefix("@") || before.contains(word) { words.removeFirst() }
        guard words.popFirst() == "import" else { return nil }
        let kinds: Set<String> = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var", "actor"]
        if let word = words.first, kinds.contains(word) { words.removeFirst() }
        return words.first.map { String($0.prefix { $0 != "." }) }
    }
}
