/// One address and port for many members, as a Kubernetes service has.
package struct Service: Sendable, Hashable {
    package let name: String
    /// 10.91.255.N: nobody has this address, the router puts a member's in its place.
    package let address: String
    package let port: Int

    /// - Parameters:
    ///   - name: up to 20 letters, digits and hyphens, of its own in a run.
    ///   - number: 1 to 254; services of one number share their address and differ in their port.
    package init(_ name: String, number: Int, port: Int) {
        self.name = name
        self.address = "10.91.255.\(number)"
        self.port = port
    }
}

/// Who serves behind a service.
package struct Member: Sendable, Hashable {
    package let name: String
    package let address: String
    package let port: Int

    package init(name: String, address: String, port: Int) {
        self.name = name
        self.address = address
        self.port = port
    }
}
