import NIOCore
import ServiceShell
import Synchronization

/// The open connections of the listeners: bounded, and told when the program stops.
final class HTTPConnections: Sendable {
    /// What becomes of a connection that was accepted.
    enum Entry: Hashable, Sendable {
        case taken
        /// It gets one answer, which says that there is no room.
        case refused(Refusal)
        /// It is closed at once.
        case closed(Refusal)
    }

    /// Why a connection is not taken.
    enum Refusal: String, Hashable, Sendable, CaseIterable {
        /// As many are open as may.
        case full = "full"
        case memory = "memory"
        case descriptors = "descriptors"
        /// Accepting it failed, for want of a descriptor say: it waits in the kernel.
        case notAccepted = "not-accepted"
        /// The program stops.
        case stopping = "stopping"
    }

    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var refused: Set<ObjectIdentifier> = []
        var isQuiescing = false
        var isEmpty: Bool { self.channels.isEmpty }
    }

    /// How many that are refused are told so at one time: what comes in a flood is closed.
    static let maximumRefused = 16

    private let maximum: Int
    private let ceilings: Ceilings?
    private let state = Mutex(State())
    private let draining = Atomic(false)

    /// - Parameter ceilings: what connections have to fit under together with those of other ports; nil: nothing.
    init(maximum: Int, ceilings: Ceilings? = nil) {
        self.maximum = maximum
        self.ceilings = ceilings
    }

    /// - Parameter canBeTold: whether it can be answered without further cost, such as a TLS handshake.
    func enter(_ channel: any Channel, canBeTold: Bool = true) -> Entry {
        let key = ObjectIdentifier(channel as AnyObject)
        let refusal = self.state.withLock { state -> Refusal? in
            if state.isQuiescing { return .stopping }
            guard state.channels.count < self.maximum else { return .full }
            state.channels[key] = channel
            return nil
        }
        if let refusal { return .closed(refusal) }
        guard let shortage = self.ceilings?.enter() else {
            channel.closeFuture.whenComplete { _ in
                self.state.withLock { $0.channels[key] = nil }
                self.ceilings?.leave()
            }
            return .taken
        }
        let isTold = self.state.withLock { state in
            state.channels[key] = nil
            guard canBeTold, state.refused.count < Self.maximumRefused else { return false }
            state.refused.insert(key)
            return true
        }
        guard isTold else { return .closed(Refusal(shortage)) }
        channel.closeFuture.whenComplete { _ in
            self.state.withLock { _ = $0.refused.remove(key) }
        }
        return .refused(Refusal(shortage))
    }

    /// Whether it is one of those that are only told that there is no room.
    func isRefused(_ channel: any Channel) -> Bool {
        self.state.withLock { $0.refused.contains(ObjectIdentifier(channel as AnyObject)) }
    }

    /// The program will stop: each connection ends with its next answer, and new ones are still taken.
    func drain() {
        self.draining.store(true, ordering: .relaxed)
    }

    var isDraining: Bool { self.draining.load(ordering: .relaxed) }
    var isEmpty: Bool { self.state.withLock { $0.isEmpty } }

    /// Closes idle connections now and the others after their answer.
    func quiesce() {
        let open = self.state.withLock { state in
            state.isQuiescing = true
            return Array(state.channels.values)
        }
        for channel in open {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }
}

extension HTTPConnections.Refusal {
    init(_ shortage: Shortage) {
        switch shortage {
        case .memory: self = .memory
        case .descriptors: self = .descriptors
        }
    }
}

extension HTTPConnections.Entry {
    /// Nil if it is taken.
    var refusal: HTTPConnections.Refusal? {
        switch self {
        case .taken: nil
        case .refused(let refusal), .closed(let refusal): refusal
        }
    }
}
