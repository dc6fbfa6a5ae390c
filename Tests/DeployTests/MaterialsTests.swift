import Foundation
import TestServers
import Testing

@Suite("make sbom")
struct MaterialsTests {
    /// A bill of materials, as it was written.
    private struct Bill {
        let text: String
        let tree: Tree

        var components: [Tree] { self.tree["components"].items }
        /// What is inside of others too.
        var all: [Tree] { self.components + self.components.flatMap { $0["components"].items } }
        var dependencies: [(reference: String, on: [String])] {
            self.tree["dependencies"].items.map { ($0["ref"].text, $0["dependsOn"].items.map(\.text)) }
        }

        func component(_ name: String) throws -> Tree {
            try #require(self.components.first { $0["name"].text == name }, "\(name) is not there")
        }
    }

    /// Runs the script, and `look` at what it wrote.
    private static func bill(
        _ arguments: [String] = [], environment: [String: String] = ["SOURCE_DATE_EPOCH": "1700000000"],
        look: (String) async throws -> Void = { _ in }
    ) async throws -> Bill {
        let folder = try Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = "\(folder)/bill.cdx.json"
        let ended = try await Subprocess.run(
            ["\(Subprocess.root)/scripts/sbom", "--output", path] + arguments, environment: environment)
        try #require(ended.status == 0, "\(ended.output)\(ended.errors)")
        try await look(path)
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return Bill(
            text: String(decoding: data, as: UTF8.self), tree: Tree(try JSONSerialization.jsonObject(with: data)))
    }

