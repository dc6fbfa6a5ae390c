import Foundation
import TestServers
import Testing
import Yams

/// A value out of a YAML document, without a schema: what is not there is empty.
enum Tree: Sendable {
    case nothing
    case flag(Bool)
    case number(Int)
    case text(String)
    case list([Tree])
    case map([String: Tree])

    init(_ value: Any?) {
        switch value {
        case let flag as Bool: self = .flag(flag)
        case let number as Int: self = .number(number)
        case let list as [Any]: self = .list(list.map(Tree.init))
        case let map as [String: Any]: self = .map(map.mapValues(Tree.init))
        case nil, is NSNull: self = .nothing
        case let other?: self = .text("\(other)")
        }
    }

    subscript(key: String) -> Tree {
        if case .map(let map) = self { map[key] ?? .nothing } else { .nothing }
    }

    var items: [Tree] { if case .list(let list) = self { list } else { [] } }
    var keys: [String] { if case .map(let map) = self { map.keys.sorted() } else { [] } }
    var isThere: Bool { if case .nothing = self { false } else { true } }
    var number: Int? { if case .number(let number) = self { number } else { nil } }
    var isTrue: Bool { if case .flag(true) = self { true } else { false } }
    var isFalse: Bool { if case .flag(false) = self { true } else { false } }
    var text: String {
        switch self {
        case .text(let text): text
        case .number(let number): "\(number)"
        case .flag(let flag): "\(flag)"
        case .nothing, .list, .map: ""
        }
    }
    /// Key to text, of a map of plain values.
    var texts: [String: String] { if case .map(let map) = self { map.mapValues(\.text) } else { [:] } }
}

/// One document of a manifest.
struct Manifest: Sendable, CustomTestStringConvertible {
    let path: String
    let tree: Tree

    var kind: String { self.tree["kind"].text }
    var name: String { self.tree["metadata"]["name"].text }
    var testDescription: String { "\(self.path): \(self.kind) \(self.name)" }
    /// What its pods are made from, of a Deployment.
    var pod: Tree { self.tree["spec"]["template"]["spec"] }
    var labels: [String: String] { self.tree["spec"]["template"]["metadata"]["labels"].texts }

    /// The files of k8s/ and k8s/dev, as paths in the repository.
    static func files() throws -> [String] {
        try ["k8s", "k8s/dev"].flatMap { folder in
            try FileManager.default.contentsOfDirectory(atPath: "\(Subprocess.root)/\(folder)").sorted()
                .filter { $0.hasSuffix(".yaml") }.map { "\(folder)/\($0)" }
        }
    }

    /// Every document of every file.
    static let all: [Manifest] =
        (try? Self.files().flatMap { path in
            let text = try String(contentsOfFile: "\(Subprocess.root)/\(path)", encoding: .utf8)
            return try Yams.load_all(yaml: text).map { Manifest(path: path, tree: Tree($0)) }
        }) ?? []

    static func all(_ kind: String) -> [Manifest] { Self.all.filter { $0.kind == kind } }

    static func one(_ kind: String, _ name: String) throws -> Manifest {
        try #require(Self.all(kind).first { $0.name == name }, "there is no \(kind) \(name)")
    }

    /// The Deployments of our own programs, by the program's name.
    static var programs: [Manifest] { Self.all("Deployment").filter { !$0.path.hasPrefix("k8s/dev/") } }
}
