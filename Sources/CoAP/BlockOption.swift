import NIOCore

//  0                   1                   2
//  |  NUM 0…20 bits                 | M 1 bit | SZX 3 bits |          RFC 7959 §2.2
//
//  SZX 0…6 stands for blocks of 16…1024 bytes. 7 is BERT: positions count in units of 1024, and one message carries as
//  many units as it likes (RFC 8323 §6).

/// The value of a Block1 or Block2 option: which part of a body a message carries, or asks for.
package struct BlockOption: Hashable, Sendable {
    /// The exponent that stands for BERT (RFC 8323 §6).
    package static let bert: UInt8 = 7
    /// The largest number there is: 20 bits (RFC 7959 §2.2).
    package static let maximumNumber = 1 << 20 - 1

    package var number: Int
    /// Whether blocks follow. Means nothing where a block is asked for.
    package var more: Bool
    /// SZX, 0…7.
    package var sizeExponent: UInt8

    package init(number: Int, more: Bool, sizeExponent: UInt8) {
        self.number = number
        self.more = more
        self.sizeExponent = sizeExponent
    }

    /// The block that begins at `offset`. Nil if no block of this size does, or its number is too large.
    package init?(offset: Int, more: Bool, sizeExponent: UInt8) {
        let unit = Self.unit(of: sizeExponent)
        guard offset.isMultiple(of: unit), offset / unit <= Self.maximumNumber else { return nil }
        self.init(number: offset / unit, more: more, sizeExponent: sizeExponent)
    }

    fileprivate init(uint: UInt64) {
        self.init(
            number: Int(uint >> 4 & UInt64(Self.maximumNumber)), more: uint & 0b1000 != 0,
            sizeExponent: UInt8(uint & 0b111))
    }

    fileprivate var uint: UInt64 {
        UInt64(self.number) << 4 | (self.more ? 0b1000 : 0) | UInt64(self.sizeExponent)
    }

    /// How many bytes one step of the number is.
    package static func unit(of sizeExponent: UInt8) -> Int {
        1 << (Int(min(sizeExponent, 6)) + 4)
    }

    package var unit: Int { Self.unit(of: self.sizeExponent) }
    package var isBERT: Bool { self.sizeExponent == Self.bert }
    /// Where in the body the block begins, in bytes. Below 2^30.
    package var offset: Int { self.number * self.unit }

    /// Whether `count` bytes can be the payload of this block: all but the last are full (RFC 7959 §2.3, RFC 8323 §6).
    func holds(_ count: Int) -> Bool {
        switch (self.isBERT, self.more) {
        case (false, true): count == self.unit
        case (false, false): count <= self.unit
        case (true, true): count > 0 && count.isMultiple(of: self.unit)
        case (true, false): true
        }
    }
}

extension Options {
    package var block1: BlockOption? {
        get { self.block(.block1) }
        set { self.setBlock(.block1, newValue) }
    }

    package var block2: BlockOption? {
        get { self.block(.block2) }
        set { self.setBlock(.block2, newValue) }
    }

    private func block(_ number: OptionNumber) -> BlockOption? {
        self.first(number)?.uint.map(BlockOption.init(uint:))
    }

    private mutating func setBlock(_ number: OptionNumber, _ block: BlockOption?) {
        self.removeAll(number)
        if let block { self.append(number, uint: block.uint) }
    }

    /// What a message says about the size of the body, of the request (Size1) or the answer (Size2; RFC 7959 §4).
    func announcedSize(_ number: OptionNumber) -> UInt64? {
        self.first(number)?.uint
    }

    /// Takes out what only matters between the two ends of a block-wise transfer.
    mutating func removeBlockwise() {
        self.removeAll { $0 == .block1 || $0 == .block2 || $0 == .size2 || $0 == .bodyTag }
    }
}

/// How much of a body goes into one message.
struct BlockCut: Hashable {
    let sizeExponent: UInt8
    /// Bytes of a block that is not the last.
    let length: Int

    /// The largest block that is not larger than `sizeExponent` says and fits `room` bytes; nil if none does.
    /// - Parameter bertBytes: how much one BERT message carries at most.
    init?(_ sizeExponent: UInt8, room: Int, bertBytes: Int) {
        var exponent = sizeExponent
        if exponent == BlockOption.bert {
            let unit = BlockOption.unit(of: exponent)
            let units = min(room, bertBytes) / unit
            if units > 0 {
                self.sizeExponent = exponent
                self.length = units * unit
                return
            }
            exponent -= 1
        }
        while exponent > 0, BlockOption.unit(of: exponent) > room {
            exponent -= 1
        }
        guard BlockOption.unit(of: exponent) <= room else { return nil }
        self.sizeExponent = exponent
        self.length = BlockOption.unit(of: exponent)
    }
}

extension Message {
    /// How many bytes of payload fit beside these options. At most five bytes less than there are.
    func room(maximumMessageSize: Int) -> Int {
        // The marker, and a length field that grows from none to four bytes with the payload.
        maximumMessageSize - self.frameLength - 5
    }
}
