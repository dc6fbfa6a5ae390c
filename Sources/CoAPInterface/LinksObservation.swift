package import CoAP
import NIOCore

/// One observation of the cloud's own list of links, without input or output: when to ask the registry again, and what
/// of its answers is news. At most one question is under way; what changes meanwhile is asked for behind it.
package struct LinksObservation {
    package enum AnswerAction: Hashable, Sendable {
        case tell(Response)
        case end(Response)
        case nothing
    }

    private let request: Request
    private var isAsking = false
    private var isOwed = true
    private var told: Response?

    /// - Parameter request: what the registry is asked, each time.
    package init(request: Request) {
        self.request = request
    }

    /// The list may be another one.
    package mutating func changed() {
        self.isOwed = true
    }

    /// What to ask now, if anything.
    package mutating func next() -> Request? {
        guard self.isOwed, !self.isAsking else { return nil }
        self.isOwed = false
        self.isAsking = true
        return self.request
    }

    package mutating func answered(_ response: Response) -> AnswerAction {
        self.isAsking = false
        // RFC 7641 §4.2: an error ends it.
        guard response.code.isSuccess else { return .end(response) }
        if let told = self.told, told.showsTheSame(as: response) { return .nothing }
        self.told = response.compacted()
        return .tell(response)
    }
}
