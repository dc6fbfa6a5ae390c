import CBOR
import Cloud
import CoAP
import NIOCore

/// One resource that is observed for its state.
struct WatchedLink: Hashable, Sendable {
    static let batch = WatchedLink(path: ["oic", "res"], queries: ["if=oic.if.b"])

    var path: [String]
    var queries: [String] = []
}

/// What the gateway itself observes of one device with `STORED_STATE=observe`, without input or output: which of its
/// links, one registration at a time, and what to do about a device that will not have it.
///
///     wanted ─► asked ─► observed ─► wanted       the device ended it for now
///                 │          │
///                 └──────────┴─────► refused      until it publishes anew
///
/// The batch of everything is tried first where the device offers it; where it is refused, each link is observed for
/// itself (OCF Core §7.6.3.3).
struct StateWatch: Hashable {
    enum EndAction: Hashable {
        /// The next one may be asked for.
        case proceed
        /// Look for what there is to observe again after so long.
        /// - Parameter proceeds: the next one may be asked for meanwhile.
        case retry(after: TimeAmount, proceeds: Bool)
    }

    /// The longest pause after something that failed.
    static let longestPause = TimeAmount.hours(1)
    private static let all: LinkPolicy = [.discoverable, .observable]

    private var links: [WatchedLink] = []
    private var offersBatch = false
    private var refused: Set<WatchedLink> = []
    private var observed: Set<WatchedLink> = []
    private var asked: WatchedLink?
    /// What failed since the links were listed, and what had failed before: that comes last.
    private var failed: Set<WatchedLink> = []
    private var failedBefore: Set<WatchedLink> = []
    private var failures = 0

    /// In the order they are asked for.
    private var wanted: [WatchedLink] {
        self.offersBatch && !self.refused.contains(.batch) ? [.batch] : self.links
    }

    /// The device has published, or taken back: what it refused is asked for again.
    mutating func published() {
        self.refused = []
        self.failedBefore = []
        self.failures = 0
    }

    /// These are the links of the device, as the registry shows them.
    /// - Returns: what is not to be observed any more.
    mutating func listed(_ items: [DataItem], of di: DeviceID) -> [WatchedLink] {
        let prefix = "/\(di.text)"
        self.links = []
        self.offersBatch = false
        self.failedBefore = self.failed
        self.failed = []
        for item in items {
            guard let href = item["href"]?.string, href.hasPrefix(prefix),
                let bits = item["p"]?["bm"]?.integer, LinkPolicy(rawValue: Int(bits)).isSuperset(of: Self.all),
                let target = DeviceHref(String(href.dropFirst(prefix.count)), di: di)
            else { continue }
            let interfaces = item["if"]?.elements?.compactMap(\.string) ?? []
            if target.path == WatchedLink.batch.path, interfaces.contains("oic.if.b") { self.offersBatch = true }
            if self.links.count < StoredStateLimits.observedPerDevice {
                self.links.append(WatchedLink(path: target.path, queries: target.queries))
            }
        }
        return self.unwanted()
    }

    private mutating func unwanted() -> [WatchedLink] {
        let gone = self.observed.union(self.asked.map { [$0] } ?? []).subtracting(self.wanted)
        self.observed.subtract(gone)
        if let asked = self.asked, gone.contains(asked) { self.asked = nil }
        return Array(gone)
    }

    /// What to register for now, if anything.
    mutating func next() -> WatchedLink? {
        guard self.asked == nil else { return nil }
        let open = self.wanted.filter {
            !self.observed.contains($0) && !self.refused.contains($0) && !self.failed.contains($0)
        }
        self.asked = open.first { !self.failedBefore.contains($0) } ?? open.first
        return self.asked
    }

    /// The device has said what the state is, and will go on.
    /// - Returns: whether that was the answer to the registration: then the next one may be asked for.
    mutating func notified(_ link: WatchedLink) -> Bool {
        guard self.asked == link else { return false }
        self.asked = nil
        self.observed.insert(link)
        self.failures = 0
        return true
    }

    /// It is observed no more, or never was.
    mutating func ended(_ link: WatchedLink, with response: Response) -> EndAction {
        self.cancelled(link)
        let isOwnAnswer = response.options.undelivered == nil && response.options.unknownOutcome == nil
        // RFC 7641 §3.1: an answer without Observe, an error of the request, or a method it does not have: it will not.
        // There is another way than the batch, so there the device is not asked for long.
        let isBatchOver = link == .batch && (self.failures >= 2 || isOwnAnswer && response.code != .serviceUnavailable)
        guard response.code.codeClass == 5, response.code != .notImplemented, !isBatchOver else {
            return self.refused(link)
        }
        self.failed.insert(link)
        return .retry(after: self.pause(maxAge: response.options.maxAge), proceeds: isOwnAnswer)
    }

    /// The device will not have it observed.
    mutating func refused(_ link: WatchedLink) -> EndAction {
        self.cancelled(link)
        self.refused.insert(link)
        return .proceed
    }

    /// It is observed no more, or never was: we do not want it.
    mutating func cancelled(_ link: WatchedLink) {
        if self.asked == link { self.asked = nil }
        self.observed.remove(link)
    }

    /// The registry did not say which links there are.
    mutating func unlisted(_ response: Response) -> EndAction {
        .retry(after: self.pause(maxAge: response.options.maxAge), proceeds: false)
    }

    /// A second at first, then twice as long each time, and as long as we were told in any case.
    private mutating func pause(maxAge: UInt32?) -> TimeAmount {
        let pause = TimeAmount.seconds(1 << Int64(min(self.failures, 12)))
        self.failures += 1
        return min(max(pause, .seconds(Int64(maxAge ?? 0))), Self.longestPause)
    }
}
