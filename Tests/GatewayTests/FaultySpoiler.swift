import CBOR
import CoAP
import NIOCore
import Synchronization
import TestSupport

/// A cloud's end of one CoAP connection, spoilt in one way.
struct FaultySpoiler: Spoiler {
    let fault: Fault
    private var fromPeer = ByteBuffer()
    private var fromCloud = ByteBuffer()
    /// What the peer has asked, by token.
    private var asked: [Token: Message] = [:]
    /// What the cloud has asked, by token.
    private var askedByCloud: Set<Token> = []
    private var hasCSM = false
    private var isAborted = false
    private var hasPublished = false
    private var publications: Int64 = 0
    private var held: Message?

    private static let limits = FrameLimits(maximumMessageSize: 16 << 20, maximumTokenLength: 8)

    init(_ fault: Fault) {
        self.fault = fault
    }

    var passesOnTheEnd: Bool {
        switch self.fault {
        case .swallowsWhatIsMalformed, .ignoresRelease, .answersAborts, .keepsOldSessions, .neverPings: false
        default: true
        }
    }

    // MARK: - From the peer

    mutating func fromPeer(_ bytes: ByteBuffer) -> Spoiled {
        var spoiled = Spoiled()
        var bytes = bytes
        if self.fault == .takesASegmentForAFrame {
            // What stands behind the first frame, and what is no whole frame, falls under the table.
            if (try? Message(readingFrameFrom: &bytes, limits: Self.limits)) != nil {
                bytes.moveReaderIndex(to: 0)
                let first = Self.firstFrame(bytes)
                spoiled.toCloud.writeBytes(first)
            }
            return spoiled
        }
        self.fromPeer.writeBuffer(&bytes)
        do {
            while let message = try Message(readingFrameFrom: &self.fromPeer, limits: Self.limits) {
                self.peerSaid(message, &spoiled)
            }
        } catch {
            // Malformed: the gateway has to say so itself, unless the fault is not to mind.
            if self.fault != .swallowsWhatIsMalformed { spoiled.toCloud.writeBuffer(&self.fromPeer) }
            self.fromPeer.clear()
        }
        if self.fault != .swallowsWhatIsMalformed, self.isHopeless {
            spoiled.toCloud.writeBuffer(&self.fromPeer)
            self.fromPeer.clear()
        }
        return spoiled
    }

    /// A length that no honest frame has: it is for the gateway to refuse it.
    private var isHopeless: Bool {
        self.fromPeer.readableBytes == 5 && self.fromPeer.readableBytesView.first == 0xF0
    }

    private static func firstFrame(_ bytes: ByteBuffer) -> [UInt8] {
        var rest = bytes
        _ = try? Message(readingFrameFrom: &rest, limits: Self.limits)
        return Array(bytes.readableBytesView.prefix(rest.readerIndex - bytes.readerIndex))
    }

    private mutating func peerSaid(_ message: Message, _ spoiled: inout Spoiled) {
        switch message.code.kind {
        case .signalling:
            self.peerSignalled(message, &spoiled)
        case .empty:
            if self.fault == .answersEmptyMessages { spoiled.toPeer.writeBytes([0, 0]) }
        case .request:
            self.peerAsked(message, &spoiled)
        case .response:
            let isForeign = self.askedByCloud.remove(message.token) == nil
            if self.fault == .abortsAtForeignResponses, isForeign {
                Message(code: .abort, token: Token(eightBytes: 1)).writeFrame(into: &spoiled.toPeer)
                spoiled.closesPeer = true
                return
            }
            message.writeFrame(into: &spoiled.toCloud)
        case .unassigned, .reserved:
            message.writeFrame(into: &spoiled.toCloud)
        }
    }

    private mutating func peerSignalled(_ message: Message, _ spoiled: inout Spoiled) {
        switch (self.fault, message.code) {
        case (.obeysTheFirstCSMOnly, .capabilitiesAndSettings) where self.hasCSM: return
        case (.answersPingsAtOnce, .ping):
            Message(code: .pong, token: message.token, options: message.options).writeFrame(into: &spoiled.toPeer)
            return
        case (.ignoresRelease, .release): return
        case (.answersAborts, .abort):
            Message(code: .abort, token: Token(eightBytes: 2)).writeFrame(into: &spoiled.toPeer)
            return
        default: break
        }
        if message.code == .capabilitiesAndSettings { self.hasCSM = true }
        message.writeFrame(into: &spoiled.toCloud)
    }

