import CMariaDB

/// The numbers of MySQL, MariaDB and their client library in our words.
enum MySQLErrors {
    /// - Parameter inCommit: a connection that is lost then leaves open what became of the transaction.
    static func error(_ number: UInt32, _ message: String, inCommit: Bool = false) -> SQLError {
        var kind = self.kind(number, message)
        if inCommit, kind == .lost || kind == .late { kind = .commitUnknown }
        return SQLError(kind, message.isEmpty ? "error \(number)" : "\(message) (error \(number))")
    }

    private static func kind(_ number: UInt32, _ message: String) -> SQLError.Kind {
        switch number {
        // Deadlock; changed since the snapshot was taken; a cluster's certification; prepared anew too often.
        case 1213, 1020, 3101, 1615: .deadlock
        case 1205, 3572: .locked
        case 1317, 1969, 3024: .late
        case 1062, 1586: .duplicate
        case 1050, 1060, 1061: .exists
        case 1216, 1217, 1451, 1452: .missing
        case 1021, 1114: .diskFull
        // The system's number is in the text: 28 is a full disk.
        case 3, 1023, 1024, 1026, 1030: self.namesFullDisk(message) ? .diskFull : .inputOutput
        case 1290, 1792, 1836: .readOnly
        case 1040, 1203, 1226, 1461: .tooManyConnections
        case 1044, 1045, 1129, 1130, 1142, 1143, 1227, 1251, 1698, 1820, 1862, 2049, 2058, 2059, 3118, 4151: .refused
        case 1049: .unknownDatabase
        case 1146, 1932: .schemaMissing
        case 1153, 2020: .tooLarge
        case 1194, 1195, 1712: .damaged
        case 1037, 1038, 1041, 2008: .outOfMemory
        case 2002, 2003, 2005, 2009, 2012: .unreachable
        case 2026: .untrusted
        // Shut down, killed, not part of its cluster; statements it has forgotten; the client's own words for a
        // connection that is gone or makes no sense any more.
        case 1047, 1053, 1077, 1078, 1079, 1152, 1158...1161, 1184, 1243, 1927, 2006, 2013, 2014, 2027, 2055, 3169,
            4031:
            .lost
        default: .statement
        }
    }

    private static func namesFullDisk(_ message: String) -> Bool {
        ["Errcode: 28", "errno: 28", "error 28"].contains { message.contains("\($0) ") || message.hasSuffix($0) }
    }

    /// Whether the connection must not be used again.
    static func isFatal(_ number: UInt32) -> Bool {
        switch number {
        // What was a primary may be a replica now: dial again, its name may lead to another server by then.
        case 1290, 1836: true
        // The server closes the connection.
        case 1153: true
        // The client library's own errors, but for a mistake of ours in how it is called.
        case 2000..<3000: true
        default: self.kind(number, "") == .lost
        }
    }
}
