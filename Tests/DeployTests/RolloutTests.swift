import Cluster
import Foundation
import ServiceShell
import TestServers
import Testing
import Yams

/// What docs/scaling.md and docs/operations.md promise of rollouts and of the autoscaler, held against the manifests.
@Suite("Rollouts and the autoscaler")
struct RolloutTests {
    private static func coapInterface() throws -> (manifest: Manifest, settings: CoAPInterfaceSettings) {
        let manifest = try #require(Manifest.programs.first { $0.name == "coap-interface" })
        let environment = try SettingsTests.environment(of: manifest)
        let settings = try CoAPInterfaceSettings(arguments: ProgramArguments(), environment: environment)
        return (manifest, settings)
    }

    private static func drain(_ configuration: any ServerConfiguration) throws -> DrainSettings {
        switch configuration {
        case let settings as CoAPInterfaceSettings: settings.drain
        case let settings as NorthboundSettings: settings.drain
        case let settings: try #require(settings as? RegistrySettings).drain
        }
    }

    private static func document(_ name: String) throws -> String {
        try String(contentsOfFile: "\(Subprocess.root)/docs/\(name)", encoding: .utf8)
    }

    @Test("All new pods that hold devices come before an old one goes; the others come a few, or one, at a time")
    func surge() throws {
        let surges = Dictionary(
            uniqueKeysWithValues: Manifest.programs.map {
                ($0.name, $0.tree["spec"]["strategy"]["rollingUpdate"]["maxSurge"].text)
            })
        #expect(surges == ["coap-interface": "100%", "northbound": "25%", "registry": "1"])
        // The edit that docs/scaling.md has for those without room finds what it looks for.
        let file = try String(contentsOfFile: "\(Subprocess.root)/k8s/coap-interface.yaml", encoding: .utf8)
        #expect(file.components(separatedBy: "maxSurge: 100%").count == 2)
        let edit = "sed -i 's/maxSurge: 100%/maxSurge: 1/' k8s/coap-interface.yaml"
        #expect(try Self.document("scaling.md").contains(edit))
    }

    @Test("A new pod counts when balancers know it, and one that drains is unready long before it serves nobody")
    func readiness() throws {
        for deployment in Manifest.programs {
            let about = Comment(rawValue: deployment.testDescription)
            let environment = try SettingsTests.environment(of: deployment)
            let propagation = try Self.drain(SettingsTests.read(deployment.name, environment)).propagation
            let wait = try #require(deployment.tree["spec"]["minReadySeconds"].number)
            #expect(.seconds(wait) >= propagation, about)
            let probe = try #require(deployment.pod["containers"].items.first)["readinessProbe"]
            let period = try #require(probe["periodSeconds"].number)
            let failures = try #require(probe["failureThreshold"].number)
            #expect(.seconds(period * failures) <= propagation / 2, about)
        }
        // What a drain takes fits in: SettingsTests.
        #expect(try Self.coapInterface().manifest.pod["terminationGracePeriodSeconds"].number == 90)
    }

    @Test("The autoscaler goes by sessions and CPU, slowly, and aims at what memory, another pod and a drain can take")
    func autoscaler() throws {
        let (manifest, settings) = try Self.coapInterface()
        let spec = try Manifest.one("HorizontalPodAutoscaler", "coap-interface").tree["spec"]
        let metrics = spec["metrics"].items
        #expect(metrics.map { $0["type"].text } == ["Pods", "Resource"])
        let sessions = try #require(metrics.first)["pods"]
        #expect(sessions["target"]["type"].text == "AverageValue")
        let target = try #require(Int(sessions["target"]["averageValue"].text))

        let resources = try #require(manifest.pod["containers"].items.first)["resources"]
        func kibibytes(_ kind: String) throws -> Int {
            let text = resources[kind]["memory"].text
            let number = try #require(Int(text.dropLast(2)))
            return number * (text.hasSuffix("Gi") ? 1024 : 1) * 1024
        }
        // The figures that docs/operations.md reckons with.
        let (program, device) = (56 * 1024, 50)
        #expect(try program + target * device <= kibibytes("requests"))
        #expect(try program + settings.devices.maxConnections * device <= kibibytes("limits"))
        let least = try #require(spec["minReplicas"].number)
        let most = try #require(spec["maxReplicas"].number)
        // By 10 % the autoscaler tolerates it.
        #expect(target * 11 / 10 * least <= settings.devices.maxConnections * (least - 1))
        let seconds = Int((settings.move.window + settings.requests.timeout).components.seconds)
        #expect(target * most <= settings.move.fleetReconnects * seconds, "who is left over is cut off by a rollout")

        let (up, down) = (spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"])
        #expect(up["stabilizationWindowSeconds"].number == 120)
        #expect(up["policies"].items.count == 1)
        #expect(up["policies"].items.first?["value"].number == 100)
        #expect(up["policies"].items.first?["periodSeconds"].number == 300)
        #expect(down["stabilizationWindowSeconds"].number == 1800)
        #expect(down["policies"].items.count == 1)
        #expect(down["policies"].items.first?["value"].number == 1)
        #expect(down["policies"].items.first?["periodSeconds"].number == 600)
    }

    @Test("The adapter's rule in docs/operations.md serves the metric that the autoscaler asks for and we make")
    func adapter() throws {
        let metrics = try Manifest.one("HorizontalPodAutoscaler", "coap-interface").tree["spec"]["metrics"].items
        let name = try #require(metrics.first)["pods"]["metric"]["name"].text
        let section = try #require(Self.document("operations.md").components(separatedBy: "## The autoscaler").last)
        let yaml = try #require(section.components(separatedBy: "```yaml\n").dropFirst().first)
            .components(separatedBy: "```")[0]
        let rules = Tree(try Yams.load(yaml: yaml))["rules"].items
        #expect(rules.count == 1)
        #expect(rules.first?["seriesQuery"].text.hasPrefix("\(name){") == true)
        #expect(rules.first?["resources"]["overrides"].keys == ["namespace", "pod"])
        let sources = try String(
            contentsOfFile: "\(Subprocess.root)/Sources/CoAPInterface/CoAPInterfaceMetrics.swift", encoding: .utf8)
        #expect(sources.contains("\"\(name.replacingOccurrences(of: "_", with: "."))\""))
    }

    @Test(
        "What one pod after the other costs is in docs/scaling.md as it comes out step by step",
        arguments: [2, 3, 4, 6, 10])
    func oneByOne(pods: Int) throws {
        // Each old pod drains blindly to all others, the new ones among them; the mean is 1.
        var old = Array(repeating: 1.0, count: pods)
        var new: [Double] = []
        var moves = 0.0
        while let drained = old.popLast() {
            new.append(0)
            moves += drained
            let share = drained / Double(old.count + new.count)
            old = old.map { $0 + share }
            new = new.map { $0 + share }
        }
        let each = moves / Double(pods)
        #expect(abs(each - (pow(1 + 1 / Double(pods), Double(pods)) - 1)) < 1e-9)
        let last = try #require(new.min())
        func text(_ number: Double) -> String { String(format: "%.2f", number) }
        let row = "| \(pods) | 1 | \(text(each)) | \(Int((last * 100).rounded())) % | \(text(each + 1 - last)) |"
        #expect(try Self.document("scaling.md").contains(row), "\(row)")
    }
}
