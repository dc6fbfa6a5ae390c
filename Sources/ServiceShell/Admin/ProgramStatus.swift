/// What `/status` shows.
package struct ProgramStatus: Sendable, Equatable, Encodable {
    package var program: String
    package var version: String
    /// Whole seconds since the start.
    package var uptimeSeconds: Int
    /// Requests handled by each part of the program since the start.
    package var requests: [String: Int]
    /// The sum of ``requests`` as their clients saw them, inner ones left out.
    package var requestsServed: Int
    /// Device and client sessions that are signed in now.
    package var sessions: Int
    /// Whether the programs this one needs can be reached: `up`, `down`, or `waiting` before the first time.
    package var dependencies: [String: String]
    /// How far it is with stopping; nil while it is not.
    package var draining: DrainStatus?

    package init(
        program: String,
        version: String,
        uptimeSeconds: Int,
        requests: [String: Int],
        requestsServed: Int,
        sessions: Int,
        dependencies: [String: String] = [:],
        draining: DrainStatus? = nil,
    ) {
        self.program = program
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.requests = requests
        self.requestsServed = requestsServed
        self.sessions = sessions
        self.dependencies = dependencies
        self.draining = draining
    }
}
