import Cloud
import Cluster
import Logging
import Synchronization
import Testing

@Suite("What the rules of identity notice is told")
struct IdentityNewsTests {
    private final class Ended: Sendable {
        let devices = Mutex<[DeviceID]>([])
    }

    @Test("A refresh token that was used again is in its owner's log, and ends the session if the login is over")
    func tokenReuse() async throws {
        let clock = SystemWallClock()
        let events = InMemoryEventLog(clock: clock)
        let ended = Ended()
        let news = IdentityNews(
            events: events, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            endSessions: { devices, _ in ended.devices.withLock { $0 += devices } })
        let identity = Identity(
            store: InMemoryCloudStore(), clock: clock,
            sealer: try ReplySealer(keys: [Secret(random: SystemRandomSource())]),
            observer: news.tell)
        let (uid, di) = (try UserID("alice"), try DeviceID("lamp"))
        let user = try await identity.registerUser(uid, authProvider: "")
        let mediator = try await identity.provisionMediator(uid: uid, userToken: user)
        let code = try await identity.provisionCode(kind: .device, di: di, mediatorToken: mediator)
        let first = try await identity.signUp(di: di, code: code, authProvider: nil)
        var newest = first
        for _ in 0..<3 {
            newest = try await identity.refresh(uid: uid, di: di, refreshToken: newest.refreshToken)
        }
        #expect(try await events.read(of: uid, after: .start, limit: 10).events.isEmpty)
        await #expect(throws: CloudError.self) {
            try await identity.refresh(uid: uid, di: di, refreshToken: first.refreshToken)
        }
        let told = try await events.read(of: uid, after: .start, limit: 10).events
        #expect(told.map(\.event.kind) == [.tokenReuse])
        #expect(told.first?.event.di == di)
        #expect(told.first?.event.text.contains("provisioned again") == true)
        #expect(ended.devices.withLock { $0 } == [di])
    }
}
