package import CoAP
import NIOCore
import Synchronization

/// A resource whose observers are told what a test says, when it says it.
package final class ScriptedResource: Responder {
    /// One who observes.
    package struct Observer: Sendable {
        package let request: Request
        private let event: @Sendable (ObservationEvent) -> Void

        fileprivate init(_ request: Request, _ event: @escaping @Sendable (ObservationEvent) -> Void) {
            self.request = request
            self.event = event
        }

        package func notify(_ text: String) { self.event(.notified(.text(text))) }
        package func notify(_ response: Response) { self.event(.notified(response)) }
        package func end(_ response: Response) { self.event(.ended(response)) }
    }

    private enum Happening: Sendable {
        case observed(Observer)
        case asked(Request)
        case cancelled
    }

    private let happenings: AsyncStream<Happening>
    private let continuation: AsyncStream<Happening>.Continuation
    private let cancellations = Atomic(0)

    package init() {
        (self.happenings, self.continuation) = AsyncStream.makeStream(of: Happening.self)
    }

    /// How many observations were cancelled, those cancelled twice counted twice.
    package var cancelled: Int { self.cancellations.load(ordering: .relaxed) }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        self.continuation.yield(.asked(request))
        answer(.text("plain"))
    }

    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        self.continuation.yield(.observed(Observer(request, event)))
        return ObservationHandle {
            self.cancellations.add(1, ordering: .relaxed)
            self.continuation.yield(.cancelled)
        }
    }

    private func next() async throws -> Happening {
        for await happening in self.happenings { return happening }
        throw PeerError("the test was cancelled")
    }

    /// The next thing is that somebody observes.
    package func observer() async throws -> Observer {
        let next = try await self.next()
        guard case .observed(let observer) = next else { throw PeerError("\(next) where an observer was expected") }
        return observer
    }

    /// The next thing is a request that does not register.
    package func request() async throws -> Request {
        let next = try await self.next()
        guard case .asked(let request) = next else { throw PeerError("\(next) where a request was expected") }
        return request
    }

    /// The next thing is that somebody cancels.
    package func cancellation() async throws {
        let next = try await self.next()
        guard case .cancelled = next else { throw PeerError("\(next) where a cancellation was expected") }
    }
}

extension Response {
    package static func text(_ text: String) -> Response {
        Response(.content, payload: ByteBuffer(string: text))
    }
}

extension Request {
    /// A GET that registers.
    package static func observing(_ path: String...) -> Request {
        var request = Request(.get, path: path)
        request.options.observe = 0
        return request
    }
}

/// What an observation of ours was told, in order.
package final class ObservationLog<Event: Sendable>: Sendable {
    private let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation
    private let told = Atomic(0)

    package init() {
        (self.events, self.continuation) = AsyncStream.makeStream(of: Event.self)
    }

    /// How many events came.
    package var count: Int { self.told.load(ordering: .relaxed) }

    package func append(_ event: Event) {
        self.told.add(1, ordering: .relaxed)
        self.continuation.yield(event)
    }

    package func next() async throws -> Event {
        for await event in self.events { return event }
        throw PeerError("the test was cancelled")
    }
}
