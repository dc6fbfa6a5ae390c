import CBOR
import MockDevice
import OCF
package import TestSupport

/// Asks again and again which devices are online, and tells what has changed.
package struct PresenceWatch: Sendable {
    package struct Counts: Sendable, Hashable {
        package var rounds = 0
        package var failed = 0
    }

    private static let maximumPages = 10_000

    private let client: HTTPTestClient
    private let groups: [TrafficTargets.Group]
    /// Who was online in the last round that came to its end.
    private var online: Set<String> = []
    package private(set) var counts = Counts()

    package init(_ client: HTTPTestClient, _ targets: TrafficTargets) {
        self.client = client
        self.groups = targets.groups
    }

    /// One round: every page of every token. One line comes of it, also if nothing has changed, since that was seen
    /// too; none if a page was not to be had, for of who would stand there nothing is known.
    /// - Returns: also every device there is.
    package mutating func ask() async throws -> (record: PresenceRecord, devices: Set<String>) {
        self.counts.rounds += 1
        let begin = MonotonicTime.now
        var statuses: [String: Bool] = [:]
        do {
            for group in self.groups {
                for device in try await self.devices(of: group) { statuses[device.di] = device.isOnline }
            }
        } catch {
            self.counts.failed += 1
            throw error
        }
        let online = Set(statuses.lazy.filter(\.value).map(\.key))
        let record = PresenceRecord(
            begin: begin, end: MonotonicTime.now, online: online.subtracting(self.online).sorted(),
            gone: self.online.subtracting(online).sorted())
        self.online = online
        return (record, Set(statuses.keys))
    }

    private func devices(of group: TrafficTargets.Group) async throws -> [(di: String, isOnline: Bool)] {
        var devices: [(String, Bool)] = []
        var path = "/devices?limit=1000"
        for _ in 0..<Self.maximumPages {
            let answer = try await self.client.get(path, token: group.token)
            guard answer.status == 200 else {
                throw FleetError(
                    "GET /devices for the user of \(group.prefix)1 was answered \(answer.status). Is the token in "
                        + "--token-file the access token of a client, and good still?")
            }
            let item = try JSONCoding.decode(answer.body, limits: .init(bytes: 16 << 20, items: 1_000_000))
            guard let page = item["devices"]?.elements else {
                throw FleetError("GET /devices was answered without a list. Is --url the HTTP side of the gateway?")
            }
            for device in page {
                guard let di = device["di"]?.string else { continue }
                devices.append((di, device["status"]?.string == "online"))
            }
            guard let cursor = item["next"]?.string else { return devices }
            path = "/devices?limit=1000&cursor=\(cursor)"
        }
        return devices
    }
}
