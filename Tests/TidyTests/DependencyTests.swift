import FoundationEssentials
import Testing

@Suite("docs/dependencies.md")
struct DependencyTests {
    @Test("Every package of Package.swift has its row, and no row is of one that is not there")
    func direct() throws {
        let names = try Repository.packages()
        #expect(names.count >= 10)
        #expect(try DependencyTables().direct.map(\.name).sorted() == names.sorted())
        #expect(Set(names).count == names.count)
    }

    @Test("Every row names the targets that import its package: those of Sources, else the tests")
    func users() async throws {
        let packages = try Repository.packagesOfProducts()
        #expect(packages.count >= 10)
        var users: [String: Set<String>] = [:]
        for file in try await RepositoryTests.files.value where file.isSwift && (file.isSource || file.isTest) {
            for line in file.code {
                guard let module = Rule.importedModule(line), let package = packages[module] else { continue }
                users["\(package) \(file.isSource)", default: []].insert(file.target)
            }
            await Task.yield()
        }
        for row in try DependencyTables().direct {
            let expected = users["\(row.name) true"] ?? users["\(row.name) false"] ?? []
            #expect(!expected.isEmpty, "nothing imports \(row.name)")
            let more = expected.subtracting(row.users).sorted()
            let less = row.users.subtracting(expected).sorted()
            #expect(more + less == [], "\(row.name) lacks \(more), and is not used by \(less)")
        }
    }

    @Test("What the packages bring along is what Package.resolved has besides them")
    func transitive() throws {
        let tables = try DependencyTables()
        let rows = (tables.direct + tables.transitive).map { $0.name.lowercased() }
        #expect(tables.transitive.count >= 5)
        #expect(rows.sorted() == (try Repository.pins().map(\.identity).sorted()))
    }

    @Test("Every licence is what the text in the package's checkout says")
    func licences() throws {
        let tables = try DependencyTables()
        let rows = tables.direct + tables.transitive
        for pin in try Repository.pins() {
            // They are there when these tests were built in the usual place.
            guard let text = try Repository.licence(of: pin) else { continue }
            let row = try #require(rows.first { $0.name.lowercased() == pin.identity })
            #expect(row.licence == Repository.kind(ofLicence: text), "\(row.name)")
        }
    }

    @Test("A licence is known by its text")
    func kinds() {
        let apache = "Apache License\n   Version 2.0, January 2004"
        #expect(Repository.kind(ofLicence: apache) == "Apache-2.0")
        #expect(
            Repository.kind(ofLicence: apache + "\n## Runtime Library\nException") == "Apache-2.0 WITH Swift-exception")
        #expect(Repository.kind(ofLicence: "Permission is hereby granted, free of\ncharge, to") == "MIT")
        let bsd = "Redistribution and use in source and binary forms"
        #expect(Repository.kind(ofLicence: bsd) == "BSD-2-Clause")
        #expect(Repository.kind(ofLicence: bsd + " used to endorse or\npromote products") == "BSD-3-Clause")
        #expect(Repository.kind(ofLicence: "All rights reserved") == nil)
    }

    @Test("The Debian packages are those that the image installs, and those it is built with")
    func debian() throws {
        let stages = try Repository.text("Dockerfile").components(of: "\nFROM ").dropFirst()
        let installed = stages.map { Repository.installed($0) }
        #expect(installed.count == 2)
        let rows = try DependencyTables().debian
        #expect(Set(rows.map(\.name)) == installed.last)
        #expect(Set(rows.compactMap(\.builtWith)) == installed.first)
        for row in rows { #expect(!row.licence.isEmpty, "\(row.name)") }
    }

    @Test("Whatever scripts/dependencies installs is named, and what is only for tests is said to be")
    func peers() throws {
        let tables = try DependencyTables()
        let named = Set(tables.debian.compactMap(\.builtWith)).union(tables.peers)
        let installed = Repository.installedByScript(try Repository.text("scripts/dependencies"))
        #expect(installed.count >= 10)
        #expect(named == installed)
    }
}

/// What docs/dependencies.md says.
struct DependencyTables {
    struct Row {
        let cells: [String]

        var name: String { Self.words(self.cells[0]).first ?? "" }
        /// Of the table of direct dependencies.
        var users: Set<String> { Set(Self.words(self.cells[2])) }
        var licence: String { self.cells.count == 4 ? self.cells[3] : self.cells[4] }
        /// Of the table of Debian packages.
        var builtWith: String? { Self.words(self.cells[5]).first }

        /// What stands in backquotes: every second piece.
        static func words(_ text: String) -> [String] {
            text.split(separator: "`", omittingEmptySubsequences: false).enumerated()
                .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
        }
    }

