package import Logging

/// Why no new connection is taken at the moment.
package enum Shortage: String, Hashable, Sendable, CaseIterable {
    /// The memory in use comes near what the process may have.
    case memory
    /// The descriptors that are left are for what the process opens itself.
    case descriptors
}

/// What new connections from outside are measured against, whichever port of the process they come to. Connections
/// there are stay; the admin port and the one for our own programs are not asked here, so that a process without room
/// can still be looked at, and its sessions reached.
package struct Ceilings: Sendable {
    package let descriptors: DescriptorCeiling
    package let memory: MemoryCeiling

    package init(descriptors: DescriptorCeiling, memory: MemoryCeiling) {
        self.descriptors = descriptors
        self.memory = memory
    }

    /// Those of this process. Allows it as many descriptors as the system lets it allow itself.
    /// - Parameter memoryLimit: what the process may have, in bytes; nil: what its cgroup may.
    package init(memoryLimit: Int?, eventLoops: Int, logger: Logger) {
        self.descriptors = DescriptorCeiling(DescriptorLimit.raised(logger: logger), eventLoops: eventLoops)
        let source: MemorySource =
            memoryLimit.map { .process(limit: $0) } ?? .cgroup(CgroupMemory.ofThisProcess())
        self.memory = MemoryCeiling(logger: logger) { source.read() }
    }

    /// Takes a place for one connection, which `leave` gives back at its end; else says why there is none.
    package func enter() -> Shortage? {
        if self.memory.isShort { return .memory }
        return self.descriptors.take() ? nil : .descriptors
    }

    package func leave() {
        self.descriptors.giveBack()
    }
}
