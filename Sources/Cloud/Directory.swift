/// Which resources devices have published, and which devices there are.
package struct Directory: Sendable {
    let store: any CloudStore
    let clock: any WallClock

    package init(store: any CloudStore, clock: any WallClock = SystemWallClock()) {
        self.store = store
        self.clock = clock
    }

    package func publish(
        di: DeviceID, links: [LinkDraft], ttl: Duration?, name: String? = nil
    ) async throws(CloudError) -> [Int] { try self.todo() }
    package func unpublish(di: DeviceID, ins: [Int]) async throws(CloudError) -> Int { try self.todo() }
    package func links(
        of uid: UserID, devices: Set<DeviceID> = []
    ) async throws(CloudError) -> [(DeviceID, [Link])] { try self.todo() }
    package func device(_ di: DeviceID) async throws(CloudError) -> Device? { try self.todo() }
    package func devices(
        of uid: UserID, kind: DeviceKind? = nil, after: DeviceID?, limit: Int
    ) async throws(CloudError) -> [Device] { try self.todo() }
    private func todo<R>() throws(CloudError) -> R { throw CloudError(.unavailable, "not there yet") }
}
