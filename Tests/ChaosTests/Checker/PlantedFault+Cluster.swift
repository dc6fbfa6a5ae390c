import Chaos

extension PlantedFault {
    // MARK: - What pods and devices do

    static let ofTheCluster = [
        PlantedFault("an epoch has two pods", [.epochs]) {
            $0.log("pod-2", "request for the device", "lamp-1", epoch: 2)
        } neighbour: {
            $0.log("pod-2", "request for the device", "lamp-2", epoch: 2)
        },
        PlantedFault("a pod writes under an epoch after it acknowledged a later one", [.epochs]) {
            $0.log("pod-1", "request for the device", "lamp-1", epoch: 1)
        } neighbour: {
            $0.log("pod-1", "request for the device", "lamp-1", epoch: 3)
        },
        PlantedFault("a device is called online 15 s after the last renewal of its pod's lease", [.presence]) {
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 55)
        } neighbour: {
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 51.9)
            $0.presence(at: 52.1, gone: ["lamp-4"])
            $0.presence(at: 58.1, online: ["lamp-4"])
        },
        PlantedFault("a device is called online by its old pod, 2 s before it is back", [.presence]) {
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 55.9)
        } neighbour: {
            // It is back, and is far away.
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 57.4)
        },
        PlantedFault("a list that failed is not the one before", [.presence]) {
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 55)
        } neighbour: {
            $0.stayAway("lamp-4", until: 58)
            $0.presence(at: 55, failed: "no answer within 10 s")
        },
        PlantedFault("a session ends in a planned phase, and the device was not told to go", [.movedOnly]) {
            $0.device(.closed, "lamp-1", at: 75.1, connection: 2)
            $0.device(.signedIn, "lamp-1", at: 75.2, connection: 3)
        } neighbour: {
            $0.device(.released, "lamp-1", at: 75.05, connection: 2)
            $0.device(.closed, "lamp-1", at: 75.1, connection: 2)
            $0.device(.signedIn, "lamp-1", at: 75.2, connection: 3)
        },
        PlantedFault("a device is refused for good in a planned phase", [.movedOnly]) {
            $0.device(.refused, "lamp-1", at: 75.1, connection: 2)
        } neighbour: {
            $0.device(.refused, "lamp-1", at: 61.1, connection: 2)
            $0.device(.refused, "lamp-1", at: 75.1, connection: 2)
            $0.devices[$0.devices.count - 1].code = "5.03"
        },
        PlantedFault("a device is told to go thrice in one planned phase", [.movedOnly]) {
            for seconds in [75.1, 75.2, 75.3] { $0.device(.released, "lamp-1", at: seconds, connection: 2) }
        } neighbour: {
            for seconds in [65.1, 75.2, 75.3] { $0.device(.released, "lamp-1", at: seconds, connection: 2) }
        },
        PlantedFault("the devices do not come back after an accident", [.allBack]) {
            $0.say(.unrecovered, at: 65) {
                $0.phase = "freeze"
                $0.detail = "not within 240 s: all devices are in"
            }
        } neighbour: {
            $0.say(.back, at: 65) {
                $0.phase = "freeze"
                $0.count = 12
            }
        },
        PlantedFault("a device has no session at the end", [.allBack]) {
            $0.device(.released, "lamp-1", at: 79.8, connection: 2)
            $0.device(.closed, "lamp-1", at: 79.9, connection: 2)
        } neighbour: {
            // It is on its way.
            $0.device(.released, "lamp-1", at: 80.1, connection: 2)
            $0.device(.closed, "lamp-1", at: 80.2, connection: 2)
        },
        PlantedFault("a device never gets a session", [.allBack]) {
            $0.device(.connected, "lamp-5", at: 1)
        } neighbour: {
            $0.bringLamp(5)
        },
        PlantedFault("a device gives up", [.allBack]) {
            $0.device(.gaveUp, "lamp-1", at: 89.9, connection: 2)
        } neighbour: {
            $0.device(.refused, "lamp-1", at: 69.9, connection: 2)
        },
        PlantedFault("a device of the fleet is never heard of", [.allBack]) {
            $0.run[0].devices = 5
        } neighbour: {
            $0.run[0].devices = 5
            $0.bringLamp(5)
        },
        PlantedFault("a pod that was told to stop ends with status 1", [.endedWell]) {
            $0.say(.stopping, at: 85, "pod-3")
            $0.say(.ended, at: 88, "pod-3") { $0.status = 1 }
        } neighbour: {
            $0.say(.stopping, at: 85, "pod-3")
            $0.say(.ended, at: 88, "pod-3") { $0.status = 0 }
        },
        PlantedFault("a process that was told to stop never ends", [.endedWell]) {
            $0.say(.stopping, at: 85, "northbound-1")
        } neighbour: {
            $0.say(.started, at: 85, "northbound-1")
        },
        PlantedFault("a process ends unasked", [.endedWell]) {
            $0.say(.ended, at: 85, "northbound-1") { $0.status = 5 }
        } neighbour: {
            $0.say(.killed, at: 85, "northbound-1")
            $0.say(.ended, at: 85, "northbound-1") { $0.status = 9 }
        },
    ]
}

extension SampleRun {
    /// A lamp of the killed pod comes back later than it did, and so do those who ask it.
    mutating func stayAway(_ di: String, until seconds: Double) {
        self.devices.removeAll { $0.di == di && $0.connection == 2 }
        self.device(.connected, di, at: seconds - 1, connection: 2)
        self.device(.signedIn, di, at: seconds, connection: 2)
        self.device(.closed, di, at: 91, connection: 2)
        for index in self.asks.indices where self.asks[index].di == di {
            let ask = self.asks[index]
            guard ask.at + ask.took > 44, ask.at < seconds else { continue }
            self.asks[index] = .refused(ask.method, di, at: ask.at, 503, "/errors#offline")
        }
    }
}
