/// Tries cases out on a cloud, a few at a time.
package struct ConformanceRun: Sendable {
    /// All ideas there are, in their order.
    package static let cases: [ConformanceCase] =
        framingCases + signallingCases + signUpCases + signInCases + refreshCases + publishCases + discoveryCases
        + routingCases + httpCases + doorCases

    /// How often a case may wait for an answer in vain, before it ends as a whole.
    private static let waits = 6
    /// What every case may take: some wait for a request that the cloud keeps for a device's return.
    private static let least = Duration.seconds(40)

    private let plan: ConformancePlan
    /// Whether cases are tried that wait for the cloud's own time.
    private let includesSlow: Bool
    private let parallel: Int

    package init(_ plan: ConformancePlan, includesSlow: Bool, parallel: Int) {
        self.plan = plan
        self.includesSlow = includesSlow
        self.parallel = max(1, parallel)
    }

    /// Runs the cases and returns what came of each, in their order. `report` hears of each in
    /// that order too, as soon as it can.
    package func run(
        _ cases: [ConformanceCase], _ report: @escaping @Sendable (CaseResult) -> Void = { _ in }
    ) async -> [CaseResult] {
        await withTaskGroup(of: (Int, CaseResult).self) { tasks in
            var results: [Int: CaseResult] = [:]
            var rest = cases.enumerated().makeIterator()
            func startNext() {
                guard let (index, next) = rest.next() else { return }
                tasks.addTask { (index, await self.run(next)) }
            }
            for _ in 0..<self.parallel { startNext() }
            var next = 0
            for await (index, result) in tasks {
                results[index] = result
                while let ready = results[next] {
                    report(ready)
                    next += 1
                }
                startNext()
            }
            return cases.indices.compactMap { results[$0] }
        }
    }

    private func run(_ conformanceCase: ConformanceCase) async -> CaseResult {
        func result(_ verdict: Verdict, _ duration: Duration = .zero, _ wire: [String] = []) -> CaseResult {
            CaseResult(conformanceCase: conformanceCase, verdict: verdict, duration: duration, wire: wire)
        }
        switch conformanceCase.kind {
        case .inside(let reason):
            return result(.inside(reason))
        case .outside(let needs, let isSlow, let body):
            if isSlow, !self.includesSlow { return result(.skipped("waits for the cloud's own time: --slow")) }
            let address: ServerAddress
            do throws(CaseSkip) {
                address = try self.plan.address(for: needs)
            } catch {
                return result(.skipped(error.reason))
            }
            let start = ContinuousClock.now
            let whole = max(Self.least, self.plan.patience * Self.waits) + (isSlow ? self.plan.slowPatience : .zero)
            let context = CaseContext(
                plan: self.plan, address: address,
                clock: CaseClock(patience: self.plan.patience, end: start + whole))
            let verdict = await Self.verdict(body, context)
            let duration = ContinuousClock.now - start
            await context.cleanUp()
            if case .failed = verdict { return result(verdict, duration, context.transcript.text) }
            return result(verdict, duration)
        }
    }

    private static func verdict(_ body: ConformanceCase.Body, _ context: CaseContext) async -> Verdict {
        do {
            try await body(context)
            return .passed
        } catch let failure as CaseFailure {
            return .failed(failure)
        } catch let skip as CaseSkip {
            return .skipped(skip.reason)
        } catch {
            return .failed(CaseFailure(expected: "no error", got: "\(error)"))
        }
    }
}

/// Which cases to run: numbers, ranges of them, groups, or words of a title.
package struct CaseSelection: Sendable {
    private let patterns: [String]

    /// - Parameter patterns: none stands for all cases.
    package init(_ patterns: [String]) {
        self.patterns = patterns.flatMap { $0.split(separator: ",").map { String($0).trimmed.lowercased() } }
    }

    package func contains(_ conformanceCase: ConformanceCase) -> Bool {
        self.patterns.isEmpty || self.patterns.contains { Self.matches($0, conformanceCase) }
    }

    private static func matches(_ pattern: String, _ conformanceCase: ConformanceCase) -> Bool {
        let bounds = pattern.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        if bounds.count == 1, let number = bounds[0] { return number == conformanceCase.number }
        if bounds.count == 2, let first = bounds[0], let last = bounds[1] {
            return first <= conformanceCase.number && conformanceCase.number <= last
        }
        if let group = ConformanceCase.Group(rawValue: pattern) { return group == conformanceCase.group }
        return conformanceCase.title.lowercased().contains(pattern)
    }
}
