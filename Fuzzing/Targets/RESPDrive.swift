import NIOCore

@testable import RedisStore

/// One connection for commands: does what its handler does, and keeps books about who was told.
struct RESPDrive: ~Copyable {
    private static let maximumBytes = 512

    private var input: InputReader
    private var machine: RedisConnectionMachine
    private let reader: RedisReader
    private let limits: RedisLimits
    private var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// In step with the machine's entries: which command waits, nil where nobody does.
    private var waiting = CircularBuffer<Int?>()
    /// How often each command was told its result.
    private var completions: [Int] = []
    private var isReady = false
    private var isOver = false
    /// At least so many bytes were fed since the last complete answer.
    private var incomplete = 0

    init(_ input: InputReader) {
        self.input = input
        var limits = RedisLimits()
        limits.outstanding = 4
        limits.replyBytes = Self.maximumBytes
        self.limits = limits
        var configuration = RedisConfiguration(limits: limits)
        let choice = self.input.byte()
        if choice & 1 == 1 { configuration.password = RedisPassword("secret") }
        if choice & 2 == 2 { configuration.database = 3 }
        self.machine = RedisConnectionMachine(configuration, now: self.now)
        guard let reader = try? RedisReader(maximumBytes: Self.maximumBytes) else { fatalError("no memory") }
        self.reader = reader
        // Else most inputs would never get beyond the login.
        if choice & 4 == 4 {
            for _ in self.machine.opening { self.feed(ByteBuffer(string: "+OK\r\n")) }
        }
    }

    mutating func run() {
        while !self.input.isEmpty, !self.isOver {
            switch self.input.number(0...7) {
            case 0...2: self.submit()
            case 3: self.feed(ByteBuffer(string: "$5\r\nvalue\r\n"))
            case 4, 5: self.feed(self.input.bytes(self.input.number(0...64)))
            case 6: self.tick()
            default: self.now = self.now + .milliseconds(Int64(self.input.number(0...8000)))
            }
            self.checkBooks()
        }
        self.end()
        require(self.completions.allSatisfy { $0 == 1 }, "a command was told its result not once but otherwise")
        require(self.machine.received(.status("OK"), now: self.now) == .wait, "an answer counts behind the end")
        require(self.machine.tick(now: self.now) == .init(), "something is due behind the end")
    }

    private mutating func submit() {
        let deadline = self.now + .milliseconds(Int64(self.input.number(0...4000)))
        switch self.machine.submit(deadline: deadline, now: self.now) {
        case .write:
            require(self.isReady, "a command was sent before the login was done")
            self.waiting.append(self.completions.count)
            self.completions.append(0)
        case .refuse:
            break
        }
    }

    private mutating func feed(_ bytes: ByteBuffer) {
        guard !self.isOver else { return }
        self.incomplete += bytes.readableBytes
        do throws(RedisError) {
            try self.reader.feed(bytes)
            require(self.incomplete <= Self.maximumBytes, "\(self.incomplete) bytes are no complete answer")
            while !self.isOver, let value = try self.reader.next() {
                // Only the reader knows how many of the last bytes are behind it.
                self.incomplete = 0
                self.received(value)
            }
        } catch {
            self.end()
        }
    }

    private mutating func received(_ value: RedisValue) {
        switch self.machine.received(value, now: self.now) {
        case .wait:
            require(!self.isReady, "an answer was overlooked")
        case .ready:
            require(!self.isReady, "the login was done twice")
            self.isReady = true
        case .complete:
            self.complete()
        case .drop:
            guard case .some(nil) = self.waiting.popFirst() else {
                fatalError("an answer that is waited for was dropped")
            }
        case .completeAndClose:
            self.complete(isWaitedFor: false)
            self.end()
        case .close:
            self.end()
        }
    }

    /// - Parameter isWaitedFor: false: perhaps nobody does.
    private mutating func complete(isWaitedFor: Bool = true) {
        guard let command = self.waiting.popFirst() else { fatalError("an answer without a command") }
        require(command != nil || !isWaitedFor, "an answer that nobody waits for was not dropped")
        if let command { self.completions[command] += 1 }
    }

    private mutating func tick() {
        let action = self.machine.tick(now: self.now)
        for place in action.late {
            guard place < self.waiting.count else { fatalError("place \(place) is late, of \(self.waiting.count)") }
            let index = self.waiting.index(self.waiting.startIndex, offsetBy: place)
            guard let command = self.waiting[index] else { fatalError("late twice") }
            self.waiting[index] = nil
            self.completions[command] += 1
        }
        if action.probe { self.waiting.append(nil) }
        if action.close != nil { return self.end() }
        require(self.machine.tick(now: self.now) == .init(), "something is due twice at the same time")
    }

    private mutating func end() {
        self.isOver = true
        self.machine.ended()
        for case let command? in self.waiting { self.completions[command] += 1 }
        self.waiting.removeAll()
    }

    private func checkBooks() {
        require(self.machine.outstanding == self.waiting.count, "entries and those who wait are out of step")
        // A sign of life is asked for only where nothing else was.
        require(self.machine.outstanding <= self.limits.outstanding, "more commands are outstanding than may be")
    }
}
