import Cloud
import NIOCore
import Testing

@testable import Edge

@Suite("Remembered routes")
struct RouteMemoryTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let pod = Pod(name: "pod.1")

    private func route(_ di: String, epoch: UInt64, pod: Pod? = nil) throws -> Route {
        Route(
            di: try DeviceID(di), uid: try UserID("alice"), pod: pod ?? self.pod, epoch: epoch, state: .live,
            since: Timestamp(milliseconds: 0))
    }

    @Test("A route is good for 60 s; after that it is only better than nothing")
    func lifetime() throws {
        let memory = RouteMemory(capacity: 10)
        let route = try self.route("lamp", epoch: 1)
        memory.remember(route, now: self.start)
        #expect(memory.route(of: route.di, now: self.start + .milliseconds(59_999)) == route)
        #expect(memory.route(of: route.di, now: self.start + .seconds(60)) == nil)
        #expect(memory.lastKnown(route.di) == route)
    }

    @Test("Once a route is too old to be used, a smaller epoch of the store takes its place: its clock was set back")
    func clockSetBack() throws {
        let memory = RouteMemory(capacity: 10)
        let (new, old) = (try self.route("lamp", epoch: 2), try self.route("lamp", epoch: 1))
        memory.remember(new, now: self.start)
        memory.remember(old, now: self.start + .seconds(60))
        #expect(memory.route(of: old.di, now: self.start + .seconds(61)) == old)
    }

    @Test("A greater epoch takes the place of a smaller one, never the other way round")
    func epochs() throws {
        let memory = RouteMemory(capacity: 10)
        let (old, new) = (try self.route("lamp", epoch: 1), try self.route("lamp", epoch: 2, pod: Pod(name: "pod.2")))
        memory.remember(old, now: self.start)
        memory.remember(new, now: self.start)
        memory.remember(old, now: self.start)
        #expect(memory.route(of: new.di, now: self.start) == new)
        // What says that the old one is wrong says nothing about the new one.
        memory.forget(old.di, pod: old.pod, epoch: old.epoch)
        #expect(memory.route(of: new.di, now: self.start) == new)
        memory.forget(new.di, pod: new.pod, epoch: new.epoch)
        #expect(memory.lastKnown(new.di) == nil)
    }

    @Test("It holds so many and no more, and keeps those in use")
    func bound() throws {
        let memory = RouteMemory(capacity: 100)
        let used = try self.route("used", epoch: 1)
        memory.remember(used, now: self.start)
        for number in 0..<1000 {
            memory.remember(try self.route("lamp-\(number)", epoch: 1), now: self.start)
            #expect(memory.route(of: used.di, now: self.start) == used)
            #expect(memory.count <= 101)
        }
        #expect(memory.lastKnown(try DeviceID("lamp-0")) == nil)
    }
}
