import CoAP
import NIOCore
import Testing

/// Asking silent peers whether they are still there (RFC 8323 §5.4).
struct KeepaliveTests {
    static let configuration = ConnectionConfiguration(
        keepalive: .init(time: .seconds(60), interval: .seconds(10), retry: 3))

    @Test("C-27, BI-12: a silent peer is pinged after 60 s, then each 10 s, and closed after the third Ping")
    func silence() throws {
        let conversation = Conversation(Self.configuration)
        let outgoing = try conversation.wrote(within: .minutes(5))
        #expect(conversation.nextDeadline == .seconds(60))
        conversation.pass(.seconds(60))
        var tokens: Set<Token> = []
        for _ in 0..<3 {
            let ping = try conversation.pinged()
            #expect(ping.code == .ping)
            #expect(ping.token.count == 8)
            tokens.insert(ping.token)
            #expect(conversation.nextDeadline == .seconds(10))
            #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .seconds(10)))
            conversation.pass(.seconds(10))
        }
        #expect(tokens.count == 3)
        #expect(conversation.askWhatIsDue() == .close(.keepaliveTimeout))
        #expect(conversation.isClosed)
        #expect(conversation.close() == [outgoing.id: ExchangeError(.connectionLost, delivered: false)])
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
    }

    @Test("C-27: any byte proves the peer alive, a whole message is not needed")
    func anyByte() throws {
        let conversation = Conversation(Self.configuration)
        conversation.pass(.seconds(59))
        conversation.receiveBytes()
        conversation.pass(.seconds(59))
        #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .seconds(1)))
        conversation.pass(.seconds(1))
        _ = try conversation.pinged()
        conversation.pass(.seconds(10))
        _ = try conversation.pinged()
        conversation.pass(.seconds(5))
        conversation.receiveBytes()
        #expect(conversation.nextDeadline == .seconds(60))
        conversation.pass(.seconds(60))
        for _ in 0..<3 {
            _ = try conversation.pinged()
            conversation.pass(.seconds(10))
        }
        #expect(conversation.askWhatIsDue() == .close(.keepaliveTimeout))
    }

    @Test("Without keepalive nobody is pinged")
    func off() {
        let conversation = Conversation(.quiet)
        #expect(conversation.nextDeadline == nil)
        conversation.pass(.hours(1000))
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
    }

    @Test("A late look finds one Ping due, not one for each interval that passed")
    func lateLook() throws {
        let conversation = Conversation(Self.configuration)
        conversation.pass(.hours(1))
        _ = try conversation.pinged()
        #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .seconds(10)))
    }

    @Test("A Ping at somebody's wish goes out at any time before the end")
    func wish() throws {
        let conversation = Conversation(.quiet)
        #expect(try #require(conversation.ping()).code == .ping)
        _ = conversation.release()
        #expect(conversation.ping() != nil)
        _ = conversation.close()
        #expect(conversation.ping() == nil)
    }

    @Test("Clients ask after 20 s, then each 4 s")
    func client() throws {
        let conversation = Conversation(.client)
        #expect(conversation.nextDeadline == .seconds(20))
        conversation.pass(.seconds(20))
        _ = try conversation.pinged()
        #expect(conversation.nextDeadline == .seconds(4))
    }
}
