import CoAP
package import OCF

// Every error that is not made at the edge itself becomes a problem here, and nowhere else.

extension Problem {
    /// The registry's answer. Its words are made for people and say what to do, so nothing is added to them.
    package init(registry error: RegistryError) {
        let kind: ProblemKind
        switch error.code {
        case _ where error.undelivered != nil: kind = .unavailable
        case .badRequest, .badOption, .notAcceptable, .unsupportedContentFormat, .unprocessableEntity:
            kind = error.field == nil ? .badRequest : .badField
        case .requestEntityTooLarge: kind = .badField
        case .unauthorized: kind = .unauthorized
        case .forbidden: kind = .forbidden
        case .notFound: kind = .notFound
        case .conflict: kind = .conflict
        case .tooManyRequests: kind = .tooManyRequests
        case .serviceUnavailable, .badGateway: kind = .unavailable
        case .gatewayTimeout: kind = .noAnswer
        default: kind = .internalError
        }
        switch kind {
        case .unavailable:
            self.init(kind, retryAfter: error.retryAfter?.wholeSeconds ?? 5)
        case .noAnswer:
            self.init(kind, "The registry did not answer in time.", remedy: "Look at what is there, then try again.")
        case .internalError:
            self.init(kind)
        default:
            self.init(
                kind, Self.sentence(error.message, error.field), remedy: "", field: error.field,
                retryAfter: error.retryAfter?.wholeSeconds)
        }
    }

    /// A body that is JSON, but not what the endpoint takes.
    package init(payload error: PayloadError) {
        switch error.code {
        case .unauthorized:
            self.init(.unauthorized, Self.sentence(error.message, error.field), remedy: "", field: error.field)
        default:
            self.init(
                error.field == nil ? .badBody : .badField, Self.sentence(error.message, error.field),
                field: error.field)
        }
    }

    /// An error the device itself answered, told in words or not at all.
    init(deviceAnswer answer: CoAP.Response, to exchange: DeviceExchange) {
        let name = answer.code.name.map { " \($0)" } ?? ""
        let words = answer.diagnostic.flatMap { $0.isEmpty ? nil : ": \($0.prefix(Self.maximumDiagnostic))" } ?? ""
        self.init(
            .deviceAnswer,
            "The device answered \(answer.code)\(name)\(words).",
            remedy: Self.remedy(answer.code),
            status: HTTPAnswer.status(answer, exchange),
            retryAfter: HTTPAnswer.retryAfter(answer),
            deviceCode: answer.code)
    }

    private static let maximumDiagnostic = 1024

    private static func remedy(_ code: Code) -> String {
        switch code {
        case .unauthorized, .forbidden:
            "The device's own access rules refuse the cloud: change them where the device was set up."
        case .notFound:
            "GET /devices/{di} lists the resources it has published."
        case .methodNotAllowed:
            "The resource does not have this method; its interfaces (GET /devices/{di}) tell which it has."
        case .notAcceptable:
            "Leave Accept out, or ask for application/vnd.ocf+cbor."
        case .unsupportedContentFormat:
            "Send application/json that is one whole value (only that becomes CBOR), or application/vnd.ocf+cbor."
        case .serviceUnavailable, .tooManyRequests:
            "Send the request again later."
        default:
            ProblemKind.deviceAnswer.remedy
        }
    }

    /// What we, and not the device, say of a request; nil for an answer of the device.
    init?(undelivered answer: CoAP.Response) {
        if let undelivered = answer.options.undelivered {
            switch answer.code {
            case .notFound: self.init(.unknownDevice)
            case .forbidden: self.init(.notYours)
            default: self.init(undelivered)
            }
        } else if let unknown = answer.options.unknownOutcome {
            self.init(unknown)
        } else {
            return nil
        }
    }

    /// The device did not get the request. Whose it is must have been found out before.
    init(_ undelivered: Undelivered) {
        switch undelivered {
        case .noSession, .superseded, .unreachable: self.init(.offline, retryAfter: 10)
        case .moving: self.init(.moving, retryAfter: 2)
        case .queueFull: self.init(.deviceBusy, retryAfter: 1)
        case .late: self.init(.noAnswer, "The request waited until its deadline and was not sent.")
        case .tooLarge: self.init(.bodyTooLarge, "The device takes smaller messages only; this one was not sent.")
        case .tooManyInFlight: self.init(.tooManyInFlight, retryAfter: 1)
        case .overloaded: self.init(.overloaded, retryAfter: 1)
        case .routesUnavailable: self.init(.routesUnavailable, retryAfter: 2)
        case .signedOut: self.init(.signedOut, retryAfter: 10)
        }
    }

    /// The device may have got the request.
    init(_ unknown: UnknownOutcome) {
        switch unknown {
        case .connectionLost: self.init(.outcomeUnknown)
        case .noAnswer: self.init(.noAnswer, "The device got the request, but did not answer in time.")
        case .unusableAnswer: self.init(.badDeviceAnswer)
        }
    }

    /// With a capital first letter and a full stop. A field's name is written as the field is: case matters in it.
    private static func sentence(_ text: String, _ field: String?) -> String {
        guard let first = text.first, let last = text.last else { return text }
        if let field, text.hasPrefix("\(field) ") { return Self.sentence("the field \(text)", nil) }
        return first.uppercased() + text.dropFirst() + (".!?".contains(last) ? "" : ".")
    }
}
