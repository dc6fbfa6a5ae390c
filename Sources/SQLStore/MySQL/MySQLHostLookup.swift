import Cloud
import Glibc
import Synchronization

/// Asks for the addresses of a name until a deadline. The plain call has no deadline: a resolver that does not answer
/// would hold a thread of the pool for half a minute. So a thread of its own asks, and is left alone when it is late.
enum MySQLHostLookup {
    /// Addresses that are tried at most.
    static let maximumAddresses = 4
    /// Questions without an answer; with more, nobody asks again.
    static let maximumQuestions = 16

    private static let questions = Atomic<Int>(0)

    /// - Returns: numeric addresses, at least one.
    static func addresses(of host: String, deadline: ContinuousClock.Instant) throws(SQLError) -> [String] {
        if self.isNumeric(host) { return [host] }
        guard self.questions.add(1, ordering: .relaxed).newValue <= self.maximumQuestions,
            let question = Question(host), question.start({ self.questions.subtract(1, ordering: .relaxed) })
        else {
            self.questions.subtract(1, ordering: .relaxed)
            throw SQLError(.unreachable, "the name \(host) cannot be looked up: too many look-ups have no answer")
        }
        return try question.answer(before: deadline)
    }

    private static func isNumeric(_ host: String) -> Bool {
        var four = in_addr()
        return host.contains(":") || inet_pton(AF_INET, host, &four) == 1
    }

    private final class Question: Sendable {
        private let host: String
        private let result = Mutex<Result<[String], SQLError>?>(nil)
        /// Closed for writing when the answer is there.
        private let reading: Int32
        private let writing: Int32

        init?(_ host: String) {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { return nil }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            self.host = host
            self.reading = ends[0]
            self.writing = ends[1]
        }

        deinit {
            close(self.reading)
            close(self.writing)
        }

        private final class Job {
            let question: Question
            let whenDone: () -> Void

            init(_ question: Question, _ whenDone: @escaping () -> Void) {
                self.question = question
                self.whenDone = whenDone
            }
        }

        func start(_ whenDone: @escaping () -> Void) -> Bool {
            let job = Unmanaged.passRetained(Job(self, whenDone))
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    let job = Unmanaged<Job>.fromOpaque(context).takeRetainedValue()
                    job.question.ask()
                    job.whenDone()
                    return nil
                }, job.toOpaque())
            guard status == 0 else {
                job.release()
                return false
            }
            pthread_detach(thread)
            return true
        }

        private func ask() {
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            hints.ai_flags = AI_ADDRCONFIG
            var list: UnsafeMutablePointer<addrinfo>?
            let status = getaddrinfo(self.host, nil, &hints, &list)
            let addresses = MySQLHostLookup.numeric(list)
            if let list { freeaddrinfo(list) }
            self.result.withLock { result in
                if status != 0 {
                    let why = String(cString: gai_strerror(status))
                    result = .failure(SQLError(.unreachable, "the name \(self.host) cannot be resolved: \(why)"))
                } else if addresses.isEmpty {
                    result = .failure(SQLError(.unreachable, "the name \(self.host) has no address"))
                } else {
                    result = .success(addresses)
                }
            }
            // The only byte ever: the pipe has room for it.
            _ = write(self.writing, [0], 1)
        }

        func answer(before deadline: ContinuousClock.Instant) throws(SQLError) -> [String] {
            var event = pollfd(fd: self.reading, events: Int16(POLLIN), revents: 0)
            while true {
                if let result = self.result.withLock({ $0 }) { return try result.get() }
                let left = deadline - .now
                guard left > .zero else { throw SQLError(.late, "the name \(self.host) was not resolved in time") }
                poll(&event, 1, Int32(clamping: left.clampedMilliseconds + 1))
            }
        }
    }

    private static func numeric(_ first: UnsafeMutablePointer<addrinfo>?) -> [String] {
        var addresses: [String] = []
        var next = first
        while let entry = next, addresses.count < self.maximumAddresses {
            next = entry.pointee.ai_next
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let status = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            guard status == 0 else { continue }
            let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if !addresses.contains(address) { addresses.append(address) }
        }
        return addresses
    }
}
