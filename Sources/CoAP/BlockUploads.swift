import NIOCore

/// Bodies that the peer sends in blocks (RFC 7959 §2.5), each until it is whole.
struct BlockUploads {
    private struct Upload {
        var body: ByteBuffer
        let contentFormat: ContentFormat?
        var until: NIODeadline
    }

    enum Refusal: Hashable {
        /// 4.00: the block is not as large as it says.
        case malformed
        /// 4.08: what came before it is not here, or is of another format.
        case incomplete
        /// 4.13.
        case tooLarge
        /// 5.03: as many are under way as may.
        case busy
    }

    enum Outcome: Hashable {
        case whole(ByteBuffer?)
        case wantsMore
        case refused(Refusal)
    }

    private let settings: BlockSettings
    private var uploads: [BlockKey: Upload] = [:]
    private(set) var bytes = 0

    init(_ settings: BlockSettings) {
        self.settings = settings
    }

    private var limits: BlockLimits { self.settings.limits }

    var count: Int { self.uploads.count }
    var nextDeadline: NIODeadline? { self.uploads.values.lazy.map(\.until).min() }

    mutating func received(_ request: Request, _ block: BlockOption, now: NIODeadline) -> Outcome {
        let count = request.payload?.readableBytes ?? 0
        guard block.holds(count) else { return .refused(.malformed) }
        let key = BlockKey(request)
        // Whatever comes of it, it is put back only if it goes on. A block 0 begins anew (RFC 7959 §2.5).
        var upload = self.take(key, continuedBy: request, block)
        guard upload != nil || block.number == 0 else { return .refused(.incomplete) }
        let announced = request.options.announcedSize(.size1) ?? 0
        // What more announces is at least one byte.
        let size = block.offset + count + (block.more ? 1 : 0)
        guard size <= self.limits.bodyBytes, announced <= UInt64(self.limits.bodyBytes) else {
            return .refused(.tooLarge)
        }
        guard block.more || upload != nil else { return .whole(request.payload) }
        guard self.uploads.count < self.limits.uploads, self.bytes + block.offset + count <= self.limits.uploadBytes
        else { return .refused(.busy) }
        if upload == nil {
            upload = Upload(body: ByteBuffer(), contentFormat: request.options.contentFormat, until: now)
        }
        // In place: a second holder would have all of it copied with each block.
        if let payload = request.payload { upload?.body.writeImmutableBuffer(payload) }
        guard block.more else { return .whole(upload?.body) }
        upload?.until = now + self.limits.uploadIdle
        self.bytes += block.offset + count
        self.uploads[key] = upload
        return .wantsMore
    }

    /// What there is of it so far, if this block is the next one.
    private mutating func take(_ key: BlockKey, continuedBy request: Request, _ block: BlockOption) -> Upload? {
        guard let upload = self.uploads.removeValue(forKey: key) else { return nil }
        self.bytes -= upload.body.readableBytes
        guard block.number > 0, block.offset == upload.body.readableBytes else { return nil }
        // RFC 7959 §2.9.2: 4.08 also where the format changes midway. Unspecified: one that is left out has not.
        if let format = request.options.contentFormat, format != upload.contentFormat { return nil }
        return upload
    }

    mutating func expire(now: NIODeadline) {
        for (key, upload) in self.uploads where upload.until <= now {
            self.uploads[key] = nil
            self.bytes -= upload.body.readableBytes
        }
    }

    mutating func removeAll() {
        self.uploads = [:]
        self.bytes = 0
    }
}
