import CBOR
import Cloud
import CoAP
import NIOCore

/// Rewrites lists of links that come from a device, so that whoever reads them can follow them through the cloud.
///
/// A device writes `/light`; seen from outside that is `/{di}/light`, at the address the client dialled. Only answers
/// to `/oic/res` and to the links interface are touched: everything else passes byte for byte.
enum LinkList {
    static func isAsked(for request: Request) -> Bool {
        guard request.method == .get else { return false }
        let path = request.options.path?.dropFirst() ?? []
        return path.elementsEqual(["oic", "res"]) || request.options.queries?.contains("if=oic.if.ll") == true
    }

    /// The response with its links prefixed; unchanged if it is no list of links.
    static func prefixing(_ response: Response, di: DeviceID, endpoint: String?) -> Response {
        guard response.code == .content,
            response.options.contentFormat == .ocfCBOR || response.options.contentFormat == .cbor,
            let payload = response.payload,
            case .array(let items)? = try? DataItem(decoding: payload)
        else { return response }
        var rewritten: [DataItem] = []
        for item in items {
            guard let link = self.rewrite(item, di: di, endpoint: endpoint) else { return response }
            rewritten.append(link)
        }
        var result = response
        // The payload is another one now, so what stood for the old one goes (RFC 7252 §5.10.6).
        result.options.removeAll(.eTag)
        result.payload = DataItem.array(rewritten).encoded()
        return result
    }

    /// One link, or a map that holds some under `links`; nil for anything else.
    private static func rewrite(_ item: DataItem, di: DeviceID, endpoint: String?) -> DataItem? {
        guard case .map(let pairs) = item else { return nil }
        var isLink = false
        let changed: [DataItem.Pair] = pairs.compactMap { pair in
            switch (pair.key, pair.value) {
            case (.text("href"), .text(let href)) where href.hasPrefix("/"):
                isLink = true
                return DataItem.Pair(pair.key, .text("/\(di)\(href)"))
            case (.text("href"), .text):
                isLink = true
                return pair
            case (.text("links"), .array(let links)):
                let inner = links.compactMap { self.rewrite($0, di: di, endpoint: endpoint) }
                guard inner.count == links.count else { return pair }
                isLink = true
                return DataItem.Pair(pair.key, .array(inner))
            case (.text("eps"), _):
                // The device's own addresses cannot be reached from outside.
                return endpoint.map {
                    DataItem.Pair(pair.key, .array([.map(["ep": .text($0), "pri": .unsigned(1)])]))
                }
            default:
                return pair
            }
        }
        return isLink ? .map(changed) : nil
    }
}
