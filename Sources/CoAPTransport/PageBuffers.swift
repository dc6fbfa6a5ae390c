import Glibc
// Nothing else lets us say where NIOSSL's buffers come from.
@_spi(CustomByteBufferAllocator) import NIOCore

/// Buffers for connections with TLS: large ones are pages of their own.
///
/// NIOSSL keeps two for as long as a connection is open, 32 KiB to read into and 16 KiB to write from. A device that
/// says little never gets behind the first page of either, and a page nobody wrote to takes no memory. What comes from
/// `malloc` was mostly somebody else's before, and is there with all its pages.
enum PageBuffers {
    static let allocator = ByteBufferAllocator(
        allocate: { PageBuffers.allocate($0) },
        reallocate: { PageBuffers.reallocate($0, from: $1, to: $2) },
        deallocate: { PageBuffers.deallocate($0) },
        copy: { $0.copyMemory(from: $1, byteCount: $2) })

    private static let leastBytes = 16 << 10
    /// In front of each buffer, and as much as keeps it aligned: how many bytes were mapped; 0: they are from `malloc`.
    private static let headBytes = 16

    private static func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        let total = size + self.headBytes
        if size >= self.leastBytes,
            let pages = mmap(nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            pages != MAP_FAILED
        {
            pages.storeBytes(of: total, as: Int.self)
            return pages + self.headBytes
        }
        // Also where there are as many mappings as may be (vm.max_map_count).
        guard let block = malloc(total) else { return nil }
        block.storeBytes(of: 0, as: Int.self)
        return block + self.headBytes
    }

    private static func reallocate(
        _ old: UnsafeMutableRawPointer?, from oldSize: Int, to size: Int
    ) -> UnsafeMutableRawPointer? {
        guard let new = self.allocate(size) else { return nil }
        guard let old else { return new }
        new.copyMemory(from: old, byteCount: min(oldSize, size))
        self.deallocate(old)
        return new
    }

    private static func deallocate(_ buffer: UnsafeMutableRawPointer) {
        let start = buffer - self.headBytes
        let mapped = start.load(as: Int.self)
        guard mapped > 0 else { return free(start) }
        // It fails where a mapping would be split that may not be: then at least its pages are given back.
        if munmap(start, mapped) != 0 { madvise(start, mapped, MADV_DONTNEED) }
    }
}
