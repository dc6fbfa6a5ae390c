import Glibc
import NIOCore

/// A listener that could not take its address. Says which, why, and what to change.
package struct BindError: Error, Equatable, CustomStringConvertible {
    package let host: String
    package let port: Int
    /// The environment variable that moves the port.
    package let variable: String
    package let reason: String

    package init(host: String, port: Int, variable: String, underlying: any Error) {
        self.host = host
        self.port = port
        self.variable = variable
        // NIO wraps what `bind` said when it tried a name's addresses one after the other.
        let code = (underlying as? IOError)?.errnoCode
        switch code {
        case EADDRINUSE?: self.reason = "another program listens there"
        case EACCES?: self.reason = "this user may not use that port"
        case EADDRNOTAVAIL?: self.reason = "this machine does not have that address; BIND_ADDRESS sets it"
        case let code?: self.reason = String(cString: strerror(code))
        case nil: self.reason = "\(underlying)"
        }
    }

    package var description: String {
        "cannot listen on \(bracketed(self.host)):\(self.port): \(self.reason); "
            + "\(self.variable) or \(SettingDeclaration.flag(for: self.variable)) chooses another port"
    }
}