    let direct: [Row]
    let transitive: [Row]
    let debian: [Row]
    /// What tests need.
    let peers: Set<String>

    init() throws {
        var tables: [String: [Row]] = [:]
        var section = ""
        for line in try Repository.text("docs/dependencies.md").split(separator: "\n") {
            if line.hasPrefix("## ") { section = String(line.dropFirst(3)) }
            guard line.hasPrefix("| `") else { continue }
            let row = Row(cells: line.dropFirst(2).dropLast(2).components(of: " | "))
            tables["\(section) \(row.cells.count)", default: []].append(row)
        }
        self.direct = try #require(tables["Swift packages 5"])
        self.transitive = try #require(tables["Swift packages 4"])
        self.debian = try #require(tables["Debian packages 6"])
        self.peers = Set(try #require(tables["Tests only 3"]).flatMap { Row.words($0.cells[0]) })
    }
}

/// What the tables are held against.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: "\(self.root)/\(path)")), as: UTF8.self)
    }

    /// The packages that Package.swift depends on, by the last part of their URL.
    static func packages() throws -> [String] {
        try self.text("Package.swift").components(of: "url: \"").dropFirst()
            .compactMap { $0.split(separator: "\"").first?.split(separator: "/").last.map(String.init) }
    }

    /// Which package each module comes from.
    static func packagesOfProducts() throws -> [String: String] {
        var result: [String: String] = [:]
        for part in try self.text("Package.swift").components(of: "Dependency.product(name: \"").dropFirst() {
            // NIOCore", package: "swift-nio")
            let pieces = part.split(separator: "\"")
            result[String(pieces[0])] = String(pieces[2])
        }
        return result
    }

    struct Pin: Decodable {
        let identity: String
        let location: String
    }

    private struct Resolved: Decodable {
        let pins: [Pin]
    }

    static func pins() throws -> [Pin] {
        try JSONDecoder().decode(Resolved.self, from: Data(try self.text("Package.resolved").utf8)).pins
    }

    /// The licence of a package; nil if it is not checked out here.
    static func licence(of pin: Pin) throws -> String? {
        let name = pin.location.split(separator: "/").last.map { $0.hasSuffix(".git") ? $0.dropLast(4) : $0 } ?? ""
        let folder = ".build/checkouts/\(name)"
        guard FileManager.default.fileExists(atPath: "\(self.root)/\(folder)") else { return nil }
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(self.root)/\(folder)")
        let file = try #require(files.sorted().first { $0.hasPrefix("LICENSE") }, "\(folder) has no licence")
        return try self.text("\(folder)/\(file)")
    }

    /// Its name as SPDX has it; nil if it is none of those we take.
    static func kind(ofLicence text: String) -> String? {
        let text = text.split { $0.isWhitespace }.joined(separator: " ")
        if text.contains("Apache License Version 2.0") {
            return text.contains("Runtime Library Exception") ? "Apache-2.0 WITH Swift-exception" : "Apache-2.0"
        }
        if text.contains("Permission is hereby granted, free of charge") { return "MIT" }
        guard text.contains("Redistribution and use in source and binary forms") else { return nil }
        return text.contains("endorse or promote") ? "BSD-3-Clause" : "BSD-2-Clause"
    }

    /// What one stage of the Dockerfile installs.
    static func installed(_ stage: String) -> Set<String> {
        let command = stage.components(of: "apt-get install -y --no-install-recommends ").dropFirst().first ?? ""
        return Set(command.prefix { $0 != "\\" }.split(separator: " ").map(String.init))
    }

    /// What scripts/dependencies may install: of Debian's, and of PyPI's, without versions.
    static func installedByScript(_ text: String) -> Set<String> {
        var found: Set<String> = []
        for line in text.split(separator: "\n") {
            if let range = line.firstRange(of: "missing=\"$missing ") {
                found.formUnion(line[range.upperBound...].prefix { $0 != "\"" }.split(separator: " ").map(String.init))
            }
            // header package
            let words = line.split(separator: " ")
            if words.count == 2, words[0].hasSuffix(".h") { found.insert(String(words[1])) }
            for word in words where word.contains("==") && line.contains("pip install") {
                found.insert(String(word.drop { $0 == "'" }.prefix { $0 != "=" && $0 != "[" }))
            }
        }
        return found.filter { !$0.hasPrefix("$") }
    }
}

extension StringProtocol {
    /// The pieces between a separator, empty ones too.
    fileprivate func components(of separator: String) -> [String] {
        var result: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            result.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return result + [String(rest)]
    }
}
