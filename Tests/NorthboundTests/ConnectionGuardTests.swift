import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@testable import Northbound

@Suite("Connection guard")
struct ConnectionGuardTests {
    @Test(
        "RFC 9112 §9.6: the response begun after the program began to stop says Connection: close; others do not",
        arguments: [false, true])
    func lastResponse(stops: Bool) throws {
        let channel = EmbeddedChannel(
            handler: ConnectionGuard(bodyTimeout: .seconds(20)) { HTTPAnswer($0, requestID: "1") })
        try channel.writeInbound(
            HTTPRequestPart.head(HTTPRequest(method: .get, scheme: nil, authority: "x", path: "/errors")))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        if stops { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        // What waits for 100 is told to go on as before.
        channel.write(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil)
        channel.write(HTTPResponsePart.head(HTTPResponse(status: .ok)), promise: nil)
        channel.writeAndFlush(HTTPResponsePart.end(nil), promise: nil)
        var connection: [String?] = []
        while let part = try channel.readOutbound(as: HTTPResponsePart.self) {
            guard case .head(let head) = part else { continue }
            connection.append(head.headerFields[.connection])
        }
        #expect(connection == [nil, stops ? "close" : nil])
        // A timer may be left, which closes the channel: it does not matter any more.
        _ = try? channel.finish()
    }
}
