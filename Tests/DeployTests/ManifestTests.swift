import Foundation
import TestServers
import Testing

@Suite("k8s/")
struct ManifestTests {
    @Test("Every manifest is what the Kubernetes API takes, by its schemas, without unknown fields")
    func schemas() async throws {
        let files = try Manifest.files()
        #expect(files.count >= 9)
        let ended = try await Subprocess.run(
            ["\(Subprocess.root)/.build/peers/bin/kubernetes-validate", "--strict", "--no-warn"] + files)
        #expect(ended.status == 0, "\(ended.output)\n\(ended.errors)")
        // A validator that read nothing would be content as well.
        let passed = "\(ended.output)\(ended.errors)".split(separator: "\n").filter { $0.contains(" passed for ") }
        #expect(passed.count == Manifest.all.count)
    }

    @Test("kubectl apply -f k8s/ takes the folder as it is: no kustomization, no namespace of our choosing")
    func plainFolder() throws {
        #expect(!Manifest.all.isEmpty)
        for folder in ["k8s", "k8s/dev"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: "\(Subprocess.root)/\(folder)") {
                #expect(name == "dev" || name.hasSuffix(".yaml"))
                #expect(!name.lowercased().contains("kustomization"))
            }
        }
        for manifest in Manifest.all {
            #expect(!manifest.tree["metadata"]["namespace"].isThere, "\(manifest.testDescription)")
            #expect(manifest.tree["metadata"]["labels"]["app.kubernetes.io/part-of"].text == "coap-gateway")
        }
    }

    @Test("Every pod fits the restricted Pod Security Standard, with a root it cannot write to")
    func restricted() throws {
        let deployments = Manifest.all("Deployment")
        #expect(deployments.map(\.name).sorted() == ["coap-interface", "mysql", "northbound", "redis", "registry"])
        for deployment in deployments {
            let about = Comment(rawValue: deployment.testDescription)
            let pod = deployment.pod
            #expect(pod["securityContext"]["runAsNonRoot"].isTrue, about)
            #expect((pod["securityContext"]["runAsUser"].number ?? 0) > 0, about)
            #expect(pod["securityContext"]["seccompProfile"]["type"].text == "RuntimeDefault", about)
            #expect(pod["automountServiceAccountToken"].isFalse, about)
            for key in ["hostNetwork", "hostPID", "hostIPC"] { #expect(!pod[key].isThere, about) }
            for volume in pod["volumes"].items {
                #expect(volume["emptyDir"].isThere || volume["secret"]["optional"].isTrue, about)
            }
            #expect(pod["containers"].items.count == 1, about)
            for container in pod["containers"].items {
                let security = container["securityContext"]
                #expect(security["allowPrivilegeEscalation"].isFalse, about)
                #expect(security["readOnlyRootFilesystem"].isTrue, about)
                #expect(security["capabilities"]["drop"].items.map(\.text) == ["ALL"], about)
                #expect(!security["capabilities"]["add"].isThere, about)
                #expect(!security["privileged"].isThere, about)
                #expect(container["resources"]["requests"]["cpu"].isThere, about)
                #expect(container["resources"]["requests"]["memory"].isThere, about)
                #expect(container["resources"]["limits"]["memory"].isThere, about)
            }
        }
    }

    @Test("Every image has a tag that stays, ours all the same one")
    func images() throws {
        var ours: Set<String> = []
        for deployment in Manifest.all("Deployment") {
            for container in deployment.pod["containers"].items {
                let image = container["image"].text
                let tag = image.split(separator: ":").dropFirst().last ?? ""
                #expect(!tag.isEmpty && tag != "latest", "\(image)")
                #expect(container["imagePullPolicy"].text == "IfNotPresent")
                if !deployment.path.hasPrefix("k8s/dev/") { ours.insert(image) }
            }
        }
        #expect(ours.count == 1)
    }

    @Test("Services, probes and policies name ports that the pods open, and only those")
    func ports() throws {
        for deployment in Manifest.all("Deployment") {
            let about = Comment(rawValue: deployment.testDescription)
            let container = try #require(deployment.pod["containers"].items.first)
            var ports: [String: Int] = [:]
            for port in container["ports"].items { ports[port["name"].text] = port["containerPort"].number }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let http = container[probe]["httpGet"]
                guard http.isThere else { continue }
                #expect(ports[http["port"].text] == 9090, about)
                #expect(http["path"].text == (probe == "readinessProbe" ? "/readyz" : "/livez"), about)
            }
            let service = try Manifest.one("Service", deployment.name)
            #expect(service.tree["spec"]["selector"].texts == ["app.kubernetes.io/name": deployment.name], about)
            for port in service.tree["spec"]["ports"].items {
                #expect(ports[port["targetPort"].text] == port["port"].number, about)
                #expect(port["port"].number != 9090 && port["port"].number != 8081, "not for the outside")
            }
            let policy = try Manifest.one("NetworkPolicy", deployment.name)
            #expect(
                policy.tree["spec"]["podSelector"]["matchLabels"].texts.allSatisfy { deployment.labels[$0] == $1 },
                about)
            let open = Set(policy.tree["spec"]["ingress"].items.flatMap { $0["ports"].items.map { $0["port"].number } })
            #expect(open == Set(ports.values.map(Optional.some)), about)
        }
    }

    @Test("Only the two edges reach 8081 and 5688, only the registry reaches MySQL, all three reach Redis")
    func policies() throws {
        func callers(of name: String, port: Int) throws -> [Set<String>] {
            let rules = try Manifest.one("NetworkPolicy", name).tree["spec"]["ingress"].items
            return rules.filter { $0["ports"].items.contains { $0["port"].number == port } }.map { rule in
                Set(
                    rule["from"].items.flatMap { peer -> [String] in
                        let pods = peer["podSelector"]
                        let listed = pods["matchExpressions"].items.first { $0["key"].text == "app.kubernetes.io/name" }
                        return listed?["values"].items.map(\.text) ?? [
                            pods["matchLabels"]["app.kubernetes.io/name"].text
                        ]
                    })
            }
        }
        #expect(try callers(of: "coap-interface", port: 8081) == [["northbound", "coap-interface"]])
        #expect(try callers(of: "registry", port: 5688) == [["northbound", "coap-interface"]])
        #expect(try callers(of: "mysql", port: 3306) == [["registry"]])
        #expect(try callers(of: "redis", port: 6379) == [["northbound", "coap-interface", "registry"]])
        for name in ["coap-interface", "northbound", "registry"] {
            let egress = try Manifest.one("NetworkPolicy", name).tree["spec"]["egress"].items
            let ports = Set(egress.flatMap { $0["ports"].items.compactMap { $0["port"].number } })
            #expect(ports.contains(53) && ports.contains(6379))
            #expect(ports.contains(3306) == (name == "registry"), "\(name)")
            #expect(ports.contains(5688) == (name != "registry"), "\(name)")
        }
    }

    @Test("The registry's Service is headless and has ready addresses only; the two balancers keep who calls")
    func services() throws {
        let registry = try Manifest.one("Service", "registry").tree["spec"]
        #expect(registry["clusterIP"].text == "None")
        #expect(registry["publishNotReadyAddresses"].isFalse)
        for name in ["coap-interface", "northbound"] {
            let service = try Manifest.one("Service", name).tree["spec"]
            #expect(service["type"].text == "LoadBalancer")
            #expect(service["externalTrafficPolicy"].text == "Local")
            #expect(service["sessionAffinity"].text == "None")
        }
    }

    @Test("A rollout takes no pod away before another is ready, and nothing takes two at once")
    func availability() throws {
        for deployment in Manifest.programs {
            let about = Comment(rawValue: deployment.testDescription)
            let spec = deployment.tree["spec"]
            #expect(spec["strategy"]["rollingUpdate"]["maxUnavailable"].number == 0, about)
            #expect(deployment.pod["topologySpreadConstraints"].items.count == 2, about)
            let budget = try Manifest.one("PodDisruptionBudget", deployment.name).tree["spec"]
            #expect(budget["maxUnavailable"].number == 1, about)
            #expect(budget["selector"]["matchLabels"].texts == spec["selector"]["matchLabels"].texts, about)
            let scaler = Manifest.all("HorizontalPodAutoscaler").first { $0.name == deployment.name }
            // A number here would undo what the autoscaler decided, with every apply.
            #expect((scaler == nil) == spec["replicas"].isThere, about)
            #expect(scaler?.tree["spec"]["minReplicas"].number ?? spec["replicas"].number == 2, about)
            for constraint in deployment.pod["topologySpreadConstraints"].items {
                #expect(constraint["labelSelector"]["matchLabels"].texts == spec["selector"]["matchLabels"].texts)
            }
        }
    }

    @Test("What stands in the place of secrets is in k8s/dev only, marked so that nobody takes it for one")
    func secrets() throws {
        #expect(Manifest.all("Secret").map(\.path) == ["k8s/dev/coap-gateway.yaml"])
        let values = try Manifest.one("Secret", "coap-gateway-secrets").tree["stringData"].texts
        for (key, value) in values where key != "SID" {
            let text = Data(base64Encoded: value).map { String(decoding: $0, as: UTF8.self) } ?? value
            #expect(text.hasPrefix("DEVELOPMENT-ONLY-"), "\(key)")
        }
    }

    @Test("make k8s writes all of k8s/ and nothing of k8s/dev, with the image that IMAGE names")
    func oneFile() async throws {
        for image in ["", "name", "name:latest", "registry.example.com:5000/name", "name: tag"] {
            let refused = try await Subprocess.run(["/bin/sh", "scripts/k8s"], environment: ["IMAGE": image])
            #expect(refused.status == 64, "\(image)")
        }
    }
}
