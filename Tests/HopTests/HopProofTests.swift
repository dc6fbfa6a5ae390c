import CBOR
import Cloud
import CoAP
import Crypto
import NIOCore
import Testing

@testable import Hop

@Suite("The proof between our own programs: the rules")
struct HopProofTests {
    /// A source that counts, so that no two nonces are the same.
    private struct Counting: RandomSource {
        let start: UInt8
        func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: self.start, count: count) }
    }

    private static func initiator(
        _ secrets: ClusterSecrets, nonce: UInt8 = 1, to target: String = "pod-1.boot", name: String = "edge.boot"
    ) -> InitiatorProof {
        InitiatorProof(
            secrets: secrets, me: HopPeer(name: name, role: "northbound"), target: target,
            random: Counting(start: nonce))
    }

    private static func acceptor(
        _ secrets: ClusterSecrets, nonce: UInt8 = 2, name: String = "pod-1.boot"
    ) -> AcceptorProof {
        AcceptorProof(
            secrets: secrets, name: name, window: HopWindow(requests: 5, bytes: 600), random: Counting(start: nonce))
    }

    /// What both learn in the end.
    private enum Outcome: Hashable {
        case proven(HopPeer, HopWindow)
        case initiatorRefuses(HopRefusal)
        case acceptorRefuses(HopRefusal)
    }

    private static func run(_ initiator: InitiatorProof, _ acceptor: AcceptorProof) -> Outcome? {
        var initiator = initiator
        var acceptor = acceptor
        var peer: HopPeer?
        var request = initiator.hello
        for _ in 0..<3 {
            let response: Response
            switch acceptor.received(request) {
            case .answer(let answer): response = answer
            case .proven(let proven, let answer):
                peer = proven
                response = answer
            case .refuse(let answer, let refusal):
                guard case .refused = initiator.received(answer) else { return nil }
                return .acceptorRefuses(refusal)
            }
            switch initiator.received(response) {
            case .send(let next): request = next
            case .proven(let window): return peer.map { .proven($0, window) }
            case .refused(let refusal): return .initiatorRefuses(refusal)
            }
        }
        return nil
    }

    @Test("Two that know the secret learn of each other who they are and how much may be under way")
    func proven() throws {
        let outcome = Self.run(Self.initiator(try .of(1)), Self.acceptor(try .of(1)))
        #expect(
            outcome
                == .proven(HopPeer(name: "edge.boot", role: "northbound"), HopWindow(requests: 5, bytes: 600)))
    }

    @Test("While the secret is replaced every pair of neighbouring steps gets on, whoever dials")
    func rotation() throws {
        let steps: [ClusterSecrets] = [try .of(1), try .of(1, previous: 2), try .of(2, previous: 1), try .of(2)]
        for (index, one) in steps.enumerated() {
            for (otherIndex, other) in steps.enumerated() {
                let outcome = Self.run(Self.initiator(one), Self.acceptor(other))
                if case .proven = outcome {
                    #expect([index, otherIndex].sorted() != [0, 3])
                } else {
                    #expect([index, otherIndex].sorted() == [0, 3])
                }
            }
        }
    }

    @Test("An acceptor with another secret is refused before it learns anything made with ours")
    func unknownSecret() throws {
        #expect(Self.run(Self.initiator(try .of(1)), Self.acceptor(try .of(9))) == .initiatorRefuses(.unproven))
    }

    @Test("An initiator with another secret is refused")
    func unknownInitiator() throws {
        var acceptor = Self.acceptor(try .of(1))
        _ = acceptor.received(Self.initiator(try .of(9)).hello)
        // It does not know what to say, and says what it would if the acceptor were one of its own.
        var friend = Self.acceptor(try .of(9))
        var initiator = Self.initiator(try .of(9))
        guard case .answer(let answer) = friend.received(initiator.hello),
            case .send(let proof) = initiator.received(answer),
            case .refuse(let refusal, let why) = acceptor.received(proof)
        else {
            Issue.record("another action")
            return
        }
        #expect(refusal.code == .unauthorized)
        #expect(why == .unproven)
    }

    @Test("A pod that is not the one meant says so, and one that lies about it is found out")
    func wrongName() throws {
        let outcome = Self.run(Self.initiator(try .of(1), to: "pod-1.old"), Self.acceptor(try .of(1)))
        #expect(outcome == .acceptorRefuses(.notTheOneMeant))
        // Another pod, secret and all, answers under its own name.
        var other = Self.acceptor(try .of(1), name: "pod-2.boot")
        var meant = Self.initiator(try .of(1))
        guard case .answer(let answer) = other.received(Self.initiator(try .of(1), to: "pod-2.boot").hello) else {
            Issue.record("another action")
            return
        }
        #expect(meant.received(answer) == .refused(.notTheOneMeant))
        // And with the name exchanged, the proof is not good any more.
        guard var item = try answer.payload.map({ try DataItem(decoding: $0) }), case .map(var pairs) = item else {
            return
        }
        for index in pairs.indices where pairs[index].key == "name" { pairs[index].value = "pod-1.boot" }
        item = .map(pairs)
        var again = Self.initiator(try .of(1))
        #expect(again.received(Response(.changed, payload: item.encoded())) == .refused(.unproven))
    }

    @Test("A recorded proof is worth nothing at a connection with another nonce, or at another pod")
    func recorded() throws {
        let secrets = try ClusterSecrets.of(1)
        var initiator = Self.initiator(secrets)
        var first = Self.acceptor(secrets)
        guard case .answer(let answer) = first.received(initiator.hello),
            case .send(let proof) = initiator.received(answer)
        else {
            Issue.record("another action")
            return
        }
        var second = Self.acceptor(secrets, nonce: 3)
        _ = second.received(initiator.hello)
        guard case .refuse(_, .unproven) = second.received(proof) else {
            Issue.record("accepted")
            return
        }
        // Another pod, even with the very same nonce.
        var pod = Self.acceptor(secrets, name: "pod-2.boot")
        _ = pod.received(Self.initiator(secrets, to: "pod-2.boot").hello)
        guard case .refuse(_, .unproven) = pod.received(proof) else {
            Issue.record("accepted")
            return
        }
        // The acceptor's half is no good to an initiator with another nonce.
        var late = Self.initiator(secrets, nonce: 7)
        #expect(late.received(answer) == .refused(.unproven))
    }

    @Test("What an acceptor proves cannot be sent back to it as the initiator's proof")
    func reflected() throws {
        let secrets = try ClusterSecrets.of(1)
        var acceptor = Self.acceptor(secrets)
        guard case .answer(let answer) = acceptor.received(Self.initiator(secrets).hello),
            let item = try answer.payload.map({ try DataItem(decoding: $0) }),
            let proof = item["macs"]?.elements?.first
        else {
            Issue.record("another action")
            return
        }
        let request = HopProofWire.request(.map(["v": 1, "mac": proof]))
        guard case .refuse(_, .unproven) = acceptor.received(request) else {
            Issue.record("accepted")
            return
        }
    }

    @Test("A later version with entries we do not know gets on with this one")
    func laterVersion() throws {
        let hello = Self.initiator(try .of(1)).hello
        guard case .map(let pairs)? = try hello.payload.map({ try DataItem(decoding: $0) }) else { return }
        var later = pairs.filter { $0.key != "v" }
        later.append(.init("v", 2))
        later.append(.init("new", .array([1, 2])))
        var acceptor = Self.acceptor(try .of(1))
        guard case .answer = acceptor.received(HopProofWire.request(.map(later))) else {
            Issue.record("refused")
            return
        }
    }

    static let wrong: [Request] = {
        let nonce = DataItem.bytes([UInt8](repeating: 1, count: 32))
        let payloads: [DataItem] = [
            .null, .map([:]), .map(["v": 0]), .map(["v": 1]), .map(["v": 1, "a": .bytes([1])]),
            .map(["v": 1, "a": nonce, "from": "", "role": "x", "to": "pod-1.boot"]),
            .map([
                "v": 1, "a": nonce, "from": .text(String(repeating: "n", count: 301)), "role": "x", "to": "pod-1.boot",
            ]),
            .map(["v": 1, "a": .bytes([1]), "from": "n", "role": "x", "to": "pod-1.boot"]),
            .map(["v": 1, "a": nonce, "from": 7, "role": "x", "to": "pod-1.boot"]),
            .map(["v": 1, "mac": nonce]),
        ]
        var internalOption = HopProofWire.request(.map(["v": 1]))
        internalOption.options.requestID = "x"
        return payloads.map(HopProofWire.request) + [
            Request(.post, path: ["hop", "proof"]),
            Request(.post, path: ["hop", "proof"], payload: ByteBuffer(repeating: 0x9F, count: 4000)),
            Request(.get, path: ["hop", "proof"]), Request(.get, path: ["oic", "res"]), internalOption,
        ]
    }()

    @Test("Anything else in the place of the proof is refused with 4.01, and nothing is taken after that")
    func malformed() throws {
        for request in Self.wrong {
            var acceptor = Self.acceptor(try .of(1))
            guard case .refuse(let response, _) = acceptor.received(request) else {
                Issue.record("\(request)")
                continue
            }
            #expect(response.code == .unauthorized)
            guard case .refuse = acceptor.received(Self.initiator(try .of(1)).hello) else {
                Issue.record("went on after a refusal")
                return
            }
        }
    }

    @Test("The cluster secret has at least 32 bytes, is never printed, and its proof tells the parts apart")
    func secret() throws {
        #expect(throws: CloudError.self) { try ClusterSecret([UInt8](repeating: 1, count: 31)) }
        let secret = try ClusterSecret(Array("0123456789abcdef0123456789abcdef".utf8))
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped, "\(ClusterSecrets(current: secret))"] {
            #expect(!text.contains("0123"))
        }
        let proof = secret.proof(of: [[1, 2], [3]])
        #expect(proof.count == ClusterSecret.proofBytes)
        #expect(secret.proves(proof, [[1, 2], [3]]))
        #expect(!secret.proves(proof, [[1], [2, 3]]))
        #expect(!secret.proves(Array(proof.dropLast()), [[1, 2], [3]]))
        // The bytes are those of the standard: two parts behind their lengths.
        let plain: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3]
        let key = SymmetricKey(data: Array("0123456789abcdef0123456789abcdef".utf8))
        #expect(proof == Array(HMAC<SHA512>.authenticationCode(for: plain, using: key)))
    }
}