    private mutating func peerAsked(_ message: Message, _ spoiled: inout Spoiled) {
        var message = message
        let path = message.options.path?.joined(separator: "/") ?? ""
        func refuse(_ code: Code) { Message(code: code, token: message.token).writeFrame(into: &spoiled.toPeer) }
        switch self.fault {
        case .dropsLongMessages where message.frameLength > 1000: return
        case .hasOneTokenSpace where self.askedByCloud.contains(message.token): return
        case .demandsACSM where !self.hasCSM:
            Message(code: .abort, token: Token(eightBytes: 3)).writeFrame(into: &spoiled.toPeer)
            spoiled.closesPeer = true
            return
        case .takesDefiniteCBOROnly where message.payload?.readableBytesView.first == 0xBF:
            return refuse(.badRequest)
        case .takesKnownKeysOnly where message.item?["x-conformance"] != nil: return refuse(.badRequest)
        case .takesRelAsTextOnly
        where message.item?["links"]?.elements?.contains { $0["rel"]?.elements != nil } ?? false:
            return refuse(.badRequest)
        case .takesRefreshTokensOnce where path == "oic/sec/tokenrefresh":
            guard Self.seen.insert(message.item?["refreshtoken"]?.string ?? "") else { return refuse(.unauthorized) }
        case .refusesBlocks where message.options.contains(.block1): return refuse(.badOption)
        case .dropsBlocks where (message.options.first(.block1)?.uint ?? 0) >> 4 == 1:
            var answer = Message(code: .continue, token: message.token)
            answer.options.append(.block1, uint: message.options.first(.block1)?.uint ?? 0)
            return answer.writeFrame(into: &spoiled.toPeer)
        case .ignoresFilters where path == "oic/res": message.options.removeAll(.uriQuery)
        case .ignoresAccept: message.options.removeAll(.accept)
        case .ignoresObserve: message.options.removeAll(.observe)
        case .keepsLinksForEver: message.change("ttl", to: 0)
        case .listsWhatIsHidden:
            message.changeLinks { $0.replacing("p", with: .map(["bm": 3])) }
        default: break
        }
        if path == "oic/rd" { self.hasPublished = true }
        self.asked[message.token] = message
        message.writeFrame(into: &spoiled.toCloud)
    }

    // MARK: - From the cloud

    mutating func fromCloud(_ bytes: ByteBuffer) -> Spoiled {
        var spoiled = Spoiled()
        var bytes = bytes
        self.fromCloud.writeBuffer(&bytes)
        while let message = try? Message(readingFrameFrom: &self.fromCloud, limits: Self.limits) {
            self.cloudSaid(message, &spoiled)
        }
        return spoiled
    }

    private mutating func cloudSaid(_ message: Message, _ spoiled: inout Spoiled) {
        switch message.code.kind {
        case .signalling: self.cloudSignalled(message, &spoiled)
        case .request: self.cloudAsked(message, &spoiled)
        case .response: self.cloudAnswered(message, &spoiled)
        case .empty, .unassigned, .reserved: message.writeFrame(into: &spoiled.toPeer)
        }
    }

    private func cloudSignalled(_ message: Message, _ spoiled: inout Spoiled) {
        switch (self.fault, message.code) {
        case (.sendsNoCSM, .capabilitiesAndSettings), (.swallowsWhatIsMalformed, .abort), (.keepsOldSessions, .abort):
            return
        case (.answersPingsWithoutToken, .pong):
            Message(code: .pong, token: Token([0])).writeFrame(into: &spoiled.toPeer)
        case (.answersPingsAtOnce, .pong):
            return
        case (.neverPings, .ping):
            Message(code: .pong, token: message.token).writeFrame(into: &spoiled.toCloud)
        default:
            message.writeFrame(into: &spoiled.toPeer)
        }
    }

    private mutating func cloudAsked(_ message: Message, _ spoiled: inout Spoiled) {
        var message = message
        self.askedByCloud.insert(message.token)
        switch self.fault {
        case .neverAsksDevices:
            return
        case .asksDevicesTwice:
            message.writeFrame(into: &spoiled.toPeer)
            message.token = Token(eightBytes: .random(in: .min ... .max))
        case .dropsQueriesOnTheWay:
            message.options.removeAll(.uriQuery)
        default: break
        }
        message.writeFrame(into: &spoiled.toPeer)
    }

    private mutating func cloudAnswered(_ message: Message, _ spoiled: inout Spoiled) {
        var message = message
        let question = self.asked[message.token]
        let path = question?.options.path?.joined(separator: "/") ?? ""
        switch self.fault {
        case .answersWithoutContentFormat: message.options.removeAll(.contentFormat)
        case .saysServerErrorForEveryError where !message.code.isSuccess: message.code = .internalServerError
        case .marksEveryAnswerAsOCF: message.options.ocfVersion = .v1_0_0
        case .forgetsExpiresIn where path != "oic/sec/account": message.removeMember("expiresin")
        case .turnsLinksAround: message.changeArray("links") { $0.reversed() }
        case .countsLinksAnew where path == "oic/rd":
            self.publications += 1000
            let more = self.publications
            message.changeLinks { link in
                link.replacing("ins", with: DataItem(integer: (link["ins"]?.integer ?? 0) + more))
            }
        case .forgetsLinksOfOthers where path == "oic/res" && !self.hasPublished && message.code == .content:
            message.payload = ByteBuffer(bytes: [0x80])
        case .listsWithoutAnchor where path == "oic/res": message.changeAll { $0.without("anchor") }
        case .crossesAnswers where path.hasSuffix("/light"):
            guard let other = self.held else {
                self.held = message
                return
            }
            self.held = nil
            for (answer, token) in [(message, other.token), (other, message.token)] {
                Message(code: answer.code, token: token, options: answer.options, payload: answer.payload)
                    .writeFrame(into: &spoiled.toPeer)
            }
            return
        default: break
        }
        message.writeFrame(into: &spoiled.toPeer)
    }

