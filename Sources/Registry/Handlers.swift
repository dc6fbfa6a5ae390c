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

    /// Every resource of the registry. What is not here is 4.04, what has no such method 4.05.
    var resources: [Resource] {
        [
            Resource(OCFPath.account, .anyone, [.post: self.signUp, .delete: self.signOff]),
            Resource(OCFPath.session, .anyone, [.post: self.session]),
            Resource(OCFPath.tokenRefresh, .anyone, [.post: self.refresh]),
            Resource(
                OCFPath.directory, .session,
                [.get: self.directoryProperties, .post: self.publish, .delete: self.unpublish]),
            Resource(OCFPath.discovery, .user, [.get: self.discover]),
            // What stacks before OCF 2.0 ask for.
            Resource(OCFPath.legacyAccount, .anyone, [.post: self.signUp, .delete: self.signOff]),
            Resource(OCFPath.legacySession, .anyone, [.post: self.session]),
            Resource(OCFPath.legacyTokenRefresh, .anyone, [.post: self.refresh]),
            // Our own programs'.
            Resource(RegistryProtocol.users, .program, [.post: self.registerUser]),
            Resource(RegistryProtocol.users, variable: "uid", .program, [.delete: self.deleteUser]),
            Resource(RegistryProtocol.mediators, .program, [.post: self.provisionMediator]),
            Resource(RegistryProtocol.codes, .program, [.post: self.provisionCode]),
            Resource(RegistryProtocol.tokens, .program, [.post: self.principal]),
            Resource(RegistryProtocol.clients, variable: "di", .program, [.delete: self.deleteClient]),
            Resource(RegistryProtocol.devices, .program, [.get: self.devices]),
            Resource(
                RegistryProtocol.devices, variable: "di", .program,
                [.get: self.device, .delete: self.deleteDevice]),
        ]
    }
}
