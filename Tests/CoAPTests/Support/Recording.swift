import CoAP
import NIOCore
import Testing

/// A message recorded from an existing OCF device, its client or its cloud, with what it says.
struct Recording: Sendable, CustomTestStringConvertible {
    enum Value: Sendable {
        case text(UInt16, String)
        case uint(UInt16, UInt64)
        case opaque(UInt16, String)
    }

    let name: String
    let message: Message
    /// All of them are in shortest form, so they are also what we would write.
    let frame: [UInt8]

    var testDescription: String { self.name }

    init(
        _ name: String, _ code: Code, token: String, options: [Value] = [], upToPayload: String, payload: String = ""
    ) {
        self.name = name
        var parsed = Options()
        for option in options {
            switch option {
            case .text(let number, let text): parsed.append(OptionNumber(rawValue: number), string: text)
            case .uint(let number, let value): parsed.append(OptionNumber(rawValue: number), uint: value)
            case .opaque(let number, let digits): parsed.append(OptionNumber(rawValue: number), bytes: bytes(digits))
            }
        }
        self.message = Message(
            code: code, token: Token(bytes(token)), options: parsed, payload: ByteBuffer(bytes: bytes(payload)))
        self.frame = bytes(upToPayload) + bytes(payload)
    }

    // Options 2049 and 2053 are the OCF payload versions; 2048 is 1.0.0, 10000 is OCF CBOR.
    static let all: [Recording] = [
        Recording(
            "sign-up request", .post, token: "05339908000480a2",
            options: [
                .text(11, "oic"), .text(11, "sec"), .text(11, "account"), .uint(12, 10000),
                .uint(17, 10000), .uint(2049, 2048), .uint(2053, 2048),
            ],
            upToPayload: "d8790205339908000480a2b36f696303736563076163636f756e74122710522710e206e30800420800ff",
            payload: """
                bf626469782462393130373736362d623034352d343964312d363665352d6531626137373132613732636c6175746870726f
                766964657264706c67646b616363657373746f6b656e6b61757468636f64653132336a646576696365747970656664657669
                6365ff
                """),
        Recording(
            "answer to sign-up", .changed, token: "05339908000480a2",
            options: [.uint(12, 10000), .uint(2053, 2048)],
            upToPayload: "d8424405339908000480a2c22710e206ec0800ff",
            payload: """
                a56b616363657373746f6b656e6461742d316c72656672657368746f6b656e6472742d316965787069726573696e190e1063
                75696463752d316b726564697265637475726960
                """),
        Recording(
            "sign-in request", .post, token: "2d70b1e41309eafa",
            options: [
                .text(11, "oic"), .text(11, "sec"), .text(11, "session"), .uint(12, 10000),
                .uint(17, 10000), .uint(2049, 2048), .uint(2053, 2048),
            ],
            upToPayload: "d85d022d70b1e41309eafab36f6963037365630773657373696f6e122710522710e206e30800420800ff",
            payload: """
                bf6375696463752d31626469782462393130373736362d623034352d343964312d363665352d653162613737313261373263
                6b616363657373746f6b656e6461742d31656c6f67696ef5ff
                """),
        Recording(
            "answer to sign-in", .changed, token: "2d70b1e41309eafa",
            options: [.uint(12, 10000), .uint(2053, 2048)],
            upToPayload: "d80a442d70b1e41309eafac22710e206ec0800ff",
            payload: "a16965787069726573696e190e10"),
        Recording(
            "token refresh request", .post, token: "909d410ddb735e87",
            options: [
                .text(11, "oic"), .text(11, "sec"), .text(11, "tokenrefresh"),
                .uint(12, 10000), .uint(17, 10000), .uint(2049, 2048), .uint(2053, 2048),
            ],
            upToPayload: """
                d88602909d410ddb735e87b36f6963037365630c746f6b656e72656672657368122710522710e206e30800420800ff
                """,
            payload: """
                bf6375696463752d31626469782430386537653338352d313562652d343166332d363337332d643733663038653863393733
                6c6175746870726f766964657264706c6764696772616e74747970656d726566726573685f746f6b656e6c72656672657368
                746f6b656e6472742d31ff
                """),
        Recording(
            "publish request", .post, token: "7133a47edb22d4ff",
            options: [
                .text(11, "oic"), .text(11, "rd"), .uint(12, 10000),
                .text(15, "rt=oic.wk.rdpub"), .uint(17, 10000), .uint(2049, 2048),
                .uint(2053, 2048),
            ],
            upToPayload: """
                d8bc027133a47edb22d4ffb36f69630272641227103d0272743d6f69632e776b2e7264707562222710e206e30800420800ff
                """,
            payload: """
                bf626469782462376165666237382d393935392d343161342d346132662d626666613437623739393166616e626435637474
                6c00656c696e6b739fbf64687265666b2f73776974636865732f316272749f736f69632e722e7377697463682e62696e6172
                79ff6269669f686f69632e69662e616f6f69632e69662e626173656c696e65ff6372656c65686f73747363696e731a496630
                936170bf62626d03ffffffff
                """),
        Recording(
            "answer to publish", .changed, token: "7133a47edb22d4ff",
            options: [.uint(12, 10000), .uint(2053, 2048)],
            upToPayload: "d894447133a47edb22d4ffc22710e206ec0800ff",
            payload: """
                a4626469782462376165666237382d393935392d343161342d346132662d626666613437623739393166616e626435637474
                6c00656c696e6b7381a664687265666b2f73776974636865732f3162727481736f69632e722e7377697463682e62696e6172
                7962696682686f69632e69662e616f6f69632e69662e626173656c696e656372656c65686f73747363696e73066170a16262
                6d03
                """),
        Recording(
            "unpublish request", .delete, token: "34f398e0987497d7",
            options: [
                .text(11, "oic"), .text(11, "rd"),
                .text(15, "di=b7aefb78-9959-41a4-4a2f-bffa47b7991f"), .text(15, "ins=6"),
                .uint(17, 10000), .uint(2049, 2048),
            ],
            upToPayload: """
                d8310434f398e0987497d7b36f69630272644d1a64693d62376165666237382d393935392d343161342d346132662d626666
                61343762373939316605696e733d36222710e206e30800
                """),
        Recording(
            "answer to unpublish", .deleted, token: "34f398e0987497d7",
            upToPayload: "084234f398e0987497d7"),
        Recording(
            "Ping", .ping, token: "d3f63628a7d74560",
            upToPayload: "08e2d3f63628a7d74560"),
        Recording(
            "Pong", .pong, token: "d3f63628a7d74560",
            upToPayload: "08e3d3f63628a7d74560"),
        Recording(
            "Release with Hold-Off 1", .release, token: "",
            options: [.uint(4, 1)],
            upToPayload: "20e44101"),
        Recording(
            "libcoap's CSM", .capabilitiesAndSettings, token: "",
            options: [.uint(2, 8388864), .opaque(4, "")],
            upToPayload: "50e12380010020"),
        Recording(
            "libcoap's reset", .empty, token: "",
            upToPayload: "0000"),
        Recording(
            "observe request", .get, token: "520115",
            options: [.uint(6, 0), .text(11, "light"), .text(11, "1"), .uint(17, 10000), .uint(2049, 2048)],
            upToPayload: "d3040152011560556c696768740131622710e206e30800"),
        Recording(
            "first answer to observe", .content, token: "520115",
            options: [.opaque(4, "12a472e0c4600600"), .uint(6, 0), .uint(12, 10000), .uint(2053, 2048)],
            upToPayload: "d321455201154812a472e0c460060020622710e206ec0800ff",
            payload: "bf657374617465f465706f77657200646e616d65654c69676874ff"),
        Recording(
            "notification", .content, token: "520115",
            options: [.opaque(4, "ab10d0e0c4600600"), .uint(6, 2), .uint(12, 10000), .uint(2053, 2048)],
            upToPayload: "d3224552011548ab10d0e0c46006002102622710e206ec0800ff",
            payload: "bf657374617465f565706f77657207646e616d65654c69676874ff"),
        Recording(
            "POST to the light", .post, token: "0b8cef",
            options: [
                .text(11, "light"), .text(11, "1"), .uint(12, 10000), .uint(17, 10000),
                .uint(2049, 2048), .uint(2053, 2048),
            ],
            upToPayload: "d319020b8cefb56c696768740131122710522710e206e30800420800ff",
            payload: "a2657374617465f565706f77657207"),
        Recording(
            "answer to POST", .changed, token: "0b8cef",
            upToPayload: "03440b8cef"),
        Recording(
            "answer to PUT", .methodNotAllowed, token: "7947c8",
            upToPayload: "03857947c8"),
        Recording(
            "answer to DELETE", .deleted, token: "c2f42d",
            upToPayload: "0342c2f42d"),
        Recording(
            "answer not found", .notFound, token: "a31d4a",
            upToPayload: "0384a31d4a"),
        Recording(
            "discovery request", .get, token: "b6f58e700433e0e6",
            options: [.text(11, "oic"), .text(11, "res"), .uint(17, 10000), .uint(2049, 2048)],
            upToPayload: "d80301b6f58e700433e0e6b36f696303726573622710e206e30800"),
        Recording(
            "request for a discovered resource", .get, token: "0bef3c8e5b66bc19",
            options: [
                .text(11, "854b711b-29e5-4e3e-5696-fa7e386af2a8"), .text(11, "light"),
                .uint(17, 10000), .uint(2049, 2048),
            ],
            upToPayload: """
                d827010bef3c8e5b66bc19bd1738353462373131622d323965352d346533652d353639362d66613765333836616632613805
                6c69676874622710e206e30800
                """),
    ]
}
