/// Ends live sessions of devices and clients whose right was taken away.
package protocol SessionEnder: Sendable {
    /// - Parameter reason: what the device is told and the log says.
    func end(_ devices: [DeviceID], reason: String) async
}
