package import Logging

/// Every key of our log lines, in one place so that one grep finds all of a kind.
package enum LogKey: String, CaseIterable, Sendable {
    /// The id that follows one request through every program (`X-Request-Id` over HTTP).
    case requestID = "request.id"
    case sessionID = "coap.session.id"
    case deviceID = "device.id"
    case userID = "user.id"
    /// Who asks: a kind and a short hash, never a token.
    case principal
    case httpMethod = "http.method"
    case httpStatus = "http.status"
    /// The pattern of the route, not the path itself, which carries ids of people's devices.
    case httpPath = "http.path"
    case coapMethod = "coap.method"
    case coapPath = "coap.path"
    case coapCode = "coap.code"
    case outcome
    case durationMilliseconds = "duration.ms"
    case errorCode = "error.code"
    case error
    case peerAddress = "peer.address"
    case podAddress = "pod.address"
    /// A pod with its boot id.
    case podName = "pod.name"
    case address
    case port
    /// Another program that this one needs.
    case dependency
    case program
    case version
    case setting
    case path
    case reason
    case count
    case state
    case signal
    /// In bytes.
    case memoryUsed = "memory.used"
    case memoryLimit = "memory.limit"
}

extension Dictionary where Key == String, Value == Logger.MetadataValue {
    /// Metadata under our keys; what is `nil` is left out.
    package init(_ values: KeyValuePairs<LogKey, String?>) {
        self.init(minimumCapacity: values.count)
        for (key, value) in values {
            if let value { self[key.rawValue] = .string(value) }
        }
    }

    /// One value under one of our keys.
    package subscript(key key: LogKey) -> String? {
        get { self[key.rawValue].map { "\($0)" } }
        set { self[key.rawValue] = newValue.map { .string($0) } }
    }
}

extension Logger {
    /// Adds one value under one of our keys to every line of this logger.
    package subscript(key key: LogKey) -> String? {
        get { self[metadataKey: key.rawValue].map { "\($0)" } }
        set { self[metadataKey: key.rawValue] = newValue.map { .string($0) } }
    }
}
