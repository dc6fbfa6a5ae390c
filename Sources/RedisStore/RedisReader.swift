import CHiredis
import NIOCore

/// Takes what the server sends apart, with hiredis' reader, which does no input itself.
///
/// The reader nests at most 7 arrays and refuses more. It has no bound of its own on sizes; hence ours on the bytes of
/// an answer that is not complete, and on the elements an array may announce.
final class RedisReader {
    static let maximumElements = 65_536

    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let maximumBytes: Int
    /// What came since the last complete answer.
    private var incomplete = 0

    /// - Throws: `unavailable` if there is no memory.
    init(maximumBytes: Int) throws(RedisError) {
        self.maximumBytes = maximumBytes
        self.functions = .allocate(capacity: 1)
        self.functions.initialize(to: Self.builders)
        guard let reader = redisReaderCreateWithFunctions(self.functions) else {
            self.functions.deallocate()
            throw .unavailable("no memory for a connection to Redis")
        }
        self.reader = reader
    }

    deinit {
        redisReaderFree(self.reader)
        self.functions.deallocate()
    }

    /// - Throws: `unavailable`; the connection cannot be read on after that.
    func feed(_ buffer: ByteBuffer) throws(RedisError) {
        self.incomplete += buffer.readableBytes
        guard self.incomplete <= self.maximumBytes else {
            throw .unavailable("Redis sent an answer of more than \(self.maximumBytes) bytes")
        }
        let result = buffer.withUnsafeReadableBytes { bytes in
            redisReaderFeed(self.reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard result == REDIS_OK else { throw self.failure }
    }

    /// The next complete answer, nil if more bytes are needed.
    func next() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(self.reader, &reply) == REDIS_OK else { throw self.failure }
        guard let reply else { return nil }
        self.incomplete = max(0, self.reader.pointee.len - self.reader.pointee.pos)
        return Unmanaged<Node>.fromOpaque(reply).takeRetainedValue().value
    }

    private var failure: RedisError {
        let text = withUnsafeBytes(of: self.reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return .unavailable("what Redis sent cannot be read, is it Redis at all? \(text)")
    }

    /// An answer or a part of one, while hiredis holds it.
    private final class Node {
        private let own: RedisValue?
        private var children: [Node] = []

        /// - Parameter own: nil for an array.
        init(_ own: RedisValue?) {
            self.own = own
        }

        var value: RedisValue { self.own ?? .array(self.children.map(\.value)) }

        /// Hands the node to hiredis: the outermost is its own until it gives it back, the others are their parents'.
        func attach(_ task: UnsafePointer<redisReadTask>?) -> UnsafeMutableRawPointer? {
            guard let parent = task?.pointee.parent?.pointee.obj else {
                return Unmanaged.passRetained(self).toOpaque()
            }
            Unmanaged<Node>.fromOpaque(parent).takeUnretainedValue().children.append(self)
            return Unmanaged.passUnretained(self).toOpaque()
        }
    }

    private static var builders: redisReplyObjectFunctions {
        redisReplyObjectFunctions(
            createString: { task, start, count in
                let bytes = UnsafeRawBufferPointer(start: start, count: count)
                if task?.pointee.type == REDIS_REPLY_STRING {
                    // hiredis waits for the two bytes that must follow, but does not look at them. Nothing back ends
                    // the connection.
                    let next = UnsafeRawBufferPointer(start: start, count: count + 2).suffix(2)
                    guard next.elementsEqual([UInt8(ascii: "\r"), UInt8(ascii: "\n")]) else { return nil }
                }
                let value: RedisValue =
                    switch task?.pointee.type {
                    case REDIS_REPLY_ERROR: .error(String(decoding: bytes.prefix(512), as: UTF8.self))
                    case REDIS_REPLY_STATUS: .status(String(decoding: bytes, as: UTF8.self))
                    default: .bytes(Array(bytes))
                    }
                return Node(value).attach(task)
            },
            createArray: { task, count in
                // Nothing back means no memory, and ends the connection.
                (0...Int32(RedisReader.maximumElements)).contains(count) ? Node(nil).attach(task) : nil
            },
            createInteger: { task, number in Node(.integer(Int64(number))).attach(task) },
            createNil: { task in Node(.null).attach(task) },
            freeObject: { object in
                if let object { Unmanaged<Node>.fromOpaque(object).release() }
            }
        )
    }
}
