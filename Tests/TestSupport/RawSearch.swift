import Glibc

extension UnsafeRawBufferPointer {
    /// Where a text ends that stands in these bytes for the first time; nil if it does not. Logs are long, and a search
    /// by characters is slow.
    package func end(of text: StaticString) -> Int? {
        let length = text.utf8CodeUnitCount
        guard let base = self.baseAddress, length > 0 else { return nil }
        var from = 0
        while self.count - from >= length,
            let found = memchr(base + from, Int32(text.utf8Start.pointee), self.count - from - length + 1)
        {
            let index = UnsafeRawPointer(found) - base
            if memcmp(found, text.utf8Start, length) == 0 { return index + length }
            from = index + 1
        }
        return nil
    }
}
