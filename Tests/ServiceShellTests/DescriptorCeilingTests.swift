import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import ServiceShell

@Suite("The descriptor ceiling")
struct DescriptorCeilingTests {
    @Test(
        "What a process opens itself is left over, but never more than half",
        arguments: [(256, 2, 128), (1024, 2, 826), (20_000, 2, 18_616), (1_048_576, 8, 982_888)])
    func reserve(limit: Int, eventLoops: Int, maximum: Int) {
        #expect(DescriptorCeiling(limit, eventLoops: eventLoops).maximum == maximum)
    }

    @Test("As many places as there are are taken, from any thread, and one that is given back is taken again")
    func places() async {
        let ceiling = DescriptorCeiling(256, eventLoops: 2)
        let taken = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask { (0..<100).reduce(0) { sum, _ in sum + (ceiling.take() ? 1 : 0) } }
            }
            return await group.reduce(0, +)
        }
        #expect(taken == 128)
        #expect(!ceiling.take())
        ceiling.giveBack()
        #expect(ceiling.take())
        #expect(!ceiling.take())
    }

    @Test("A maximum that descriptors have no room for is told at the start, one that fits is not")
    func check() {
        let sink = MemorySink()
        let logger = Observability.logger(label: "ceilings", sink: sink)
        let ceiling = DescriptorCeiling(1024, eventLoops: 2)
        ceiling.check(826, setting: "MAX_CONNECTIONS", logger: logger)
        #expect(sink.lines.isEmpty)
        ceiling.check(827, setting: "MAX_CONNECTIONS", logger: logger)
        #expect(sink.lines.count == 1)
        #expect(sink.lines.first?.contains("connections.maximum=826 open.files=1024 setting=827") == true)
    }

    @Test("Memory is asked first: who is refused for it takes no place among the descriptors")
    func order() {
        let logger = Observability.logger(label: "ceilings", sink: MemorySink())
        let used = Mutex(900)
        let ceilings = Ceilings(
            descriptors: DescriptorCeiling(2, eventLoops: 1),
            memory: MemoryCeiling(logger: logger) {
                MemoryReading(used: used.withLock { $0 }, limit: 1000)
            })
        #expect(ceilings.enter() == nil)
        #expect(ceilings.enter() == .descriptors)
        ceilings.leave()
        ceilings.memory.look(now: .now())
        #expect(ceilings.enter() == .memory)
        used.withLock { $0 = 100 }
        ceilings.memory.look(now: .now())
        #expect(ceilings.enter() == nil)
    }
}
