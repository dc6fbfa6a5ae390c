import Testing

@Suite("The rules hold for every file")
struct RepositoryTests {
    /// Read once, by a task that gives way: tests that watch a clock run beside these.
    static let files = Task { try await SourceFile.all() }
    static let rules = Rule.imports + Rule.bans + Rule.form + Rule.citations

    @Test("Every file keeps the rule", arguments: rules)
    func holds(rule: Rule) async throws {
        var violations: [Violation] = []
        for file in try await Self.files.value {
            violations += rule.check(file)
            await Task.yield()
        }
        #expect(violations.isEmpty, "\(violations.map(\.description).joined(separator: "\n"))")
    }

    @Test("The rules see the sources, the tests and the documentation")
    func filesAreFound() async throws {
        let paths = Set(try await Self.files.value.map(\.path))
        for path in [
            "Sources/CoAP/Message.swift", "Tests/TidyTests/RepositoryTests.swift", "README.md", "docs/ARCHITECTURE.md",
            "Benchmarks/Package.swift", "Benchmarks/compare/figures.py", "Fuzzing/Targets/Fuzz.swift",
        ] {
            #expect(paths.contains(path))
        }
        for (target, _) in Layers.allowed {
            #expect(paths.contains { $0.hasPrefix("Sources/\(target)/") }, "the table of layers names \(target)")
        }
    }

    @Test("Every fuzz target has inputs to begin with, and every input a target")
    func fuzzTargetsHaveInputs() async throws {
        let files = try await Self.files.value
        let list = try #require(files.first { $0.path == "Fuzzing/Targets/Fuzz.swift" })
        // `        "cbor": CBORTarget.check,`
        let targets = Set(
            list.lines.filter { $0.hasSuffix("Target.check,") }.compactMap {
                $0.split(separator: "\"").dropFirst().first
            })
        #expect(targets.count > 5)
        for folder in ["Fuzzing/Corpus/", "Fuzzing/Regressions/"] {
            let names = files.filter { $0.path.hasPrefix(folder) }
                .compactMap { $0.path.dropFirst(folder.count).split(separator: "/").first }
            #expect(Set(names).isSubset(of: targets), "\(folder) has inputs of no target")
            if folder == "Fuzzing/Corpus/" { #expect(Set(names) == targets, "a target has no inputs") }
        }
    }

    @Test("The table of layers has no circle: each target imports only what stands above it")
    func layersAreOrdered() {
        var above: Set<String> = []
        for (target, allowed) in Layers.allowed {
            #expect(allowed.isSubset(of: above), "\(target) imports something below it")
            above.insert(target)
        }
    }

    @Test("Exemptions are few, have a reason and are still needed")
    func exemptionsAreNeeded() async throws {
        let files = try await Self.files.value
        #expect(Rule.uncheckedExemptions.count < 5)
        for exemption in Rule.uncheckedExemptions + Rule.lengthExemptions {
            #expect(exemption.reason.count > 20)
            #expect(files.contains { $0.path == exemption.path }, "\(exemption.path) is gone")
        }
        for exemption in Rule.uncheckedExemptions {
            let file = try #require(files.first { $0.path == exemption.path })
            #expect(file.code.contains { $0.contains("@unchecked Sendable") || $0.contains("nonisolated(unsafe)") })
        }
    }
}
