import Foundation
package import Glibc
import Synchronization
import TestSupport

/// A server of somebody else (a database, a cache) that tests run against. It dies with the process that started it,
/// also when that one is killed.
package final class ServerProcess: Sendable {
    /// The server runs beneath a shell that ends it once our end of the shell's standard input is gone. A server that
    /// is gone already is left alone: its number may be another process's by then.
    private static let watchdog = """
        exec 3<&0
        "$@" 3<&- </dev/null &
        server=$!
        echo "server.pid=$server."
        (cat <&3; kill -0 $$ && kill -9 "$server") >/dev/null 2>&1 &
        exec 3<&-
        wait "$server"
        """

    private let shell: Subprocess
    private let isStopped = Mutex(false)
    /// The server itself.
    package let pid: pid_t

    /// Starts `arguments[0]`, an absolute path, and returns as soon as it has a process; `waitFor` tells when it
    /// serves.
    package init(
        _ arguments: [String], environment: [String: String] = [:], directory: String = Subprocess.root
    ) async throws {
        self.shell = try Subprocess(
            ["/bin/sh", "-c", Self.watchdog, "server"] + arguments, environment: environment, directory: directory)
        try await self.shell.waitFor("server.pid=")
        let line = self.shell.outputSoFar.split(separator: "server.pid=", maxSplits: 1).last ?? ""
        guard let pid = pid_t(line.prefix { $0 != "." }) else { throw PeerError("no number of a process in: \(line)") }
        self.pid = pid
    }

    /// Waits until the server wrote the text; its log is in the error if it ends without. One that does not write it in
    /// time is ended.
    package func waitFor(_ text: String, patience: Double = 30) async throws {
        let server = self.pid
        let watchdog = DispatchWorkItem { kill(server, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + patience, execute: watchdog)
        defer { watchdog.cancel() }
        try await self.shell.waitFor(text)
    }

    /// What the server wrote to standard output by now.
    package var outputSoFar: String { self.shell.outputSoFar }

    /// The program itself gets the signal, not the shell above it.
    package func signal(_ number: Int32) {
        kill(self.pid, number)
    }

    /// Ends the server, if that was not done yet, and waits for its end.
    @discardableResult
    package func stop(_ signal: Int32 = SIGKILL) async -> Subprocess.Ended {
        // Once only: neither the number of the process nor that of the descriptor is ours afterwards.
        let isFirst = self.isStopped.withLock { isStopped in
            defer { isStopped = true }
            return !isStopped
        }
        if isFirst { kill(self.pid, signal) }
        let ended = await self.shell.ended(patience: 30)
        if isFirst { self.shell.closeInput() }
        return ended
    }

    // MARK: - What a server needs

    /// A port on loopback that nobody listens on now.
    package static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw PeerError("no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard result else { throw PeerError("no free port: \(String(cString: strerror(errno)))") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// A new folder of its own; whoever asked removes it.
    package static func temporaryFolder(_ name: String) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(name)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder.path
    }

    /// Where a program is installed.
    package static func program(_ name: String, package: String) throws -> String {
        for folder in ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin"]
        where FileManager.default.isExecutableFile(atPath: "\(folder)/\(name)") {
            return "\(folder)/\(name)"
        }
        throw PeerError("\(name) is not installed, and the tests need it: apt-get install \(package)")
    }
}
