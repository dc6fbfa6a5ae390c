import X509

/// What stood above a peer's certificate when it was checked.
struct IssuerPath: Hashable, Sendable {
    /// Those between it and the authority, nearest first.
    let between: [CertificateID]
    let authority: CertificateID
    /// When the first of them ends: seconds since 1970.
    let notAfter: Int64

    /// - Parameter verified: from the peer's own certificate to the authority's.
    init?(verified: [Certificate]) {
        guard let authority = verified.last else { return nil }
        // The anchor is trusted for what it is: no list takes it back, only who trusts it.
        let above = Array(verified.dropFirst())
        self.between = above.dropLast().map { CertificateID($0) }
        self.authority = CertificateID(authority: authority)
        self.notAfter = above.map(\.end).min() ?? authority.end
    }
}

/// The paths that were found since session tickets have their present keys. A resumed session shows the peer's own
/// certificate alone, and what stood above it may be revoked later.
struct IssuerPaths: Sendable {
    /// Of all issuers together: as many as the authorities have made, so not for a peer to choose.
    static let limit = 1000

    private var paths: [DistinguishedName: Set<IssuerPath>] = [:]
    private var count = 0

    /// - Returns: false if there is no place for another.
    mutating func insert(_ path: IssuerPath, of issuer: DistinguishedName) -> Bool {
        if self.paths[issuer]?.contains(path) == true { return true }
        guard self.count < Self.limit else { return false }
        self.count += 1
        self.paths[issuer, default: []].insert(path)
        return true
    }

    /// All that one of this issuer may have had; empty: it was never seen.
    func all(of issuer: DistinguishedName) -> [IssuerPath] { Array(self.paths[issuer] ?? []) }
}
