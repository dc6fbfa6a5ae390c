import Foundation
import Glibc
import TestServers
import TestSupport

/// A program of the cluster, on a host of its own, whose log goes to a file.
package final class RunProcess: Sendable {
    package enum Program: String, Sendable, CaseIterable {
        case coapInterface = "coap-interface"
        case northbound
        case registry

        /// How its processes are called: `pod-1`, `northbound-1`, `registry-1`.
        var prefix: String { self == .coapInterface ? "pod" : self.rawValue }

        /// Where others reach it.
        var port: Int {
            switch self {
            case .coapInterface: 5683
            case .northbound: 8080
            case .registry: 5688
            }
        }

        /// Where everybody else reaches them.
        var service: Service {
            switch self {
            case .coapInterface: Service(self.rawValue, number: 1, port: self.port)
            case .northbound: Service(self.rawValue, number: 2, port: self.port)
            case .registry: Service(self.rawValue, number: 3, port: self.port)
            }
        }
    }

    static let adminPort = 9090
    /// Longer than any run, in seconds.
    static let wholeRun: Double = 7 * 24 * 3600

    let program: Program
    let name: String
    let host: Host
    private let process: Subprocess

    /// - Parameters:
    ///   - executable: the program.
    ///   - log: the file its output goes to; nobody has to read it while it runs.
    init(
        _ program: Program, name: String, on host: Host, executable: String, environment: [String: String], log: String
    ) throws {
        self.program = program
        self.name = name
        self.host = host
        self.process = try Self.launch([executable], on: host, environment: environment, log: log)
    }

    /// Starts any program on a host with its output in a file.
    static func launch(
        _ words: [String], on host: Host, environment: [String: String] = [:], log: String
    ) throws -> Subprocess {
        try Subprocess(
            ["/bin/sh", "-c", "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1 </dev/null", "sh", log]
                + host.command(words), environment: environment)
    }

    var admin: HTTPTestClient { HTTPTestClient(host: self.host.address, port: Self.adminPort) }

    var pid: pid_t { self.process.pid }

    func signal(_ number: Int32) {
        self.process.signal(number)
    }

    /// Its exit status.
    func ended(patience: Double) async -> Int {
        Int(await self.process.ended(patience: patience).status)
    }
}
