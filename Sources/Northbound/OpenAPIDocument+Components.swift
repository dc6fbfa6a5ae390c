extension OpenAPIDocument {
    /// What the paths refer to.
    static let components = #"""
        components:
          securitySchemes:
            user:
              type: http
              scheme: bearer
              description: The token of /register/user. `Authorization` takes it with and without the word Bearer.
            mediator:
              type: http
              scheme: bearer
              description: The token of /provision/mediator.
            client:
              type: http
              scheme: bearer
              description: The access token of /oic/sec/account or /oic/sec/tokenrefresh.
          parameters:
            Device:
              name: di
              in: path
              required: true
              description: The id of a device or client.
              schema: {$ref: "#/components/schemas/Id"}
          requestBodies:
            Provision:
              required: true
              content:
                application/json:
                  schema:
                    type: object
                    properties:
                      di:
                        description: Whom the code is for; without it, it is for whoever uses it first.
                        $ref: "#/components/schemas/Id"
            DeviceContent:
              content:
                application/json: {schema: true}
                application/vnd.ocf+cbor: {schema: {type: string, contentEncoding: binary}}
                "*/*": {schema: {type: string, contentEncoding: binary}}
          responses:
            Token:
              description: The token, shown this once.
              content:
                application/json:
                  schema:
                    type: object
                    required: [accesstoken]
                    properties:
                      accesstoken: {$ref: "#/components/schemas/Secret"}
            Credentials:
              description: The tokens of the client.
              content:
                application/json:
                  schema:
                    type: object
                    required: [accesstoken, refreshtoken, expiresin, uid]
                    properties:
                      accesstoken: {$ref: "#/components/schemas/Secret"}
                      refreshtoken: {$ref: "#/components/schemas/Secret"}
                      expiresin:
                        type: integer
                        minimum: -1
                        description: Seconds the access token lives; -1 is for ever.
                      uid: {$ref: "#/components/schemas/Id"}
            DeviceContent:
              description: What the device answered.
              headers:
                ETag: {schema: {type: string}, description: The device's entity tag in hexadecimal digits.}
              content:
                application/json: {schema: true}
                text/event-stream: {schema: {type: string}}
                "*/*": {schema: {type: string, contentEncoding: binary}}
            Problem:
              description: A problem; GET /errors lists all of them.
              headers:
                Retry-After: {schema: {type: integer}, description: Seconds to wait, where waiting helps.}
              content:
                application/problem+json: {schema: {$ref: "#/components/schemas/Problem"}}
          schemas:
            Id:
              type: string
              minLength: 1
              maxLength: 128
              description: |
                Text without blanks, control characters and any of / ? # + $ %. UUIDs are compared without case.
            Secret:
              type: string
              minLength: 1
              maxLength: 512
            Device:
              type: object
              required: [di, status]
              properties:
                di: {$ref: "#/components/schemas/Id"}
                name: {type: string, description: What the device calls itself.}
                status: {type: string, enum: [online, offline, unknown]}
                since: {type: string, format: date-time, description: Since when, where that is known.}
            Mediator:
              type: object
              required: [id, created]
              properties:
                id: {type: string}
                created: {type: string, format: date-time}
                used: {type: string, format: date-time, description: About when it was last used.}
            Link:
              type: object
              required: [href, rt, if]
              properties:
                href: {type: string, description: The path to ask this resource under.}
                di: {$ref: "#/components/schemas/Id"}
                anchor: {type: string}
                rt: {type: array, items: {type: string}}
                if: {type: array, items: {type: string}}
                p: {type: object, properties: {bm: {type: integer}}}
                ins: {type: integer}
            Problem:
              type: object
              required: [type, title, status, detail, request_id]
              properties:
                type: {type: string, format: uri-reference, examples: [/errors#offline]}
                title: {type: string}
                status: {type: integer}
                detail: {type: string, description: What happened and what to do next.}
                request_id: {type: string}
                field: {type: string, description: The header field, member or parameter at fault.}
                coap_code: {type: string, description: The code the device answered with., examples: ["4.04"]}

        """#
}
