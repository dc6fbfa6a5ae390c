import Cloud
package import NIOCore

/// The device at a prompt: asks, then carries out one line after the other. A script is driven the same way.
package struct InteractiveShell: Sendable {
    package struct Setup: Sendable {
        /// What flags gave.
        package var answers: Answers
        /// The questions flags have answered.
        package var given: Set<Question>
        package var stateFile: StateFile?
        package var showsTokens: Bool
        /// Whether a failed command ends the program, with status 1.
        package var failsFast: Bool
        package var requestTimeout: Duration
        package var retryBase: Duration
        /// Whether a person sits there, who can answer once more.
        package var isTerminal: Bool

        package init(
            answers: Answers = Answers(),
            given: Set<Question> = [],
            stateFile: StateFile? = nil,
            showsTokens: Bool = true,
            failsFast: Bool = false,
            requestTimeout: Duration = .seconds(20),
            retryBase: Duration = .seconds(2),
            isTerminal: Bool = false,
        ) {
            self.answers = answers
            self.given = given
            self.stateFile = stateFile
            self.showsTokens = showsTokens
            self.failsFast = failsFast
            self.requestTimeout = requestTimeout
            self.retryBase = retryBase
            self.isTerminal = isTerminal
        }
    }

    private let setup: Setup
    private let lines: any LineSource
    private let console: Console
    private let dialer: any CloudDialer
    private let eventLoop: any EventLoop

    package init(
        setup: Setup, lines: any LineSource, console: Console, dialer: any CloudDialer, eventLoop: any EventLoop,
    ) {
        self.setup = setup
        self.lines = lines
        self.console = console
        self.dialer = dialer
        self.eventLoop = eventLoop
    }

    /// Runs until `quit`, the end of the input, or until the task is cancelled.
    ///
    /// - Returns: the exit status.
    package func run() async -> Int32 {
        let saved: SavedState?
        do throws(StateFileError) {
            saved = try self.setup.stateFile?.load()
        } catch {
            self.console.print(error.description)
            return 1
        }
        switch await self.ask(saved) {
        case .answers(let answers):
            return await self.serve(answers, saved)
        case .end(let status):
            return status
        }
    }

    // MARK: - Questions

    private enum Asked {
        case answers(Answers)
        case end(Int32)
    }

    private func ask(_ saved: SavedState?) async -> Asked {
        var defaults = self.setup.answers
        if let saved {
            if !self.setup.given.contains(.address) { defaults.address = saved.address }
            if !self.setup.given.contains(.di) { defaults.di = saved.di }
            if !self.setup.given.contains(.uid) { defaults.uid = saved.tokens.uid }
        }
        var dialogue = Dialogue(defaults: defaults, given: self.setup.given)
        while let prompt = dialogue.prompt {
            self.console.prompt(prompt)
            guard let line = await self.lines.next() else {
                self.console.inputEnded()
                return .end(0)
            }
            self.console.lineWasRead()
            do throws(AnswerError) {
                try dialogue.answer(line)
            } catch {
                self.console.print(error.description)
                // A script cannot read that: its next line would be taken for the answer.
                guard self.setup.isTerminal else { return .end(1) }
            }
        }
        return .answers(dialogue.answers)
    }

    // MARK: - The device

    private func serve(_ answers: Answers, _ saved: SavedState?) async -> Int32 {
        let tokens = saved.flatMap { $0.di == answers.di ? $0.tokens : nil }
        if let saved, tokens == nil {
            self.console.print(
                "The state file is that of the device \(sanitized(saved.di, limit: 128)); its tokens are left alone until "
                    + "this one registers."
            )
        }
        let observer = self.observer(answers, tokens)
        let server = DeviceServer(model: DeviceModel(di: answers.di), observer: observer)
        let device = CloudDevice(
            configuration: CloudDevice.Configuration(
                answers: answers, tokens: tokens, requestTimeout: self.setup.requestTimeout,
                retryBase: self.setup.retryBase
            ),
            dialer: self.dialer, server: server, eventLoop: self.eventLoop, observer: observer
        )
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { await device.run() }
            group.addTask {
                // Ctrl-C must not wait for an answer that may never come.
                await Self.cancellation()
                await device.stop()
            }
            let status = await self.commands(device, server)
            await device.stop()
            group.cancelAll()
            return status
        }
    }

    private func observer(_ answers: Answers, _ tokens: Tokens?) -> @Sendable (DeviceEvent) -> Void {
        let narrator = Narrator(showsTokens: self.setup.showsTokens)
        let console = self.console
        let keeper = self.setup.stateFile.map {
            StateKeeper(file: $0, address: answers.address, di: answers.di, tokens: tokens)
        }
        return { event in
            for line in narrator.lines(for: event) {
                console.print(line)
            }
            if let problem = keeper?.note(event) {
                console.print(problem)
            }
        }
    }

    /// Returns when the task is cancelled.
    private static func cancellation() async {
        let (never, continuation) = AsyncStream<Never>.makeStream()
        for await _ in never {}
        continuation.finish()
    }

    // MARK: - Commands

    private func commands(_ device: CloudDevice, _ server: DeviceServer) async -> Int32 {
        if await device.connect() != .done, self.setup.failsFast {
            return 1
        }
        self.showMenu()
        while true {
            self.console.prompt("> ")
            guard let line = await self.lines.next() else {
                self.console.inputEnded()
                return 0
            }
            self.console.lineWasRead(echo: sanitized(line, limit: 200))
            let isFine: Bool
            do throws(CommandError) {
                guard let command = try Command(line: line) else { continue }
                if command == .quit { return 0 }
                isFine = await self.carryOut(command, device, server)
            } catch {
                self.console.print(error.description)
                isFine = false
            }
            if Task.isCancelled { return 0 }
            if !isFine && self.setup.failsFast { return 1 }
        }
    }

    /// - Returns: false if it failed, which was said.
    private func carryOut(_ command: Command, _ device: CloudDevice, _ server: DeviceServer) async -> Bool {
        switch command {
        case .register: return await device.perform(.register) == .done
        case .session: return await device.perform(.session) == .done
        case .publish: return await device.perform(.publish) == .done
        case .refresh: return await device.perform(.refresh) == .done
        case .signOut: return await device.perform(.signOut) == .done
        case .unpublish: return await device.perform(.unpublish) == .done
        case .set(let href, let values):
            do throws(PropertyError) {
                self.console.print("\(sanitized(href, limit: 100)): \(json(try server.set(href, values)))")
                return true
            } catch {
                let problem = sanitized(error.description, limit: 500)
                self.console.print("Not set: \(problem). Type resources to see them all.")
                return false
            }
        case .resources:
            let published = await device.status.published
            for resource in server.resources {
                self.console.print(Self.line(for: resource, number: published[resource.href]))
            }
            return true
        case .status:
            Self.lines(for: await device.status).forEach(self.console.print)
            return true
        case .help:
            self.showMenu()
            return true
        case .quit:
            return true
        }
    }

    private func showMenu() {
        let width = Command.menu.map(\.words.count).max() ?? 0
        for (index, entry) in Command.menu.enumerated() {
            let padding = String(repeating: " ", count: width - entry.words.count)
            self.console.print("\(index < 9 ? " " : "")\(index + 1)  \(entry.words)\(padding)  \(entry.help)")
        }
    }
}
