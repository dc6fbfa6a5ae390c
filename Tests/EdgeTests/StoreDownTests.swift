import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("Requests while the routes cannot be asked")
struct StoreDownTests {
    @Test("A remembered route is used, even one that is older than 60 s")
    func oldRoute() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        #expect(await bench.ask() == .on)
        bench.routes.isDown = true
        #expect(await bench.ask() == .on)
        await bench.advance(.seconds(3600))
        #expect(await bench.ask() == .on)
        #expect(bench.pods.log.count == 3)
    }

    @Test("Without a route the sessions of the own pod are tried, whatever their epoch")
    func ownPod() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)), isSignedIn: false, localPod: EdgeBench.home)
        bench.routes.isDown = true
        #expect(await bench.ask() == .on)
        #expect(bench.pods.log.last?.request.options.fence == Fence(epoch: 0, uid: "alice"))
    }

    @Test("Who has neither asks for 5 s, then is told 5.03 with a time, never 4.04")
    func nothing() async throws {
        for localPod in [nil, EdgeBench.home] {
            let bench = try EdgeBench(
                ScriptedResponder(.answer(.undelivered(.noSession))), isSignedIn: false, localPod: localPod)
            bench.routes.isDown = true
            await bench.begin()
            await bench.advance(.milliseconds(4999))
            #expect(bench.answers.all.isEmpty)
            await bench.advance(.seconds(1))
            let answer = try #require(bench.answers["r"])
            #expect(answer.code == .serviceUnavailable)
            #expect(answer.options.undelivered == .routesUnavailable)
            #expect(answer.options.maxAge == 2)
            #expect(bench.registry.requests.isEmpty)
            #expect(bench.pods.log.count == (localPod == nil ? 0 : 1))
        }
    }

    @Test("A store that is back within 5 s costs a request no more than that", arguments: [50, 900, 4500])
    func backSoon(milliseconds: Int64) async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        bench.routes.isDown = true
        await bench.begin()
        await bench.advance(.milliseconds(milliseconds))
        #expect(bench.answers.all.isEmpty)
        #expect(bench.pods.log.isEmpty)
        bench.routes.isDown = false
        await bench.advance(.seconds(1))
        #expect(bench.answers["r"] == .on)
        #expect(bench.pods.log.count == 1)
    }

    @Test("Who waits goes on waiting, and finds the device once the store is back")
    func waiting() async throws {
        let bench = try EdgeBench(nil, isSignedIn: false)
        let epoch = try bench.claim(EdgeBench.home)
        bench.mark(.moving, epoch: epoch)
        await bench.begin()
        bench.routes.isDown = true
        await bench.advance(.seconds(4))
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        bench.routes.losesNotices = true
        try bench.claim(EdgeBench.elsewhere)
        #expect(bench.answers.all.isEmpty)
        bench.routes.isDown = false
        await bench.advance(.seconds(2))
        #expect(bench.answers["r"] == .on)
    }

    @Test("A store that does not answer at all costs the request no more than its deadline")
    func silentStore() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        bench.routes.isSlow = true
        await bench.begin("r", EdgeBench.request(.get, deadline: 1500))
        await bench.advance(.milliseconds(1499))
        #expect(bench.answers.all.isEmpty)
        await bench.advance(.milliseconds(1))
        #expect(bench.answers["r"]?.options.undelivered == .late)
        // The answer that comes after it sends nothing.
        bench.routes.release()
        await bench.run()
        #expect(bench.pods.log.isEmpty)
        #expect(bench.answers.all.count == 1)
    }
}
