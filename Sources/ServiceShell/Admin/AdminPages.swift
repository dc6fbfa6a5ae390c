import FoundationEssentials

/// What the admin port answers, without any network.
package struct AdminPages: Sendable {
    struct Answer: Sendable, Equatable {
        var status: Int
        var contentType = "text/plain; charset=utf-8"
        var body: String
        var allow: String?
    }

    private let readiness: Readiness
    private let metrics: MetricsRegistry
    private let status: @Sendable () -> ProgramStatus
    private let cluster: (@Sendable () -> ClusterStatus)?

    /// - Parameters:
    ///   - status: Called for each request of `/status`, on an event loop: it must not block.
    ///   - cluster: The same for `/cluster`; nil where there is no such page.
    package init(
        readiness: Readiness,
        metrics: MetricsRegistry,
        status: @escaping @Sendable () -> ProgramStatus,
        cluster: (@Sendable () -> ClusterStatus)? = nil,
    ) {
        self.readiness = readiness
        self.metrics = metrics
        self.status = status
        self.cluster = cluster
    }

    /// - Parameter target: The request target; its query does not matter.
    func answer(method: String, target: String) -> Answer {
        let path = target.prefix { $0 != "?" }
        let pages = ["/livez", "/readyz", "/metrics", "/status"] + (self.cluster == nil ? [] : ["/cluster"])
        guard pages.contains(String(path)) else {
            let list = pages.dropLast().joined(separator: ", ") + " and " + (pages.last ?? "")
            return Answer(status: 404, body: "no such page; there are \(list)\n")
        }
        guard method == "GET" || method == "HEAD" else {
            return Answer(status: 405, body: "only GET and HEAD\n", allow: "GET, HEAD")
        }
        switch path {
        case "/livez":
            return Answer(status: 200, body: "ok\n")
        case "/readyz":
            let failures = self.readiness.failures
            if failures.isEmpty { return Answer(status: 200, body: "ok\n") }
            return Answer(status: 503, body: failures.map { "\($0.check): \($0.reason)\n" }.joined())
        case "/metrics":
            return Answer(
                status: 200,
                contentType: "text/plain; version=0.0.4; charset=utf-8",
                body: self.metrics.exposition(),
            )
        case "/cluster":
            return self.cluster.map { Self.json($0()) } ?? Answer(status: 404, body: "no such page\n")
        default:
            return Self.json(self.status())
        }
    }

    private static func json(_ value: some Encodable) -> Answer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        guard let json = try? encoder.encode(value) else {
            return Answer(status: 500, body: "this cannot be written as JSON\n")
        }
        return Answer(
            status: 200, contentType: "application/json", body: String(decoding: json, as: UTF8.self) + "\n")
    }
}
