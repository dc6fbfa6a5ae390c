import Testing

@testable import Chaos

@Suite("What programs take of the processors")
struct ProcessorWatchTests {
    @Test("proc(5): the 14th and 15th field are user and system time, whatever the name in the 2nd is")
    func ticks() {
        let rest = "S 1 7 7 0 -1 4194560 100 0 3 0 1200 34 5 6 20 0 4 0 100"
        #expect(ProcessorWatch.ticks("7 (northbound) \(rest)") == 1234)
        #expect(ProcessorWatch.ticks("7 (a) (b c) \(rest)") == 1234)
        #expect(ProcessorWatch.ticks("7 (northbound) S 1 7") == nil)
        #expect(ProcessorWatch.ticks("") == nil)
    }

    @Test("A program is known by its name, chaos by its command too")
    func names() {
        #expect(ProcessorWatch.program(["/tmp/run/bin/coap-interface"]) == "coap-interface")
        #expect(ProcessorWatch.program(["mock-device", "run"]) == "mock-device")
        #expect(ProcessorWatch.program(["/x/chaos", "traffic", "--url"]) == "chaos traffic")
        #expect(ProcessorWatch.program(["/usr/bin/redis-server 10.91.254.1:6379"]) == "redis-server")
        #expect(ProcessorWatch.program([]) == nil)
    }

    @Test("This process is seen, and takes some time")
    func live() async throws {
        let watch = ProcessorWatch()
        await watch.look()
        #expect(await watch.milliseconds.values.contains { $0 > 0 })
    }
}
