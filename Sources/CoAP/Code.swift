/// A CoAP code: one byte, three bits of class and five of detail, printed `C.DD` (RFC 7252 §3).
package struct Code: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The code `class.detail`; both are cut to their bits, so only constants should come this way.
    package init(_ codeClass: UInt8, _ detail: UInt8) {
        self.rawValue = (codeClass & 0b111) << 5 | (detail & 0b1_1111)
    }

    package var codeClass: UInt8 { self.rawValue >> 5 }
    package var detail: UInt8 { self.rawValue & 0b1_1111 }
}

extension Code: CustomStringConvertible {
    package var description: String {
        "\(self.codeClass).\(self.detail < 10 ? "0" : "")\(self.detail)"
    }
}

extension Code {
    /// What a message is, told from its code alone (RFC 7252 §12.1, RFC 8323 §5).
    package enum Kind: Sendable, Hashable {
        case empty
        case request
        case response
        case signalling
        /// Class 3: unassigned, ignored. Unspecified: RFC 7252 reserves only 1, 6 and 7.
        case unassigned
        /// Classes 1 and 6: a message format error (RFC 7252 §4.2 with RFC 8323 §3.4).
        case reserved
    }

    package var kind: Kind {
        switch self.codeClass {
        case 0: self == .empty ? .empty : .request
        case 2, 4, 5: .response
        case 3: .unassigned
        case 7: .signalling
        default: .reserved
        }
    }

    /// True for 2.xx.
    package var isSuccess: Bool { self.codeClass == 2 }
}

extension Code {
    package static let empty = Code(0, 0)

    // Requests: RFC 7252 §12.1.1, RFC 8132 §6.
    package static let get = Code(0, 1)
    package static let post = Code(0, 2)
    package static let put = Code(0, 3)
    package static let delete = Code(0, 4)
    package static let fetch = Code(0, 5)
    package static let patch = Code(0, 6)
    package static let iPatch = Code(0, 7)

    // Responses: RFC 7252 §12.1.2; 2.31 and 4.08 RFC 7959 §2.9; 4.09 and 4.22 RFC 8132 §6;
    // 4.29 RFC 8516 §3; 5.08 RFC 8768 §4.
    package static let created = Code(2, 1)
    package static let deleted = Code(2, 2)
    package static let valid = Code(2, 3)
    package static let changed = Code(2, 4)
    package static let content = Code(2, 5)
    package static let `continue` = Code(2, 31)
    package static let badRequest = Code(4, 0)
    package static let unauthorized = Code(4, 1)
    package static let badOption = Code(4, 2)
    package static let forbidden = Code(4, 3)
    package static let notFound = Code(4, 4)
    package static let methodNotAllowed = Code(4, 5)
    package static let notAcceptable = Code(4, 6)
    package static let requestEntityIncomplete = Code(4, 8)
    package static let conflict = Code(4, 9)
    package static let preconditionFailed = Code(4, 12)
    package static let requestEntityTooLarge = Code(4, 13)
    package static let unsupportedContentFormat = Code(4, 15)
    package static let unprocessableEntity = Code(4, 22)
    package static let tooManyRequests = Code(4, 29)
    package static let internalServerError = Code(5, 0)
    package static let notImplemented = Code(5, 1)
    package static let badGateway = Code(5, 2)
    package static let serviceUnavailable = Code(5, 3)
    package static let gatewayTimeout = Code(5, 4)
    package static let proxyingNotSupported = Code(5, 5)
    package static let hopLimitReached = Code(5, 8)

    // Signalling: RFC 8323 §5.2.
    package static let capabilitiesAndSettings = Code(7, 1)
    package static let ping = Code(7, 2)
    package static let pong = Code(7, 3)
    package static let release = Code(7, 4)
    package static let abort = Code(7, 5)
}

extension Code {
    /// The assigned name ("Not Found"), nil for codes no registry entry exists for.
    package var name: String? {
        Self.names[self]
    }

    private static let names: [Code: String] = [
        .empty: "Empty", .get: "GET", .post: "POST", .put: "PUT", .delete: "DELETE", .fetch: "FETCH",
        .patch: "PATCH", .iPatch: "iPATCH",
        .created: "Created", .deleted: "Deleted", .valid: "Valid", .changed: "Changed", .content: "Content",
        .continue: "Continue",
        .badRequest: "Bad Request", .unauthorized: "Unauthorized", .badOption: "Bad Option", .forbidden: "Forbidden",
        .notFound: "Not Found", .methodNotAllowed: "Method Not Allowed", .notAcceptable: "Not Acceptable",
        .requestEntityIncomplete: "Request Entity Incomplete", .conflict: "Conflict",
        .preconditionFailed: "Precondition Failed", .requestEntityTooLarge: "Request Entity Too Large",
        .unsupportedContentFormat: "Unsupported Content-Format", .unprocessableEntity: "Unprocessable Entity",
        .tooManyRequests: "Too Many Requests",
        .internalServerError: "Internal Server Error", .notImplemented: "Not Implemented",
        .badGateway: "Bad Gateway", .serviceUnavailable: "Service Unavailable", .gatewayTimeout: "Gateway Timeout",
        .proxyingNotSupported: "Proxying Not Supported", .hopLimitReached: "Hop Limit Reached",
        .capabilitiesAndSettings: "CSM", .ping: "Ping", .pong: "Pong", .release: "Release", .abort: "Abort",
    ]
}
