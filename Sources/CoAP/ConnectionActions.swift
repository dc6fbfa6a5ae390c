package import NIOCore

/// A request of ours, within one connection. Never used twice on it.
package struct ExchangeID: Hashable, Sendable {
    /// The value of the token the request travels under.
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// A request of the peer, within one connection. They count up in the order of arrival.
package struct IncomingID: Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (left: IncomingID, right: IncomingID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A request of ours that is to be written now.
package struct Outgoing: Hashable, Sendable {
    package let id: ExchangeID
    package let message: Message
}

/// Why a request of ours has no answer.
package enum ExchangeFailure: Error, Hashable, Sendable {
    /// No answer in time. The token stays taken: a late answer is dropped, never given to somebody else.
    case timedOut
    /// The connection ended.
    case connectionLost
    /// The connection is about to end and takes no more requests.
    case closing
    /// As many are waiting as may.
    case queueFull
    /// The request does not fit the peer's Max-Message-Size (RFC 8323 §5.3.1).
    case tooLarge(size: Int, maximum: Int)
    /// The answer carries an option that must not be ignored (RFC 7252 §5.4.1).
    case unusableResponse(OptionFault)
}

/// How a request of ours ended without an answer, and how far it had come.
package struct ExchangeError: Error, Hashable, Sendable {
    package let failure: ExchangeFailure
    /// False: not one byte of it can have been acted on. True: nobody knows.
    package let delivered: Bool

    package init(_ failure: ExchangeFailure, delivered: Bool) {
        self.failure = failure
        self.delivered = delivered
    }
}

/// Why a connection ended.
package enum ConnectionEnd: Error, Hashable, Sendable {
    /// The transport's end came without a word.
    case closedByPeer
    /// We closed it; the text says why.
    case closedByUs(String)
    /// We asked the peer to close (RFC 8323 §5.5), and it did not in time.
    case releaseUnheeded
    /// The peer asked us to close (RFC 8323 §5.5).
    case released(holdOffSeconds: UInt32?)
    /// The peer gave up (RFC 8323 §5.6).
    case abortedByPeer(diagnostic: String?)
    /// The peer broke the message format.
    case malformed(DecodeError)
    /// The peer broke another rule; the text is what it was told.
    case protocolError(String)
    /// Pings went unanswered.
    case keepaliveTimeout
    /// The transport failed.
    case failed(String)
}

// One action for each event: what the machine wants done, all of it, in this order.

package enum ReceiveAction: Hashable, Sendable {
    case ignore(IgnoredMessage)
    /// A request to be answered through `respond`.
    case handle(IncomingID, Request)
    /// An answer the machine gives itself.
    case reply(Message)
    /// One of our requests is over; `next` may now be written. With an `end` it was the last thing to wait for.
    case complete(ExchangeID, Result<Response, ExchangeError>, next: [Outgoing], end: ConnectionEnd?)
    /// An answer to an observation of ours that stays open. With the first one its place among the requests is free:
    /// `next` may now be written; with an `end` it was the last thing to wait for.
    case notify(ExchangeID, Response, isFirst: Bool, next: [Outgoing], end: ConnectionEnd?)
    /// The answer to a request that nobody waits for any more: an observation cancelled before it came.
    case swallowed(next: [Outgoing], end: ConnectionEnd?)
    /// The peer does not want to be told of this any more; then the rest.
    indirect case cancelled(IncomingID, then: ReceiveAction)
    /// The peer wants to go: these requests of ours will not be sent. Close at once if nothing is in flight.
    case released(holdOffSeconds: UInt32?, unsent: [ExchangeID], closeNow: Bool)
    /// Write this, half-close, close.
    case abort(Message, ConnectionEnd)
    case close(ConnectionEnd)
}

extension ReceiveAction {
    /// Whether the message was the answer to a request of ours. A notification is not: how many of them come is the
    /// peer's choice, so they count as messages it sends of its own accord.
    package var isAwaited: Bool {
        switch self {
        case .complete, .swallowed, .notify(_, _, isFirst: true, _, _): true
        case .notify, .ignore, .handle, .reply, .cancelled, .released, .abort, .close: false
        }
    }
}

/// What came in and needs nothing done; counted.
package enum IgnoredMessage: String, Hashable, Sendable {
    case empty = "empty"
    case csm = "csm"
    case pong = "pong"
    case heldPong = "ping-held"
    case unmatchedResponse = "response-unmatched"
    /// What still comes under an observation that was cancelled.
    case cancelledObservation = "observation-cancelled"
    case unknownSignal = "signal-unknown"
    case unassignedClass = "class-unassigned"
    case afterClose = "after-close"
    /// A request whose refusal its sender does not want (RFC 7967 §2).
    case suppressedReply = "reply-suppressed"
    /// What this end takes no notice of on purpose: `ConnectionConfiguration.Omissions`.
    case omittedPing = "ping-omitted"
    case omittedRelease = "release-omitted"
}

package enum SendAction: Hashable, Sendable {
    case write(Outgoing)
    case queued(ExchangeID)
    case refuse(ExchangeFailure)
}

package enum RespondAction: Hashable, Sendable {
    /// No such request, or an answer it does not want.
    case nothing
    case write([Message])
    /// The same, but although the answer says so the peer does not observe it, or not any more: whoever answers need
    /// not go on.
    case writeUnregistered([Message], IncomingID)
    case writeThenClose([Message], ConnectionEnd)
}

package enum DeadlineAction: Hashable, Sendable {
    /// Nothing is due; look again at this time, if any.
    case wait(until: NIODeadline?)
    /// These of our requests are over: late, or too large since the peer takes less. Then `cancellations` are to be
    /// written, lest the peer begin to notify after all, and `next` may be. Ask again.
    case expire([ExchangeID: ExchangeError], cancellations: [Message], next: [Outgoing])
    /// Write a Ping. Ask again.
    case ping(Message)
    case abort(Message, ConnectionEnd)
    case close(ConnectionEnd)
    /// Say no more, and close when the peer has, or after a moment.
    case halfClose(ConnectionEnd)
}

/// Write this; these requests of ours will not be sent.
package struct ReleaseAction: Hashable, Sendable {
    package let message: Message
    package let unsent: [ExchangeID]
}
