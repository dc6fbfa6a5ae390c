import Cloud

/// Where the next page of a list begins: behind a device's id, for one owner.
///
/// It is opaque to clients, which keeps its form ours to change. The check makes a cursor that was cut, altered or
/// taken from somebody else's list an error instead of a wrong page; it is no secret, because a cursor can only ever
/// lead into the list of whoever sends it.
enum PageCursor {
    private static let digits = Array("0123456789abcdef".utf8)

    static func text(after di: DeviceID, of uid: UserID) -> String {
        let check = Self.check(di.text, uid)
        let bytes = withUnsafeBytes(of: check.bigEndian) { Array($0) } + Array(di.text.utf8)
        return String(
            decoding: bytes.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 0xF)]] }, as: UTF8.self)
    }

    /// Nil for what `text` never made for this owner.
    static func device(_ text: String, of uid: UserID) -> DeviceID? {
        let nibbles = text.utf8.compactMap { byte in Self.digits.firstIndex(of: byte) }
        guard nibbles.count == text.utf8.count, nibbles.count > 16, nibbles.count.isMultiple(of: 2),
            nibbles.count <= 2 * (8 + Identifier.maximumBytes)
        else { return nil }
        let bytes = stride(from: 0, to: nibbles.count, by: 2).map { UInt8(nibbles[$0] << 4 | nibbles[$0 + 1]) }
        guard let id = String(validating: bytes[8...], as: UTF8.self) else { return nil }
        let check = bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return check == Self.check(id, uid) ? DeviceID(stored: id) : nil
    }

    /// FNV-1a, 64 bits, over both ids.
    private static func check(_ di: String, _ uid: UserID) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in Array(uid.text.utf8) + [0] + Array(di.utf8) {
            hash = (hash ^ UInt64(byte)).multipliedReportingOverflow(by: 0x100_0000_01b3).partialValue
        }
        return hash
    }
}
