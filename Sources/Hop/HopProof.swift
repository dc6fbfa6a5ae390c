import CBOR
package import Cloud
package import CoAP
import NIOCore

//  initiator                                                      acceptor
//     │  POST /hop/proof {v, a, from, role, to}                      │
//     ├─────────────────────────────────────────────────────────────►│  is `to` my name?
//     │                     2.04 {v, b, name, macs: MAC("acceptor")} │
//     │◄─────────────────────────────────────────────────────────────┤
//     │  POST /hop/proof {v, mac: MAC("initiator")}                  │
//     ├─────────────────────────────────────────────────────────────►│  from here on it is one of us
//     │                                    2.04 {v, requests, bytes} │
//     │◄─────────────────────────────────────────────────────────────┤
//
//  MAC(label) = HMAC-SHA-512(secret, "coap-gateway hop 1", label, a, b, initiator's name, its role, acceptor's name),
//  each part behind its length. a and b are fresh, so a recorded proof fits no other connection; the labels differ, so
//  none can be sent back to its maker; the names are in it, so it is worth nothing at another pod. While the secret is
//  being replaced the acceptor sends one MAC for each secret it has, and the initiator goes on under the one it knows.

/// Why a proof came to nothing.
package enum HopRefusal: Error, Hashable, Sendable {
    /// The acceptor is another than was meant: its address belongs to somebody else now.
    case notTheOneMeant
    /// The peer does not know the cluster secret, or what it sent was made for another connection.
    case unproven
    /// Something came before the proof, or in its place.
    case proofExpected
    case malformed(String)
    /// The acceptor refused us; its code and what it said.
    case refused(Code, String?)
}

extension HopRefusal: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notTheOneMeant: "not the one meant: the address belongs to another pod now"
        case .unproven: "the proof is not good: compare CLUSTER_SECRET of both programs"
        case .proofExpected: "a request before the proof that the peer is one of us"
        case .malformed(let what): "the proof is malformed: \(what)"
        case .refused(let code, let text): "refused with \(code): \(text ?? "no reason given")"
        }
    }
}

/// What both sides put on the wire.
enum HopProofWire {
    static let path = ["hop", "proof"]
    static let nonceBytes = 32
    static let version: Int64 = 1
    /// Both secrets of a rotation, and room for more.
    static let maximumProofs = 4
    private static let limits = DecodingLimits(bytes: 4096, depth: 4, items: 64)

    static func request(_ payload: DataItem) -> Request {
        var request = Request(.post, path: Self.path, payload: payload.encoded())
        request.options.contentFormat = .cbor
        return request
    }

    static func response(_ payload: DataItem) -> Response {
        var response = Response(.changed, payload: payload.encoded())
        response.options.contentFormat = .cbor
        return response
    }

    /// The payload as a map of a version we can talk to. Unknown entries are for later versions.
    static func read(_ payload: ByteBuffer?) throws(HopRefusal) -> DataItem {
        guard let payload, let item = try? DataItem(decoding: payload, limits: Self.limits), item.pairs != nil else {
            throw .malformed("no CBOR map")
        }
        guard let version = item["v"]?.integer, version >= Self.version else {
            throw .malformed("no version, or an unknown one")
        }
        return item
    }

    static func nonce(_ item: DataItem?) throws(HopRefusal) -> [UInt8] {
        guard let bytes = item?.data, bytes.count == Self.nonceBytes else { throw .malformed("no nonce of 32 bytes") }
        return bytes
    }
}

/// Which connection is proven, by whom, to whom.
struct HopTranscript {
    let initiatorNonce: [UInt8]
    let acceptorNonce: [UInt8]
    let initiator: HopPeer
    let acceptor: String

    enum Side: String {
        case initiator
        case acceptor
    }

    func parts(_ side: Side) -> [[UInt8]] {
        [
            Array("coap-gateway hop 1".utf8), Array(side.rawValue.utf8), self.initiatorNonce, self.acceptorNonce,
            Array(self.initiator.name.utf8), Array(self.initiator.role.utf8), Array(self.acceptor.utf8),
        ]
    }
}

