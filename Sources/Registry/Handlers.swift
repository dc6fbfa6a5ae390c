import Cloud
import CoAP
import OCF

/// What the resources do, over the rules of the domain.
struct Handlers: Sendable {
    let identity: Identity
    let directory: Directory
    /// Goes into the answers of sign-ups; nil: not mentioned.
    let redirectURI: String?
    /// Told whose sessions must end, after the commit that took their right.
    let endSessions: @Sendable ([DeviceID]) -> Void
    /// What other programs may go by; nil: there are none.
    let tokenCache: (any TokenCache)?
    let feed: ChangeFeed
    let clock: any WallClock

    /// Every resource of the registry. What is not here is 4.04, what has no such method 4.05.
    var resources: [Resource] {
        [
            Resource(OCFPath.account, .anyone, .identity, [.post: self.signUp, .delete: self.signOff]),
            Resource(OCFPath.session, .anyone, .identity, [.post: self.session]),
            Resource(OCFPath.tokenRefresh, .anyone, .identity, [.post: self.refresh]),
            Resource(
                OCFPath.directory, .session, .directory,
                [.get: self.directoryProperties, .post: self.publish, .delete: self.unpublish]),
            Resource(OCFPath.discovery, .user, .directory, [.get: self.discover]),
            // What stacks before OCF 2.0 ask for.
            Resource(OCFPath.legacyAccount, .anyone, .identity, [.post: self.signUp, .delete: self.signOff]),
            Resource(OCFPath.legacySession, .anyone, .identity, [.post: self.session]),
            Resource(OCFPath.legacyTokenRefresh, .anyone, .identity, [.post: self.refresh]),
            // Our own programs'.
            Resource(RegistryProtocol.users, .program, .directory, [.post: self.registerUser]),
            Resource(RegistryProtocol.users, variable: "uid", .program, .directory, [.delete: self.deleteUser]),
            Resource(
                RegistryProtocol.mediators, .program, .directory,
                [.get: self.mediators, .post: self.provisionMediator]),
            Resource(RegistryProtocol.mediators, variable: "id", .program, .directory, [.delete: self.deleteMediator]),
            Resource(RegistryProtocol.codes, .program, .directory, [.post: self.provisionCode]),
            Resource(RegistryProtocol.tokens, .program, .identity, [.post: self.principal]),
            Resource(RegistryProtocol.clients, variable: "di", .program, .directory, [.delete: self.deleteClient]),
            Resource(RegistryProtocol.devices, .program, .directory, [.get: self.devices]),
            Resource(
                RegistryProtocol.devices, variable: "di", .program, .directory,
                [.get: self.device, .delete: self.deleteDevice]),
            Resource(RegistryProtocol.logins, .program, .directory, [.post: self.logins]),
            Resource(RegistryProtocol.changes, .program, holding: [.get: self.changes]),
        ]
    }
}
