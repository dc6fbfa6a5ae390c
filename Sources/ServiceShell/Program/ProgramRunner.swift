import Glibc
package import Logging
package import ServiceLifecycle
import UnixSignals

/// Runs the services of a program until a signal ends it.
package enum ProgramRunner {
    /// Runs until SIGTERM or SIGINT, then stops the services in the reverse of their order.
    ///
    /// A second signal ends the process at once with status 130: somebody pressed Ctrl-C again because they mean it.
    ///
    /// - Parameters:
    ///   - services: In the order of dependency: what others need comes first and stops last.
    ///   - gracePeriod: After this time what still runs is cancelled.
    ///   - hurry: Is told of SIGINT: who sits before a terminal does not wait for a long stop.
    ///   - started: Is called once signals are heard: whoever is told that the program is up may stop it at once.
    /// - Returns: The exit status: 0 after a clean stop, 1 when a service failed.
    package static func run(
        _ services: [any Service],
        gracePeriod: Duration,
        hurry: Hurry? = nil,
        logger: Logger,
        started: @escaping @Sendable () -> Void = {},
    ) async -> Int32 {
        await Self.run(
            services + [Announcement(started: started)], gracePeriod: gracePeriod, signals: [.sigterm, .sigint],
            hurry: hurry, logger: logger)
    }

    /// The same with other signals, for tests: the usual ones are heard by everything in the process.
    static func run(
        _ services: [any Service],
        gracePeriod: Duration,
        signals: [UnixSignal],
        hurry: Hurry? = nil,
        logger: Logger,
    ) async -> Int32 {
        var configuration = ServiceGroupConfiguration(
            services: [.init(service: Impatience(signals: signals, hurry: hurry, exit: { _exit(130) }))]
                + services.map { .init(service: $0) },
            gracefulShutdownSignals: signals,
            logger: Self.quieted(logger),
        )
        configuration.maximumGracefulShutdownDuration = gracePeriod
        do {
            try await ServiceGroup(configuration: configuration).run()
            logger.info("stopped")
            return 0
        } catch {
            logger.error("stopped by an error", metadata: .init([.error: "\(error)"]))
            return 1
        }
    }

    /// The group tells of every service it starts and stops, which is not for operators.
    private static func quieted(_ logger: Logger) -> Logger {
        var quieted = logger
        quieted.logLevel = max(logger.logLevel, .warning)
        return quieted
    }
}

/// Says that the program is up: the group traps the signals before it starts its services, and this one last.
struct Announcement: Service {
    let started: @Sendable () -> Void

    func run() async throws {
        self.started()
        try? await gracefulShutdown()
    }
}

/// Ends the process at the second signal, if it is a second thought: tools that stop a process often signal it and its
/// process group, and that one wish arrives twice.
struct Impatience: Service {
    /// Signals closer together than this are one wish.
    static let secondThought: Duration = .milliseconds(300)

    let signals: [UnixSignal]
    let hurry: Hurry?
    let exit: @Sendable () -> Void

    func run() async throws {
        await Self.watch(
            await UnixSignalsSequence(trapping: self.signals).cancelOnGracefulShutdown(), hurry: self.hurry, self.exit)
    }

    static func watch(
        _ signals: some AsyncSequence<UnixSignal, Never>,
        hurry: Hurry? = nil,
        now: @Sendable () -> ContinuousClock.Instant = { .now },
        _ exit: @Sendable () -> Void,
    ) async {
        var first: ContinuousClock.Instant?
        for await signal in signals {
            if signal == .sigint { hurry?.begin() }
            guard let earlier = first else {
                first = now()
                continue
            }
            if earlier.duration(to: now()) >= Self.secondThought { return exit() }
        }
    }
}
