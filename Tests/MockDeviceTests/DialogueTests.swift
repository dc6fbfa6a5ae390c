import Cloud
import MockDevice
import Testing

@Suite("The dialogue")
struct DialogueTests {
    private let words = [
        "Target address [127.0.0.1:5683]: ",
        "User ID [none: register tells it]: ",
        "Device ID [OCF-cloud-device-test-uuid]: ",
        "Access token [none]: ",
        "Mediated one-time token [none]: ",
        "Refresh token [none]: ",
    ]

    @Test("it asks what the older mock device asked, in its order, and empty answers take what is shown")
    func order() throws {
        var dialogue = Dialogue(defaults: Answers(), given: [])
        var asked: [String] = []
        while let prompt = dialogue.prompt {
            asked.append(prompt)
            try dialogue.answer("  ")
        }
        #expect(asked == self.words)
        #expect(dialogue.answers == Answers())
    }

    @Test("every answer lands where it was asked for")
    func answers() throws {
        var dialogue = Dialogue(defaults: Answers(), given: [])
        for line in ["[::1]:7", "alice", "d-1", "at", "code", "rt"] {
            try dialogue.answer(line)
        }
        #expect(dialogue.question == nil)
        #expect(
            dialogue.answers
                == Answers(
                    address: ServerAddress(host: "::1", port: 7), uid: "alice", di: "d-1", accessToken: Secret("at"),
                    oneTimeToken: Secret("code"), refreshToken: Secret("rt")
                )
        )
    }

    @Test("a question whose flag is given is skipped", arguments: Question.allCases)
    func skipped(question: Question) throws {
        var dialogue = Dialogue(defaults: Answers(), given: [question])
        var asked: [Question] = []
        while let next = dialogue.question {
            asked.append(next)
            try dialogue.answer("")
        }
        #expect(asked == Question.allCases.filter { $0 != question })
    }

    @Test("with every flag given nothing is asked")
    func nothing() {
        #expect(Dialogue(defaults: Answers(), given: Set(Question.allCases)).prompt == nil)
    }

    @Test("a token that is the default is shown as its short hash")
    func hash() throws {
        let secret = try #require(Secret("very-secret"))
        let dialogue = Dialogue(
            defaults: Answers(accessToken: secret), given: Set(Question.allCases).subtracting([.accessToken]))
        let prompt = try #require(dialogue.prompt)
        #expect(prompt == "Access token [\(secret)]: ")
        #expect(!prompt.contains("very-secret"))
    }

    @Test("a bad answer leaves the question open")
    func bad() throws {
        var dialogue = Dialogue(defaults: Answers(), given: [])
        #expect(throws: AnswerError.self) { try dialogue.answer("host:99999") }
        #expect(dialogue.question == .address)
        try dialogue.answer("")
        #expect(throws: AnswerError.self) { try dialogue.answer(String(repeating: "u", count: 1025)) }
        #expect(dialogue.question == .uid)
        try dialogue.answer("")
        try dialogue.answer("")
        #expect(throws: AnswerError.self) { try dialogue.answer(String(repeating: "t", count: 513)) }
        #expect(dialogue.question == .accessToken)
    }
}
