import NIOCore
import Testing

@testable import CoAPInterface

@Suite("How one session is moved")
struct SessionMoveTests {
    private static let start = NIODeadline.uptimeNanoseconds(1)

    private static func begun(inFlight: Int, isFirm: Bool) -> (SessionMove, SessionMove.BeginAction) {
        var move = SessionMove()
        let action = move.begin(inFlight: inFlight, isFirm: isFirm, patience: .seconds(20), now: Self.start)
        return (move, action)
    }

    @Test("With nothing in flight its route is marked and it is released at once")
    func idle() {
        var (move, action) = Self.begun(inFlight: 0, isFirm: false)
        #expect(action == .release)
        #expect(move.isUnderWay)
        #expect(move.ended(isPatienceOver: false, wasClosedByPeer: true) == .closedByDevice)
        #expect(!move.isUnderWay)
    }

    @Test("With something in flight nothing begins while there is time, and requests go on as before")
    func busy() {
        let (move, action) = Self.begun(inFlight: 3, isFirm: false)
        #expect(action == .busy(inFlight: 3))
        #expect(!move.isUnderWay)
    }

    @Test("What is in flight finishes first; new requests are refused from the beginning")
    func quiesced() {
        var (move, action) = Self.begun(inFlight: 3, isFirm: true)
        #expect(action == .quiesce(until: Self.start + .seconds(20)))
        #expect(move.isUnderWay)
        #expect(move.deadlineReached(now: Self.start + .seconds(19)) == .nothing)
        #expect(move.quiet() == .release)
        // Once only.
        #expect(move.quiet() == .nothing)
        #expect(move.deadlineReached(now: Self.start + .seconds(20)) == .nothing)
    }

    @Test("What does not finish by its deadline is not waited for")
    func deadline() {
        var (move, _) = Self.begun(inFlight: 1, isFirm: true)
        #expect(move.deadlineReached(now: Self.start + .seconds(20)) == .release)
        #expect(move.ended(isPatienceOver: true, wasClosedByPeer: false) == .halfClosed)
    }

    @Test("A session that ends before it was released, or in a way of its own, did not move")
    func gone() {
        var (quiescing, _) = Self.begun(inFlight: 1, isFirm: true)
        #expect(quiescing.ended(isPatienceOver: false, wasClosedByPeer: true) == .gone)
        var (released, _) = Self.begun(inFlight: 0, isFirm: true)
        #expect(released.ended(isPatienceOver: false, wasClosedByPeer: false) == .gone)
        var idle = SessionMove()
        #expect(idle.ended(isPatienceOver: false, wasClosedByPeer: true) == nil)
    }

    @Test("A session that is cut short is over once, however far its move was")
    func cutShort() {
        for (inFlight, isFirm) in [(0, true), (1, true), (1, false)] {
            var (move, _) = Self.begun(inFlight: inFlight, isFirm: isFirm)
            #expect(move.cutShort() == .closedAtDeadline)
            #expect(move.cutShort() == nil)
            #expect(move.isUnderWay, "what comes for it now goes to the next session")
            #expect(move.quiet() == .nothing)
            #expect(move.deadlineReached(now: Self.start + .seconds(20)) == .nothing)
            #expect(move.ended(isPatienceOver: false, wasClosedByPeer: false) == nil)
        }
    }
}
