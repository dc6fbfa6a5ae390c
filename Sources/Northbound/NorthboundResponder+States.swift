import Cloud
import CoAP
import HTTPTypes
import NIOCore

// What a device last said, without asking it.
extension NorthboundResponder {
    private static let query = "stored=true"

    /// Whether the client wants the stored state: `?stored=true`, or `Cache-Control: only-if-cached`
    /// (RFC 9111 §5.2.1.7).
    static func wantsStored(_ scope: RequestScope) -> Bool {
        guard scope.method == .get || scope.method == .head else { return false }
        return scope.target.queries.contains(Self.query) || Self.directives(scope).contains("only-if-cached")
    }

    private static func directives(_ scope: RequestScope) -> [String] {
        scope.fields[values: .cacheControl].flatMap { $0.split(separator: ",") }.map { $0.trimmedBlanks.lowercased() }
    }

    /// How old what is shown may be, in seconds (RFC 9111 §5.2.1.1).
    private static func maximumAge(_ scope: RequestScope) -> Int64? {
        let name = "max-age="
        return Self.directives(scope).compactMap { directive in
            directive.hasPrefix(name) ? Int64(directive.dropFirst(name.count)) : nil
        }.min()
    }

    /// The stored state of the owner's device, with its age (RFC 9111 §5.1).
    func storedState(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let device = try await self.owned(.device, &scope)
        let queries = scope.target.queries.filter { $0 != Self.query }
        let exchange = try DeviceExchange(
            DeviceHTTPRequest(
                method: scope.method, device: device.di, segments: scope.parameters.rest, queries: queries,
                fields: scope.fields))
        let resource = StoredResource(di: device.di, path: scope.parameters.rest, queries: queries)
        guard let state = try await self.stored(resource), state.uid == device.uid,
            // What was said before the device was registered was said for somebody else, or of something else.
            state.age <= self.clock.now() - device.createdAt
        else { throw Problem(.notStored) }
        let age = state.age.components.seconds
        if let most = Self.maximumAge(scope), age > most {
            throw Problem(.notStored, "What is stored was said \(age) seconds ago, which is longer than max-age.")
        }
        var response = CoAP.Response(.content, payload: ByteBuffer(bytes: state.payload))
        response.options.contentFormat = state.contentFormat.map(ContentFormat.init(rawValue:))
        var answer = try HTTPAnswer(device: response, to: exchange)
        answer.fields[.age] = "\(age)"
        return answer
    }

    private func stored(_ resource: StoredResource) async throws(Problem) -> StoredState? {
        guard let states = self.states else { return nil }
        do {
            return try await states.state(of: resource)
        } catch {
            throw Problem(.unavailable)
        }
    }
}
