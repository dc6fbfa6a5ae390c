import Testing

@testable import Cloud

/// Row by row, the table of a family's states.
@Suite("Token families")
struct TokenFamilyTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)
    private static let codeEnd = start + .seconds(900)
    private static let tokenEnd = start + .seconds(6000)

    private let uid: UserID
    private let di: DeviceID
    private let claim: TokenFamily.Claim

    init() throws {
        self.uid = try UserID("somebody")
        self.di = try DeviceID("lamp")
        self.claim = TokenFamily.Claim(uid: self.uid, di: self.di)
    }

    private func makePending() -> TokenFamily {
        TokenFamily(
            id: FamilyID(stored: "f"), uid: self.uid, di: self.di, kind: .device, codeExpiresAt: Self.codeEnd)
    }

    /// Confirmed at `start`.
    private func makeConfirmed(_ generation: Int) -> TokenFamily {
        var family = self.makePending()
        for current in 1...generation {
            #expect(family.handle(self.access(current), now: Self.start) == .confirm)
            if current < generation {
                #expect(
                    family.handle(self.refresh(current), now: Self.start)
                        == .issue(generation: current + 1, reuse: false))
            }
        }
        return family
    }

    private func makePending(_ generation: Int) -> TokenFamily {
        var family = self.makeConfirmed(generation - 1)
        #expect(
            family.handle(self.refresh(generation - 1), now: Self.start)
                == .issue(generation: generation, reuse: false))
        return family
    }

    private func access(_ generation: Int, claim: TokenFamily.Claim? = nil) -> TokenFamily.Event {
        .access(generation: generation, expiresAt: Self.tokenEnd, claim: claim)
    }

    private func refresh(_ generation: Int, forgiven: Bool = false) -> TokenFamily.Event {
        .refresh(generation: generation, claim: self.claim, forgiven: forgiven)
    }

    @Test("CONFIRMED(g), refresh with R(g): g+1 is issued, PENDING(g+1)")
    func rowOne() {
        var family = self.makeConfirmed(3)
        #expect(family.handle(self.refresh(3), now: Self.start) == .issue(generation: 4, reuse: false))
        #expect(family.state == .pending)
        #expect(family.generation == 4)
        #expect(family.sealedUntil == nil)
    }

    @Test("PENDING(g+1), refresh with R(g): the reply again, however late, nothing changed")
    func repeatWhilePending() {
        var family = self.makePending(4)
        let before = family
        #expect(family.handle(self.refresh(3), now: Self.start) == .repeatReply)
        #expect(family.handle(self.refresh(3), now: Self.start + .seconds(86_400)) == .repeatReply)
        #expect(family == before)
    }

    @Test("PENDING(g+1), A(g) used: served until its own expiry, nothing changed")
    func oldAccessWhilePending() {
        var family = self.makePending(4)
        let before = family
        #expect(family.handle(self.access(3), now: Self.tokenEnd - .milliseconds(1)) == .serve)
        #expect(family.handle(self.access(3), now: Self.tokenEnd) == .refuse(.expired))
        #expect(family == before)
    }

    @Test("PENDING(g+1), A(g+1) used: CONFIRMED(g+1), pair g dead")
    func firstUse() {
        var family = self.makePending(4)
        let now = Self.start + .seconds(5)
        #expect(family.handle(self.access(4), now: now) == .confirm)
        #expect(family.state == .confirmed)
        #expect(family.confirmedAt == now)
        #expect(family.sealedUntil == now + .seconds(60))
        #expect(family.handle(self.access(4), now: now) == .serve)
        #expect(family.handle(self.access(3), now: now) == .refuse(.superseded))
    }

    @Test("PENDING(g+1), A(g+1) used after its expiry: refused, not confirmed")
    func expiredFirstUse() {
        var family = self.makePending(4)
        #expect(family.handle(self.access(4), now: Self.tokenEnd) == .refuse(.expired))
        #expect(family.state == .pending)
    }

    @Test("PENDING(g+1), refresh with R(g+1): CONFIRMED(g+1) and on as in row 1")
    func refreshConfirms() {
        var family = self.makePending(4)
        let now = Self.start + .seconds(5)
        #expect(family.handle(self.refresh(4), now: now) == .issue(generation: 5, reuse: false))
        #expect(family.state == .pending)
        #expect(family.confirmedAt == now)
        #expect(family.handle(self.access(3), now: now) == .refuse(.superseded))
        #expect(family.handle(self.access(4), now: now) == .serve)
    }

    @Test("BI-38: CONFIRMED(g+1), refresh with R(g) up to 60 s: the reply again, a late duplicate is not theft")
    func lateDuplicate() {
        var family = self.makeConfirmed(4)
        let before = family
        #expect(family.handle(self.refresh(3), now: Self.start + .seconds(60)) == .repeatReply)
        #expect(family == before)
    }

    @Test("BI-38: CONFIRMED(g+1), refresh with R(g) or older after 60 s: REVOKED", arguments: [1, 2, 3])
    func theft(_ generation: Int) {
        var family = self.makeConfirmed(4)
        #expect(family.handle(self.refresh(generation), now: Self.start + .milliseconds(60_001)) == .revoke)
        #expect(family.state == .revoked)
        #expect(family.sealedReply == nil)
    }

    @Test("BI-38: CONFIRMED(g+1), a token older than R(g) is theft at once", arguments: [1, 2])
    func oldTheft(_ generation: Int) {
        var family = self.makeConfirmed(4)
        #expect(family.handle(self.refresh(generation), now: Self.start) == .revoke)
    }

    @Test(
        "BI-38: the same from a peer whose certificate names di, or with recovery: as row 1, and told",
        arguments: 1...3,
    )
    func forgiven(_ generation: Int) {
        var family = self.makeConfirmed(4)
        let event = self.refresh(generation, forgiven: true)
        #expect(family.handle(event, now: Self.start + .seconds(61)) == .issue(generation: 5, reuse: true))
        #expect(family.state == .pending)
        #expect(family.handle(self.access(4), now: Self.start) == .serve)
    }

    @Test("PENDING(g+1), a token older than R(g): a late duplicate is refused, later it is theft")
    func olderWhilePending() {
        var family = self.makePending(4)
        #expect(family.handle(self.refresh(2), now: Self.start + .seconds(60)) == .refuse(.superseded))
        #expect(family.handle(self.refresh(1), now: Self.start + .seconds(60)) == .revoke)
        family = self.makePending(4)
        #expect(family.handle(self.refresh(2), now: Self.start + .seconds(61)) == .revoke)
    }

    @Test("any state, other uid or di: refused, the family untouched")
    func foreign() throws {
        let others = [
            TokenFamily.Claim(uid: try UserID("another"), di: self.di),
            TokenFamily.Claim(uid: self.uid, di: try DeviceID("another")),
        ]
        for before in [self.makePending(), self.makePending(4), self.makeConfirmed(4)] {
            for other in others {
                var family = before
                for generation in 1...4 {
                    let refresh = TokenFamily.Event.refresh(generation: generation, claim: other, forgiven: true)
                    #expect(family.handle(refresh, now: Self.start + .seconds(3600)) == .refuse(.foreign))
                    #expect(family.handle(self.access(generation, claim: other), now: Self.start) == .refuse(.foreign))
                }
                #expect(family == before)
            }
            var family = before
            let code = TokenFamily.Event.code(di: try DeviceID("another"), expiresAt: Self.codeEnd)
            #expect(family.handle(code, now: Self.start) == .refuse(.foreign))
            #expect(family == before)
        }
    }

    @Test("REVOKED, anything: refused")
    func revoked() {
        var family = self.makeConfirmed(2)
        #expect(family.handle(self.refresh(1), now: Self.start + .seconds(61)) == .revoke)
        let before = family
        for generation in 1...2 {
            #expect(family.handle(self.access(generation), now: Self.start) == .refuse(.revoked))
            #expect(family.handle(self.refresh(generation), now: Self.start) == .refuse(.revoked))
            #expect(family.handle(self.refresh(generation, forgiven: true), now: Self.start) == .refuse(.revoked))
        }
        #expect(family.handle(.code(di: self.di, expiresAt: nil), now: Self.start) == .refuse(.revoked))
        #expect(family == before)
    }

    @Test("BI-32: PENDING(1), the code again: the reply until the code's expiry")
    func codeRepeated() {
        var family = self.makePending()
        let code = TokenFamily.Event.code(di: self.di, expiresAt: Self.codeEnd)
        #expect(family.handle(code, now: Self.codeEnd - .milliseconds(1)) == .repeatReply)
        #expect(family.handle(code, now: Self.codeEnd) == .refuse(.expired))
        #expect(family == self.makePending())
    }

    @Test("BI-32: after the first use the code is spent, also when the first use was a refresh")
    func codeSpent() {
        let code = TokenFamily.Event.code(di: self.di, expiresAt: Self.codeEnd)
        var family = self.makeConfirmed(1)
        #expect(family.handle(code, now: Self.start) == .refuse(.spent))
        family = self.makePending(2)
        #expect(family.handle(code, now: Self.start) == .refuse(.spent))
    }

    @Test("PENDING(1): the first use is a refresh as well as a sign-in")
    func firstGeneration() {
        var family = self.makePending()
        #expect(family.handle(self.refresh(1), now: Self.start) == .issue(generation: 2, reuse: false))
        family = self.makePending()
        #expect(family.handle(self.access(1, claim: self.claim), now: Self.start) == .confirm)
    }
}
