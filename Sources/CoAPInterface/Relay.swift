import CoAP
import NIOCore

/// How a request looks on the device's own connection, and how what became of it looks to whoever asked.
enum Relay {
    /// The request as the device sees it: without the segment that named it, without what was between us and the asker
    /// (RFC 7252 §5.7.1). Observe is the gateway's own business.
    static func towardsDevice(_ request: Request) -> Request {
        var options = request.options
        options.removeInternal()
        options.removeFirst(.uriPath)
        options.removeAll { Self.hopByHop.contains($0) }
        return Request(request.method, options: options, payload: request.payload)
    }

    private static let hopByHop: Set<OptionNumber> = [
        .uriHost, .uriPort, .proxyUri, .proxyScheme, .noResponse, .hopLimit, .observe,
    ]

    /// The one place where what a connection says about a request becomes a response.
    static func response(for result: Result<Response, ExchangeError>) -> Response {
        switch result {
        case .success(var response):
            response.options.removeAll(.observe)
            return response
        case .failure(let error):
            return self.response(for: error)
        }
    }

    /// The same for what is observed: that it goes on, or how it ended.
    static func event(for result: Result<ObservationEvent, ExchangeError>) -> ObservationEvent {
        switch result {
        case .success(.notified(let response)): .notified(self.response(for: .success(response)))
        case .success(.ended(let response)): .ended(self.response(for: .success(response)))
        case .failure(let error): .ended(self.response(for: error))
        }
    }

    private static func response(for error: ExchangeError) -> Response {
        switch error.failure {
        case .timedOut:
            return error.delivered
                ? self.unknown(.noAnswer, .gatewayTimeout, "the device did not answer in time")
                : self.undelivered(.late, .gatewayTimeout, "the device is busy: the request waited too long to be sent")
        case .connectionLost:
            return error.delivered
                ? self.unknown(
                    .connectionLost, .badGateway, "the device's connection was lost before it answered")
                : self.undelivered(.noSession, .serviceUnavailable, "the device's connection was lost")
        case .closing:
            return self.moving()
        case .queueFull:
            return self.undelivered(.queueFull, .serviceUnavailable, "too many requests wait for the device")
        case .tooLarge(let size, let maximum):
            let text = "the request of \(size) bytes exceeds the device's Max-Message-Size \(maximum)"
            return self.undelivered(.tooLarge, .requestEntityTooLarge, text)
        case .unusableResponse(let fault):
            // RFC 7252 §5.4.1: the device did answer, only not in a way that can be used.
            return self.unknown(.unusableAnswer, .badGateway, "the device's answer cannot be used: \(fault)")
        }
    }

    static func undelivered(_ reason: Undelivered, _ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text, maxAge: code == .serviceUnavailable ? 1 : nil)
        response.options.undelivered = reason
        return response
    }

    /// The answer where no session is: with the time after which asking again makes sense.
    static func offline() -> Response {
        var response = Response(.serviceUnavailable, diagnostic: "the device is not connected", maxAge: 10)
        response.options.undelivered = .noSession
        return response
    }

    /// The last word of an observation of a device that signed out, or whose right was taken away.
    static func signedOut() -> Response {
        var response = Response(.serviceUnavailable, diagnostic: "the device has signed out", maxAge: 10)
        response.options.undelivered = .signedOut
        return response
    }

    /// The answer of a session that is not the device's newest.
    static func superseded() -> Response {
        self.undelivered(.superseded, .serviceUnavailable, "the device has signed in anew; ask again")
    }

    /// The answer while the device is between two sessions, or its session has to be confirmed first.
    static func moving() -> Response {
        self.undelivered(.moving, .serviceUnavailable, "the device is about to reconnect")
    }

    private static func unknown(_ outcome: UnknownOutcome, _ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text)
        response.options.unknownOutcome = outcome
        return response
    }
}
