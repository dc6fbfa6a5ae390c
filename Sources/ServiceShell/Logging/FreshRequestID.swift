import Synchronization

/// Ids for requests that come without one.
package enum FreshRequestID {
    /// Where the ids of this process begin. They are told apart by it, not kept secret: a random number for each would
    /// be a system call for each.
    private static let first = UInt64.random(in: .min ... .max)
    private static let made = Atomic<UInt64>(0)

    /// Sixteen hexadecimal digits, no two alike in one process.
    package static func make() -> String {
        let number = self.made.wrappingAdd(1, ordering: .relaxed).newValue
        // SplitMix64: a different number for each, which looks like a random one.
        var mixed = self.first &+ number &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        return String(unsafeUninitializedCapacity: 16) { digits in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: mixed >> (60 - 4 * UInt64(index))) & 0xF
                digits[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
            }
            return 16
        }
    }
}
