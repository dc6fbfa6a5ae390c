import Glibc
import Testing

@testable import Chaos

@Suite("What the system says of a process")
struct ProcessFiguresTests {
    @Test("A process's own memory is read from smaps_rollup")
    func memory() {
        let text = """
            aaaae0a00000-fffff0c00000 ---p 00000000 00:00 0    [rollup]
            Rss:               52344 kB
            Pss:               30011 kB
            Pss_Anon:          21000 kB
            Anonymous:         21344 kB
            AnonHugePages:      2048 kB
            """
        #expect(ProcessFigures.memory(ofRollup: text) == 21_344)
        #expect(ProcessFigures.memory(ofRollup: "Rss: 1 kB\n") == nil)
    }

    @Test("Sockets are those at the port that a process has, without the one that listens")
    func sockets() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        func line(_ port: String, _ state: String, _ inode: String) -> String {
            "   0: 0100007F:\(port) 0200007F:A3F2 \(state) 00000000:00000000 00:00000000 00000000     0        0 \(inode) 1"
        }
        let table = [
            head, line("1633", "0A", "11"), line("1633", "01", "12"), line("1633", "08", "13"),
            // Nobody's: closed by the process, or not yet accepted.
            line("1633", "06", "0"), line("1633", "04", "0"),
            // At another port.
            line("1F90", "01", "14"),
        ].joined(separator: "\n")
        #expect(ProcessFigures.sockets(ofTable: table, port: 5683) == 2)
        #expect(ProcessFigures.sockets(ofTable: head, port: 5683) == 0)
    }

    @Test("A metric is summed over its labels, and not taken for another with a longer name")
    func metric() {
        let page = """
            # TYPE coap_connections_ended_total counter
            coap_connections_ended_total{reason="closed"} 3
            coap_connections_ended_total{reason="idle"} 4
            coap_sessions_active 5
            coap_sessions_active_more 9
            """
        #expect(ProcessFigures.metric("coap_connections_ended_total", in: page) == 7)
        #expect(ProcessFigures.metric("coap_sessions_active", in: page) == 5)
        #expect(ProcessFigures.metric("coap_sessions", in: page) == nil)
    }

    @Test("This process has memory and open files")
    func own() throws {
        #expect(try ProcessFigures.memory(of: getpid()) > 1000)
        #expect(try ProcessFigures.descriptors(of: getpid()) > 3)
        #expect(throws: RunError.self) { try ProcessFigures.descriptors(of: -1) }
    }
}
