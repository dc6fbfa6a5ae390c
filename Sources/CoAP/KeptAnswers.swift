import NIOCore

/// Answers of which the peer has got one block, kept so that it can fetch the others (RFC 7959 §2.4).
struct KeptAnswers {
    struct Answer {
        let key: BlockKey
        /// Which one it is, between our own programs.
        let tag: UInt64
        /// Without the payload.
        let head: Response
        let body: ByteBuffer
        var until: NIODeadline
    }

    private let settings: BlockSettings
    /// The newest is the last.
    private var answers: [Answer] = []
    private(set) var bytes = 0

    init(_ settings: BlockSettings) {
        self.settings = settings
    }

    private var limits: BlockLimits { self.settings.limits }

    var count: Int { self.answers.count }
    /// All are kept for the same time.
    var nextDeadline: NIODeadline? { self.answers.first?.until }

    func hasRoom(for body: ByteBuffer) -> Bool {
        self.answers.count < self.limits.keptAnswers && self.bytes + body.readableBytes <= self.limits.keptBytes
    }

    /// Keeps it, in the place of an older one for the same request or the oldest of all. False: it is too large.
    mutating func keep(_ answer: Answer) -> Bool {
        guard answer.body.readableBytes <= self.limits.keptBytes, self.limits.keptAnswers > 0 else { return false }
        if answer.tag == 0, let older = self.answers.firstIndex(where: { $0.key == answer.key }) {
            self.remove(at: older)
        }
        while !self.hasRoom(for: answer.body), !self.answers.isEmpty {
            self.remove(at: 0)
        }
        self.answers.append(answer)
        self.bytes += answer.body.readableBytes
        return true
    }

    private mutating func remove(at index: Int) {
        self.bytes -= self.answers.remove(at: index).body.readableBytes
    }

    /// The one this request asks for the rest of. Some clients drop their Request-Tag on the way.
    func answer(to key: BlockKey) -> Answer? {
        self.answers.last { $0.key == key } ?? (key.isTagged ? nil : self.answers.last { $0.key.isLike(key) })
    }

    func answer(tagged tag: UInt64) -> Answer? {
        self.answers.last { $0.tag == tag }
    }

    /// Nobody will ask for it again.
    mutating func drop(tagged tag: UInt64) {
        if let index = self.answers.firstIndex(where: { $0.tag == tag }) {
            self.remove(at: index)
        }
    }

    mutating func expire(now: NIODeadline) {
        while let first = self.answers.first, first.until <= now {
            self.remove(at: 0)
        }
    }

    mutating func removeAll() {
        self.answers = []
        self.bytes = 0
    }
}
