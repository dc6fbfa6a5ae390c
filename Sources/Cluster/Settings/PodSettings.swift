import Cloud
import CoAP
import Glibc
import NIOCore
package import ServiceShell

/// Who this process is among the others.
package struct PodSettings: SettingsGroup {
    /// Without the boot id.
    package var name: String
    /// Where the other programs reach it; nil: to be worked out from where it listens.
    package var ip: String?
    package var namespace: String

    enum Keys {
        static let name = Setting.word(
            "POD_NAME",
            default: "",
            "The name of this process among the others, in logs and routes.",
        ).workedOut(shownAs: "(the host name)")
        static let ip = Setting.address(
            "POD_IP",
            default: "",
            "The address the other programs reach this one at.",
        ).workedOut(shownAs: "(BIND_ADDRESS, or the first address of this machine)")
        static let namespace = Setting.word(
            "POD_NAMESPACE",
            default: "default",
            "The Kubernetes namespace, which stands in certificates of pods.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.name.declaration,
        Keys.ip.declaration,
        Keys.namespace.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.name = reader.read(Keys.name) ?? Self.hostName()
        self.ip = reader.read(Keys.ip)
        self.namespace = reader.read(Keys.namespace)
    }

    /// Two starts of the same machine are two pods.
    package func bootName() -> String { Self.bootName(of: self.name) }

    /// The name of a pod with an id of this start.
    package static func bootName(of name: String) -> String {
        "\(name).\(CoAP.hexadecimal(SystemRandomSource().bytes(4)))"
    }

    /// Where the other programs reach what listens on `bindAddress`.
    package func address(boundTo bindAddress: String) -> String {
        if let ip = self.ip { return ip }
        switch bindAddress {
        case "localhost": return "127.0.0.1"
        case "0.0.0.0", "::": return Self.firstAddress(isIPv6: bindAddress == "::") ?? "127.0.0.1"
        default: return bindAddress
        }
    }

    /// The same with a port behind it.
    func endpoint(boundTo bindAddress: String, port: Int) -> String {
        "\(bracketed(self.address(boundTo: bindAddress))):\(port)"
    }

    private static func firstAddress(isIPv6: Bool) -> String? {
        let addresses = ((try? System.enumerateDevices()) ?? []).compactMap(\.address)
        let outside = addresses.filter { address in
            guard let text = address.ipAddress else { return false }
            return !text.hasPrefix("127.") && text != "::1" && !text.hasPrefix("fe80:")
        }
        let first = outside.first { ($0.protocol == .inet6) == isIPv6 } ?? outside.first
        return first?.ipAddress
    }

    private static func hostName() -> String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
        let name = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.isEmpty ? "localhost" : name
    }
}
