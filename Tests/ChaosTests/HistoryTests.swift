import Chaos
import Foundation
import Testing

@Suite("The files of a chaos run")
struct HistoryTests {
    @Test("A line of a fleet's history is read as it is written")
    func deviceLine() throws {
        let line = """
            {"mono_ns":36150524453611,"wall_ns":1795293656608488223,"event":"delivered","di":"fleet-7","connection":1,\
            "request":"POST /light","body_n":12}
            """
        let record = try JSONDecoder().decode(DeviceRecord.self, from: Data(line.utf8))
        #expect(record.event == .delivered)
        #expect(record.time == 36_150_524_453_611)
        #expect(record.di == "fleet-7")
        #expect(record.bodyMark == 12)
    }
}
