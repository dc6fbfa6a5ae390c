/// Measures short pieces of code, one after the other.
///
/// Each runs as often as it takes to fill a sample, so that the clock costs nothing; the median of the samples is what
/// it takes when nothing else interferes.
struct Stopwatch {
    struct Result {
        let name: String
        /// Of one repetition, each sample's.
        let nanoseconds: [Double]
    }

    private static let sample = Duration.milliseconds(20)

    let samples: Int
    private(set) var results: [Result] = []

    init(samples: Int) {
        self.samples = samples
    }

    /// - Parameter body: returns what it made, lest the compiler finds that nobody wants it.
    mutating func measure<Made>(_ name: String, _ body: () throws -> Made) rethrows {
        let clock = ContinuousClock()
        func time(_ repetitions: Int) throws -> Duration {
            try clock.measure { for _ in 0..<repetitions { keep(try body()) } }
        }
        var repetitions = 1
        while try time(repetitions) < Self.sample { repetitions *= 2 }
        var nanoseconds: [Double] = []
        for _ in 0..<self.samples {
            nanoseconds.append(try time(repetitions) / .nanoseconds(1) / Double(repetitions))
        }
        self.results.append(Result(name: name, nanoseconds: nanoseconds))
    }
}

/// The compiler cannot see that nothing is done with it.
@inline(never)
private func keep<Made>(_ made: Made) {
    withExtendedLifetime(made) {}
}