    private static func folder() throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sbom-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder.path
    }

    @Test("It is what the schema of CycloneDX 1.6 takes, and every reference in it leads somewhere")
    func schema() async throws {
        let check = """
            import sys
            from cyclonedx.schema import SchemaVersion
            from cyclonedx.validation.json import JsonStrictValidator
            error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
            print("valid" if error is None else error)
            """
        let bill = try await Self.bill { path in
            let ended = try await Subprocess.run(
                ["\(Subprocess.root)/.build/peers/bin/python", "-c", check, path])
            #expect(ended.output == "valid\n", "\(ended.output.prefix(2000))\(ended.errors.suffix(2000))")
        }
        let own = bill.tree["metadata"]["component"]["bom-ref"].text
        let references = bill.all.map { $0["bom-ref"].text } + [own]
        #expect(references.count > 30)
        #expect(Set(references).count == references.count)
        #expect(Set(bill.dependencies.map(\.reference)) == Set(references))
        for (reference, on) in bill.dependencies {
            for other in on { #expect(references.contains(other), "\(reference) depends on \(other)") }
        }
        // Whatever is there is there for somebody.
        var reached: Set<String> = [own]
        var waiting = [own]
        let edges = Dictionary(uniqueKeysWithValues: bill.dependencies.map { ($0.reference, $0.on) })
        while let reference = waiting.popLast() {
            for other in edges[reference] ?? [] where reached.insert(other).inserted { waiting.append(other) }
        }
        #expect(Set(references).subtracting(reached) == [])
    }

    @Test("Equal inputs give equal bytes, another date another serial number")
    func deterministic() async throws {
        let first = try await Self.bill()
        #expect(try await Self.bill().text == first.text)
        #expect(first.tree["metadata"]["timestamp"].text == "2023-11-14T22:13:20Z")
        let later = try await Self.bill(environment: ["SOURCE_DATE_EPOCH": "1700000001"])
        #expect(later.tree["metadata"]["timestamp"].text == "2023-11-14T22:13:21Z")
        #expect(later.tree["serialNumber"].text != first.tree["serialNumber"].text)
        #expect(first.tree["serialNumber"].text.hasPrefix("urn:uuid:"))
        #expect(!first.text.contains(Subprocess.root))
    }

    @Test("Every package of Package.resolved is in it, with version, revision, purl, licence and what uses it")
    func packages() async throws {
        let bill = try await Self.bill()
        let resolved = Tree(
            try JSONSerialization.jsonObject(
                with: Data(contentsOf: URL(fileURLWithPath: "\(Subprocess.root)/Package.resolved"))))
        #expect(resolved["pins"].items.count > 20)
        for pin in resolved["pins"].items {
            let name = pin["identity"].text
            let component = try bill.component(name)
            let version = pin["state"]["version"].text
            var location = pin["location"].text.replacingOccurrences(of: "https://", with: "")
            if location.hasSuffix(".git") { location.removeLast(4) }
            #expect(component["version"].text == version)
            #expect(component["purl"].text == "pkg:swift/\(location)@\(version)")
            #expect(!component["licenses"].items.isEmpty, "\(name)")
            let properties = component["properties"].items
            let revision = properties.first { $0["name"].text == "git:revision" }
            #expect(revision?["value"].text == pin["state"]["revision"].text, "\(name)")
            // Modules are there exactly if the package is in the programs.
            let hasModules = properties.contains { $0["name"].text == "swift:modules" }
            #expect(component["scope"].text == (hasModules ? "required" : "excluded"), "\(name)")
        }
        #expect(try bill.component("yams")["scope"].text == "excluded")
        for name in ["swift-nio", "swift-nio-ssl", "hummingbird", "hdrhistogram-swift", "swift"] {
            #expect(try bill.component(name)["scope"].text == "required")
        }
        let inner = bill.all.filter { $0["name"].text == "boringssl" }
        #expect(inner.count == 2)
        for component in inner { #expect(component["version"].text.count == 40) }
    }

    @Test("docs/dependencies.md says the same about what is in the programs and under which licence")
    func document() async throws {
        let bill = try await Self.bill()
        let text = try String(contentsOfFile: "\(Subprocess.root)/docs/dependencies.md", encoding: .utf8)
        let rows = text.components(separatedBy: "\n").filter { $0.hasPrefix("| `") }
            .map { $0.dropFirst(2).dropLast(2).components(separatedBy: " | ") }
        var seen = 0
        for row in rows where row.count > 3 {
            let name = row[0].replacingOccurrences(of: "`", with: "")
            let component = try bill.component(name.lowercased())
            let licence = component["licenses"].items.first
            let told = licence.map { $0["expression"].text + $0["license"]["id"].text + $0["license"]["name"].text }
            #expect(told == (row.count == 4 ? row[3] : row[4]), "\(name)")
            seen += 1
            guard row.count == 4 else { continue }
            #expect(component["scope"].text == (row[2] == "yes" ? "required" : "excluded"), "\(name)")
        }
        #expect(seen > 25)
    }

    @Test("With an image it lists every Debian package in it, as the image says")
    func image() async throws {
        let folder = try Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // What a container engine would print, and the arguments it got.
        let engine = """
            #!/bin/sh
            echo "$*" >> \(folder)/arguments
            case "$*" in
            *dpkg-query*) cat \(folder)/packages;;
            *) printf 'NAME="Debian GNU/Linux"\\nID=debian\\nVERSION_ID="12"\\n';;
            esac
            """
        let packages = """
            installed\tlibc6\t2.36-9\tamd64\tlibgcc-s1, \t
            installed\tlibgcc-s1\t12.2\tamd64\tlibc6 (>= 2.35), \t
            installed\tlibsqlite3-0\t3.40.1-2+deb12u2\tamd64\tlibc6 (>= 2.34), nobody | tool-of:any, \t
            installed\tlibmariadb3\t1:10.11.19~rc1\tamd64\t, libc6\t
            installed\tlibhiredis0.14\t0.14.1-3\tamd64\t, libc6\t
            installed\tlibstdc++6\t12.2.0\tamd64\t, libc6\t
            installed\tca-certificates\t20230311\tall\t, \t
            installed\tbash\t5.2\tamd64\t, \ttool-of (= 1), other
            config-files\tgone\t1\tamd64\t, \t

            """
        try engine.write(toFile: "\(folder)/engine", atomically: true, encoding: .utf8)
        try packages.write(toFile: "\(folder)/packages", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(folder)/engine")
        let bill = try await Self.bill(
            ["--image", "coap-gateway:x"], environment: ["CONTAINER_ENGINE": "\(folder)/engine"])
        let purls = bill.components.map { $0["purl"].text }.filter { $0.hasPrefix("pkg:deb/") }
        #expect(purls.count == 8)
        for purl in [
            "bash@5.2?arch=amd64&distro=debian-12", "libstdc%2B%2B6@12.2.0?arch=amd64&distro=debian-12",
            "libmariadb3@1:10.11.19~rc1?arch=amd64&distro=debian-12",
        ] { #expect(purls.contains("pkg:deb/debian/\(purl)")) }
        let sqlite = bill.dependencies.first { $0.reference.contains("libsqlite3-0@3.40.1-2%2Bdeb12u2") }
        let needs = try #require(sqlite).on.map { $0.split(separator: "/").last?.split(separator: "@").first ?? "" }
        #expect(needs == ["bash", "libc6"])
        let arguments = try String(contentsOfFile: "\(folder)/arguments", encoding: .utf8)
        #expect(arguments.contains("run --rm --network none --entrypoint dpkg-query coap-gateway:x -W"))
    }
}
