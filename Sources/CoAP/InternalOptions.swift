import NIOCore

/// Options 65280…65535 (experimental use, RFC 7252 §12.2) that our own programs speak among themselves.
///
/// They mean something only between our programs. What devices, clients and HTTP send never carries them in, and
/// nothing that goes back to those carries them out: `Options.hasInternal` and `Options.removeInternal()`.
extension OptionNumber {
    /// How many milliseconds are left for an answer, uint.
    package static let deadline = OptionNumber(rawValue: 65282)
    /// Whom a relayed request was authorised for, and against which epoch: `Fence`. Critical.
    package static let fence = OptionNumber(rawValue: 65283)
    /// The request id, string, 1…64 printable characters. Elective.
    package static let requestID = OptionNumber(rawValue: 65284)
    /// The request was not delivered: `Undelivered` as uint.
    package static let undelivered = OptionNumber(rawValue: 65286)
    /// Nobody knows whether the request was acted on: `UnknownOutcome` as uint.
    package static let unknownOutcome = OptionNumber(rawValue: 65290)
    /// The user whose session a request came in on, string. Critical.
    package static let sessionUser = OptionNumber(rawValue: 65287)
    /// The device or client whose session a request came in on, string. Critical.
    package static let sessionDevice = OptionNumber(rawValue: 65289)
    /// The address the asking client dialled, as it goes into `eps` (`coap+tcp://host:port`), string. Critical.
    package static let endpoint = OptionNumber(rawValue: 65291)

    /// Which of our programs asks for itself and not for a connection, string: what the registry's own resources want
    /// to see. Critical.
    package static let caller = OptionNumber(rawValue: 65293)
    /// In the answer to a sign-in: `client` or `device`, string.
    package static let sessionKind = OptionNumber(rawValue: 65292)
    /// In the answer to a sign-in or refresh: how many milliseconds the session keeps its right, uint; absent: for
    /// ever. A span and no moment, since the clocks of two programs differ.
    package static let sessionExpiry = OptionNumber(rawValue: 65294)
    /// In an error to one of our programs: the name of the input at fault, string.
    package static let errorField = OptionNumber(rawValue: 65296)

    /// In the answer to a sign-in: the login it belongs to, string, the subject of the change that takes it back.
    package static let sessionFamily = OptionNumber(rawValue: 65298)
    /// In a request to the registry: where to go on; in its answer: where there is more. Opaque.
    package static let page = OptionNumber(rawValue: 65300)
    /// In an answer of the registry: the last change it knew of when it read, uint.
    package static let sequence = OptionNumber(rawValue: 65302)
    /// Asking twice does no harm, whatever the method is (an HTTP PUT becomes a POST). Empty.
    package static let idempotent = OptionNumber(rawValue: 65304)

    /// Which body the blocks of an answer are of, and which one is asked for the rest of, uint. An ETag is the device's
    /// own and may be missing; this one never is, and never comes twice on a connection.
    package static let bodyTag = OptionNumber(rawValue: 65306)

    package var isInternal: Bool { self.rawValue >= 65280 }
}

/// Why a request did not reach its device (design: delivery). Whoever sees it may send again.
package enum Undelivered: UInt8, Sendable, Hashable, CaseIterable {
    case noSession = 1
    case superseded = 2
    case moving = 3
    case queueFull = 4
    case late = 5
    /// It exceeds the device's Max-Message-Size: sending it again does not help.
    case tooLarge = 6
    /// The pod could not be reached, or is not the one that was meant.
    case unreachable = 7
    /// Too many requests of one owner are in flight at the edge (RFC 8516).
    case tooManyInFlight = 8
    /// The edge has as many requests in flight as it takes.
    case overloaded = 9
    /// Nobody can say at the moment where the device is.
    case routesUnavailable = 10
    /// The device signed out, or its right was taken away: it is not to be looked for.
    case signedOut = 11
}

/// Why nobody knows what became of a request that was delivered.
package enum UnknownOutcome: UInt8, Sendable, Hashable, CaseIterable {
    case connectionLost = 1
    case noAnswer = 2
    /// The device answered, but not in a way that can be used (RFC 7252 §5.4.1).
    case unusableAnswer = 3
}

