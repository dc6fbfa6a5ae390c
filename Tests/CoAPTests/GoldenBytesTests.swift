import CoAP
import NIOCore
import Testing

struct GoldenBytesTests {
    @Test("RFC 8323 §3.2: a recorded frame is read as what its sender meant", arguments: Recording.all)
    func read(_ recording: Recording) throws {
        var buffer = ByteBuffer(bytes: recording.frame)
        let message = try #require(try Message(readingFrameFrom: &buffer, limits: FrameLimits()))
        #expect(message == recording.message)
        #expect(buffer.readableBytes == 0)
    }

    @Test("RFC 8323 §3.2: what a recorded frame means is written byte for byte as it was", arguments: Recording.all)
    func write(_ recording: Recording) {
        #expect(recording.message.frame == recording.frame)
        #expect(recording.message.frameLength == recording.frame.count)
    }

    @Test("Every recorded frame is among the tests")
    func count() {
        #expect(Recording.all.count == 24)
    }

    @Test("OCF CNC §8.2: the typed options of a recorded sign-up say what its bytes say")
    func signUp() throws {
        let options = try #require(Recording.all.first { $0.name == "sign-up request" }).message.options
        #expect(options.path == ["oic", "sec", "account"])
        #expect(options.contentFormat == .ocfCBOR)
        #expect(options.accept == .ocfCBOR)
        #expect(options.ocfAcceptVersion == .v1_0_0)
        #expect(options.ocfVersion == .v1_0_0)
        #expect(options.queries == [])
    }

    @Test("RFC 7641 §2: a recorded notification carries its Observe value, a first answer an empty one")
    func observe() throws {
        let notification = try #require(Recording.all.first { $0.name == "notification" }).message
        #expect(notification.options.observe == 2)
        let first = try #require(Recording.all.first { $0.name == "first answer to observe" }).message
        #expect(first.options.observe == 0)
    }

    @Test("RFC 8323 §5.3: libcoap's recorded CSM announces 8 MiB and block-wise transfers")
    func csm() throws {
        let message = try #require(Recording.all.first { $0.name == "libcoap's CSM" }).message
        #expect(try Signal(message) == .csm(CSM(maxMessageSize: 8_388_864, blockWiseTransfer: true)))
    }

    @Test("RFC 8323 §5.5: the recorded Release says Hold-Off 1")
    func release() throws {
        let message = try #require(Recording.all.first { $0.name == "Release with Hold-Off 1" }).message
        #expect(try Signal(message) == .release(alternativeAddresses: [], holdOffSeconds: 1))
    }
}
