import FoundationEssentials

/// A folder for temporary files, removed with this.
final class TestFolder: Sendable {
    let path: String

    init() {
        self.path = FileManager.default.temporaryDirectory.appendingPathComponent("certificates-\(UUID())").path
        // The first file that is written tells if it is not there.
        try? FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit {
        // What is left behind is in the directory for temporary files.
        try? FileManager.default.removeItem(atPath: self.path)
    }
}
