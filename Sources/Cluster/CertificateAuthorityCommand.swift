package import ArgumentParser
import Certificates
import FoundationEssentials
import Glibc
import ServiceShell

/// `registry ca`: certificates for those who have no authority of their own.
package struct CertificateAuthorityCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "registry ca",
        abstract: "A certificate authority of your own, in a folder.",
        discussion: """
            It gives certificates to devices, to the cloud and to the programs among themselves. Keep the folder off \
            the servers: whoever has its ca-key.pem is every device.
            """,
        subcommands: [Initialise.self, Issue.self, Revoke.self, Renew.self, List.self])

    package init() {}

    /// - Parameter arguments: what follows `ca`.
    /// - Returns: the exit status: 0, 64 for a wrong command line, 1 for everything else.
    package static func run(_ arguments: [String]) -> Int32 {
        do {
            var command = try Self.parseAsRoot(arguments)
            try command.run()
            return 0
        } catch let error as CertificateError {
            StandardStreams.say("registry ca: \(error)", to: STDERR_FILENO)
            return 1
        } catch {
            // Help is asked for by an error as well.
            let isAsked = Self.exitCode(for: error) == .success
            StandardStreams.say(Self.fullMessage(for: error), to: isAsked ? STDOUT_FILENO : STDERR_FILENO)
            return Self.exitCode(for: error).rawValue
        }
    }

    /// Where the authority is.
    struct Folder: ParsableArguments {
        @Option(help: "The authority's folder.")
        var dir = "ca"
    }

    private static func say(_ lines: [String]) {
        StandardStreams.say(lines.joined(separator: "\n"), to: STDOUT_FILENO)
    }

    /// RFC 3339, UTC, to the day.
    private static func day(_ seconds: Int64) -> String {
        String(Date(timeIntervalSince1970: Double(seconds)).ISO8601Format().prefix(10))
    }

    struct Initialise: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "init", abstract: "Make an authority.")

        @OptionGroup var folder: Folder
        @Option(help: "Its common name.")
        var name = "OCF cloud authority"
        @Option(help: "How long it is good, in days.")
        var days = 3650

        func run() throws {
            let made = try AuthorityFolder(creating: self.folder.dir, name: self.name, days: self.days)
            CertificateAuthorityCommand.say([
                "An authority is in \(made.path). Keep \(made.path)/ca-key.pem secret.",
                "Devices, clients and programs trust: \(made.certificateFile)",
                "Programs that check certificates are given:",
                "  TLS_CA_POOL=\(made.certificateFile)", "  TLS_CRL=\(made.revocationsFile)",
            ])
        }
    }

    struct Issue: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give out a certificate with its key.")

        @OptionGroup var folder: Folder
        @Option(help: "For the device with this id, a UUID.")
        var device: String?
        @Option(help: "For the cloud with this id, as in SID.")
        var cloud: String?
        @Option(help: "For a program that others know by this name.")
        var service: String?
        @Option(help: "A name or an address under which it is reached; may be repeated.")
        var host: [String] = []
        @Option(help: "Where the files go; else the folder issued beside the authority.")
        var out: String?
        @Option(help: "How long it is good, in days; else 3650 for a device, 365 for all others.")
        var days: Int?
        @Flag(help: "Replace files that are there.")
        var replace = false

        func validate() throws {
            let given = [self.device, self.cloud, self.service].compactMap { $0 }
            guard given.count == 1 else { throw ValidationError("Give one of --device, --cloud and --service.") }
            guard self.device == nil || self.host.isEmpty else {
                throw ValidationError("A device is known by its id: it has no --host.")
            }
        }

        private var subject: CertificateSubject {
            if let device = self.device { return .device(device) }
            if let cloud = self.cloud { return .cloud(cloud, hosts: self.host) }
            return .service(self.service ?? "", hosts: self.host)
        }

        func run() throws {
            let authority = try AuthorityFolder(opening: self.folder.dir)
            let files = try authority.issue(
                self.subject, days: self.days ?? (self.device == nil ? 365 : 3650), to: self.out,
                replacing: self.replace)
            let end = CertificateAuthorityCommand.day(files.notAfter)
            var lines = ["Serial number \(files.serial), good until \(end)."]
            switch self.subject {
            case .device:
                lines += [
                    "The device is given:", "  certificate \(files.certificate)", "  key \(files.key)",
                    "  authority \(authority.certificateFile)",
                ]
            case .cloud:
                lines += [
                    "Set for devices:", "  TLS_CERTIFICATE=\(files.certificate)", "  TLS_CERTIFICATE_KEY=\(files.key)",
                    "And for the HTTP API:", "  HTTPS_CERTIFICATE=\(files.certificate)",
                    "  HTTPS_CERTIFICATE_KEY=\(files.key)",
                ]
            case .service:
                lines += [
                    "Set:", "  INTERNAL_TLS_CERTIFICATE=\(files.certificate)", "  INTERNAL_TLS_KEY=\(files.key)",
                    "  INTERNAL_TLS_CA=\(authority.certificateFile)",
                ]
            }
            CertificateAuthorityCommand.say(lines)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a certificate back, and write the list of all that were.")

        @OptionGroup var folder: Folder
        @Option(help: "The one with this serial number, in hexadecimal digits.")
        var serial: String?
        @Option(help: "All of the device with this id.")
        var device: String?
        @Option(help: "The one in this file.")
        var certificate: String?

        func validate() throws {
            guard [self.serial, self.device, self.certificate].compactMap({ $0 }).count == 1 else {
                throw ValidationError("Give one of --serial, --device and --certificate.")
            }
        }

        func run() throws {
            let target: RevocationTarget =
                if let serial = self.serial {
                    .serial(serial)
                } else if let device = self.device {
                    .device(device)
                } else {
                    .certificate(self.certificate ?? "")
                }
            let authority = try AuthorityFolder(opening: self.folder.dir)
            let revoked = try authority.revoke(target)
            let lines = revoked.map { "Revoked: \($0.serial), \($0.kind) \($0.name)" }
            CertificateAuthorityCommand.say(
                (lines.isEmpty ? ["It was revoked before."] : lines) + [
                    "The list is \(authority.revocationsFile). Put it where TLS_CRL says."
                ])
        }
    }

    struct Renew: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "crl", abstract: "Write the list of revoked certificates anew, before it is stale.")

        @OptionGroup var folder: Folder
        @Option(help: "How long the list is good, in days.")
        var days = AuthorityFolder.revocationDays

        func run() throws {
            let authority = try AuthorityFolder(opening: self.folder.dir)
            try authority.renewRevocations(days: self.days)
            CertificateAuthorityCommand.say(["The list is \(authority.revocationsFile), good for \(self.days) days."])
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List what was given out.")

        @OptionGroup var folder: Folder

        func run() throws {
            let issued = try AuthorityFolder(opening: self.folder.dir).issued()
            let lines = issued.map { entry in
                let end = CertificateAuthorityCommand.day(entry.notAfter)
                let state = entry.revokedAt.map { "revoked \(CertificateAuthorityCommand.day($0))" } ?? "until \(end)"
                return "\(entry.serial)  \(state)  \(entry.kind) \(entry.name)"
            }
            CertificateAuthorityCommand.say(lines.isEmpty ? ["Nothing was given out yet."] : lines)
        }
    }
}