/// Whom a relayed request was authorised for: compared with the session at the moment of writing, so that an old
/// route can never hand a request to the wrong owner's device.
package struct Fence: Hashable, Sendable {
    /// The epoch of the session, 0 if the edge did not know it.
    package var epoch: UInt64
    package var uid: String

    package init(epoch: UInt64 = 0, uid: String) {
        self.epoch = epoch
        self.uid = uid
    }
}

extension Options {
    package var hasInternal: Bool { self.contains { $0.number.isInternal } }

    package mutating func removeInternal() {
        // Internal options are the highest numbers, so the last one tells whether there is any.
        guard let last = self.last, last.number.isInternal else { return }
        self.removeAll { $0.isInternal }
    }

    /// Milliseconds left for an answer.
    package var deadlineMilliseconds: UInt32? {
        get { self.first(.deadline)?.uint.flatMap { UInt32(exactly: $0) } }
        set {
            self.removeAll(.deadline)
            if let newValue { self.append(.deadline, uint: UInt64(newValue)) }
        }
    }

    package var fence: Fence? {
        get {
            guard var value = self.first(.fence)?.value, let epoch = value.readInteger(as: UInt64.self),
                let uid = value.readString(length: value.readableBytes)
            else { return nil }
            return Fence(epoch: epoch, uid: uid)
        }
        set {
            self.removeAll(.fence)
            guard let newValue else { return }
            var value = ByteBuffer()
            value.writeInteger(newValue.epoch)
            value.writeString(newValue.uid)
            self.append(.fence, value)
        }
    }

    package var undelivered: Undelivered? {
        get { self.first(.undelivered)?.uint.flatMap { UInt8(exactly: $0) }.flatMap(Undelivered.init(rawValue:)) }
        set {
            self.removeAll(.undelivered)
            if let newValue { self.append(.undelivered, uint: UInt64(newValue.rawValue)) }
        }
    }

    package var unknownOutcome: UnknownOutcome? {
        get { self.first(.unknownOutcome)?.uint.flatMap { UInt8(exactly: $0) }.flatMap(UnknownOutcome.init(rawValue:)) }
        set {
            self.removeAll(.unknownOutcome)
            if let newValue { self.append(.unknownOutcome, uint: UInt64(newValue.rawValue)) }
        }
    }

    package var requestID: String? {
        get { self.first(.requestID)?.string }
        set { self.setText(.requestID, newValue) }
    }

    package var sessionUser: String? {
        get { self.first(.sessionUser)?.string }
        set { self.setText(.sessionUser, newValue) }
    }

    package var sessionDevice: String? {
        get { self.first(.sessionDevice)?.string }
        set { self.setText(.sessionDevice, newValue) }
    }

    package var endpoint: String? {
        get { self.first(.endpoint)?.string }
        set { self.setText(.endpoint, newValue) }
    }

    package var caller: String? {
        get { self.first(.caller)?.string }
        set { self.setText(.caller, newValue) }
    }

    package var sessionKind: String? {
        get { self.first(.sessionKind)?.string }
        set { self.setText(.sessionKind, newValue) }
    }

    /// From now on.
    package var sessionExpiryMilliseconds: UInt64? {
        get { self.first(.sessionExpiry)?.uint }
        set {
            self.removeAll(.sessionExpiry)
            if let newValue { self.append(.sessionExpiry, uint: newValue) }
        }
    }

    package var sessionFamily: String? {
        get { self.first(.sessionFamily)?.string }
        set { self.setText(.sessionFamily, newValue) }
    }

    package var page: String? {
        get { self.first(.page)?.string }
        set { self.setText(.page, newValue) }
    }

    package var sequence: UInt64? {
        get { self.first(.sequence)?.uint }
        set {
            self.removeAll(.sequence)
            if let newValue { self.append(.sequence, uint: newValue) }
        }
    }

    package var bodyTag: UInt64? {
        get { self.first(.bodyTag)?.uint }
        set {
            self.removeAll(.bodyTag)
            if let newValue { self.append(.bodyTag, uint: newValue) }
        }
    }

    package var isIdempotent: Bool {
        get { self.contains(.idempotent) }
        set {
            self.removeAll(.idempotent)
            if newValue { self.append(.idempotent) }
        }
    }

    package var errorField: String? {
        get { self.first(.errorField)?.string }
        set { self.setText(.errorField, newValue) }
    }

    private mutating func setText(_ number: OptionNumber, _ text: String?) {
        self.removeAll(number)
        if let text { self.append(number, string: text) }
    }
}