/// The side that dials.
package struct InitiatorProof {
    private enum Step {
        case helloSent
        case proofSent
        case over
    }

    package enum Action: Hashable, Sendable {
        case send(Request)
        /// The acceptor is the one that was meant and takes requests.
        case proven(HopWindow)
        case refused(HopRefusal)
    }

    private let secrets: ClusterSecrets
    private let me: HopPeer
    private let target: String
    private let nonce: [UInt8]
    private var step = Step.helloSent

    /// - Parameters:
    ///   - target: whom we mean to reach: a pod's name with its boot id, or `registry`.
    ///   - random: for the nonce.
    package init(secrets: ClusterSecrets, me: HopPeer, target: String, random: any RandomSource) {
        self.secrets = secrets
        self.me = me
        self.target = target
        self.nonce = random.bytes(HopProofWire.nonceBytes)
    }

    /// The first request.
    package var hello: Request {
        HopProofWire.request(
            .map([
                "v": .init(integer: HopProofWire.version), "a": .bytes(self.nonce), "from": .text(self.me.name),
                "role": .text(self.me.role), "to": .text(self.target),
            ]))
    }

    /// The answer to the request sent last.
    package mutating func received(_ response: Response) -> Action {
        do throws(HopRefusal) {
            return try self.judge(response)
        } catch {
            self.step = .over
            return .refused(error)
        }
    }

    private mutating func judge(_ response: Response) throws(HopRefusal) -> Action {
        guard response.code == .changed else {
            throw response.code == .notFound ? .notTheOneMeant : .refused(response.code, response.diagnostic)
        }
        let item = try HopProofWire.read(response.payload)
        switch self.step {
        case .helloSent:
            guard let name = item["name"]?.string, name == self.target else { throw .notTheOneMeant }
            let transcript = HopTranscript(
                initiatorNonce: self.nonce, acceptorNonce: try HopProofWire.nonce(item["b"]), initiator: self.me,
                acceptor: name)
            let proofs = (item["macs"]?.elements ?? []).prefix(HopProofWire.maximumProofs).compactMap(\.data)
            let expected = transcript.parts(.acceptor)
            guard
                let secret = self.secrets.all.first(where: { secret in
                    proofs.contains { secret.proves($0, expected) }
                })
            else { throw .unproven }
            self.step = .proofSent
            return .send(
                HopProofWire.request(
                    .map([
                        "v": .init(integer: HopProofWire.version),
                        "mac": .bytes(secret.proof(of: transcript.parts(.initiator))),
                    ])))
        case .proofSent:
            guard let requests = item["requests"]?.integer, let bytes = item["bytes"]?.integer, requests > 0, bytes > 0
            else { throw .malformed("no window") }
            self.step = .over
            return .proven(HopWindow(requests: Int(requests), bytes: Int(bytes)))
        case .over:
            throw .malformed("an answer after the end")
        }
    }
}

/// The side that was dialled.
package struct AcceptorProof {
    private enum Step {
        case waiting
        case challenged(HopTranscript)
        case over
    }

    package enum Action: Hashable, Sendable {
        case answer(Response)
        /// Answer this; from here on requests come from this peer.
        case proven(HopPeer, Response)
        /// Answer this, then give up the connection.
        case refuse(Response, HopRefusal)
    }

    private let secrets: ClusterSecrets
    private let name: String
    private let window: HopWindow
    private let nonce: [UInt8]
    private var step = Step.waiting

    /// - Parameters:
    ///   - name: who we are: a pod's name with its boot id, or `registry`.
    ///   - random: for the nonce.
    package init(secrets: ClusterSecrets, name: String, window: HopWindow, random: any RandomSource) {
        self.secrets = secrets
        self.name = name
        self.window = window
        self.nonce = random.bytes(HopProofWire.nonceBytes)
    }

    /// A request that came before the proof was complete, whatever it asks for.
    package mutating func received(_ request: Request) -> Action {
        do throws(HopRefusal) {
            return try self.judge(request)
        } catch {
            self.step = .over
            let code: Code = error == .notTheOneMeant ? .notFound : .unauthorized
            return .refuse(Response(code, diagnostic: error.description), error)
        }
    }

    private mutating func judge(_ request: Request) throws(HopRefusal) -> Action {
        guard request.method == .post, request.options.path == HopProofWire.path, !request.options.hasInternal else {
            throw .proofExpected
        }
        let item = try HopProofWire.read(request.payload)
        switch self.step {
        case .waiting:
            guard let name = item["from"]?.string, let role = item["role"]?.string else {
                throw .malformed("no name or role")
            }
            let initiator = HopPeer(name: name, role: role)
            guard initiator.isWellFormed else { throw .malformed("a name or role of more than 300 bytes") }
            let transcript = HopTranscript(
                initiatorNonce: try HopProofWire.nonce(item["a"]), acceptorNonce: self.nonce, initiator: initiator,
                acceptor: self.name)
            guard item["to"]?.string == self.name else { throw .notTheOneMeant }
            self.step = .challenged(transcript)
            let proofs = self.secrets.all.map { DataItem.bytes($0.proof(of: transcript.parts(.acceptor))) }
            return .answer(
                HopProofWire.response(
                    .map([
                        "v": .init(integer: HopProofWire.version), "b": .bytes(self.nonce), "name": .text(self.name),
                        "macs": .array(proofs),
                    ])))
        case .challenged(let transcript):
            let parts = transcript.parts(.initiator)
            guard let proof = item["mac"]?.data, self.secrets.all.contains(where: { $0.proves(proof, parts) }) else {
                throw .unproven
            }
            self.step = .over
            return .proven(
                transcript.initiator,
                HopProofWire.response(
                    .map([
                        "v": .init(integer: HopProofWire.version),
                        "requests": .init(integer: Int64(self.window.requests)),
                        "bytes": .init(integer: Int64(self.window.bytes)),
                    ])))
        case .over:
            throw .proofExpected
        }
    }
}
