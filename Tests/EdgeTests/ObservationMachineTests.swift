import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("The rules by which an observation outlives its device's connection")
struct ObservationMachineTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// A machine whose first registration was answered with "on".
    private static func observing() -> ObservationMachine {
        var machine = ObservationMachine()
        #expect(machine.answered(.on, isStanding: true, now: Self.start) == .tell(.on))
        return machine
    }

    private static func lost(jitter: TimeAmount = .seconds(1)) -> ObservationMachine {
        var machine = Self.observing()
        #expect(
            machine.heard(.ended(.undelivered(.superseded)), now: Self.start, jitter: jitter)
                == .wait(until: Self.start + jitter))
        return machine
    }

    private static func at(_ time: TimeAmount) -> NIODeadline { Self.start + time }

    @Test("RFC 7641 §4.1: what is not observable is answered once, and so is what is not there")
    func answeredOnce() {
        for response in [Response.on, .undelivered(.noSession), .unknown(.connectionLost), Response(.notFound)] {
            var machine = ObservationMachine()
            #expect(machine.answered(response, isStanding: false, now: Self.start) == .end(response))
            #expect(machine.isEnded)
        }
    }

    @Test("Every notification is passed on, also one that says the same again")
    func notifications() {
        var machine = Self.observing()
        #expect(machine.heard(.notified(.on), now: Self.start, jitter: .zero) == .tell(.on))
        #expect(machine.heard(.notified(.off), now: Self.start, jitter: .zero) == .tell(.off))
    }

    @Test("The device's own last word ends it at once")
    func lastWord() {
        let unavailable = Response(.serviceUnavailable, diagnostic: "", maxAge: 10)
        for response in [Response(.notFound), Response(.forbidden), .on, unavailable] {
            var machine = Self.observing()
            #expect(machine.heard(.ended(response), now: Self.start, jitter: .seconds(1)) == .end(response))
        }
    }

    @Test(
        "Whatever loses the device has it looked for after the jitter",
        arguments: [Undelivered.noSession, .superseded, .moving, .unreachable])
    func loss(reason: Undelivered) {
        var machine = Self.observing()
        #expect(
            machine.heard(.ended(.undelivered(reason)), now: Self.start, jitter: .milliseconds(1700))
                == .wait(until: Self.at(.milliseconds(1700))))
        #expect(machine.timeReached(now: Self.at(.seconds(1))) == .wait(until: Self.at(.milliseconds(1700))))
        #expect(machine.timeReached(now: Self.at(.milliseconds(1700))) == .queue(until: Self.at(.seconds(30))))
        #expect(machine.turnCame(now: Self.at(.seconds(2))) == Self.at(.seconds(30)))
    }

    @Test("A connection lost under an observation is a loss as well")
    func connectionLost() {
        var machine = Self.observing()
        #expect(
            machine.heard(.ended(.unknown(.connectionLost)), now: Self.start, jitter: .zero)
                == .wait(until: Self.start))
    }

    @Test("The first answer of the new registration is passed on only if it says something new")
    func onlyIfNew() {
        var differentFormat = Response.on
        differentFormat.options.contentFormat = .ocfCBOR
        var sameButAge = Response.on
        sameButAge.options.maxAge = 7
        let cases: [(Response, Bool)] = [(.on, false), (sameButAge, false), (.off, true), (differentFormat, true)]
        for (response, isNew) in cases {
            var machine = Self.lost()
            _ = machine.timeReached(now: Self.at(.seconds(1)))
            _ = machine.turnCame(now: Self.at(.seconds(1)))
            let action = machine.answered(response, isStanding: true, now: Self.at(.seconds(2)))
            #expect(action == (isNew ? .tell(response) : .nothing))
            #expect(machine.heard(.notified(.on), now: Self.at(.seconds(3)), jitter: .zero) == .tell(.on))
        }
    }

    @Test("A registration that finds nobody is repeated after 0.5, 1, 2, 2 … s, for 30 s in all")
    func repeated() {
        var machine = Self.lost(jitter: .zero)
        var now = Self.start
        var pauses: [Int64] = []
        var last: ObservationMachine.Action?
        for _ in 0..<100 {
            let action = machine.timeReached(now: now)
            guard case .queue(let giveUp) = action else {
                last = action
                break
            }
            #expect(giveUp == Self.at(.seconds(30)))
            _ = machine.turnCame(now: now)
            let answer = machine.answered(.undelivered(.noSession), isStanding: false, now: now)
            guard case .wait(let until) = answer else {
                last = answer
                break
            }
            pauses.append((until - now).nanoseconds / 1_000_000)
            now = until
        }
        #expect(pauses.prefix(4) == [500, 1000, 2000, 2000])
        #expect(last == .end(.gone))
        #expect(now == Self.at(.seconds(30)))
        #expect(Response.gone.code == .serviceUnavailable)
        #expect(Response.gone.options.maxAge == 10)
    }

    @Test("C-76: who waits for its turn, or for the next look, ends after 30 s with 5.03")
    func endsInQueue() {
        var queued = Self.lost()
        _ = queued.timeReached(now: Self.at(.seconds(1)))
        #expect(queued.timeReached(now: Self.at(.seconds(29))) == .nothing)
        #expect(queued.timeReached(now: Self.at(.seconds(30))) == .end(.gone))
        #expect(queued.turnCame(now: Self.at(.seconds(30))) == nil)
        var waiting = Self.lost()
        #expect(waiting.timeReached(now: Self.at(.seconds(30))) == .end(.gone))
    }

    @Test("C-76: sign-out, deletion, 4.04 and 4.03 while it is looked for end it at once")
    func finalWhileLost() {
        for code in [Code.notFound, .forbidden, .serviceUnavailable] {
            var machine = Self.lost()
            _ = machine.timeReached(now: Self.at(.seconds(1)))
            _ = machine.turnCame(now: Self.at(.seconds(1)))
            let answer = Response(code)
            #expect(machine.answered(answer, isStanding: false, now: Self.at(.seconds(2))) == .end(answer))
        }
        // What the edge found out in the registry says that nothing was delivered, too.
        var machine = Self.lost()
        _ = machine.timeReached(now: Self.at(.seconds(1)))
        _ = machine.turnCame(now: Self.at(.seconds(1)))
        let explained = Response.undelivered(.noSession).saying(.forbidden, "not yours")
        #expect(machine.answered(explained, isStanding: false, now: Self.at(.seconds(2))) == .end(explained))
    }

    @Test("A process that stops has nobody wait for a device to come back")
    func closes() {
        var lost = Self.lost()
        #expect(lost.close() == .end(.gone))
        var observing = Self.observing()
        #expect(observing.close() == .nothing)
        #expect(observing.heard(.notified(.off), now: Self.start, jitter: .zero) == .tell(.off))
        #expect(
            observing.heard(.ended(.undelivered(.moving)), now: Self.start, jitter: .seconds(1)) == .end(.gone))
    }

    @Test("What comes late changes nothing")
    func late() {
        var machine = Self.observing()
        _ = machine.heard(.ended(Response(.notFound)), now: Self.start, jitter: .zero)
        #expect(machine.heard(.notified(.on), now: Self.start, jitter: .zero) == .nothing)
        #expect(machine.answered(.on, isStanding: true, now: Self.start) == .nothing)
        #expect(machine.timeReached(now: Self.at(.seconds(60))) == .nothing)
        #expect(machine.turnCame(now: Self.start) == nil)
        #expect(machine.close() == .nothing)
    }
}

