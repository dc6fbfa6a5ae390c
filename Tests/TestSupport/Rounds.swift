import FoundationEssentials

/// How many rounds tests with made-up input run.
package enum Rounds {
    /// `rounds`, times TEST_ITERATIONS_FACTOR of the environment, which `make test-long` sets.
    package static func scaled(_ rounds: Int) -> Int {
        rounds * max(1, ProcessInfo.processInfo.environment["TEST_ITERATIONS_FACTOR"].flatMap { Int($0) } ?? 1)
    }
}
