import Glibc

/// The clock all processes of a run write down.
package enum MonotonicTime {
    /// Nanoseconds since the machine's start.
    package static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