    /// Refresh tokens that came, on any connection.
    private static let seen = SeenTokens()
}

private final class SeenTokens: Sendable {
    private let tokens = Mutex<Set<String>>([])

    /// False if it was there before.
    func insert(_ token: String) -> Bool { self.tokens.withLock { $0.insert(token).inserted } }
}

extension Message {
    fileprivate mutating func change(_ key: String, to value: DataItem) {
        guard let item = self.item, item[key] != nil else { return }
        self.payload = item.replacing(key, with: value).encoded()
    }

    fileprivate mutating func removeMember(_ key: String) {
        guard let item = self.item, item[key] != nil else { return }
        self.payload = item.without(key).encoded()
    }

    fileprivate mutating func changeArray(_ key: String, _ change: ([DataItem]) -> [DataItem]) {
        guard let item = self.item, let elements = item[key]?.elements else { return }
        self.payload = item.replacing(key, with: .array(change(elements))).encoded()
    }

    fileprivate mutating func changeLinks(_ change: (DataItem) -> DataItem) {
        self.changeArray("links") { $0.map(change) }
    }

    fileprivate mutating func changeAll(_ change: (DataItem) -> DataItem) {
        guard let elements = self.item?.elements else { return }
        self.payload = DataItem.array(elements.map(change)).encoded()
    }
}

extension DataItem {
    fileprivate func without(_ key: String) -> DataItem {
        .map((self.pairs ?? []).filter { $0.key.string != key })
    }

    fileprivate func replacing(_ key: String, with value: DataItem) -> DataItem {
        .map((self.pairs ?? []).filter { $0.key.string != key } + [.init(.text(key), value)])
    }
}

/// The HTTP side of a cloud, spoilt in one way.
struct FaultyHTTPSpoiler: Spoiler {
    let fault: Fault
    let connections: Int
    private var isHEAD = false

    init(_ fault: Fault, connections: Int) {
        self.fault = fault
        self.connections = connections
    }

    var passesOnTheEnd: Bool { true }

    mutating func fromPeer(_ bytes: ByteBuffer) -> Spoiled {
        var text = String(buffer: bytes)
        self.isHEAD = text.hasPrefix("HEAD ")
        switch self.fault {
        case .decodesPathsTooEarly: text = text.replacing("%2F", with: "/")
        case .isFullAfterAWhile where self.connections > 100:
            return Spoiled(
                toPeer: ByteBuffer(string: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
        default: break
        }
        return Spoiled(toCloud: ByteBuffer(string: text))
    }

    mutating func fromCloud(_ bytes: ByteBuffer) -> Spoiled {
        var text = String(buffer: bytes)
        switch self.fault {
        case .says200ToAll where text.hasPrefix("HTTP/1.1 "):
            text = "HTTP/1.1 200" + text.dropFirst("HTTP/1.1 200".count)
        case .asksForNoToken:
            for name in ["WWW-Authenticate", "www-authenticate", "Www-Authenticate"] {
                text = text.replacing(name, with: "x-nothing")
            }
        case .sendsContentToHEAD where self.isHEAD: text += "{}"
        default: break
        }
        return Spoiled(toPeer: ByteBuffer(string: text))
    }
}

/// What is to be seen of TLS and WebSocket from outside, spoilt in one way.
struct FaultyDoorSpoiler: Spoiler {
    let fault: Fault

    init(_ fault: Fault) {
        self.fault = fault
    }

    var passesOnTheEnd: Bool { true }

    func fromPeer(_ bytes: ByteBuffer) -> Spoiled {
        self.fault == .saysNothingOverTLS ? Spoiled() : Spoiled(toCloud: bytes)
    }

    func fromCloud(_ bytes: ByteBuffer) -> Spoiled {
        var bytes = Array(bytes.readableBytesView)
        switch self.fault {
        case .namesNoSubprotocol:
            let text = String(decoding: bytes, as: UTF8.self)
            for name in ["Sec-WebSocket-Protocol", "sec-websocket-protocol"] where text.contains(name) {
                bytes = Array(text.replacing(name, with: "x-nothing").utf8)
            }
        case .closesForNoReason:
            // A close frame with its status (RFC 6455 §5.5.1).
            if let start = bytes.indices.first(where: { bytes[$0...].starts(with: [0x88]) }), start + 3 < bytes.count {
                bytes[start + 2] = 0x03
                bytes[start + 3] = 0xE8
            }
        default: break
        }
        return Spoiled(toPeer: ByteBuffer(bytes: bytes))
    }
}

/// Counts up.
final class Counter: Sendable {
    private let count = Mutex(0)

    func next() -> Int {
        self.count.withLock { count in
            count += 1
            return count
        }
    }
}
