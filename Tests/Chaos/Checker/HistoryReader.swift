import FoundationEssentials
import TestSupport

/// Reads the folder of a run: `run.jsonl`, `traffic.jsonl`, `fleet-*.jsonl` and `logs/{pod}.log`.
///
/// Nothing in it stops the reading; what is missing or cannot be understood becomes an obstacle of the history.
package struct HistoryReader {
    package let folder: String
    private let decoder = JSONDecoder()
    private var history = History()

    package init(folder: String) {
        self.folder = folder
    }

    package static func read(_ folder: String) -> History {
        var reader = HistoryReader(folder: folder)
        return reader.read()
    }

    private mutating func read() -> History {
        guard FileManager.default.fileExists(atPath: "\(self.folder)/run.jsonl") else {
            self.history.obstacles.append(
                "\(self.folder)/run.jsonl: No such file or directory. Name the folder that a run has written.")
            return self.history
        }
        // First, for who reads a fleet has to know when the run was over.
        self.lines(of: "run.jsonl") { try $0.add($1.decoded(RunRecord.self, by: $2)) }
        self.lines(of: "traffic.jsonl") { history, line, decoder in
            if line.end(of: "\"event\":\"request\"") != nil {
                try history.add(line.decoded(RequestRecord.self, by: decoder))
            } else if line.end(of: "\"event\":\"presence\"") != nil {
                try history.add(line.decoded(PresenceRecord.self, by: decoder))
            } else {
                try history.add(line.decoded(TrafficRecord.self, by: decoder))
            }
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: self.folder)) ?? []
        let fleets = names.filter { $0.hasPrefix("fleet-") && $0.hasSuffix(".jsonl") }.sorted()
        if fleets.isEmpty {
            self.history.obstacles.append(
                "There is no fleet-*.jsonl: nobody knows what reached the devices. "
                    + "Give the fleets --history, or name the folder of a run.")
        }
        for (index, name) in fleets.enumerated() {
            self.lines(of: name) { try $0.add($1.decoded(DeviceRecord.self, by: $2), fleet: index) }
        }
        self.readLogs()
        self.history.settle()
        return self.history
    }

    private mutating func lines(
        of name: String, _ add: (inout History, UnsafeRawBufferPointer, JSONDecoder) throws -> Void,
    ) {
        var lines = HistoryLines("\(self.folder)/\(name)")
        var number = 0
        do {
            try lines.forEach { line, isWhole in
                number += 1
                do {
                    try add(&self.history, line, self.decoder)
                } catch  where isWhole {
                    throw UnreadableHistory(
                        "\(name):\(number) is no record: \(String(decoding: line.prefix(200), as: UTF8.self))")
                } catch {
                    self.history.truncated += 1
                }
            }
        } catch {
            self.history.obstacles.append(
                "\(error) Nothing can be concluded without it: run again with this version, or name the folder of a run."
            )
        }
    }

    private mutating func readLogs() {
        let pods = self.history.processes.filter { $0.program == "coap-interface" }.map(\.name)
        if pods.isEmpty {
            self.history.obstacles.append(
                "run.jsonl tells of no coap-interface that was started, so no log can be read. "
                    + "Whoever runs the whole has to write down `started` for each.")
        }
        for pod in pods {
            self.history.epochs.beginLog()
            var lines = HistoryLines("\(self.folder)/logs/\(pod).log")
            do {
                try lines.forEach { line, _ in self.history.epochs.add(line) }
            } catch {
                self.history.obstacles.append(
                    "logs/\(error) Epochs cannot be judged without the log of each pod at level debug: run again.")
            }
        }
    }
}
