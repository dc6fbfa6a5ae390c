/// Every kind of error the northbound answers with: one table, from which docs/errors.md and `GET /errors` are made.
///
/// The raw value is the slug behind `/errors#` in a problem's `type` (RFC 9457 §3.1.1). A slug never changes its
/// meaning: clients switch over it.
package enum ProblemKind: String, CaseIterable, Sendable {
    // The request itself.
    case badTarget = "bad-target"
    case badHeader = "bad-header"
    case badBody = "bad-body"
    case badField = "bad-field"
    case badRequest = "bad-request"
    // Who is asking.
    case unauthorized = "unauthorized"
    case wrongPrincipal = "wrong-principal"
    case notYours = "not-yours"
    case forbidden = "forbidden"
    case registrationClosed = "registration-closed"
    // What is asked for.
    case notFound = "not-found"
    case unknownDevice = "unknown-device"
    case methodNotAllowed = "method-not-allowed"
    case notAcceptable = "not-acceptable"
    case bodyTimeout = "body-timeout"
    case conflict = "conflict"
    case userExists = "user-exists"
    case preconditionFailed = "precondition-failed"
    case bodyTooLarge = "body-too-large"
    case targetTooLong = "target-too-long"
    case unsupportedMediaType = "unsupported-media-type"
    case tooManyRequests = "too-many-requests"
    case tooManyInFlight = "too-many-in-flight"
    case tooManyStreams = "too-many-streams"
    case headerTooLarge = "header-too-large"
    case keyInUse = "key-in-use"
    case keyReused = "key-reused"
    case tooManyKeys = "too-many-keys"
    // What went wrong behind the edge.
    case internalError = "internal"
    case methodNotImplemented = "method-not-implemented"
    case notObservable = "not-observable"
    case deviceAnswer = "device-answer"
    case badDeviceAnswer = "bad-device-answer"
    case outcomeUnknown = "outcome-unknown"
    case offline = "offline"
    case signedOut = "signed-out"
    case moving = "moving"
    case deviceBusy = "device-busy"
    case overloaded = "overloaded"
    case noRoom = "no-room"
    case unavailable = "unavailable"
    case routesUnavailable = "routes-unavailable"
    case noAnswer = "no-answer"
    case notStored = "not-stored"
    case keysUnavailable = "keys-unavailable"

    package var slug: String { self.rawValue }

    /// The HTTP status, nil where it depends on what the device answered.
    package var status: Int? { self.entry.status }
    /// A short sentence that is the same for every problem of this kind (RFC 9457 §3.1.3).
    package var title: String { self.entry.title }
    /// What it means, for people.
    package var meaning: String { self.entry.meaning }
    /// What to do next, for people; it also ends the `detail` of a problem that names nothing better.
    package var remedy: String { self.entry.remedy }
}

extension ProblemKind {
    private struct Entry {
        var status: Int?
        var title: String
        var meaning: String
        var remedy: String

        init(_ status: Int?, _ title: String, _ meaning: String, _ remedy: String) {
            self.status = status
            self.title = title
            self.meaning = meaning
            self.remedy = remedy
        }
    }

