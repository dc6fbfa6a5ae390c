/// How far a program is that serves on while others take its work over.
package struct DrainStatus: Sendable, Equatable, Encodable {
    package var phase: String
    /// How many sessions there were when it began.
    package var sessions: Int
    /// What became of them so far.
    package var moved: [String: Int]

    package init(phase: String, sessions: Int = 0, moved: [String: Int] = [:]) {
        self.phase = phase
        self.sessions = sessions
        self.moved = moved
    }
}
