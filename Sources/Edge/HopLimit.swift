import CoAP

/// Counts a request down, so that one that goes round in circles comes to an end (RFC 8768 §3).
enum HopLimit {
    /// What a request gets that came without: the default of RFC 8768 §3.
    static let initial: UInt8 = 16

    /// Counts one hop.
    /// - Returns: why the request goes no further, nil if it does.
    static func count(_ request: inout Request) -> Response? {
        guard let option = request.options.first(.hopLimit) else {
            request.options.hopLimit = Self.initial
            return nil
        }
        guard let value = option.uint, let hops = UInt8(exactly: value), hops > 0 else {
            return Response(.badRequest, diagnostic: "Hop-Limit is not between 1 and 255 (RFC 8768 §3)")
        }
        guard hops > 1 else {
            return Response(.hopLimitReached, diagnostic: "the request went through too many proxies (RFC 8768 §3)")
        }
        request.options.hopLimit = hops - 1
        return nil
    }
}
