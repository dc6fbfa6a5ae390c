import Cloud
import Testing

@testable import SQLStore

@Suite("What the MySQL driver is told and what it says")
struct MySQLSettingsTests {
    @Test(
        "The address is read in the older gateway's form, as a URL and plain",
        arguments: [
            ("@tcp(mysql:3306)/", "mysql:3306"), ("@tcp(10.0.0.7:3307)/", "10.0.0.7:3307"), ("tcp(db)", "db:3306"),
            ("@tcp([::1]:3306)/", "[::1]:3306"), ("db.example.org", "db.example.org:3306"), ("db:1", "db:1"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:3306"), ("mysql://db:3308/", "db:3308"), ("mariadb://db", "db:3306"),
        ])
    func addresses(_ text: String, _ expected: String) {
        #expect(MySQLAddress.parse(text)?.description == expected)
    }

    @Test(
        "What is no address is refused",
        arguments: [
            "", ":3306", "db:", "db:0", "db:65536", "db:+1", "db:1:2", "::1", "[::1", "[]:1", "[db]:1", "[::1]x",
            "@tcp(db:1", "@tcp(db:1)/name", "user:pass@tcp(db)/", "@unix(/run/mysql)/", "mysql://u@db/", "mysql://db/n",
            "d b", "db\n", "db/..", String(repeating: "a", count: 256),
        ])
    func wrongAddresses(_ text: String) {
        #expect(MySQLAddress.parse(text) == nil)
    }

    @Test("BI-82: a password does not print, in no way")
    func password() {
        let password = MySQLPassword("hunter2-hunter2")
        var dumped = ""
        dump(password, to: &dumped)
        let configuration = MySQLConfiguration(
            address: MySQLAddress(host: "db"), database: "d", user: "u", password: password)
        for text in ["\(password)", String(reflecting: password), dumped, "\(configuration)"] {
            #expect(!text.contains("hunter2"))
        }
        #expect(password.reveal() == "hunter2-hunter2")
    }

    @Test("The pool is shared out so that somebody writes and somebody reads", arguments: [0, 2, 8, 1000])
    func pool(_ size: Int) {
        let driver = MySQLDriver(
            MySQLConfiguration(
                address: MySQLAddress(host: "db"), database: "d", user: "u", password: MySQLPassword(""),
                poolSize: size))
        #expect(driver.writers >= 1 && driver.readers >= 1)
        #expect(driver.writers + driver.readers == min(max(2, size), 256))
        #expect(driver.name == "MySQL at db:3306/d")
    }

    @Test("A server that is not there is dialled once a pause; the pause grows to two seconds and ends with success")
    func pace() {
        var pace = MySQLDialPace()
        var now = ContinuousClock.now
        let gone = SQLError(.unreachable, "gone")
        #expect(pace.refusal(at: now) == nil)
        // Eight connections notice at once: one failure.
        for _ in 0..<8 { pace.failed(gone, at: now) }
        #expect(pace.refusal(at: now + .milliseconds(99)) == gone)
        var pauses: [Duration] = []
        for _ in 0..<7 {
            let start = now
            while pace.refusal(at: now) != nil { now += .milliseconds(1) }
            pauses.append(now - start)
            #expect(pace.refusal(at: now) == gone)
            pace.failed(gone, at: now)
        }
        #expect(pauses == [100, 200, 400, 800, 1600, 2000, 2000].map { .milliseconds($0) })
        while pace.refusal(at: now) != nil { now += .milliseconds(1) }
        pace.succeeded()
        #expect(pace.refusal(at: now) == nil)
        #expect(pace.refusal(at: now) == nil)
    }

    @Test(
        "BI-67: numbers of the server become our words",
        arguments: [
            (1213, SQLError.Kind.deadlock), (1205, .locked), (1062, .duplicate), (1290, .readOnly), (1792, .readOnly),
            (1836, .readOnly), (1021, .diskFull), (1114, .diskFull), (1040, .tooManyConnections),
            (1203, .tooManyConnections), (1045, .refused), (1049, .unknownDatabase), (3024, .late), (1969, .late),
            (1153, .tooLarge), (2006, .lost), (2013, .lost), (2055, .lost), (2003, .unreachable), (1927, .lost),
            (1452, .missing), (1064, .statement), (1146, .schemaMissing),
        ])
    func numbers(_ number: Int, _ kind: SQLError.Kind) {
        let error = MySQLErrors.error(UInt32(number), "text")
        #expect(error.kind == kind)
        #expect(error.message == "text (error \(number))")
    }

    @Test("A connection lost in a COMMIT leaves open what became of it")
    func commit() {
        for number: UInt32 in [2006, 2013, 2055, 1927, 1053, 1317] {
            #expect(MySQLErrors.error(number, "x", inCommit: true).kind == .commitUnknown)
        }
        #expect(MySQLErrors.error(1213, "x", inCommit: true).kind == .deadlock)
        #expect(MySQLErrors.error(1030, "Got error 28 from storage engine").kind == .diskFull)
        #expect(MySQLErrors.error(1030, "Got error 5 from storage engine").kind == .inputOutput)
    }

    @Test("BI-67: a full disk is told from one that fails, and somebody is told to make room")
    func fullDisk() {
        for (number, text) in [
            (UInt32(3), "Error writing file '/var/lib/mysql/#sql28/a' (Errcode: 28 \"No space left on device\")"),
            (1021, "Disk full (/tmp/#sql); waiting for someone to free some space..."),
            (1026, "Error writing file 'a' (errno: 28 - No space left on device)"),
            (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"),
            (1114, "The table 'credentials' is full"),
        ] {
            let error = MySQLErrors.error(number, text)
            #expect(error.kind == .diskFull, "\(text)")
            #expect(error.cloudError(store: "x").message.contains("make room"))
            #expect(!MySQLErrors.isFatal(number))
        }
        #expect(MySQLErrors.error(3, "Error writing file '/data28/a 28 b' (Errcode: 5 \"...\")").kind == .inputOutput)
        #expect(MySQLErrors.error(1030, "Got error 281 from storage engine").kind == .inputOutput)
    }
}

@Suite("The clock of the database")
struct DatabaseClockTests {
    /// Everything a clock goes by, moved by hand.
    private final class Bench: Sendable {
        let monotonic = Moved(ContinuousClock.now)
        let database = Moved(Timestamp(milliseconds: 5_000_000))
        let roundTrip = Moved(Duration.zero)
        let machine = ManualClock()

        func clock() -> DatabaseClock {
            DatabaseClock(
                ask: { () async throws(CloudError) in
                    let asked = self.monotonic.value
                    let time = self.database.value + self.roundTrip.value / 2
                    self.pass(self.roundTrip.value)
                    return DatabaseMoment(time: time, asked: asked, answered: self.monotonic.value)
                }, monotonic: { self.monotonic.value }, machine: self.machine)
        }

        func pass(_ duration: Duration) {
            self.monotonic.value += duration
            self.database.value = self.database.value + duration
        }
    }

    @Test("BI-76: machines ten minutes apart agree once they asked, half the round trip counted")
    func agreement() async throws {
        let bench = Bench()
        bench.roundTrip.value = .milliseconds(300)
        let (one, other) = (bench.clock(), bench.clock())
        bench.machine.advance(.seconds(600))
        #expect(one.now() == Timestamp(milliseconds: 1_700_000_000_000))
        try await one.refresh()
        bench.pass(.seconds(5))
        try await other.refresh()
        #expect(one.now() == bench.database.value)
        #expect(other.now() == bench.database.value)
        bench.pass(.seconds(3600))
        #expect(one.now() == bench.database.value)
    }

    @Test("BI-76: when the database's clock jumps, back or forth, everybody goes along at the next look")
    func jump() async throws {
        let bench = Bench()
        let clock = bench.clock()
        for jump in [Duration.seconds(-600), .seconds(600)] {
            try await clock.refresh()
            let before = clock.now()
            bench.database.value = bench.database.value + jump
            #expect(clock.now() == before)
            try await clock.refresh()
            #expect(clock.now() == before + jump)
        }
    }

    @Test("An answer that was long on the way is not believed")
    func slow() async throws {
        let bench = Bench()
        let clock = bench.clock()
        try await clock.refresh()
        bench.roundTrip.value = .seconds(3)
        let error = await expectError(.unavailable) { try await clock.refresh() }
        #expect(error?.message.contains("to say what time it is") == true)
        #expect(clock.now() == bench.database.value)
    }
}
