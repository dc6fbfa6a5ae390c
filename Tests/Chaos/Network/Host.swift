/// A machine of a run: a network namespace with one address, whose one way out is the router.
package struct Host: Sendable, Hashable {
    package let name: String
    /// 10.91.N.2, in a network of four addresses of its own. No host ever gets the address of one before it.
    package let address: String
    let number: Int

    init(name: String, number: Int) {
        self.name = name
        self.number = number
        self.address = "10.91.\(number).2"
    }

    /// The router's address on the wire to this host.
    var gateway: String { "10.91.\(self.number).1" }

    /// The router's end of the wire.
    var interface: String { "host\(self.number)" }

    var namespace: String { "/run/netns/\(self.name)" }

    /// What runs a program on this host. It becomes the program: the process started is the program's own, signals
    /// reach it.
    ///
    /// - Parameter words: an absolute path, or a name that is looked up in PATH.
    package func command(_ words: [String]) -> [String] {
        ["/usr/bin/nsenter", "--net=\(self.namespace)", "--"] + words
    }
}
