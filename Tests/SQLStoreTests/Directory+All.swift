import Cloud

extension Directory {
    /// All links of a user's devices, page after page.
    func links(
        of uid: UserID, devices: Set<DeviceID> = [], pageSize: Int = 1000
    ) async throws(CloudError) -> [(DeviceID, [Link])] {
        var grouped: [(DeviceID, [Link])] = []
        var cursor: LinkCursor?
        while true {
            let page = try await self.links(of: uid, devices: devices, after: cursor, limit: pageSize)
            for (di, link) in page {
                if let last = grouped.last, last.0 == di {
                    grouped[grouped.count - 1].1.append(link)
                } else {
                    grouped.append((di, [link]))
                }
                cursor = LinkCursor(di: di, ins: link.ins)
            }
            if page.count < pageSize { return grouped }
        }
    }
}
