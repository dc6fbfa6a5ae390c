/// What the northbound is told at its start, already validated.
package struct NorthboundConfiguration: Sendable {
    /// Whether strangers may register users.
    package enum Registration: String, Sendable, CaseIterable {
        case open
        case closed
    }

    package var host: String
    /// 0 for any free port.
    package var port: Int
    /// The same over TLS, if there are certificates; nil: not at all.
    package var securePort: Int?
    package var registration: Registration
    /// How long a request to a device may take when the client does not say (`Prefer: wait=N`), 1…60 s.
    package var requestTimeout: Duration
    /// The largest body in bytes.
    package var maximumBodyBytes: Int
    /// The largest header in bytes, request line included.
    package var maximumHeaderBytes: Int
    package var maximumHeaderFields: Int
    /// How long a connection may be idle, or take for the head of a request.
    package var idleTimeout: Duration
    /// How long the body may take once the head is there.
    package var bodyTimeout: Duration
    package var maximumConnections: Int
    /// Requests in flight for one owner; one more is 429.
    package var maximumInFlightPerOwner: Int
    /// Requests in flight altogether; one more is 503.
    package var maximumInFlight: Int
    /// Registrations from one address: this many at once, then one a second.
    package var registrationBurst: Int
    /// Wrong device ids of one token: this many at once, then one a second.
    package var wrongDeviceBurst: Int
    /// How often an event stream says something at least.
    package var streamHeartbeat: Duration
    /// How long a client may take to read what was written to its event stream until it is dropped.
    package var streamPatience: Duration
    /// Event streams altogether; one more is 503.
    package var maximumStreams: Int
    /// Event streams of one owner; one more is 429.
    package var maximumStreamsPerOwner: Int
    /// How often logs of events are looked at that do not tell by themselves.
    package var eventPeriod: Duration

    package init(
        host: String = "127.0.0.1",
        port: Int = 8080,
        securePort: Int? = 8443,
        registration: Registration = .open,
        requestTimeout: Duration = .seconds(20),
        maximumBodyBytes: Int = 256 * 1024,
        maximumHeaderBytes: Int = 64 * 1024,
        maximumHeaderFields: Int = 100,
        idleTimeout: Duration = .seconds(60),
        bodyTimeout: Duration = .seconds(20),
        maximumConnections: Int = 20_000,
        maximumInFlightPerOwner: Int = 1024,
        maximumInFlight: Int = 10_000,
        registrationBurst: Int = 20,
        wrongDeviceBurst: Int = 60,
        streamHeartbeat: Duration = .seconds(15),
        streamPatience: Duration = .seconds(30),
        maximumStreams: Int = 10_000,
        maximumStreamsPerOwner: Int = 16,
        eventPeriod: Duration = .milliseconds(500),
    ) {
        self.host = host
        self.port = port
        self.securePort = securePort
        self.registration = registration
        self.requestTimeout = requestTimeout
        self.maximumBodyBytes = maximumBodyBytes
        self.maximumHeaderBytes = maximumHeaderBytes
        self.maximumHeaderFields = maximumHeaderFields
        self.idleTimeout = idleTimeout
        self.bodyTimeout = bodyTimeout
        self.maximumConnections = maximumConnections
        self.maximumInFlightPerOwner = maximumInFlightPerOwner
        self.maximumInFlight = maximumInFlight
        self.registrationBurst = registrationBurst
        self.wrongDeviceBurst = wrongDeviceBurst
        self.streamHeartbeat = streamHeartbeat
        self.streamPatience = streamPatience
        self.maximumStreams = maximumStreams
        self.maximumStreamsPerOwner = maximumStreamsPerOwner
        self.eventPeriod = eventPeriod
    }
}
