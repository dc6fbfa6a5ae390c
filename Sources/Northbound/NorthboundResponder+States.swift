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
        return scope.target.queries.contains(Self.query)
            || scope.fields[values: .cacheControl].contains { $0.lowercased().contains("only-if-cached") }
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
        guard let state = try await self.stored(resource), state.uid == device.uid else { throw Problem(.notStored) }
        var response = CoAP.Response(.content, payload: ByteBuffer(bytes: state.payload))
        response.options.contentFormat = state.contentFormat.map(ContentFormat.init(rawValue:))
        var answer = try HTTPAnswer(device: response, to: exchange)
        let age = max(self.clock.now() - state.at, .zero)
        answer.fields[.age] = "\(age.components.seconds)"
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
