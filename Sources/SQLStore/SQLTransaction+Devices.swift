import Cloud

extension SQLTransaction {
    func user(_ uid: UserID) throws(CloudError) -> User? {
        try self.find(Statements.Users.find, uid)
    }

    func lockUser(_ uid: UserID) throws(CloudError) -> User? {
        try self.find(Statements.Users.find.locking(), uid)
    }

    func holdUser(_ uid: UserID) throws(CloudError) -> User? {
        try self.find(Statements.Users.find.locking(.shared), uid)
    }

    private func find(_ statement: SQLStatement, _ uid: UserID) throws(CloudError) -> User? {
        try self.first(statement, SQLValue(uid)) { row throws(SQLError) in
            User(uid: try row.userID(), authProvider: try row.text(), createdAt: try row.moment())
        }
    }

    func insert(_ user: User) throws(CloudError) {
        try self.execute(
            Statements.Users.insert, SQLValue(user.uid), .text(user.authProvider), SQLValue(user.createdAt))
    }

    func deleteUser(_ uid: UserID) throws(CloudError) {
        try self.execute(Statements.Users.delete, SQLValue(uid))
    }
}

extension SQLTransaction {
    private static func device(_ row: inout SQLRow) throws(SQLError) -> Device {
        Device(
            di: try row.deviceID(),
            uid: try row.userID(),
            kind: try row.word(DeviceKind.self),
            name: try row.optionalText(),
            lastIns: try row.number(),
            createdAt: try row.moment(),
        )
    }

    func device(_ di: DeviceID) throws(CloudError) -> Device? {
        try self.first(Statements.Devices.find, SQLValue(di), read: Self.device)
    }

    func lockDevice(_ di: DeviceID) throws(CloudError) -> Device? {
        try self.first(Statements.Devices.find.locking(), SQLValue(di), read: Self.device)
    }

    func insert(_ device: Device) throws(CloudError) {
        try self.execute(
            Statements.Devices.insert, SQLValue(device.di), SQLValue(device.uid), .text(device.kind.rawValue),
            SQLValue(device.name), SQLValue(device.lastIns), SQLValue(device.createdAt))
    }

    func update(_ device: Device) throws(CloudError) {
        try self.execute(
            Statements.Devices.update, SQLValue(device.name), SQLValue(device.lastIns), SQLValue(device.di))
    }

    func deleteDevice(_ di: DeviceID) throws(CloudError) {
        // Codes for a device refer to none: they come before it.
        try self.execute(Statements.Credentials.deleteOfDevice, SQLValue(di))
        try self.execute(Statements.Devices.delete, SQLValue(di))
    }

    func devices(
        of uid: UserID, kind: DeviceKind?, after: DeviceID?, limit: Int
    ) throws(CloudError) -> [Device] {
        // No id is empty, so every one is greater.
        let after = SQLValue.text(after?.text ?? "")
        guard let kind else {
            return try self.all(
                Statements.Devices.page, SQLValue(uid), after, SQLValue(limit), read: Self.device)
        }
        return try self.all(
            Statements.Devices.pageOfKind, SQLValue(uid), .text(kind.rawValue), after, SQLValue(limit),
            read: Self.device)
    }
}
