/// What a start has taken so far: if the rest cannot be had, all of it is given back, the last thing first.
package struct StartUndo: Sendable {
    /// Gives back one thing that was taken.
    package typealias Step = @Sendable () async -> Void

    private var steps: [Step] = []

    /// Notes how to give back what was just taken.
    package mutating func add(_ step: @escaping Step) {
        self.steps.append(step)
    }

    /// Runs a start; if it throws, undoes what it had noted, then throws the same.
    package static func guarding<Started>(
        _ start: (inout StartUndo) async throws -> Started
    ) async throws -> Started {
        var undo = StartUndo()
        do {
            return try await start(&undo)
        } catch {
            for step in undo.steps.reversed() { await step() }
            throw error
        }
    }
}
