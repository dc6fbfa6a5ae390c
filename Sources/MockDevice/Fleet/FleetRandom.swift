/// Repeatable chance (SplitMix64): what a device does by chance is the same in every run with the same seed.
package struct FleetRandom: RandomNumberGenerator, Sendable, Hashable {
    private var state: UInt64

    package init(seed: UInt64) {
        self.state = seed
    }

    /// The chance of one device of a fleet.
    package init(seed: UInt64, device index: Int) {
        var whole = FleetRandom(seed: seed)
        // Wrapping is meant: any two numbers that differ do.
        self.state = whole.next() &+ UInt64(truncatingIfNeeded: index) &* 0xD134_2543_DE82_EF95
    }

    package mutating func next() -> UInt64 {
        // Wrapping is the point: arithmetic modulo 2^64.
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        // As above.
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        // As above.
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
