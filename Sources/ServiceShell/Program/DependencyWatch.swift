import ServiceLifecycle

/// Looks from time to time whether what a program needs is there, and says so when that changes.
package struct DependencyWatch: Service {
    /// Asks one dependency.
    package struct Probe: Sendable {
        let name: String
        let reason: @Sendable () async -> String?

        /// - Parameters:
        ///   - name: as in `Dependencies.expect`.
        ///   - reason: nil if it is there, else why not, in a few words. Does not take long.
        package init(_ name: String, reason: @escaping @Sendable () async -> String?) {
            self.name = name
            self.reason = reason
        }
    }

    static let period: Duration = .milliseconds(500)

    private let dependencies: Dependencies
    private let probes: [Probe]

    package init(_ dependencies: Dependencies, _ probes: [Probe]) {
        self.dependencies = dependencies
        self.probes = probes
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for probe in self.probes { group.addTask { await self.watch(probe) } }
            }
        }
    }

    private func watch(_ probe: Probe) async {
        // What starts at the same time cannot be there at the first look: that is not worth a line.
        var isFirst = true
        while !Task.isCancelled {
            if let reason = await probe.reason() {
                // What ends with the program is not lost.
                if Task.isCancelled { return }
                if !isFirst { self.dependencies.isDown(probe.name, reason) }
            } else {
                self.dependencies.isUp(probe.name)
            }
            isFirst = false
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.period)
        }
    }
}
