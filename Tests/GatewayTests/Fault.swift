/// Ways for a cloud to be wrong, each with the cases that have to notice.
enum Fault: String, CaseIterable, Sendable {
    // Frames.
    case takesASegmentForAFrame, dropsLongMessages, swallowsWhatIsMalformed, answersEmptyMessages
    case abortsAtForeignResponses, hasOneTokenSpace
    // Signalling.
    case sendsNoCSM, demandsACSM, obeysTheFirstCSMOnly, answersPingsWithoutToken, answersPingsAtOnce, ignoresRelease
    case answersAborts, neverPings
    // Identities.
    case answersWithoutContentFormat, saysServerErrorForEveryError, takesDefiniteCBOROnly, takesKnownKeysOnly
    case forgetsExpiresIn, keepsOldSessions, asksDevicesTwice, takesRefreshTokensOnce, neverAsksDevices
    // Links.
    case turnsLinksAround, countsLinksAnew, keepsLinksForEver, takesRelAsTextOnly, forgetsLinksOfOthers
    case listsWithoutAnchor, ignoresFilters, ignoresAccept, listsWhatIsHidden, marksEveryAnswerAsOCF
    // Requests to devices.
    case dropsQueriesOnTheWay, crossesAnswers, ignoresObserve, refusesBlocks, dropsBlocks
    // HTTP.
    case says200ToAll, decodesPathsTooEarly, sendsContentToHEAD, asksForNoToken, isFullAfterAWhile
    // TLS and WebSocket.
    case saysNothingOverTLS, namesNoSubprotocol, closesForNoReason

    /// The cases that have to fail, for what they are about.
    var noticedBy: [Int] {
        switch self {
        case .takesASegmentForAFrame: [1, 2]
        case .dropsLongMessages: [3, 15, 60]
        case .swallowsWhatIsMalformed: [4, 5, 6, 7, 8, 9, 10, 11, 15]
        case .answersEmptyMessages: [12]
        case .abortsAtForeignResponses: [13]
        case .hasOneTokenSpace: [14]
        case .sendsNoCSM: [16]
        case .demandsACSM: [17]
        case .obeysTheFirstCSMOnly: [18, 19, 20]
        case .answersPingsWithoutToken: [21, 23]
        case .answersPingsAtOnce: [22]
        case .ignoresRelease: [24]
        case .answersAborts: [26]
        case .neverPings: [27]
        case .answersWithoutContentFormat: [28, 33, 34, 41, 51, 54, 65]
        case .saysServerErrorForEveryError:
            [
                29, 30, 31, 32, 35, 38, 39, 40, 42, 43, 46, 47, 49, 52, 53, 57, 59, 61, 65, 71, 72, 73, 74, 76, 77, 78,
                80, 93,
            ]
        case .takesDefiniteCBOROnly: [33]
        case .takesKnownKeysOnly: [34]
        case .forgetsExpiresIn: [41, 51]
        case .keepsOldSessions: [45]
        case .asksDevicesTwice: [48]
        case .takesRefreshTokensOnce: [52]
        case .neverAsksDevices: [44, 45, 48, 68, 69, 93]
        case .turnsLinksAround: [54]
        case .countsLinksAnew: [55, 61]
        case .keepsLinksForEver: [56]
        case .takesRelAsTextOnly: [58]
        case .forgetsLinksOfOthers: [46, 62, 63]
        case .listsWithoutAnchor: [63]
        case .ignoresFilters: [64]
        case .ignoresAccept: [65]
        case .listsWhatIsHidden: [66]
        case .marksEveryAnswerAsOCF: [67]
        case .dropsQueriesOnTheWay: [68]
        case .crossesAnswers: [69]
        case .ignoresObserve: [75]
        case .refusesBlocks: [80]
        case .dropsBlocks: [80]
        case .says200ToAll: [81, 83, 84, 86, 93]
        case .decodesPathsTooEarly: [82]
        case .sendsContentToHEAD: [85]
        case .asksForNoToken: [86]
        case .isFullAfterAWhile: [87]
        case .saysNothingOverTLS: [50, 90, 91]
        case .namesNoSubprotocol: [88]
        case .closesForNoReason: [89]
        }
    }
}