@Suite("The order in which lost observations are registered anew")
struct RegistrationQueueTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func device(_ number: UInt64) -> DeviceID { DeviceID(stored: "d\(number)") }

    @Test("At most 200 a second, after a burst of 20")
    func pace() {
        var queue = RegistrationQueue()
        for number in 0..<1000 as Range<UInt64> { queue.add(number, Self.device(number)) }
        var now = Self.start
        var taken: [UInt64] = []
        while taken.count < 1000 {
            while let next = queue.take(now: now) {
                taken.append(next.id)
                queue.done(next.di)
            }
            if taken.count == 20 { #expect(now == Self.start) }
            guard let turn = queue.nextTurn(now: now) else { break }
            #expect(turn > now)
            now = turn
        }
        #expect(taken == Array(0..<1000))
        #expect(now == Self.start + .milliseconds(5 * 980))
        #expect(queue.nextTurn(now: now) == nil)
    }

    @Test("One at a time of each device, the others behind it in their order")
    func oneADevice() {
        var queue = RegistrationQueue()
        let (lamp, heater) = (Self.device(1), Self.device(2))
        for number in 1...3 as ClosedRange<UInt64> { queue.add(number, lamp) }
        queue.add(4, heater)
        #expect(queue.take(now: Self.start)?.id == 1)
        #expect(queue.take(now: Self.start)?.id == 4)
        #expect(queue.take(now: Self.start) == nil)
        queue.done(lamp)
        #expect(queue.take(now: Self.start)?.id == 2)
        queue.done(heater)
        queue.add(5, heater)
        #expect(queue.take(now: Self.start)?.id == 5)
        queue.done(lamp)
        #expect(queue.take(now: Self.start)?.id == 3)
        queue.done(lamp)
        #expect(queue.take(now: Self.start) == nil)
        #expect(queue.nextTurn(now: Self.start) == nil)
    }

    @Test("A long silence does not save up more than one burst")
    func noSavings() {
        var queue = RegistrationQueue()
        queue.add(0, Self.device(0))
        _ = queue.take(now: Self.start)
        queue.done(Self.device(0))
        let later = Self.start + .hours(1)
        for number in 1...100 as ClosedRange<UInt64> { queue.add(number, Self.device(number)) }
        var count = 0
        while queue.take(now: later) != nil { count += 1 }
        #expect(count == 20)
    }
}
