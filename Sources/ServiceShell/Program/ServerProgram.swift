import Glibc
package import Logging

/// Everything a server can be told at its start, read and checked before anything begins.
package protocol ServerConfiguration: Sendable {
    /// The program, for its command line.
    static var program: ProgramDescription { get }

    /// Settings under names of old, translated.
    static func oldNames(in environment: [String: String]) -> OldNames

    /// Reads every setting.
    /// - Throws: everything that is wrong at once; its `exitStatus` is the one to end with.
    init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError)

    var process: ProcessSettings { get }
    /// To be logged once at the start: what was given and has no effect.
    var warnings: [String] { get }
    /// How long a stop may take.
    var stopTime: Duration { get }
}

/// What the environment says under names of old.
package struct OldNames: Sendable {
    /// The same under the new names.
    package var source: SettingsSource
    package var problems: [ConfigurationError.Problem]
    /// What has no effect, a line each.
    package var warnings: [String]

    package init(source: SettingsSource, problems: [ConfigurationError.Problem] = [], warnings: [String] = []) {
        self.source = source
        self.problems = problems
        self.warnings = warnings
    }
}

/// A server as a command: reads its configuration, takes its ports, serves until a signal.
package protocol ServerProgram {
    associatedtype Configuration: ServerConfiguration

    /// - Returns: the exit status.
    static func main(arguments: [String], environment: [String: String]) async -> Int32

    /// Takes every port; gives back what it took if it throws.
    static func start(_ configuration: Configuration, metrics: MetricsRegistry) async throws -> StartedProgram

    /// What people at a terminal are told once it is up; empty: nothing.
    static func greeting(_ configuration: Configuration, _ ports: [String: Int]) -> String

    /// What happened, to what, and what to do next.
    static func sentence(_ error: any Error) -> String
}

extension ServerProgram {
    package static func greeting(_ configuration: Configuration, _ ports: [String: Int]) -> String { "" }

    package static func sentence(_ error: any Error) -> String { "\(error)" }

    private static var name: String { Configuration.program.name }

    /// - Returns: the exit status: 0 after a clean stop, 64 for a wrong command line, 78 for a wrong setting (the
    ///   numbers of sysexits.h), 1 for everything else.
    package static func main(arguments: [String], environment: [String: String]) async -> Int32 {
        await Self.serve(arguments: arguments, environment: environment)
    }

    /// What `main` does, for programs with commands of their own.
    package static func serve(arguments: [String], environment: [String: String]) async -> Int32 {
        switch await Self.prepare(arguments: arguments, environment: environment) {
        case .ended(let status):
            return status
        case .configured(let configuration):
            return await Self.serve(configuration)
        }
    }

    /// Reads the command line and every setting, and answers what needs no more than that.
    package static func prepare(
        arguments: [String], environment: [String: String]
    ) async -> ProgramPreparation<Configuration> {
        do throws(ConfigurationError) {
            switch try Configuration.program.parse(arguments) {
            case .show(let text):
                StandardStreams.say(text, to: STDOUT_FILENO)
                return .ended(0)
            case .checkHealth(let page, let given):
                let old = Configuration.oldNames(in: environment)
                let check = try HealthCheck(
                    page: page, program: Configuration.program, arguments: given, environment: environment, old: old)
                let result = await check.run()
                StandardStreams.say(result.line, to: STDOUT_FILENO)
                return .ended(result.isHealthy ? 0 : 1)
            case .run(let given):
                return .configured(try Configuration(arguments: given, environment: environment))
            }
        } catch {
            StandardStreams.say(error.description, to: STDERR_FILENO)
            return .ended(error.exitStatus)
        }
    }

    /// Sets up logging for the process and tells what has no effect.
    package static func beginLogging(_ configuration: Configuration) -> Logger {
        Observability.bootstrap(level: configuration.process.logLevel, format: configuration.process.logFormat)
        let logger = Logger(label: Self.name)
        for warning in configuration.warnings {
            logger.warning("\(warning)")
        }
        return logger
    }

    private static func serve(_ configuration: Configuration) async -> Int32 {
        // Whoever reads the log may be behind; its last lines say why it ended.
        defer { StandardOutputSink.standard.flush(within: 1) }
        let logger = Self.beginLogging(configuration)
        let metrics = MetricsRegistry()
        metrics.bootstrap()
        do {
            let started = try await Self.start(configuration, metrics: metrics)
            if !configuration.process.portsFile.isEmpty {
                try PortsFile.write(started.ports, to: configuration.process.portsFile)
            }
            var listening = started.details
            listening["address"] = configuration.process.bindAddress
            for (name, port) in started.ports { listening["\(name).port"] = "\(port)" }
            logger.info("listening", metadata: listening.mapValues { .string($0) })
            let greeting = Self.greeting(configuration, started.ports)
            return await ProgramRunner.run(
                started.services, gracePeriod: configuration.stopTime, hurry: started.hurry, logger: logger
            ) {
                if !greeting.isEmpty { StandardStreams.say(greeting, to: STDERR_FILENO) }
            }
        } catch {
            StandardStreams.say("\(Self.name): \(Self.sentence(error))", to: STDERR_FILENO)
            return 1
        }
    }
}

/// How far a command line got.
package enum ProgramPreparation<Configuration: Sendable>: Sendable {
    /// Everything asked for is done; end with this status.
    case ended(Int32)
    case configured(Configuration)
}

/// What people at a terminal read, which is no log.
package enum StandardStreams {
    package static func say(_ text: String, to descriptor: Int32) {
        var rest = Array("\(text)\n".utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            // Nothing can be done about a closed standard output or error.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