    private var entry: Entry {
        switch self {
        case .badTarget:
            Entry(
                400, "The path or query cannot be read",
                "A segment is not percent-encoded UTF-8, is `.` or `..`, or holds a control character.",
                "Percent-encode each path segment and each query parameter as UTF-8.")
        case .badHeader:
            Entry(
                400, "A header field cannot be read",
                "The header field named by `field` has a value that cannot be understood, or stands there twice.",
                "Correct or leave out the header field named by `field`.")
        case .badBody:
            Entry(
                400, "The body is not a JSON object",
                "This endpoint reads one JSON object, whatever the Content-Type says.",
                "Send one JSON object, for instance {\"uid\": \"alice\"}, with nothing before or behind it.")
        case .badField:
            Entry(
                400, "A field is missing or has a wrong value",
                "The member of the body or the query parameter named by `field` is missing, of the wrong type or out "
                    + "of range.",
                "Correct the field named by `field`; openapi.yaml lists the fields of every endpoint.")
        case .badRequest:
            Entry(
                400, "The request cannot be understood",
                "The bytes on the connection are no HTTP/1.1 request, or the registry refused what they ask for.",
                "Compare the request with openapi.yaml.")
        case .notFound:
            Entry(
                404, "There is nothing here",
                "No endpoint has this path, or what it names does not exist.",
                "GET /openapi.yaml lists every endpoint.")
        case .unknownDevice:
            Entry(
                404, "The device is not known",
                "No device or client of this id is registered.",
                "GET /devices lists your devices. A device appears once it has signed up.")
        case .methodNotAllowed:
            Entry(
                405, "This endpoint does not have this method",
                "The path exists, but not with this method.",
                "Use one of the methods in the Allow header field.")
        case .notAcceptable:
            Entry(
                406, "None of the accepted media types can be given",
                "Devices speak CoAP, whose formats have numbers; none of the media types in Accept has one.",
                "Ask for application/json, application/vnd.ocf+cbor, or leave Accept out.")
        case .bodyTimeout:
            Entry(
                408, "The body did not arrive in time",
                "The request's head arrived, its body did not within the request's deadline.",
                "Send the request again over a better connection.")
        case .preconditionFailed:
            Entry(
                412, "The precondition failed",
                "No entity tag in If-Match is one this gateway gives out, so none can match.",
                "GET the resource and use the ETag it comes with.")
        case .bodyTooLarge:
            Entry(
                413, "The body is too large",
                "The body is larger than this gateway takes.",
                "Send less in one request.")
        case .targetTooLong:
            Entry(
                414, "The path or query is too long",
                "A path segment or a query parameter has more than 255 bytes (the limit of a CoAP option), or there "
                    + "are too many of them.",
                "Shorten the path and the query.")
        case .unsupportedMediaType:
            Entry(
                415, "This media type cannot be sent to a device",
                "The Content-Type has no CoAP Content-Format number, or the body is content-encoded.",
                "Send application/json, application/vnd.ocf+cbor, or application/coap-payload;cf=N for the "
                    + "Content-Format N.")
        case .headerTooLarge:
            Entry(
                431, "The header is too large",
                "The header fields are too many or too large.",
                "Send fewer and shorter header fields.")
        case .methodNotImplemented:
            Entry(
                501, "This method is not implemented",
                "OPTIONS, TRACE, CONNECT and methods nobody knows have no counterpart in CoAP.",
                "Use GET, HEAD, POST, PUT or DELETE.")
        case .unauthorized:
            Entry(
                401, "No valid token",
                "The request carries no access token, or one that is unknown, expired or revoked.",
                "Send `Authorization: Bearer TOKEN` with a token from /register/user, or from /oic/sec/account or "
                    + "/oic/sec/tokenrefresh for a client; refresh an expired one.")
        case .wrongPrincipal:
            Entry(
                403, "This kind of token may not do this",
                "The token is valid, but of another kind (user, mediator, client, device) than this endpoint asks for.",
                "Use a token of the kind named in `detail`; docs/http.md has the table.")
        case .notYours:
            Entry(
                403, "This belongs to somebody else",
                "The user, client or device exists, but not for the owner of this token.",
                "GET /devices lists what belongs to you.")
        case .forbidden:
            Entry(
                403, "This is not allowed",
                "The registry refused what the request asks for.",
                "Look at `detail`; docs/http.md has the table of who may do what.")
        case .registrationClosed:
            Entry(
                403, "Registration of users is closed",
                "This gateway does not let strangers register users.",
                "Ask the operator for an account, or, as the operator, start the gateway with REGISTRATION=open.")
        case .conflict:
            Entry(
                409, "The request conflicts with what is there",
                "What the request would make exists already or was changed meanwhile.",
                "Look at what is there, then decide whether to send the request again.")
        case .userExists:
            Entry(
                409, "The user exists already",
                "A user of this name is registered, and tokens are shown only once.",
                "Use the access token which the first registration returned, delete the user with it (DELETE "
                    + "/users/{uid}) and register again, or register under another uid.")
        case .tooManyRequests:
            Entry(
                429, "Too many requests",
                "This address or this token has asked too often.",
                "Wait as long as Retry-After says.")
        case .tooManyInFlight:
            Entry(
                429, "Too many requests at once",
                "The owner of this token has too many requests waiting for devices.",
                "Wait for some answers before asking more.")
        case .tooManyStreams:
            Entry(
                429, "Too many event streams",
                "The owner of this token has as many event streams open as one may have.",
                "Close one that is not needed any more; GET /events tells of all devices in one stream.")
        case .notObservable:
            Entry(
                501, "The device does not tell of changes",
                "The device answered, but it does not tell, or not any longer, when this resource changes; this ends "
                    + "an event stream.",
                "GET it now and then instead, or look for a link with the observable bit (GET /devices/{di}).")
        case .keyInUse:
            Entry(
                409, "The first request with this key has no answer yet",
                "A request with this Idempotency-Key is with the device now; this one was not sent to it.",
                "Send it again with the same key after the time in Retry-After: it gets the first one's answer.")
        case .keyReused:
            Entry(
                422, "The key stands for another request",
                "A request with this Idempotency-Key but another method, path, query, type or body came within the "
                    + "last 10 minutes; this one was not sent to the device.",
                "Make a new key for each thing to be done once.")
        case .tooManyKeys:
            Entry(
                429, "Too many answers are kept",
                "The answers to requests with an Idempotency-Key are kept for 10 minutes, and this owner's fill the "
                    + "room there is; this one was not sent to the device.",
                "Leave the key out where a second delivery does no harm, or wait as long as Retry-After says.")
        case .keysUnavailable:
            Entry(
                503, "Keys cannot be looked up now",
                "The request has an Idempotency-Key, and nobody can say at the moment whether it came before; it was "
                    + "not sent to the device.",
                "Send the request again after the time in Retry-After, with the same key.")
        case .internalError:
            Entry(
                500, "The gateway made a mistake",
                "Something that should not happen did.",
                "Report it with the request id: the gateway's log has the line.")
        case .deviceAnswer:
            Entry(
                nil, "The device refused the request",
                "The device itself answered with an error; `coap_code` is its code and the status follows from it.",
                "Look at the resources and methods the device offers (GET /devices/{di}) and at its own words in "
                    + "`detail`.")
        case .badDeviceAnswer:
            Entry(
                502, "The device's answer cannot be used",
                "The device answered with a code that means nothing to a client.",
                "The device has done what it has done; look at its state with GET.")
        case .outcomeUnknown:
            Entry(
                502, "The connection was lost after the request was sent",
                "The device got the request, then its connection broke: nobody knows whether it acted on it.",
                "Look at the device's state with GET before sending the request again.")
        case .notStored:
            // RFC 9111 §5.2.1.7.
            Entry(
                504, "No state of the resource is stored",
                "The request asks for what the device last said, and nothing of this resource is kept.",
                "What clients observe is kept (STORED_STATE=passive), or all that can be observed (observe): observe "
                    + "the resource once, or ask the device itself.")
        case .offline:
            Entry(
                503, "The device is not connected",
                "The device is registered, but has no connection to the cloud now; it did not get the request.",
                "Send the request again after the time in Retry-After; GET /devices shows who is online.")
        case .signedOut:
            Entry(
                503, "The device has signed out",
                "The device ended its session, or its login was taken away, while it was asked or observed; this ends "
                    + "an event stream.",
                "Ask or observe again once GET /devices shows it online, and stop if it is not listed there any more.")
        case .moving:
            Entry(
                503, "The device is between two connections",
                "The device is moving to another connection and did not get the request.",
                "Send the request again after the time in Retry-After.")
        case .deviceBusy:
            Entry(
                503, "The device has too many requests waiting",
                "The queue of this device is full; it did not get the request.",
                "Wait for some answers, then send the request again.")
        case .overloaded:
            Entry(
                503, "The gateway has too many requests waiting",
                "This gateway has as many requests in flight as it takes.",
                "Send the request again after the time in Retry-After.")
        case .noRoom:
            Entry(
                503, "The gateway takes no new connections now",
                "Memory or descriptors are short; the request was not looked at. Connections that are open are served.",
                "Send the request again after the time in Retry-After.")
        case .unavailable:
            Entry(
                503, "The registry cannot answer now",
                "Users, tokens and devices cannot be looked up at the moment. Nothing was changed.",
                "Send the request again after the time in Retry-After.")
        case .routesUnavailable:
            Entry(
                503, "Routes cannot be looked up now",
                "Nobody can say at the moment where the device is connected; it did not get the request.",
                "Send the request again after the time in Retry-After.")
        case .noAnswer:
            Entry(
                504, "No answer in time",
                "The request was sent or waited in a queue, and its deadline passed without an answer.",
                "Look at the device's state with GET before sending the request again; `Prefer: wait=N` gives it up "
                    + "to 60 seconds.")
        }
    }
}
