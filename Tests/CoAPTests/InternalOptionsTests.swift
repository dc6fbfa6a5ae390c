import CoAP
import NIOCore
import Testing

struct InternalOptionsTests {
    @Test("Each internal option is read as it was written, and can be taken away")
    func roundTrip() {
        var options = Options()
        options.path = ["light"]
        options.deadlineMilliseconds = 20_000
        options.fence = Fence(epoch: 1 << 52, uid: "u-1")
        options.requestID = "r-1"
        options.undelivered = .moving
        options.unknownOutcome = .noAnswer
        options.sessionUser = "ü"
        options.sessionDevice = "d-1"
        options.endpoint = "coap+tcp://[::1]:5683"
        options.caller = "northbound"
        options.sessionKind = "device"
        options.sessionExpiryMilliseconds = 1 << 40
        options.errorField = "di"
        options.bodyTag = 1 << 33
        #expect(options.count == 14)
        #expect(options.bodyTag == 1 << 33)
        #expect(options.caller == "northbound")
        #expect(options.sessionKind == "device")
        #expect(options.sessionExpiryMilliseconds == 1 << 40)
        #expect(options.errorField == "di")
        #expect(options.deadlineMilliseconds == 20_000)
        #expect(options.fence == Fence(epoch: 1 << 52, uid: "u-1"))
        #expect(options.requestID == "r-1")
        #expect(options.undelivered == .moving)
        #expect(options.unknownOutcome == .noAnswer)
        #expect(options.sessionUser == "ü")
        #expect(options.sessionDevice == "d-1")
        #expect(options.endpoint == "coap+tcp://[::1]:5683")
        options.deadlineMilliseconds = nil
        options.fence = nil
        options.requestID = nil
        options.bodyTag = nil
        options.undelivered = nil
        options.unknownOutcome = nil
        options.sessionUser = nil
        options.sessionDevice = nil
        options.endpoint = nil
        options.caller = nil
        options.sessionKind = nil
        options.sessionExpiryMilliseconds = nil
        options.errorField = nil
        #expect(options.map(\.number) == [.uriPath])
    }

    @Test("Setting an internal option replaces it")
    func replace() {
        var options = Options()
        options.deadlineMilliseconds = 1
        options.deadlineMilliseconds = 2
        options.requestID = "a"
        options.requestID = "b"
        #expect(options.count == 2)
        #expect(options.deadlineMilliseconds == 2)
        #expect(options.requestID == "b")
    }

    @Test("Everything from 65280 on is removed, nothing below it")
    func removal() {
        var options = Options()
        options.path = ["a"]
        options.append(OptionNumber(rawValue: 65279), uint: 1)
        #expect(!options.hasInternal)
        options.removeInternal()
        #expect(options.count == 2)
        options.append(OptionNumber(rawValue: 65280), uint: 1)
        options.append(OptionNumber(rawValue: 65535), uint: 1)
        options.deadlineMilliseconds = 5
        #expect(options.hasInternal)
        options.removeInternal()
        #expect(!options.hasInternal)
        #expect(options.map(\.number.rawValue) == [11, 65279])
    }

    @Test("What is no value of an internal option counts as absent")
    func malformed() {
        var options = Options()
        options.append(.deadline, uint: 1 << 32)
        options.append(.fence, bytes: [1, 2, 3])
        options.append(.undelivered, uint: 99)
        options.append(.unknownOutcome, uint: 256 + 1)
        options.append(.requestID, bytes: [0xFF])
        #expect(options.deadlineMilliseconds == nil)
        #expect(options.fence == nil)
        #expect(options.undelivered == nil)
        #expect(options.unknownOutcome == nil)
        #expect(options.requestID == nil)
    }

    @Test("The numbers of the internal options are fixed, since two versions run side by side")
    func numbers() {
        #expect(OptionNumber.deadline.rawValue == 65282)
        #expect(OptionNumber.fence.rawValue == 65283)
        #expect(OptionNumber.requestID.rawValue == 65284)
        #expect(OptionNumber.undelivered.rawValue == 65286)
        #expect(OptionNumber.sessionUser.rawValue == 65287)
        #expect(OptionNumber.sessionDevice.rawValue == 65289)
        #expect(OptionNumber.unknownOutcome.rawValue == 65290)
        #expect(OptionNumber.endpoint.rawValue == 65291)
        #expect(OptionNumber.sessionKind.rawValue == 65292)
        #expect(OptionNumber.caller.rawValue == 65293)
        #expect(OptionNumber.sessionExpiry.rawValue == 65294)
        #expect(OptionNumber.errorField.rawValue == 65296)
        #expect(OptionNumber.sessionFamily.rawValue == 65298)
        #expect(OptionNumber.page.rawValue == 65300)
        #expect(OptionNumber.sequence.rawValue == 65302)
        #expect(OptionNumber.idempotent.rawValue == 65304)
        #expect(Undelivered.allCases.map(\.rawValue) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
        #expect(UnknownOutcome.allCases.map(\.rawValue) == [1, 2, 3])
    }
}
