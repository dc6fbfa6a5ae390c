import UnixSignals

/// Runs `body`, cancelling it at Ctrl-C or SIGTERM; that is a good end.
package func untilSignal<R: Sendable>(
    _ body: @escaping @Sendable () async throws -> R
) async throws -> R {
    try await withThrowingTaskGroup(of: R?.self) { tasks in
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        tasks.addTask(operation: body)
        tasks.addTask {
            for await _ in signals { return nil }
            return nil
        }
        while let result = try await tasks.next() {
            tasks.cancelAll()
            if let result { return result }
        }
        throw CancellationError()
    }
}
