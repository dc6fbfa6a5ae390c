import Chaos
import Testing

/// Something that must not be, in a run in which all else is well; and its neighbour, which is as it may be.
struct PlantedFault: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The rules that find it.
    let rules: [CheckRule]
    let plant: @Sendable (inout SampleRun) -> Void
    /// Looks much like it, but breaks no rule.
    let neighbour: @Sendable (inout SampleRun) -> Void

    init(
        _ description: String, _ rules: [CheckRule], _ plant: @escaping @Sendable (inout SampleRun) -> Void,
        neighbour: @escaping @Sendable (inout SampleRun) -> Void,
    ) {
        self.testDescription = description
        self.rules = rules
        self.plant = plant
        self.neighbour = neighbour
    }

    static let all = Self.ofClients + Self.ofDeliveries + Self.ofRegisters + Self.ofTheCluster

    // MARK: - What clients see

    static let ofClients = [
        PlantedFault("a request fails in a planned phase", [.planned]) {
            $0.asks.append(.refused("GET", "lamp-1", at: 75.25, 503, "/errors#offline"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-1", at: 61.25, 503, "/errors#offline"))
        },
        PlantedFault("a request fails between two planned phases, while the cluster recovers", [.planned]) {
            $0.asks.append(.refused("POST", "lamp-1", at: 37.25, 504, "/errors#no-answer"))
        } neighbour: {
            // It reaches into the next phase, which is unplanned: lamp-3 loses its session there.
            var ask = SampleRun.Ask.refused("POST", "lamp-3", at: 39.75, 504, "/errors#no-answer")
            ask.took = 2
            $0.asks.append(ask)
        },
        PlantedFault("a connection closes before the answer in a planned phase", [.planned]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 30.25)
            ask.answer = .broken("closed")
            $0.asks.append(ask)
        } neighbour: {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 63.25)
            ask.answer = .broken("closed")
            $0.asks.append(ask)
        },
        PlantedFault("an answer says 200, but not who it is of", [.planned]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.edit = { $0.answeredBy = nil }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.25))
        },
        PlantedFault("the device refuses what a light does not refuse", [.planned]) {
            $0.asks.append(.refused("GET", "lamp-1", at: 75.25, 404, "/errors#device-answer"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-1", at: 61.25, 404, "/errors#device-answer"))
        },
        PlantedFault("the list of devices is not to be had in a planned phase", [.planned]) {
            $0.presence(at: 75, failed: "503")
        } neighbour: {
            $0.presence(at: 61, failed: "503")
        },
        PlantedFault("a client is refused with a 4xx", [.planned]) {
            $0.asks.append(.refused("GET", "lamp-1", at: 75.25, 404, "/errors#unknown-device"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-1", at: 61.25, 404, "/errors#unknown-device"))
        },
        PlantedFault("a pod is killed, and a request to another pod's device fails", [.deserved]) {
            $0.asks.append(.refused("GET", "lamp-1", at: 41.25, 503, "/errors#offline"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-3", at: 41.25, 503, "/errors#offline"))
        },
        PlantedFault("a pod is killed, and requests fail long before its devices see an end", [.deserved]) {
            $0.devices.removeAll { $0.di == "lamp-3" && $0.event == .closed && $0.connection == 1 }
            $0.device(.closed, "lamp-3", at: 43)
            $0.asks.append(.refused("GET", "lamp-3", at: 41.25, 502, "/errors#outcome-unknown"))
            $0.asks.removeAll { $0.di == "lamp-3" && $0.at > 40 && $0.at < 41.2 }
        } neighbour: {
            // The fleet comes to it half a second later.
            $0.asks.append(.refused("GET", "lamp-3", at: 40.5, 502, "/errors#outcome-unknown"))
        },
        PlantedFault("a pod is killed, and a device that is back for long cannot be asked", [.deserved]) {
            $0.asks.append(.refused("POST", "lamp-3", at: 55.25, 504, "/errors#no-answer"))
        } neighbour: {
            // It began before the device was back.
            var ask = SampleRun.Ask.refused("POST", "lamp-3", at: 43.75, 504, "/errors#no-answer")
            ask.took = 10
            $0.asks.append(ask)
        },
        PlantedFault("a pod is killed, and a client's connection is closed without an answer", [.deserved]) {
            var ask = SampleRun.Ask.refused("GET", "lamp-3", at: 41.25, 0, "")
            ask.answer = .broken("closed")
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-3", at: 41.25, 504, "/errors#no-answer"))
        },
        PlantedFault("a pod is killed, and the gateway says that it made a mistake", [.deserved]) {
            $0.asks.append(.refused("GET", "lamp-3", at: 41.25, 500, "/errors#internal"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-3", at: 61.25, 500, "/errors#internal"))
        },
        PlantedFault("a pod is killed, and a POST that was delivered is called undelivered", [.deserved, .undelivered])
        {
            var ask = SampleRun.Ask("POST", "lamp-3", at: 40.97)
            ask.took = 0.1
            ask.answer = .problem(503, "/errors#offline")
            $0.asks.append(ask)
        } neighbour: {
            var ask = SampleRun.Ask("POST", "lamp-3", at: 40.97)
            ask.took = 0.1
            ask.answer = .problem(502, "/errors#outcome-unknown")
            $0.asks.append(ask)
        },
        PlantedFault("a pod stands still, and a request to another pod's device fails", [.bystanders]) {
            $0.asks.append(.refused("GET", "lamp-4", at: 61.25, 429, "/errors#too-many-in-flight"))
        } neighbour: {
            $0.asks.append(.refused("GET", "lamp-3", at: 61.25, 429, "/errors#too-many-in-flight"))
        },
        PlantedFault("a pod stands still, and a device that left another one before cannot be asked", [.bystanders]) {
            $0.asks.append(.refused("POST", "lamp-4", at: 61.25, 504, "/errors#no-answer"))
        } neighbour: {
            // It signs in anew 5 s before: edges may remember it where it was.
            $0.device(.released, "lamp-4", at: 54.5, connection: 2)
            $0.device(.closed, "lamp-4", at: 54.6, connection: 2)
            $0.device(.signedIn, "lamp-4", at: 55, connection: 3)
            $0.asks.append(.refused("POST", "lamp-4", at: 61.25, 504, "/errors#no-answer"))
        },
        PlantedFault("the load that was to be offered was not reached", [.offered]) {
            $0.waiting = 4
        } neighbour: {
            $0.waiting = 3
        },
        PlantedFault("the load was not reached in one phase", [.offered]) {
            $0.asks.removeAll { $0.at > 72 && $0.at < 76 && $0.method == "GET" }
        } neighbour: {
            $0.asks.removeAll { $0.at > 61 && $0.at < 65 && $0.method == "GET" }
        },
        PlantedFault("fewer than half of the devices are asked", [.offered]) { run in
            for index in 5...9 { run.bringLamp(index) }
        } neighbour: { run in
            for index in 5...8 { run.bringLamp(index) }
        },
    ]

    // MARK: - What devices get

    static let ofDeliveries = [
        PlantedFault("a POST is delivered twice", [.once]) {
            var ask = SampleRun.Ask("POST", "lamp-3", at: 61.25)
            ask.reaches.append(("lamp-3", 3))
            ask.answer = .problem(504, "/errors#no-answer")
            $0.asks.append(ask)
        } neighbour: {
            var ask = SampleRun.Ask("GET", "lamp-3", at: 61.25)
            ask.reaches.append(("lamp-3", 3))
            ask.answer = .problem(504, "/errors#no-answer")
            $0.asks.append(ask)
        },
        PlantedFault("a GET is delivered twice in a planned phase", [.once]) {
            var ask = SampleRun.Ask("GET", "lamp-3", at: 75.25)
            ask.reaches.append(("lamp-3", 0.015))
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-3", at: 75.25))
            $0.asks.append(SampleRun.Ask("GET", "lamp-3", at: 75.255))
        },
        PlantedFault("a GET reaches another device as well", [.once]) {
            var ask = SampleRun.Ask("GET", "lamp-3", at: 75.25)
            ask.reaches.append(("lamp-4", 0.015))
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-3", at: 75.25))
            $0.asks.append(SampleRun.Ask("GET", "lamp-4", at: 75.25))
        },
        PlantedFault("another device answers", [.rightDevice]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.edit = { $0.answeredBy = "lamp-2" }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.25))
        },
        PlantedFault("the answer is another request's", [.rightDevice]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.edit = { $0.answeredMark = 1 }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.25))
        },
        PlantedFault("a request that never reached a device is answered", [.rightDevice]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.reaches = []
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.25))
        },
        PlantedFault("a request is delivered only after its answer", [.rightDevice]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.reaches[0].after = 0.1
            $0.asks.append(ask)
        } neighbour: {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.reaches[0].after = 0.1
            ask.took = 0.15
            $0.asks.append(ask)
        },
        PlantedFault("a request called undelivered reaches the device all the same, later", [.undelivered]) {
            var ask = SampleRun.Ask("POST", "lamp-1", at: 61.25)
            ask.answer = .problem(503, "/errors#moving")
            ask.reaches[0].after = 20
            $0.asks.append(ask)
        } neighbour: {
            // Of this one it was said that nobody knows.
            var ask = SampleRun.Ask("POST", "lamp-1", at: 61.25)
            ask.answer = .problem(504, "/errors#no-answer")
            ask.reaches[0].after = 20
            $0.asks.append(ask)
        },
    ]

    // MARK: - What lights say

    static let ofRegisters = [
        PlantedFault("a device does not know the POST that it took before", [.register]) {
            $0.asks.append(SampleRun.Ask("POST", "lamp-1", at: 75.25))
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.35)
            ask.edit = { $0.last = 1 }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("POST", "lamp-1", at: 75.25))
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.35))
        },
        PlantedFault("a device has forgotten every POST", [.register]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.edit = { $0.last = nil }
            $0.asks.append(ask)
        } neighbour: {
            // A GET before the first POST there was.
            var ask = SampleRun.Ask("GET", "lamp-1", at: 9.25)
            ask.edit = { $0.last = nil }
            $0.asks.append(ask)
        },
        PlantedFault("the answer to a POST has another POST's mark", [.register]) {
            var ask = SampleRun.Ask("POST", "lamp-1", at: 75.25)
            ask.edit = { $0.last = 1 }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("POST", "lamp-1", at: 75.25))
        },
        PlantedFault("a device counts backwards", [.register]) {
            var ask = SampleRun.Ask("GET", "lamp-1", at: 75.25)
            ask.edit = { $0.served = 3 }
            $0.asks.append(ask)
        } neighbour: {
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.25))
        },
        PlantedFault("a request is delivered after one that began when it had its answer", [.register]) {
            var early = SampleRun.Ask("POST", "lamp-1", at: 75.25)
            early.answer = .device(status: 400)
            early.reaches[0].after = 0.2
            $0.asks.append(early)
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.35))
        } neighbour: {
            var early = SampleRun.Ask("POST", "lamp-1", at: 75.25)
            early.answer = .device(status: 400)
            early.reaches[0].after = 0.2
            early.took = 0.25
            $0.asks.append(early)
            $0.asks.append(SampleRun.Ask("GET", "lamp-1", at: 75.35))
        },
    ]
}

extension SampleRun {
    /// One more lamp, which nobody asks.
    mutating func bringLamp(_ number: Int) {
        self.device(.connected, "lamp-\(number)", at: 1)
        self.device(.signedIn, "lamp-\(number)", at: 2)
    }
}
