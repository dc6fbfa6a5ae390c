import CBOR
import Cloud
import CoAP
import CoAPTransport
import NIOCore

// With `STORED_STATE=observe` the gateway itself observes what the device has published, so that it has its last state.

extension DeviceConnection {
    /// The device has signed in, or published: what there is to observe may be more than it was.
    func watchStates() {
        guard let states = self.context.states, states.mode == .observe, let session = self.machine.session,
            session.kind == .device, self.isEntered
        else { return }
        var options = Options()
        options.path = ["oic", "res"]
        options.queries = ["di=\(session.di.text)"]
        options.accept = .ocfCBOR
        options.sessionUser = session.uid.text
        options.sessionDevice = session.di.text
        options.requestID = "states-\(session.epoch)"
        options.deadlineMilliseconds = UInt32(clamping: self.context.registryTimeout.nanoseconds / 1_000_000)
        self.ask(self.context.registry, Request(.get, options: options)) { this, response in
            guard this.machine.session?.epoch == session.epoch, response.code == .content,
                let links = response.payload.flatMap({ try? DataItem(decoding: $0) })?.elements
            else { return }
            for watched in WatchedLinks.chosen(from: links, of: session.di) {
                this.watch(watched, of: session)
            }
        }
    }

    private func watch(_ link: WatchedLink, of session: Session) {
        guard self.watched[link] == nil, self.watched.count < StoredStateLimits.observedPerDevice,
            let eventLoop = self.connection?.eventLoop
        else { return }
        var options = Options()
        options.path = [session.di.text] + link.path
        options.queries = link.queries
        options.accept = .ocfCBOR
        options.ocfAcceptVersion = .v1_0_0
        options.observe = 0
        options.fence = Fence(epoch: session.epoch, uid: session.uid.text)
        options.requestID = "states-\(session.epoch)"
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        let observer = Observer { event in
            // What it says is taken down where it comes in. One that cannot be observed is asked again when the device
            // publishes anew.
            guard case .ended = event else { return }
            this.onLoop { $0.watched[link] = nil }
        }
        self.watched[link] = observer
        self.observe(Request(.get, options: options), of: session.di, deadline: nil, by: observer)
    }
}

/// One resource that is observed for its state.
struct WatchedLink: Hashable, Sendable {
    var path: [String]
    var queries: [String] = []
}

/// Chooses what to observe of what a device has published.
enum WatchedLinks {
    private static let all: LinkPolicy = [.discoverable, .observable]

    /// One batch of everything where the device offers it, else each link for itself (OCF Core §7.6.3.3).
    static func chosen(from links: [DataItem], of di: DeviceID) -> [WatchedLink] {
        let prefix = "/\(di.text)"
        var chosen: [WatchedLink] = []
        for link in links {
            guard let href = link["href"]?.string, href.hasPrefix(prefix),
                let bits = link["p"]?["bm"]?.integer, LinkPolicy(rawValue: Int(bits)).isSuperset(of: Self.all),
                let path = StateKeeper.path(of: String(href.dropFirst(prefix.count)), di: di)
            else { continue }
            let interfaces = link["if"]?.elements?.compactMap(\.string) ?? []
            if path == ["oic", "res"], interfaces.contains("oic.if.b") {
                return [WatchedLink(path: path, queries: ["if=oic.if.b"])]
            }
            chosen.append(WatchedLink(path: path))
        }
        return Array(chosen.prefix(StoredStateLimits.observedPerDevice))
    }
}
