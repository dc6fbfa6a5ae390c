import CBOR
import Certificates
import CoAP
import OCF

/// A peer that has shown a certificate speaks for the device in it and for no other: the UUID in the certificate is the
/// `di` of account, session and tokenrefresh (OCF CNC §8).
enum CertificateRule {
    /// The answer to a request that names another device; nil if the registry may be asked.
    /// - Parameter session: the device that is signed in on the connection, for requests that name none.
    static func refusal(of request: Request, certificate: PeerCertificate?, session: String?) -> Response? {
        guard let certificate, Resource(path: request.options.path ?? []).isIdentity else { return nil }
        guard let uuid = certificate.uuid else {
            return Response(.unauthorized, diagnostic: "the certificate names no device: its CN has to be uuid:DI")
        }
        let named = Self.named(in: request)
        let devices = named.isEmpty ? [session].compactMap { $0 } : named
        if devices.isEmpty, request.method == .delete {
            // The registry would take the device from the access token alone.
            return Response(.unauthorized, diagnostic: "di is missing: it has to be the UUID in the certificate")
        }
        guard devices.allSatisfy({ $0.lowercased() == uuid.lowercased() }) else {
            return Response(.unauthorized, diagnostic: "di is not the UUID in the certificate of this connection")
        }
        return nil
    }

    /// Every `di` of payload and query, read as the registry reads them: what two read differently names two devices.
    /// What cannot be read the registry refuses.
    private static func named(in request: Request) -> [String] {
        var devices: [String] = []
        if let item = try? Negotiation.payload(of: request), case .map(let pairs) = item {
            devices += pairs.filter { $0.key == .text("di") }.compactMap(\.value.string)
        }
        if let query = try? Query(request.options) {
            devices += query.all("di")
        }
        return devices
    }
}
